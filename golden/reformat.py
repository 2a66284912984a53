"""Other formats for a network that is being trained: low precision first, more of it later, and no new hardware."""

import numpy as np

from golden.convert import convert
from spec.number import Fixed, Rounding


def moved(words: np.ndarray, have: Fixed, want: Fixed) -> np.ndarray:
    """The same values in another format: exact where it has the bits, else rounded to the nearest; saturated."""
    extra = want.frac - have.frac
    return convert(words.astype(np.int64) << max(extra, 0), max(-extra, 0), Rounding.NEAREST, width=want.width)[0].astype(np.int64)


def moved_running(running: np.ndarray, have: Fixed, want: Fixed) -> np.ndarray:
    """Batch norm's running statistics: means in steps of what it reads, variances in their squares; rounded down."""
    extra = want.frac - have.frac
    shifts = np.array([[extra], [2 * extra]])
    return np.where(shifts >= 0, running << np.maximum(shifts, 0), running >> np.maximum(-shifts, 0))
