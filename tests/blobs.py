"""Samples that a small network learns in a few steps."""

import numpy as np

from golden.config import Samples


def draw_blobs(rng: np.random.Generator, train: int, test: int, shape: tuple[int, int, int] = (6, 6, 1)) -> Samples:
    """Images of three classes, most pixels zero; in the first three pixels one that tells the class."""
    count, size = train + test, int(np.prod(shape))
    labels = np.arange(count) % 3
    pixels = rng.integers(0, 90, (count, size)) * rng.integers(0, 2, (count, size))
    pixels[np.arange(count), labels] += 120
    pixels = pixels.astype(np.uint8)
    return Samples("blobs", shape, 3, 8, pixels[:train], labels[:train], pixels[train:], labels[train:])
