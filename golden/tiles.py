"""Compiled products of a convolution's windows, which exist only as addresses: exact sums in float64.

Nothing is defined here: ``convolve`` gives ``patches(x) @ b`` and ``correlate`` adds ``patches(x).T @ delta``, both of
:func:`golden.conv.patches`; ``tests/test_fused.py`` compares them. Callers see to it that float64 holds every sum.

One block of machine code does the work, a tile: ROWS rows of A by COLUMNS columns of B, whose sums stay in vector registers. numba
has no vectors, so its instructions are written here, of a width that any processor has or LLVM splits.
numba keeps what it compiled in ``__pycache__`` and knows this file alone.
"""

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES, ROWS = (8, 12) if binding.get_host_cpu_features().get("avx512f") else (4, 6)  # 24 or 12 sums in vectors
VECTORS = 2
COLUMNS = LANES * VECTORS
BAND = 64  # positions whose operands stay in the first cache


@intrinsic
def _tile(typing, a, starts, strides, counts, b, place, begin, begin_place, begin_row, out, out_place, out_row):  # type: ignore[no-untyped-def]
    """``out[i, j] = begin[i, j] + sum of a[starts[i] + t . strides] * b[n, j]`` over t in the order of ``counts``, n = 0, 1, ...

    starts : int64 of ROWS. strides, counts : three integers, the last counted fastest; counts of at least one.
    The others are flat float64: b (all t, COLUMNS) from ``place`` on, begin and out (ROWS, COLUMNS) from their places on,
    rows ``begin_row`` and ``out_row`` apart; begin may be out.
    """
    given = (a, starts, strides, counts, b, place, begin, begin_place, begin_row, out, out_place, out_row)
    return types.void(*given), _tile_code


def _tile_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    vector = ir.VectorType(ir.DoubleType(), LANES)
    a, starts, b, begin, out = (
        cgutils.create_struct_proxy(signature.args[i])(context, builder, args[i]).data for i in (0, 1, 4, 6, 9)
    )
    strides, counts = (cgutils.unpack_tuple(builder, args[i]) for i in (2, 3))
    index = strides[0].type

    def vector_at(base: Any, place: Any, behind: int) -> Any:
        return builder.bitcast(builder.gep(base, [builder.add(place, index(behind))]), vector.as_pointer())

    def tile(base: Any, place: Any, apart: Any) -> list[Any]:
        """Where its vectors lie, row by row."""
        rows = (builder.add(place, builder.mul(apart, index(i))) for i in range(ROWS))
        return [vector_at(base, row, LANES * j) for row in rows for j in range(VECTORS)]

    rows = [builder.gep(a, [builder.load(builder.gep(starts, [index(i)]))]) for i in range(ROWS)]
    first = [builder.load(one, align=8) for one in tile(begin, args[7], args[8])]
    totals = [cgutils.alloca_once_value(builder, one) for one in first]
    at = cgutils.alloca_once_value(builder, args[5])
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    nothing = ir.Constant(vector, ir.Undefined)
    with (
        cgutils.for_range(builder, counts[0]) as far,
        cgutils.for_range(builder, counts[1]) as near,
        cgutils.for_range(builder, counts[2]) as next_to,
    ):
        steps = [builder.mul(loop.index, stride) for loop, stride in zip((far, near, next_to), strides, strict=True)]
        behind = builder.add(builder.add(steps[0], steps[1]), steps[2])
        line = builder.load(at)
        factors = [builder.load(vector_at(b, line, LANES * j), align=8) for j in range(VECTORS)]
        for i, row in enumerate(rows):
            word = builder.load(builder.gep(row, [behind]))
            words = builder.shuffle_vector(builder.insert_element(nothing, word, index(0)), nothing, everywhere)
            for total, factor in zip(totals[i * VECTORS :], factors, strict=False):
                product = builder.fmul(words, factor, flags=("contract",))  # fused or not: sums are exact
                builder.store(builder.fadd(product, builder.load(total), flags=("contract",)), total)
        builder.store(builder.add(line, index(COLUMNS)), at)
    for total, place in zip(totals, tile(out, args[10], args[11]), strict=True):
        builder.store(builder.load(total), place, align=8)
    return context.get_dummy_value()


@njit(nogil=True)
def _pad(x, padding, padded):  # type: ignore[no-untyped-def]
    """Images x (batch, h, w, c) into the middle of flat float64 ``padded``, whose border is left as it is."""
    batch, height, width, channels = x.shape
    words, length = x.reshape(-1), width * channels
    line = (width + 2 * padding) * channels
    for image in range(batch):
        for y in range(height):
            start = (image * (height + 2 * padding) + y + padding) * line + padding * channels
            inside, given = padded[start : start + length], words[(image * height + y) * length :][:length]
            for j in range(length):
                inside[j] = given[j]


