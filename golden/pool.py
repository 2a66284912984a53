"""Pooling on raw integer words: the maximum with its place kept, and the average with one Convert."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import log2

import numpy as np

from golden.conv import check_window, out_size
from golden.convert import convert_linear
from golden.vector import SCALAR_MAX
from spec.number import Rounding
from spec.product import MAX_SHIFT


@dataclass(frozen=True)
class MaxPool:
    """The largest word of each ``kernel`` by ``kernel`` window, channels apart.

    Padding never wins. Of equal words the first in the order (ky, kx) wins, here and wherever the
    gradient goes. Windows may overlap (kernel 3, stride 2 is Gupta's).
    """

    kernel: int
    stride: int
    padding: int = 0

    def __post_init__(self) -> None:
        check_window("maxpool", self.kernel, self.stride, self.padding)
        # Otherwise a window could lie in the padding alone.
        if 2 * self.padding > self.kernel:
            raise ValueError(f"maxpool: padding must be at most {self.kernel // 2}, not {self.padding}")

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x (batch, h, w, c) to the words (batch, oh, ow, c) and their places, ``ky * kernel + kx``."""
        oh, ow = (out_size(size, self.kernel, self.stride, self.padding) for size in x.shape[1:3])
        if self.padding:
            p, lowest = self.padding, np.iinfo(np.int64).min
            x = np.pad(x.astype(np.int64), ((0, 0), (p, p), (p, p), (0, 0)), constant_values=lowest)
        best = _tap(x, 0, 0, oh, ow, self.stride).copy()
        place = np.zeros(best.shape, np.int64)
        for tap, (ky, kx) in enumerate(np.ndindex(self.kernel, self.kernel)):
            word = _tap(x, ky, kx, oh, ow, self.stride)
            better = word > best
            best[better] = word[better]
            place[better] = tap
        return best, place

    def backward(
        self, delta: np.ndarray, place: np.ndarray, shape: tuple[int, ...], width: int = 16
    ) -> tuple[np.ndarray, int]:
        """Gradient of x, of ``shape`` (batch, h, w, c), and saturations.

        Each word of delta (batch, oh, ow, c) goes to the word that won; what meets at one word is
        summed exactly and saturated to ``width`` bits. delta's format is kept, so nothing is rounded.
        """
        if delta.shape != place.shape:
            raise ValueError(f"maxpool: delta must have shape {place.shape}, not {delta.shape}")
        taps = (np.where(place == tap, delta, 0) for tap in range(self.kernel**2))
        acc = _scatter(taps, shape, delta.shape, self.kernel, self.stride, self.padding)
        return convert_linear(acc, 0, Rounding.FLOOR, width=width)


@dataclass(frozen=True)
class AvgPool:
    """The mean of each ``kernel`` by ``kernel`` window, channels apart: an exact sum, one multiplier, one Convert.

    kernel 0 is the whole image. The multiplier is ``1 / kernel**2`` in 18 bits: exact when that is
    a power of two, otherwise within a relative 2**-17.
    """

    kernel: int = 0
    stride: int = 1

    def __post_init__(self) -> None:
        if self.kernel:
            check_window("avgpool", self.kernel, self.stride, 0)

    def window(self, shape: tuple[int, ...]) -> int:
        """The window's side on an image of ``shape`` (batch, h, w, c)."""
        if not self.kernel and shape[1] != shape[2]:
            raise ValueError(f"avgpool: the whole image must be a square, not {shape[1]} x {shape[2]}")
        return self.kernel or shape[1]

    def forward(self, x: np.ndarray, up: int, rounding: Rounding, key: int, width: int = 16) -> tuple[np.ndarray, int]:
        """x (batch, h, w, c) to words (batch, oh, ow, c) with ``up`` more fraction bits, and saturations."""
        kernel = self.window(x.shape)
        oh, ow = (out_size(size, kernel, self.stride, 0) for size in x.shape[1:3])
        acc = np.zeros((x.shape[0], oh, ow, x.shape[3]), np.int64)
        for ky, kx in np.ndindex(kernel, kernel):
            acc += _tap(x, ky, kx, oh, ow, self.stride)
        return _mean(acc, kernel, up, rounding, key, width)

    def backward(
        self, delta: np.ndarray, shape: tuple[int, ...], up: int, rounding: Rounding, key: int, width: int = 16
    ) -> tuple[np.ndarray, int]:
        """Gradient of x, of ``shape``, with ``up`` more fraction bits than delta (batch, oh, ow, c); saturations.

        Where windows overlap, gradients are summed exactly before the one Convert.
        """
        kernel = self.window(shape)
        taps = (delta for _ in range(kernel**2))
        return _mean(_scatter(taps, shape, delta.shape, kernel, self.stride, 0), kernel, up, rounding, key, width)


def reciprocal(area: int, up: int) -> tuple[int, int]:
    """Multiplier and shift with ``multiplier / 2**shift = 2**up / area``: the finest in 18 bits, 32 to drop.

    The multiplier is rounded half up. Raises ValueError where it would be zero or not fit.
    """
    for shift in range(MAX_SHIFT, -1, -1):
        power = shift + up
        scalar = ((2 << power) // area + 1) >> 1 if power >= 0 else 0
        if 0 < scalar <= SCALAR_MAX:
            return scalar, shift
    raise ValueError(f"2**{up} / {area} must be 2**-{MAX_SHIFT} to {SCALAR_MAX}, not 2**{up - log2(area):.1f}")


def _mean(acc: np.ndarray, kernel: int, up: int, rounding: Rounding, key: int, width: int) -> tuple[np.ndarray, int]:
    scalar, shift = reciprocal(kernel * kernel, up)
    return convert_linear(scalar * acc, shift, rounding, key, width=width)


def _tap(x: np.ndarray, ky: int, kx: int, oh: int, ow: int, stride: int) -> np.ndarray:
    """What every window sees at (ky, kx), as a view."""
    return x[:, ky : ky + stride * oh : stride, kx : kx + stride * ow : stride]


def _scatter(
    taps: Iterable[np.ndarray], shape: tuple[int, ...], small: tuple[int, ...], kernel: int, stride: int, padding: int
) -> np.ndarray:
    """Exact sums of ``shape``: tap (ky, kx) of every window added where that window saw it."""
    batch, height, width, channels = shape
    if small[0] != batch or small[3] != channels:
        raise ValueError(f"pool: delta of shape {small} cannot belong to an image of shape {shape}")
    acc = np.zeros((batch, height + 2 * padding, width + 2 * padding, channels), np.int64)
    for (ky, kx), words in zip(np.ndindex(kernel, kernel), taps, strict=True):
        _tap(acc, ky, kx, small[1], small[2], stride)[...] += words
    return acc[:, padding : padding + height, padding : padding + width]
