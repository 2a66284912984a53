"""Numbers wider than a word, as bricks: a channel's scalars, and its exact sums."""

from collections.abc import Sequence

import numpy as np

from spec.chip import BRICK, Chip
from spec.isa import SCALAR_WIDTH, entry_bricks, record_bricks


def pack_scalars(chip: Chip, channels: Sequence[tuple[int, int, int]], entries: int) -> np.ndarray:
    """Table of ``entries``, (s0, s1, s2) of each channel, zeros behind: words (entries * entry_bricks, BRICK)."""
    words = entry_bricks(chip) * BRICK
    widths = (SCALAR_WIDTH, SCALAR_WIDTH, chip.acc_width)
    table = np.zeros((entries, words), np.int64)
    for row, values in zip(table, channels, strict=False):
        row[:] = _split(values, widths, words, chip.width)
    return table.reshape(-1, BRICK)


def unpack_sums(chip: Chip, records: np.ndarray, channels: int) -> tuple[list[int], list[int]]:
    """Sums of u and of u*v of the first ``channels`` channels, from words (bricks, BRICK)."""
    words = records.reshape(-1, record_bricks(chip) * BRICK)[:channels]
    sums, products = [], []
    for row in words.tolist():
        value = sum((word & ((1 << chip.width) - 1)) << (chip.width * i) for i, word in enumerate(row))
        sums.append(_signed(value, chip.acc_width))
        products.append(_signed(value >> chip.acc_width, chip.acc_width))
    return sums, products


def _split(values: Sequence[int], widths: Sequence[int], words: int, width: int) -> list[int]:
    """Integers of ``widths`` bits, the first lowest, as sign-extended words."""
    together, at = 0, 0
    for value, bits in zip(values, widths, strict=True):
        if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            raise ValueError(f"scalar must fit {bits} bits: {value}")
        together |= (value & ((1 << bits) - 1)) << at
        at += bits
    return [_signed(together >> (width * i), width) for i in range(words)]


def _signed(value: int, bits: int) -> int:
    half = 1 << (bits - 1)
    return ((value + half) & ((1 << bits) - 1)) - half
