"""Tensors in a machine's memory: NHWC, the channels of each position padded to whole bricks."""

from dataclasses import dataclass
from math import prod

import numpy as np

from spec.axi import axi
from spec.chip import BRICK, Chip
from spec.product import ceil_div


@dataclass(frozen=True)
class Tensor:
    """Words of ``shape`` from byte ``address`` on, ``word_bytes`` each; the last axis is the channel."""

    name: str
    address: int
    shape: tuple[int, ...]
    word_bytes: int

    @property
    def channels(self) -> int:
        return self.shape[-1]

    @property
    def rows(self) -> int:
        """Positions: all axes but the last."""
        return prod(self.shape[:-1])

    @property
    def row_bricks(self) -> int:
        return ceil_div(self.channels, BRICK)

    @property
    def bricks(self) -> int:
        return self.rows * self.row_bricks

    @property
    def size(self) -> int:
        return self.bricks * BRICK * self.word_bytes

    @property
    def end(self) -> int:
        return self.address + self.size

    def at(self, brick: int) -> int:
        """Byte address of a brick, counted from the first."""
        return self.address + brick * BRICK * self.word_bytes

    def pack(self, words: np.ndarray) -> bytes:
        """Memory's bytes of words of this shape; ValueError for another shape or words that do not fit."""
        words = np.asarray(words)
        if words.shape != self.shape:
            raise ValueError(f"{self.name}: words must have shape {self.shape}, not {words.shape}")
        limit = 1 << (8 * self.word_bytes - 1)
        if words.size and not (-limit <= words.min() and words.max() < limit):
            raise ValueError(f"{self.name}: words must be {-limit} to {limit - 1}, not {words.min()} to {words.max()}")
        padded = np.zeros((self.rows, self.row_bricks * BRICK), self._dtype)
        padded[:, : self.channels] = words.reshape(self.rows, self.channels)
        return padded.tobytes()

    def unpack(self, data: bytes) -> np.ndarray:
        """int64 words of this shape from memory's bytes; padding is left out."""
        if len(data) != self.size:
            raise ValueError(f"{self.name}: takes {self.size} bytes, not {len(data)}")
        padded = np.frombuffer(data, self._dtype).reshape(self.rows, self.row_bricks * BRICK)
        return padded[:, : self.channels].astype(np.int64).reshape(self.shape)

    @property
    def _dtype(self) -> np.dtype:
        return np.dtype(f"<i{self.word_bytes}")


def word_bytes(chip: Chip) -> int:
    """Bytes of a word in memory."""
    return axi(chip).word_bytes
