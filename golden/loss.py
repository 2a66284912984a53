"""Softmax cross-entropy in integers: gradient and loss without a float."""

from dataclasses import dataclass
from math import isqrt

import numpy as np

from golden.convert import convert_linear
from spec.number import Fixed, Rounding

FINE = 30  # fraction bits of exponentials and of the two constants
ONE = 1 << FINE
LOG2E = 1549082005  # log2(e), FINE fraction bits
LN2 = 744261118  # ln(2), FINE fraction bits
EXPONENT = 24  # fraction bits of the base-two exponent
GUARD = 14  # bits the gradient keeps below its format until Convert drops them
LOSS_FRAC = 16  # fraction bits of the loss
WIDEST = 1 << 20  # differences of 18-bit words stay below


def _roots() -> list[int]:
    """2**-(2**-i) for i = 1 to EXPONENT, FINE fraction bits, by exact square roots."""
    root, roots = 1 << 127, []  # one half, with 128 fraction bits
    for _ in range(EXPONENT):
        root = isqrt(root << 128)
        roots.append((root + (1 << (127 - FINE))) >> (128 - FINE))
    return roots


ROOTS = _roots()


def exp_negative(words: np.ndarray, frac: int) -> np.ndarray:
    """``exp(-words * 2**-frac)`` with 30 fraction bits; words int64 of any shape, 0 to 2**20 - 1.

    The exponent is turned to base two, ``t = words * log2(e)``. The whole part of t is a
    right shift; each one among the bits of its fraction multiplies by the constant
    ``2**-(2**-i)``. Zero gives exactly 1.0. Absolute error below 2**-23: cutting t at 24
    fraction bits costs at most ln(2) * 2**-24, and 24 products with rounded constants at
    most 24 * 1.5 * 2**-30.
    """
    words = np.asarray(words, np.int64)
    if words.size and not (0 <= words.min() and words.max() < WIDEST):
        raise ValueError(f"words must be 0 to {WIDEST - 1}, not {words.min()} to {words.max()}")
    t = (words * LOG2E) >> (frac + FINE - EXPONENT)
    value = np.full(words.shape, ONE, np.int64)
    for i, root in enumerate(ROOTS, start=1):
        value = np.where((t >> (EXPONENT - i)) & 1 == 1, (value * root) >> FINE, value)
    return value >> np.minimum(t >> EXPONENT, 63)


def log_words(words: np.ndarray) -> np.ndarray:
    """``ln(words * 2**-30)`` with 16 fraction bits, for int64 words of 2**30 to 2**40, any shape.

    Shifting down to [1, 2) gives the whole part of the base-two logarithm; each squaring
    gives one bit of its fraction. Error below 2**-15.
    """
    words = np.asarray(words, np.int64)
    if words.size and not (ONE <= words.min() and words.max() <= 1 << 40):
        raise ValueError(f"words must be {ONE} to {1 << 40}, not {words.min()} to {words.max()}")
    log2 = np.zeros(words.shape, np.int64)
    for _ in range(40 - FINE):
        high = words >= 2 * ONE
        words = np.where(high, words >> 1, words)
        log2 += high
    for _ in range(LOSS_FRAC + 2):
        words = (words * words) >> FINE
        high = words >= 2 * ONE
        words = np.where(high, words >> 1, words)
        log2 = 2 * log2 + high
    return (log2 * LN2) >> (FINE + 2)


@dataclass(frozen=True)
class LossResult:
    """What the loss gives for one batch."""

    delta: np.ndarray  # gradient of the logits, (batch, classes) words
    loss: int  # sum over the batch, LOSS_FRAC fraction bits
    correct: int  # samples whose first largest logit is the label
    saturations: int


def cross_entropy(
    z: np.ndarray, labels: np.ndarray, logits: Fixed, deltas: Fixed, rounding: Rounding, key: int
) -> LossResult:
    """Softmax cross-entropy of logits z (batch, classes) words of ``logits``, labels (batch,).

    The gradient ``softmax(z) - onehot`` is *not* divided by the batch: the sum over the
    batch is exact in the weight gradient's product, and the optimizer's multiplier holds
    the division, so small gradients do not vanish. It is found with 14 guard bits by
    integer division (floor, at most 2**-14 of a word low) and rounded by Convert under
    index ``row * classes + class``. ``deltas.frac`` up to 18.
    """
    z, labels = np.asarray(z, np.int64), np.asarray(labels, np.int64)
    batch, classes = z.shape
    if classes > 1024:
        raise ValueError(f"classes must be at most 1024, not {classes}")
    if labels.shape != (batch,) or (batch and not (0 <= labels.min() and labels.max() < classes)):
        raise ValueError(f"labels must be {batch} integers from 0 to {classes - 1}")

    rows = np.arange(batch)
    below_top = z.max(axis=1, keepdims=True) - z
    exponentials = exp_negative(below_top, logits.frac)
    total = exponentials.sum(axis=1)

    acc = (exponentials << (deltas.frac + GUARD)) // total[:, None]
    acc[rows, labels] -= 1 << (deltas.frac + GUARD)
    delta, saturations = convert_linear(acc, GUARD, rounding, key, width=deltas.width)

    loss = ((below_top[rows, labels] << LOSS_FRAC) >> logits.frac) + log_words(total)
    correct = int(np.count_nonzero(z.argmax(axis=1) == labels))
    return LossResult(delta, int(loss.sum()), correct, saturations)
