"""Golden twin of :class:`hw.convert.Converter`: round an exact sum to a word."""

import numpy as np

from golden.keyed import random_bits
from spec.number import Rounding
from spec.product import MAX_SHIFT

BLOCK = 1 << 14  # sums rounded at a time: a block's arrays stay in the cache


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
    if not 0 <= shift <= MAX_SHIFT:
        raise ValueError(f"shift must be 0 to {MAX_SHIFT}, not {shift}")
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
