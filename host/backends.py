"""What an engine offers its driver, and matrices as bricks."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from spec.chip import BRICK, Chip
from spec.product import MASK_COLUMNS, Product, ceil_div


class Machine(Protocol):
    """An engine of ``chip`` with a scratchpad. Bricks are int32 of shape (count, 8), addresses count bricks."""

    @property
    def chip(self) -> Chip: ...

    def write(self, address: int, bricks: np.ndarray) -> None: ...

    def read(self, address: int, count: int) -> np.ndarray: ...

    def run(self, product: Product, progress: Callable[[int], None] | None = None) -> dict[str, int]:
        """Run one product to its end; return :data:`spec.engine.COUNTERS`."""


def to_bricks(matrix: np.ndarray) -> np.ndarray:
    """(rows, columns) words to int32 (rows, bricks, 8); the words past a row's end are zero."""
    rows, columns = matrix.shape
    bricks = np.zeros((rows, ceil_div(columns, BRICK), BRICK), np.int32)
    bricks.reshape(rows, -1)[:, :columns] = matrix
    return bricks


def mask_to_bricks(mask: np.ndarray) -> np.ndarray:
    """(rows, columns) zeros and ones to int32 (rows, bricks, 8): column j in bit ``j % 8`` of word ``j // 8``."""
    rows, columns = mask.shape
    words = ceil_div(columns, MASK_COLUMNS) * BRICK
    bits = np.zeros((rows, words, BRICK), np.int32)
    bits.reshape(rows, -1)[:, :columns] = mask != 0
    return (bits << np.arange(BRICK, dtype=np.int32)).sum(axis=2, dtype=np.int32).reshape(rows, -1, BRICK)
