"""What the emulated commands share: the scratchpad as an array of bricks, and which bricks a command touches."""

from dataclasses import dataclass, field

import numpy as np

from spec.chip import BRICK, Chip


class EmulatorError(ValueError):
    """A program without a defined result: a race, a read of what was never loaded, tiles that disagree."""


@dataclass
class Touched:
    """Bricks a command reads and writes, as flags by scratchpad address."""

    bricks: int
    reads: np.ndarray = field(init=False)
    writes: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.reads = np.zeros(self.bricks, bool)
        self.writes = np.zeros(self.bricks, bool)

    def write(self, what: str, addresses: np.ndarray) -> None:
        """Marks distinct ``addresses`` as written; :class:`EmulatorError` if one is written twice."""
        addresses = addresses.reshape(-1)
        before = int(np.count_nonzero(self.writes))
        self.writes[addresses] = True
        if int(np.count_nonzero(self.writes)) != before + addresses.size:
            raise EmulatorError(f"{what} writes a scratchpad brick twice")

    def alone(self, what: str) -> None:
        """:class:`EmulatorError` where a brick is both read and written."""
        both = np.flatnonzero(self.reads & self.writes)
        if both.size:
            raise EmulatorError(f"{what} reads scratchpad brick {both[0]} and writes it")


def empty_scratch(chip: Chip) -> np.ndarray:
    """A scratchpad of zeros: int32 (scratch_bricks, 8)."""
    return np.zeros((chip.scratch_bricks, BRICK), np.int32)


def signed(bits: np.ndarray, width: int) -> np.ndarray:
    """The ``width`` lowest bits of int64 words, sign-extended."""
    half = 1 << (width - 1)
    return ((bits + half) & ((1 << width) - 1)) - half


def packed(bricks: np.ndarray, widths: tuple[int, ...], width: int) -> list[np.ndarray]:
    """Signed integers of ``widths`` bits, lowest first, from the words' ``width`` bits: (n, words) to int64 (n,) each."""
    words = bricks.astype(np.int64) & ((1 << width) - 1)
    result, at = [], 0
    for bits in widths:
        value = np.zeros(len(words), np.int64)
        for w in range(at // width, (at + bits - 1) // width + 1):
            shift = w * width - at
            value |= words[:, w] << shift if shift >= 0 else words[:, w] >> -shift
        result.append(signed(value & ((1 << bits) - 1), bits))
        at += bits
    return result


def pack(values: tuple[np.ndarray, ...], widths: tuple[int, ...], words: int, width: int) -> np.ndarray:
    """The reverse of :func:`packed`: int64 (n,) each to sign-extended words (n, words)."""
    result = np.zeros((len(values[0]), words), np.int64)
    at = 0
    for value, bits in zip(values, widths, strict=True):
        low = value & ((1 << bits) - 1)
        for w in range(at // width, (at + bits - 1) // width + 1):
            shift = w * width - at
            result[:, w] |= (low >> shift if shift >= 0 else low << -shift) & ((1 << width) - 1)
        at += bits
    return signed(result, width)
