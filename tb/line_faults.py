"""What a bad line does to bytes: each is (byte, 1 if its stop bit is missing)."""

import numpy as np

from spec.link import END, ESCAPE

Line = list[tuple[int, int]]


def spoil(line: Line, rng: np.random.Generator) -> Line:
    """One fault, drawn at random: bits turned over, bytes lost, doubled, put in or without a stop bit, an end cut off."""
    line = list(line)
    at = int(rng.integers(0, len(line)))
    byte, mark = line[at]
    kind = int(rng.integers(0, 7))
    if kind == 0:
        line[at] = byte ^ 1 << int(rng.integers(0, 8)), mark
    elif kind == 1:
        line[at] = int(rng.integers(0, 256)), mark
    elif kind == 2:
        del line[at : at + int(rng.integers(1, 6))]
    elif kind == 3:
        line.insert(at, line[at])
    elif kind == 4:
        line[at:at] = [(int(rng.choice([END, ESCAPE, 0xDC, int(rng.integers(0, 256))])), 0)]
    elif kind == 5:
        line[at] = byte, 1
    else:
        del line[at:]
    return line
