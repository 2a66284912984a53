"""Golden twin of a row's fetch: its nonzeros with their places in a bank of B."""

import numpy as np


def row_list(words: np.ndarray, columns: int, skip: bool) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (k, a) of a row of words: k is the word's number times ``columns``, a the word.

    Zeros are left out with ``skip``. A row without any pair gives one of zeros, so that
    every column still gets a sum.
    """
    words = np.asarray(words)
    kept = np.flatnonzero(words) if skip else np.arange(words.size)
    if kept.size == 0:
        return np.zeros(1, np.int64), np.zeros(1, np.int64)
    return kept * columns, words[kept]
