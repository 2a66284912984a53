"""How random are random bits? Statistics that a rounding source has to pass.

Every ``*_z`` is a number of standard deviations: for ideal bits it is a draw from
(about) a standard normal distribution, whatever the sample size.
"""

import numpy as np

LFSR_TAPS = {  # maximal lengths, bits counted from 1 (Xilinx XAPP 052, table 3)
    2: (2, 1), 3: (3, 2), 4: (4, 3), 5: (5, 3), 6: (6, 5), 7: (7, 6), 8: (8, 6, 5, 4), 9: (9, 5), 10: (10, 7),
    11: (11, 9), 12: (12, 6, 4, 1), 13: (13, 4, 3, 1), 14: (14, 5, 3, 1), 15: (15, 14), 16: (16, 15, 13, 4),
    17: (17, 14), 18: (18, 11), 19: (19, 6, 2, 1), 20: (20, 17), 21: (21, 19), 22: (22, 21), 23: (23, 18),
    24: (24, 23, 22, 17), 25: (25, 22), 26: (26, 6, 2, 1), 27: (27, 5, 2, 1), 28: (28, 25), 29: (29, 27),
    30: (30, 6, 4, 1), 31: (31, 28), 32: (32, 22, 2, 1),
}  # fmt: skip


def lfsr(width: int, count: int, state: int = 1) -> np.ndarray:
    """``count`` successive states of the ``width``-bit shift register that rounds elsewhere; uint32."""
    taps = [tap - 1 for tap in LFSR_TAPS[width]]
    states = np.empty(count, np.uint32)
    for step in range(count):
        states[step] = state
        fed = 0
        for tap in taps:
            fed ^= state >> tap
        state = (state << 1 | fed & 1) & ((1 << width) - 1)
    return states


def up_z(bits: np.ndarray, shift: int, dropped: int) -> float:
    """Roundings up of a sum that drops ``dropped``, against the share ``dropped / 2**shift``."""
    share = dropped / (1 << shift)
    ups = np.count_nonzero((bits & np.uint32((1 << shift) - 1)) >= (1 << shift) - dropped)
    return float((ups - bits.size * share) / np.sqrt(bits.size * share * (1 - share)))


def value_counts(bits: np.ndarray, shift: int) -> np.ndarray:
    """How often each of the ``2**shift`` values of the low bits occurs."""
    return np.bincount(bits & np.uint32((1 << shift) - 1), minlength=1 << shift)


def uniform_z(counts: np.ndarray) -> float:
    """Chi-square of equally likely values; wants some ten samples a value."""
    expected = counts.sum() / counts.size
    freedom = counts.size - 1
    return float((((counts - expected) ** 2).sum() / expected - freedom) / np.sqrt(2 * freedom))


def planes(bits: np.ndarray, width: int = 32) -> np.ndarray:
    """Bit ``n`` of all words side by side in row ``n``: uint64 of shape (width, len(bits) / 64).

    The number of words must be a multiple of 64.
    """
    rows = [np.packbits((bits >> np.uint32(bit) & np.uint32(1)).astype(bool)) for bit in range(width)]
    return np.stack(rows).view(np.uint64)


def bias_z(bits: np.ndarray) -> float:
    """Largest deviation of a bit's mean from one half."""
    ones = np.bitwise_count(planes(bits)).sum(axis=1, dtype=np.int64)
    return float(np.abs(2 * ones - bits.size).max() / np.sqrt(bits.size))


def correlation_z(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlation of every bit of ``first`` with every bit of ``second``: (width, width).

    Both are :func:`planes` of equally many words.
    """
    count = 64 * first.shape[1]
    unequal = [np.bitwise_count(second ^ row).sum(axis=1, dtype=np.int64) for row in first]
    return (count - 2 * np.stack(unequal)) / np.sqrt(count)
