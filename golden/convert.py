"""Golden twin of :class:`hw.convert.Converter`: round an exact sum to a word."""

import numpy as np

from golden.fused import Rounder, convert_rows
from golden.keyed import check_key, random_bits
from golden.workers import blocks, each
from spec.number import Rounding
from spec.product import MAX_SHIFT

BLOCK = 1 << 14  # sums rounded at a time: a block's arrays stay in the cache
SHARE = 1 << 16  # sums that a core rounds at a time when compiled
UNMASKED = np.zeros((0, 0), bool)


def convert(
    acc: np.ndarray,
    shift: int,
    rounding: Rounding,
    key: int = 0,
    index: np.ndarray | None = None,
    width: int = 16,
    acc_width: int = 48,
) -> tuple[np.ndarray, int]:
    """Drop ``shift`` bits of each sum and saturate to ``width`` bits.

    acc : int64 sums of any shape.
    index : integers of the same shape, taken modulo 2**32; only stochastic rounding reads it.
    Returns the int64 words, same shape, and how many of them were saturated.
    Raises ValueError on a shift outside 0 to 32, an unknown mode, a sum outside ``acc_width``
    bits, a missing index; golden code never wraps.
    """
    _check_shift(shift)
    rounding = Rounding(rounding)
    acc = np.asarray(acc, dtype=np.int64)
    bound = 1 << (acc_width - 1)
    if acc.size and not (-bound <= acc.min() and acc.max() < bound):
        raise ValueError(f"sums outside {acc_width} bits: min {acc.min()}, max {acc.max()}")
    stochastic = rounding is Rounding.STOCHASTIC
    if stochastic and (index is None or np.shape(index) != acc.shape):
        given = "none" if index is None else f"one of {np.shape(index)}"
        raise ValueError(f"stochastic rounding needs an index of the sums' shape {acc.shape}, not {given}")

    step = 1 << shift
    offset = max(step // 2 - 1, 0) if rounding is Rounding.NEAREST else 0
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    sums = acc.reshape(-1)
    indices = np.asarray(index).reshape(-1) if stochastic else sums
    words = np.empty_like(sums)
    saturations = 0
    for start in range(0, sums.size, BLOCK):
        part = slice(start, start + BLOCK)
        if stochastic:
            # A remainder by a power of two, on unsigned words.
            rounded = sums[part] + (random_bits(key, indices[part]) & np.uint32(step - 1))
        else:
            rounded = sums[part] + offset
        exact = np.floor_divide(rounded, step, out=rounded)
        np.clip(exact, low, high, out=words[part])
        saturations += int(np.count_nonzero(words[part] != exact))
    return words.reshape(acc.shape), saturations


def convert_linear(
    acc: np.ndarray, shift: int, rounding: Rounding, key: int = 0, base: int = 0, width: int = 16, acc_width: int = 48
) -> tuple[np.ndarray, int]:
    """:func:`convert` under linear indices: element i of ``acc`` under ``base + i``. Compiled, on all cores."""
    how = rounder(shift, rounding, key, width)
    sums = np.ascontiguousarray(acc, np.int64).reshape(1, -1)
    words = np.empty_like(sums)

    def part(some: slice) -> tuple[int, int, int]:
        first = (base + some.start) % (1 << 32)
        return convert_rows(sums[:, some], UNMASKED, words[:, some], first, 0, how)

    found = each(part, blocks(sums.size, SHARE))
    bound = 1 << (acc_width - 1)
    if any(smallest < -bound or largest >= bound for _, smallest, largest in found):
        raise ValueError(f"sums outside {acc_width} bits: min {sums.min()}, max {sums.max()}")
    return words.reshape(np.shape(acc)), sum(saturations for saturations, _, _ in found)


def narrow(width: int) -> type[np.signedinteger]:
    """The type that tensors have between operations: the fewest bytes that hold words of ``width`` bits.

    Only operations that widen may compute with it: NumPy wraps.
    """
    return np.int16 if width <= 16 else np.int32


def rounder(shift: int, rounding: Rounding, key: int, width: int) -> Rounder:
    """What :func:`convert` with these arguments does to a sum, for :mod:`golden.fused`; the same ValueErrors."""
    _check_shift(shift)
    rounding, step = Rounding(rounding), 1 << shift
    stochastic = rounding is Rounding.STOCHASTIC
    if stochastic:
        check_key(key)
    return Rounder(
        shift=int(shift),
        offset=max(step // 2 - 1, 0) if rounding is Rounding.NEAREST else 0,
        random=step - 1 if stochastic else 0,
        key=int(key) if stochastic else 0,
        low=-(1 << (width - 1)),
        high=(1 << (width - 1)) - 1,
    )


def _check_shift(shift: int) -> None:
    if not 0 <= shift <= MAX_SHIFT:
        raise ValueError(f"shift must be 0 to {MAX_SHIFT}, not {shift}")
