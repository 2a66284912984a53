"""The three products of a 3x3 convolution on an engine, straight from tensors in the scratchpad: cycles and utilisation.

``python bench/conv_engine.py --chip sim64 --density 0.5`` prints, for each, cycles, the multiplications that are needed, and
their share of all lane cycles. Every word is compared with NumPy's.
"""

import argparse

import numpy as np

from golden.convert import convert
from gradloom.machine import native_engine
from host.backends import mask_to_bricks, to_bricks
from spec.chip import BRICK, CHIPS, Chip
from spec.number import Rounding
from spec.product import MASK_COLUMNS, Product, ceil_div
from spec.tiling import planned
from tb.native.engine import NativeEngine

KERNEL = 3


def patches(x: np.ndarray) -> np.ndarray:
    """(lines * columns, 9 * channels) of (lines, columns, channels), with a border of zeros."""
    lines, columns, channels = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    taps = [padded[y : y + lines, c : c + columns] for y in range(KERNEL) for c in range(KERNEL)]
    return np.stack(taps, axis=2).reshape(lines * columns, KERNEL * KERNEL * channels)


def sparse(rng: np.random.Generator, shape: tuple[int, ...], density: float) -> np.ndarray:
    return rng.integers(1, 1000, shape) * rng.choice((-1, 1), shape) * (rng.random(shape) < density)


def position_product(engine: NativeEngine, x: np.ndarray, w: np.ndarray, mask: np.ndarray | None) -> tuple[int, int]:
    """Forward, or with a mask the input gradient; cycles and multiplications needed."""
    lines, columns, channels = x.shape
    m, n, bricks = lines * columns, w.shape[1], ceil_div(channels, BRICK)
    across, b_base = ceil_div(n, BRICK), m * bricks
    c_base = b_base + len(w) * across
    p = Product(
        m=m, k=len(w), n=n, out_x=columns, out_y=lines, in_x=columns, in_y=lines, origin_x=-1, origin_y=-1,
        taps_x=KERNEL, taps_y=KERNEL, step_x=bricks, step_y=columns * bricks, step_b=m * bricks,
        a_base=-(columns + 1) * bricks, a_bricks=bricks, a_tail=BRICK, tap_k=channels, b_base=b_base, b_stride=across,
        c_base=c_base, c_stride=across, mask_base=c_base + m * across, mask_stride=ceil_div(n, MASK_COLUMNS),
        masked=mask is not None, shift=8, key=1, index_stride=n,
    )  # fmt: skip
    engine.write(0, to_bricks(x.reshape(m, channels)))
    engine.write(b_base, to_bricks(w))
    if mask is not None:
        engine.write(p.mask_base, mask_to_bricks(mask))
    cycles = engine.run(p)["cycles"]
    a = patches(x)
    check(engine, planned(engine.chip, p), (a @ w)[:, None, :], mask)
    outputs = np.full(m, n) if mask is None else mask.sum(axis=1)
    return cycles, int((a != 0).sum(axis=1) @ outputs)


