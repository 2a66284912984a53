"""Runs a machine's library for the compiler to watch: ``python -m tb.native.train_machine SPEC LIBRARY``.

A dense product and one with zeros and a mask as in :mod:`tb.native.train`, loads and stores beside them, and the vector
unit's commonest commands: some ten thousand cycles on most chips.
"""

import json
import sys
from pathlib import Path

import numpy as np

from spec.chip import BRICK, Chip
from spec.isa import Kind, Opcode, Unit, encode
from spec.product import Product
from spec.tiling import planned, row_tile
from tb.native.machine_host import NativeMachine
from tb.native.train import SIZES, fits, product

RING, DATA, MEMORY = 0x1000, 0x4000, 1 << 20
ALL = int(Unit.LOAD | Unit.STORE | Unit.PRODUCT | Unit.VECTOR)


def main(spec: Path, library: Path) -> None:
    chip = Chip(**json.loads(spec.read_text()))
    rng = np.random.default_rng(0)
    with NativeMachine(chip, library, MEMORY) as machine:
        machine.bytes[DATA:] = rng.integers(0, 256, MEMORY - DATA, dtype=np.uint8)
        if chip.width > 16:  # words are sign-extended
            words = machine.bytes[DATA:].view("<i4")
            words[:] = words << 32 - chip.width >> 32 - chip.width
        program = [*transfers(chip), *commands(chip), encode(Opcode.END)]
        machine.run(RING, machine.load(RING, b"".join(program)))


def transfers(chip: Chip) -> list[bytes]:
    """The scratchpad's first bricks loaded, a fifth of them zeros, and some moved in short runs."""
    bricks = min(chip.scratch_bricks, 4096)
    zeros = {"count_1": bricks // 40, "bricks": 8, "scratch_1": 40}
    runs = {"count_1": 16, "bricks": 3, "memory_1": 5, "scratch_1": 4}
    return [
        encode(Opcode.LOAD, address=DATA, bricks=bricks, wait=ALL),
        encode(Opcode.LOAD, fill=1, wait=ALL, **zeros),
        encode(Opcode.LOAD, address=DATA, wait=ALL, **runs),
    ]


def commands(chip: Chip) -> list[bytes]:
    result = []
    for masked in (False, True):
        size = next(size for size in SIZES if fits(chip, size, masked))
        result.append(encode(Opcode.PRODUCT, wait=ALL, **fields(chip, product(size, masked))))
        result.append(encode(Opcode.STORE, address=DATA, bricks=64))
    bricks = min(chip.scratch_bricks // 8, 128)
    rows = {"count": bricks // 2, "bricks": 2, "u_stride": 2, "v_stride": 2, "out_stride": 2, "shift": 8, "rounding": 2}
    rows |= {"v_base": bricks, "out_base": 2 * bricks, "table_base": 3 * bricks}
    window = {"out_x": 4, "out_y": 4, "in_x": 8, "in_y": 8, "taps_x": 2, "taps_y": 2, "stride": 2}
    window |= {"step_x": 1, "step_y": 8, "step_b": 64, "count": 16, "bricks": 1, "out_base": 3 * bricks}
    kinds: tuple[tuple[Kind, dict[str, int]], ...] = (
        (Kind.AFFINE, {"has_v": 1}),
        (Kind.AFFINE, {"relu": 1, "uniform": 1}),
        (Kind.REDUCE, {"has_v": 1, "start": 1}),
        (Kind.MAX, window),
        (Kind.MAX_BACK, window),
        (Kind.MEAN, window),
        (Kind.MASK, {}),
        (Kind.TRANSPOSE, {"lines": 1, "u_plane": 1, "out_block": 1, "out_stride": 8, "out_plane": 64}),
    )
    result += [encode(Opcode.VECTOR, kind=kind, wait=ALL, **(rows | how)) for kind, how in kinds]
    return result


def fields(chip: Chip, p: Product) -> dict[str, int]:
    """A product of plain matrices as a command."""
    p = planned(chip, p)
    same = ("m", "n", "k", "b_base", "b_stride", "c_base", "c_stride", "mask_base", "mask_stride", "masked", "skip",
            "start", "finish", "shift", "rounding", "key", "index_base", "index_stride", "k_tile", "columns", "rows")  # fmt: skip
    return {
        **{name: int(getattr(p, name)) for name in same},
        "row_tile": row_tile(chip, p),
        "out_x": p.m,
        "in_x": p.m,
        "step_x": p.a_stride,
        "a_base": p.a_base,
        "a_bricks": p.k // BRICK,
        "a_tail": BRICK,
        "tap_k": p.k,
        "a_tile": max(1, p.k_tile // BRICK),
        "b_tile": p.k_tile * p.b_stride,
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
