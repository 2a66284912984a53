"""Runs an engine's library for the compiler to watch: ``python -m tb.native.train SPEC LIBRARY``.

One dense product and one with zeros and a mask, about ten thousand cycles on most chips.
"""

import json
import sys
from pathlib import Path

import numpy as np

from spec.chip import BRICK, Chip
from spec.product import MASK_COLUMNS, Product, ceil_div
from spec.tiling import planned
from tb.native.engine import NativeEngine

SIZES = (128, 64, 32, 16, 8)  # of square operands; the first that fits


def main(spec: Path, library: Path) -> None:
    chip = Chip(**json.loads(spec.read_text()))
    with NativeEngine(chip, library) as engine:
        for masked in (False, True):
            size = next(size for size in SIZES if fits(chip, size, masked))
            run(engine, size, masked)


def fits(chip: Chip, size: int, masked: bool) -> bool:
    try:
        planned(chip, product(size, masked))
    except ValueError:
        return size == SIZES[-1]
    return size * size // BRICK * 3 + size * ceil_div(size, MASK_COLUMNS) <= chip.scratch_bricks


def product(size: int, masked: bool) -> Product:
    """A, B, C and the mask one behind the other."""
    matrix, stride = size * size // BRICK, size // BRICK
    return Product(
        m=size, k=size, n=size, a_stride=stride, b_base=matrix, b_stride=stride, c_base=2 * matrix, c_stride=stride,
        mask_base=3 * matrix, mask_stride=ceil_div(size, MASK_COLUMNS), masked=masked, skip=masked, shift=8, key=1,
        index_stride=size,
    )


def run(engine: NativeEngine, size: int, masked: bool) -> None:
    rng = np.random.default_rng(0)
    command = product(size, masked)
    limit = 1 << engine.chip.width - 1
    a, b = rng.integers(-limit, limit, (2, size, size))
    if masked:
        a[rng.random(a.shape) < 0.5] = 0
        engine.write(command.mask_base, rng.integers(-128, 128, (size * command.mask_stride, BRICK)))
    engine.write(command.a_base, a)
    engine.write(command.b_base, b)
    engine.run(command)
    engine.read(command.c_base, size * command.c_stride)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