@njit(nogil=True, cache=True)
def convolve(x, kernel, stride, padding, panels, bias, out):  # type: ignore[no-untyped-def]
    """``patches(x) @ b`` into out (positions, columns) for x (batch, h, w, c).

    panels : b (kernel * kernel * c, columns) as :func:`panels_of` has it. bias : float64, what each column starts from,
    with zeros up to a multiple of COLUMNS.
    """
    batch, height, width, channels = x.shape
    high, line = height + 2 * padding, (width + 2 * padding) * channels
    lines, across = (high - kernel) // stride + 1, (width + 2 * padding - kernel) // stride + 1
    positions, columns = lines * across, out.shape[1]
    group = min(max(BAND // positions, 1), batch)  # images at a time: small ones do not fill a tile
    padded = np.zeros(group * high * line)
    starts = np.zeros(-(-group * positions // ROWS) * ROWS, np.int64)
    for i in range(group * positions):
        y = i // across
        starts[i] = (y // lines * high + y % lines * stride) * line + i % across * stride * channels
    apart = np.empty(ROWS * COLUMNS)  # a tile that is not all there
    length, flat = kernel * kernel * channels * COLUMNS, out.reshape(-1)
    for image in range(0, batch, group):
        images = x[image : image + group]
        _pad(images, padding, padded)
        done = len(images) * positions
        for panel in range(panels.size // length):
            column = panel * COLUMNS
            most = min(COLUMNS, columns - column)
            for first in range(0, done, ROWS):
                some, into = starts[first : first + ROWS], (image * positions + first) * columns + column
                steps, counts = (0, line, 1), (1, kernel, kernel * channels)
                if most == COLUMNS and first + ROWS <= done:
                    _tile(padded, some, steps, counts, panels, panel * length, bias, column, 0, flat, into, columns)
                    continue
                _tile(padded, some, steps, counts, panels, panel * length, bias, column, 0, apart, 0, COLUMNS)
                for i in range(min(ROWS, done - first)):
                    for j in range(most):
                        flat[into + i * columns + j] = apart[i * COLUMNS + j]


@njit(nogil=True, cache=True)
def correlate(x, kernel, stride, padding, delta, out):  # type: ignore[no-untyped-def]
    """Add ``patches(x).T @ delta`` to float64 out (kernel * kernel * c, columns); x (batch, h, w, c), delta (positions, columns)."""
    batch, height, width, channels = x.shape
    high, line = height + 2 * padding, (width + 2 * padding) * channels
    lines, across = (high - kernel) // stride + 1, (width + 2 * padding - kernel) // stride + 1
    positions, columns, run = lines * across, out.shape[1], kernel * channels
    group = min(max(BAND // positions, 1), batch)
    band = min(max(BAND // across, 1), lines)  # lines at a time; all of them where images are
    padded = np.zeros(group * high * line)
    panels = np.zeros(-(-columns // COLUMNS) * group * positions * COLUMNS)
    starts, flat = np.empty(-(-kernel * run // ROWS) * ROWS, np.int64), out.reshape(-1)
    for i in range(len(starts)):
        k = min(i, kernel * run - 1)  # past the last row the last one again
        starts[i] = k // run * line + k % run
    zeros, apart = np.zeros(COLUMNS), np.empty(ROWS * COLUMNS)  # a tile that is not all there
    for image in range(0, batch, group):
        some = x[image : image + group]
        _pad(some, padding, padded)
        given = delta[image * positions :][: len(some) * positions]
        length = len(given) * COLUMNS
        for i in range(len(given)):
            row = given[i]
            for column in range(0, columns, COLUMNS):
                start = column // COLUMNS * length + i * COLUMNS
                if columns - column >= COLUMNS:  # a count that the compiler knows
                    for j in range(COLUMNS):
                        panels[start + j] = row[column + j]
                else:
                    for j in range(columns - column):
                        panels[start + j] = row[column + j]
        for y in range(0, lines, band):
            seen, counts = padded[y * stride * line :], (len(some), min(band, lines - y), across)
            for column in range(0, columns, COLUMNS):
                most = min(COLUMNS, columns - column)
                first = column // COLUMNS * length + y * across * COLUMNS
                for k in range(0, kernel * run, ROWS):
                    rows = starts[k : k + ROWS]
                    steps, into = (high * line, stride * line, stride * channels), k * columns + column
                    if most == COLUMNS and k + ROWS <= kernel * run:
                        _tile(seen, rows, steps, counts, panels, first, flat, into, columns, flat, into, columns)
                        continue
                    _tile(seen, rows, steps, counts, panels, first, zeros, 0, 0, apart, 0, COLUMNS)
                    for i in range(min(ROWS, kernel * run - k)):
                        for j in range(most):
                            flat[into + i * columns + j] += apart[i * COLUMNS + j]


def panels_of(b: np.ndarray) -> np.ndarray:
    """b (k, columns) as float64, COLUMNS columns after the other, each (k, COLUMNS) and in one piece; zeros past the last."""
    k, columns = b.shape
    count = -(-columns // COLUMNS)
    padded = np.zeros((k, count * COLUMNS))
    padded[:, :columns] = b
    return padded.reshape(k, count, COLUMNS).transpose(1, 0, 2).reshape(-1)
