"""Golden twin of :class:`hw.convert.Converter`: round an exact sum to a word."""

import numpy as np

from golden.keyed import random_bits
from spec.convert import MAX_SHIFT
from spec.number import Rounding


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
    Raises ValueError on a shift outside 0 to 32, a sum outside ``acc_width`` bits, a missing index.
    """
    if not 0 <= shift <= MAX_SHIFT:
        raise ValueError(f"shift must be 0 to {MAX_SHIFT}, not {shift}")
    acc = np.asarray(acc, dtype=np.int64)
    bound = 1 << (acc_width - 1)
    if acc.size and not (-bound <= acc.min() and acc.max() < bound):
        raise ValueError(f"sums outside {acc_width} bits: min {acc.min()}, max {acc.max()}")

    step = 1 << shift
    if rounding == Rounding.STOCHASTIC:
        if index is None or np.shape(index) != acc.shape:
            raise ValueError(f"index must have the shape of the sums, {acc.shape}, not {np.shape(index)}")
        offset = random_bits(key, index).astype(np.int64) % step
    elif rounding == Rounding.NEAREST:
        offset = max(step // 2 - 1, 0)
    else:
        offset = 0
    exact = np.floor_divide(acc + offset, step)
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    words = np.clip(exact, low, high)
    return words, int(np.count_nonzero(words != exact))
