"""Exact integer matrix products and the engine's product command, in NumPy."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from golden import fused
from golden.convert import SHARE, UNMASKED, narrow, rounder
from golden.fused import Rounder, convert_rows
from golden.workers import blocks, cores, each, one_blas_thread, scratch
from spec.number import Rounding

EXACT_FLOAT = 1 << 53  # float64 holds every integer up to and including this one
EXACT_INT = 1 << 63  # int64 wraps from here on
SHORTEST_PART = 64  # a reduction is not cut shorter than this: narrower operands are cheaper
BLOCK_WORDS = 1 << 16  # words of an operand that a core takes at a time: as float64 they stay in its cache
BLOCK_LEAST = 256  # but as many rows as this, where there are: each block goes through the whole other operand
A_WORDS = 1 << 17  # words of rows made and multiplied at a time
SMALL = 1 << 18  # multiplications that are not worth another thread



class OverflowRefused(ValueError):
    """A sum that would not fit; golden raises where hardware would wrap."""


def exact_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a @ b`` exactly, through float64 BLAS: (m, k) by (k, n) integers to (m, n) int64.

    Any partial sum of any order is at most ``max|a| * max|b| * k`` in magnitude. Up to
    2**53 float64 holds it without error, fused or not, so one BLAS call is exact, and so is
    the sum of several over parts of the reduction. Past that the reduction is cut into parts
    that each obey the bound and are added in int64; where such parts would be short the
    wider operand is split into a high and a low half instead, ``a = (high << s) + low``, and
    the two products are added.

    Raises TypeError unless both operands are integers, ValueError unless their shapes fit,
    and :class:`OverflowRefused` when ``max|a| * max|b| * k`` reaches 2**63.
    """
    a, b = np.asarray(a), np.asarray(b)
    _check_operands(a, b)
    wide, tall = _magnitude(a), _magnitude(b)
    bound = wide * tall * a.shape[1]
    if bound >= EXACT_INT:
        raise OverflowRefused(f"product bound max|a|*max|b|*k = {bound} must be below 2**63 = {EXACT_INT}")
    return _exact(a, b, wide, tall)


def _check_operands(a: np.ndarray, b: np.ndarray) -> None:
    for name, operand in (("a", a), ("b", b)):
        if operand.dtype.kind not in "iu":
            raise TypeError(f"{name} must hold integers, not {operand.dtype}")
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"cannot multiply a of shape {a.shape} by b of shape {b.shape}")


def _magnitude(operand: np.ndarray) -> int:
    """Largest absolute value, as a Python integer: abs(-2**63) would wrap in int64."""
    if operand.size == 0:
        return 0
    return max(int(operand.max()), -int(operand.min()))


def _exact(a: np.ndarray, b: np.ndarray, wide: int | None = None, tall: int | None = None) -> np.ndarray:
    """The product once its bound is known to fit in int64; wide and tall are the operands' magnitudes, if known."""
    k = a.shape[1]
    wide = _magnitude(a) if wide is None else wide
    tall = _magnitude(b) if tall is None else tall
    if wide * tall * k <= EXACT_FLOAT:
        return _in_float(a, b).astype(np.int64)

    part = EXACT_FLOAT // (wide * tall)
    if part >= min(SHORTEST_PART, k):
        return sum(
            (_exact(a[:, first : first + part], b[first : first + part]) for first in range(0, k, part)),
            start=np.zeros((a.shape[0], b.shape[1]), np.int64),
        )

    # High and low halves; int64 may wrap on the way, but modulo 2**64 the sum is right
    # and the true result is known to fit.
    half = max(wide, tall).bit_length() // 2
    if wide >= tall:
        return (_exact(a >> half, b) << half) + _exact(a & ((1 << half) - 1), b)
    return (_exact(a, b >> half) << half) + _exact(a, b & ((1 << half) - 1))


