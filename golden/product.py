"""Exact integer matrix products and the engine's product command, in NumPy."""

from collections.abc import Iterable

import numpy as np

from golden.convert import convert
from spec.number import Rounding

EXACT_FLOAT = 1 << 53  # float64 holds every integer up to and including this one
EXACT_INT = 1 << 63  # int64 wraps from here on
SHORTEST_PART = 64  # a reduction is not cut shorter than this: narrower operands are cheaper


class OverflowRefused(ValueError):
    """A sum that would not fit; golden raises where hardware would wrap."""


def exact_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``a @ b`` exactly, through float64 BLAS: (m, k) by (k, n) integers to (m, n) int64.

    Any partial sum of any order is at most ``max|a| * max|b| * k`` in magnitude. Up to
    2**53 float64 holds it without error, fused or not, so one BLAS call is exact. Past
    that the reduction is cut into parts that each obey the bound and are added in int64;
    where such parts would be short the wider operand is split into a high and a low half
    instead, ``a = (high << s) + low``, and the two products are added.

    Raises TypeError unless both operands are integers, ValueError unless their shapes fit,
    and :class:`OverflowRefused` when ``max|a| * max|b| * k`` reaches 2**63.
    """
    a, b = np.asarray(a), np.asarray(b)
    for name, operand in (("a", a), ("b", b)):
        if operand.dtype.kind not in "iu":
            raise TypeError(f"{name} must hold integers, not {operand.dtype}")
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(f"cannot multiply a of shape {a.shape} by b of shape {b.shape}")
    wide, tall = _magnitude(a), _magnitude(b)
    bound = wide * tall * a.shape[1]
    if bound >= EXACT_INT:
        raise OverflowRefused(f"product bound max|a|*max|b|*k = {bound} must be below 2**63 = {EXACT_INT}")
    return _exact(a, b, wide, tall)


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
        return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)

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


def product(
    a: np.ndarray,
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

    Returns int64 words of shape (m, n) and the number of them that saturated.
    Raises ValueError on a word outside ``width`` bits and :class:`OverflowRefused` when a
    sum that is asked for does not fit in ``acc_width`` bits.
    """
    return chained_product(
        [(a, b)],
        shift=shift,
        rounding=rounding,
        key=key,
        width=width,
        acc_width=acc_width,
        mask=mask,
        index_base=index_base,
        index_stride=index_stride,
    )


def chained_product(
    parts: Iterable[tuple[np.ndarray, np.ndarray]],
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
    acc, bound = None, 0
    for a, b in parts:
        a, b = np.asarray(a), np.asarray(b)
        for name, operand in (("a", a), ("b", b)):
            _check_words(name, operand, width)
        part = exact_product(a, b)
        bound += a.shape[1] << (2 * (width - 1))
        if bound >= EXACT_INT:
            raise OverflowRefused(f"product bound 2**{2 * (width - 1)}*k = {bound} must be below 2**63 = {EXACT_INT}")
        if acc is None:
            acc = part
        elif acc.shape == part.shape:
            acc += part
        else:
            raise ValueError(f"parts of one product must have one shape of C, not {acc.shape} and {part.shape}")
    if acc is None:
        raise ValueError("a product needs at least one part")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.shape != acc.shape:
            raise ValueError(f"mask must have shape {acc.shape}, not {mask.shape}")
        acc[mask == 0] = 0
    limit = 1 << (acc_width - 1)
    if acc.size and not (-limit <= acc.min() and acc.max() < limit):
        raise OverflowRefused(
            f"sums must be {-limit} to {limit - 1} for acc_width {acc_width}, not {acc.min()} to {acc.max()}"
        )
    index = None
    if rounding == Rounding.STOCHASTIC:
        m, n = acc.shape
        stride = n if index_stride is None else index_stride
        index = index_base + stride * np.arange(m, dtype=np.int64)[:, None] + np.arange(n, dtype=np.int64)
    return convert(acc, shift, rounding, key, index, width, acc_width)


def _check_words(name: str, operand: np.ndarray, width: int) -> None:
    limit = 1 << (width - 1)
    if operand.size and not (-limit <= operand.min() and operand.max() < limit):
        raise ValueError(
            f"words of {name} must be {-limit} to {limit - 1} for width {width}, not {operand.min()} to {operand.max()}"
        )