def weight_product(engine: NativeEngine, x: np.ndarray, dy: np.ndarray, lines_of_slab: int) -> tuple[int, int]:
    """Rows of C are input channels, lines are taps, and the gradient's shifts are segments."""
    lines, columns, channels = x.shape
    n, slabs = dy.shape[2], lines // lines_of_slab
    line, across, pitch = ceil_div(columns, BRICK), ceil_div(n, BRICK), columns + 2
    bordered = np.pad(dy, ((1, 1), (1, 1), (0, 0))).reshape(-1, n)
    b_base = channels * lines * line
    c_base = b_base + len(bordered) * across
    k_tile = (lines_of_slab + 2) * pitch
    columns_of_lane = ceil_div(n, engine.chip.lanes)
    half, back = engine.chip.bank_depth // 2, 2 * pitch + 2
    p = Product(
        m=channels, k=slabs * k_tile, n=n, k_tile=k_tile, slabs=True, out_x=channels, in_x=channels, in_y=lines_of_slab,
        taps_y=lines_of_slab, step_x=lines * line, step_y=line, a_bricks=line, a_tail=BRICK, tap_k=pitch,
        a_slab=lines_of_slab * line, b_base=b_base, b_stride=across, b_tile=lines_of_slab * pitch * across, c_base=c_base,
        c_stride=KERNEL * KERNEL * across, seg_x=KERNEL, seg_y=KERNEL, seg_start=back * columns_of_lane % half,
        seg_bank_x=-columns_of_lane % half, seg_bank_y=-(pitch - 2) * columns_of_lane % half, seg_c_x=across, seg_c_y=across,
        seg_index_x=n, seg_index_y=n, shift=8, key=1, index_stride=KERNEL * KERNEL * n, columns=columns_of_lane,
        rows=min(32, engine.chip.psum_depth // engine.chip.lanes // columns_of_lane // KERNEL**2),
    )  # fmt: skip
    engine.write(0, to_bricks(x.transpose(2, 0, 1).reshape(channels * lines, columns)))
    engine.write(b_base, to_bricks(bordered))
    cycles = engine.run(p)["cycles"]
    want = patches(x).T @ dy.reshape(lines * columns, n)  # (taps * channels, n)
    check(engine, planned(engine.chip, p), want.reshape(KERNEL * KERNEL, channels, n).transpose(1, 0, 2), None)
    return cycles, int(np.count_nonzero(x)) * KERNEL * KERNEL * n


def check(engine: NativeEngine, p: Product, sums: np.ndarray, mask: np.ndarray | None) -> None:
    """``sums`` (m, segments, n) converted are the words of C, segments side by side; raises ValueError."""
    if mask is not None:
        sums = sums * mask[:, None, :]
    index = np.arange(sums.size).reshape(sums.shape)
    want, _ = convert(sums, p.shift, Rounding(p.rounding), p.key, index, engine.chip.width, engine.chip.acc_width)
    got = engine.read(p.c_base, p.m * p.c_stride).reshape(p.m, p.segments, -1)[:, :, : p.n]
    if not np.array_equal(got, want):
        raise ValueError(f"{np.count_nonzero(got != want)} words differ: {p}")


def largest(chip: Chip, columns: int, channels: int) -> int:
    """Lines of an image of which every operand fits, a multiple of eight."""
    bricks = ceil_div(channels, BRICK)
    free = chip.scratch_bricks - KERNEL * KERNEL * channels * bricks
    return min(32, free // (columns * (2 * bricks + 1)) // 8 * 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chip", choices=CHIPS, default="sim64")
    parser.add_argument("--density", type=float, default=0.5)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--columns", type=int, default=32)
    parser.add_argument("--slab", type=int, default=8, help="lines of a slab")
    options = parser.parse_args()
    chip, rng = CHIPS[options.chip], np.random.default_rng(0)
    engine = native_engine(chip)
    channels, columns = options.channels, options.columns
    lines = largest(chip, columns, channels)
    x = sparse(rng, (lines, columns, channels), options.density)
    w = rng.integers(-1000, 1000, (KERNEL * KERNEL * channels, channels))
    mask = rng.random((lines * columns, channels)) < options.density
    dy = sparse(rng, x.shape, 1.0)
    print(f"{chip.name}, {lines}x{columns} positions, {channels} channels, density {options.density:g}")
    for name, (cycles, needed) in (
        ("forward", position_product(engine, x, w, None)),
        ("input gradient, masked", position_product(engine, x, w, mask)),
        ("weight gradient", weight_product(engine, x, dy, options.slab)),
    ):
        print(f"{name:<24} {cycles:>9,} cycles {needed:>12,} needed  utilisation {needed / cycles / chip.total_lanes:.3f}")


if __name__ == "__main__":
    main()