def _in_float(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The float64 product of operands whose bound makes that exact: the reduction in blocks on all cores."""
    (m, k), n = a.shape, b.shape[1]

    def part(some: slice) -> np.ndarray:
        return a[:, some].astype(np.float64) @ b[some].astype(np.float64)

    with one_blas_thread():
        return sum(each(part, _blocks(k, m, n)), start=np.zeros((m, n)))


def _blocks(size: int, across: int, columns: int) -> list[slice]:
    """Cuts of the side ``size`` of an operand, ``across`` the other one: for a cache, and worth a thread each."""
    if size * across * columns < SMALL:
        return blocks(size, max(size, 1))
    return blocks(size, max(BLOCK_WORDS // across, min(BLOCK_LEAST, -(-size // cores()))))


class Rows:
    """An operand A that is computed where it is needed, for executors that say ``takes_rows``.

    Others see the array: ``numpy.asarray`` makes it. Words have to be of :func:`golden.convert.narrow`, and float64 to
    hold every sum that is asked for.
    """

    shape: tuple[int, int]
    unit: int  # blocks of rows begin and end at multiples of it

    def by(self, b: np.ndarray) -> Callable[[slice, np.ndarray], object]:
        """What puts some rows of ``self @ b`` into float64 ``out``: called with the rows and ``out``, by several threads."""
        raise NotImplementedError

    def turned_by(self, b: np.ndarray, some: slice, out: np.ndarray) -> None:
        """Add ``self[some].T @ b[some]`` to float64 ``out``."""
        raise NotImplementedError

    def nonzero(self) -> np.ndarray:
        """How many words of each row are not zero."""
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        raise NotImplementedError


@dataclass(frozen=True)
class Turned:
    """The transpose of ``rows``, as the first operand of a sum over all their number."""

    rows: Rows

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.shape[1], self.rows.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.rows).T

    def times(self, b: np.ndarray, width: int) -> np.ndarray:
        """The exact product in int64: a sum over blocks of rows, each core's own."""
        (k, m), n = self.shape, b.shape[1]
        if m << (2 * (width - 1)) > EXACT_FLOAT:
            return _sums(np.asarray(self), b, width)

        def part(some: list[slice]) -> np.ndarray:
            total = np.zeros((k, n))
            for rows in some:
                self.rows.turned_by(b, rows, total)
            return total

        cut = _a_time(m, n, k * n, self.rows.unit)
        return sum(each(part, [cut[i :: cores()] for i in range(cores())]), start=np.zeros((k, n))).astype(np.int64)


Operand = np.ndarray | Rows


def nonzeros(rows: Operand) -> np.ndarray:
    """How many of each row (m,) are not zero; words or bool (m, k)."""
    if isinstance(rows, Rows):
        return rows.nonzero()
    counts = np.zeros(len(rows), np.int64)
    each(lambda some: fused.nonzero(rows[some], counts[some]), blocks(len(rows), -(-SHARE // max(rows.shape[1], 1))))
    return counts


@dataclass(frozen=True)
class _Finish:
    """What becomes of the sums of C: masked, checked against the accumulator, converted."""

    how: Rounder
    width: int
    acc_width: int
    mask: np.ndarray | None
    base: int
    stride: int | None

    def __call__(
        self, shape: tuple[int, int], sums: Callable[[slice], np.ndarray], some: list[slice]
    ) -> tuple[np.ndarray, int]:
        """Words of C, of ``shape``, and saturations; ``sums`` gives rows of C, exact, in int64 or float64."""
        mask, stride = self.mask, shape[1] if self.stride is None else self.stride
        if mask is not None:
            mask = np.asarray(mask)
            if mask.shape != shape:
                raise ValueError(f"mask must have shape {shape}, not {mask.shape}")
            mask = np.ascontiguousarray(mask, bool)
        words = np.empty(shape, narrow(self.width))

        def convert(rows: slice) -> tuple[int, int, int]:
            parts = [sums(rows), UNMASKED if mask is None else mask[rows], words[rows]]
            if stride == shape[1]:  # indices run on from row to row
                parts = [part.reshape(1, part.size) for part in parts]
            return convert_rows(*parts, (self.base + rows.start * stride) % (1 << 32), stride, self.how)

        found = each(convert, some)
        limit = 1 << (self.acc_width - 1)
        smallest = min((low for _, low, _ in found), default=0)
        largest = max((high for _, _, high in found), default=0)
        if words.size and not (-limit <= smallest and largest < limit):
            raise OverflowRefused(
                f"sums must be {-limit} to {limit - 1} for acc_width {self.acc_width}, not {smallest} to {largest}"
            )
        return words, sum(saturations for saturations, _, _ in found)

    def whole(self, acc: np.ndarray) -> tuple[np.ndarray, int]:
        """The same for sums that are all there."""
        rows = max(1, BLOCK_WORDS // max(acc.shape[1], 1))
        return self(acc.shape, lambda some: acc[some], blocks(len(acc), rows))


def product(
    a: Operand,
    b: np.ndarray,
    *,
    shift: int,
    rounding: Rounding,
    key: int,
    width: int = 16,
    acc_width: int = 48,
    mask: np.ndarray | None = None,
    index_base: int = 0,
    index_stride: int | None = None,
) -> tuple[np.ndarray, int]:
    """Golden twin of the engine: ``Convert(mask * (a @ b))`` and the saturations counted.

    a : (m, k) and b : (k, n) integer words of ``width`` bits. mask : (m, n), zero where
    nothing is computed; the word there is zero. Element (p, j) is rounded under index
    ``index_base + p * index_stride + j``, taken modulo 2**32; ``index_stride`` defaults to
    n, the linear index in a tensor of C's own shape.

    Returns words of shape (m, n), of the type :func:`golden.convert.narrow`, and the number of them that saturated.
    Raises ValueError on a word outside ``width`` bits and :class:`OverflowRefused` when a
    sum that is asked for does not fit in ``acc_width`` bits.
    """
    finish = _Finish(rounder(shift, rounding, key, width), width, acc_width, mask, index_base, index_stride)
    b = np.asarray(b)
    (m, k), n = np.shape(a), b.shape[1]
    if not isinstance(a, Rows) or k << (2 * (width - 1)) > EXACT_FLOAT:
        a = np.asarray(a)
        bound = _check_part(a, b, width)
        if bound > EXACT_FLOAT or k > m:
            return finish.whole(_sums(a, b, width))
    else:
        check_words("b", b, width)
    alone: AbstractContextManager = nullcontext()
    if isinstance(a, Rows):
        multiply, unit = a.by(b), a.unit
    else:
        multiply, unit, alone = _multiply(a, b.astype(np.float64)), 1, one_blas_thread()

    def sums(rows: slice) -> np.ndarray:
        out = scratch("sums", rows.stop - rows.start, n)
        multiply(rows, out)
        return out

    with alone:  # rows of C are rounded while their sums are in the cache
        return finish((m, n), sums, _a_time(m, n if isinstance(a, Rows) else k, k * n, unit))


def _multiply(a: np.ndarray, b: np.ndarray) -> Callable[[slice, np.ndarray], object]:
    """As :meth:`Rows.by`."""

    def multiply(rows: slice, out: np.ndarray) -> None:
        floats = scratch("a", rows.stop - rows.start, a.shape[1])
        np.copyto(floats, a[rows])
        np.matmul(floats, b, out=out)

    return multiply


def _a_time(m: int, words: int, work: int, unit: int) -> list[slice]:
    """Blocks of m rows, multiples of ``unit``, for one core at a time: ``words`` a row fit its cache, and ``work``
    multiplications a row are worth a thread."""
    if m * work < SMALL:
        return blocks(m, max(m, 1))
    rows = max(min(A_WORDS // max(words, 1), -(-m // (4 * cores()))), min(BLOCK_LEAST, -(-m // cores())))
    return blocks(m, -(-rows // unit) * unit)


def chained_product(
    parts: Iterable[tuple[np.ndarray | Turned, np.ndarray]],
    *,
    shift: int,
    rounding: Rounding,
    key: int,
    width: int = 16,
    acc_width: int = 48,
    mask: np.ndarray | None = None,
    index_base: int = 0,
    index_stride: int | None = None,
) -> tuple[np.ndarray, int]:
    """``Convert(mask * sum of (a @ b))`` over ``parts``: a long reduction in pieces, rounded once.

    The words are those of :func:`product` on the pieces side by side, so how a reduction is cut
    never shows. Pieces must have one m and one n. Besides what :func:`product` raises,
    :class:`OverflowRefused` when the pieces' bounds together reach 2**63.
    """
    finish = _Finish(rounder(shift, rounding, key, width), width, acc_width, mask, index_base, index_stride)
    acc, bound = None, 0
    for a, b in parts:
        a, b = a if isinstance(a, Turned) else np.asarray(a), np.asarray(b)
        bound += _check_part(a, b, width)
        if bound >= EXACT_INT:
            raise OverflowRefused(f"product bound 2**{2 * (width - 1)}*k = {bound} must be below 2**63 = {EXACT_INT}")
        part = a.times(b, width) if isinstance(a, Turned) else _sums(a, b, width)
        if acc is None:
            acc = part
        elif acc.shape == part.shape:
            acc += part
        else:
            raise ValueError(f"parts of one product must have one shape of C, not {acc.shape} and {part.shape}")
    if acc is None:
        raise ValueError("a product needs at least one part")
    return finish.whole(acc)


def _check_part(a: np.ndarray | Turned, b: np.ndarray, width: int) -> int:
    """Whether a product is possible; the bound on its sums that words of ``width`` bits give."""
    if isinstance(a, Turned):
        check_words("b", b, width)
    else:
        _check_operands(a, b)
        for name, operand in (("a", a), ("b", b)):
            check_words(name, operand, width)
    return a.shape[1] << (2 * (width - 1))


def _sums(a: np.ndarray, b: np.ndarray, width: int) -> np.ndarray:
    """:func:`exact_product` of words of ``width`` bits, which are only searched for the largest where that matters."""
    extent = 1 << (width - 1)
    if extent * extent * a.shape[1] <= EXACT_FLOAT:
        return _exact(a, b, extent, extent)
    return exact_product(a, b)


def check_words(name: str, operand: np.ndarray, width: int) -> None:
    """ValueError for a word outside ``width`` bits."""
    limit = 1 << (width - 1)
    if operand.dtype.kind == "i" and operand.itemsize * 8 <= width:
        return  # cannot be outside
    if operand.size and not (-limit <= operand.min() and operand.max() < limit):
        raise ValueError(
            f"words of {name} must be {-limit} to {limit - 1} for width {width}, not {operand.min()} to {operand.max()}"
        )
