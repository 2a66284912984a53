"""Gradient approximation: cheap weight gradients for some convolutions on some batches.

Wang, Nelaturu and Amarasinghe 2019, "Accelerated CNN Training Through Gradient Approximation" (arXiv:1908.05460), section 3.
The input gradient stays exact.
"""

from collections.abc import Hashable
from enum import Enum
from fractions import Fraction
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from golden.convert import convert
from golden.keyed import random_bits
from golden.layers import Role
from golden.operators import Operator, Pass, ProductOperator
from golden.policy import CHOICE_SLOT, Policy
from golden.techniques.layers import convolutions, refused
from spec.number import Fixed, Rounding

if TYPE_CHECKING:
    from golden.graph import Graph

BYTES_MEAN, BYTES_DEVIATION = 510, sqrt(4 * (256**2 - 1) / 12)  # of the sum of four uniform bytes
NORMAL_BITS = 16  # of the deviation's factor
SCALE_BITS = 16


class Gradient(Enum):
    """What stands for the weight gradient."""

    ZERO = "zero"  # nothing: the technique's null control
    RANDOM = "random"  # N(0, (1/B)**2) for the mean over a batch of B, so N(0, 1) for its sum
    APPROXIMATED = "approximated"  # the exact product of one spike for each sample and output channel


class Batches(Enum):
    """On which batches."""

    ALL = "all"
    SIGN = "sign"  # about half of them, for each layer by the sign of a row sum of its dY
    ALTERNATE = "alternate"  # every other epoch


def spikes(delta: np.ndarray, width: int, scale: float = 1.0) -> tuple[np.ndarray, int]:
    """dY (batch, h, w, c) with one word other than zero for each sample and channel; saturations.

    It stands where |dY| is largest, at the first such place in scan order (the first of all where the map is zero), and is the map's
    sum times ``scale``, so that the exact weight gradient of the result is ``scale * sum over b of S * patch of X at p*``
    (the paper's approximated gradient). Where the sum has no ``width`` bits it saturates.
    """
    batch, height, length, channels = delta.shape
    maps = delta.reshape(batch, height * length, channels).astype(np.int64)
    at = np.minimum(np.abs(maps), (1 << (width - 1)) - 1).argmax(axis=1)  # the lowest word has no magnitude of its own
    factor, shift = factor_of(scale)
    words, saturations = convert(maps.sum(axis=1) * factor, shift, Rounding.NEAREST, width=width, acc_width=63)
    out = np.zeros_like(maps)
    np.put_along_axis(out, at[:, None], words[:, None], axis=1)
    return out.reshape(delta.shape), saturations


def factor_of(scale: float) -> tuple[int, int]:
    """``scale`` as an integer and the bits to drop behind it, at most SCALE_BITS."""
    share = Fraction(round(scale * (1 << SCALE_BITS)), 1 << SCALE_BITS)
    return share.numerator, share.denominator.bit_length() - 1


def normal(key: int, shape: tuple[int, ...], deviation: float, width: int) -> np.ndarray:
    """Words of mean 0 and ``deviation``, nearly normal: four bytes of each word's random bits, added (Irwin and Hall)."""
    bits = random_bits(key, np.arange(np.prod(shape)).reshape(shape))
    each = np.stack([bits >> np.uint32(8 * n) & np.uint32(255) for n in range(4)]).astype(np.int64)
    total = each.sum(axis=0) - BYTES_MEAN
    factor = round(deviation / BYTES_DEVIATION * (1 << NORMAL_BITS))
    return convert(total * factor, NORMAL_BITS, Rounding.NEAREST, width=width)[0]


def normal_gradient(key: int, shape: tuple[int, ...], form: Fixed) -> np.ndarray:
    """Words of ``form`` for a batch's gradient: N(0, 1)."""
    return normal(key, shape, 1 << form.frac, form.width)


class GradientApproximation(Policy):
    """Every other convolution larger than 1x1, from the second on: 9 of ResNet-20's 19.

    scale : of the approximated gradient. The paper multiplies by 1/B what already carries 1/B; 1 is the exact spike product.
    The row of ``Batches.SIGN`` is the first line of the first sample, all channels (the paper does not say which).
    """

    def __init__(self, how: Gradient, batches: Batches = Batches.SIGN, scale: float = 1.0):
        if not 0 < scale <= 1:
            raise ValueError(f"scale must be more than 0 and at most 1, not {scale}")
        self.how, self.batches, self.scale = how, batches, scale
        self.chosen: frozenset[int] = frozenset()
        self.epoch_steps = 1

    def bind(self, graph: "Graph", epoch_steps: int) -> None:
        self.chosen = frozenset(op.number for op in convolutions(graph, least=2)[1::2])
        self.epoch_steps = epoch_steps
        if not self.chosen:
            raise refused("gradient approximation", graph, "it has no second convolution larger than 1x1")

        self._random = self._odd = False

    def begins(self, p: Pass) -> None:
        self._odd = bool(p.step // self.epoch_steps % 2)

    def variant(self) -> Hashable:
        return self.batches is Batches.ALTERNATE and self._odd

    @staticmethod
    def negative(row: np.ndarray) -> bool:
        """Whether ``Batches.SIGN`` approximates a layer in this batch, from its first line of dY."""
        return int(row.sum(dtype=np.int64)) < 0

    def _now(self, delta: np.ndarray) -> bool:
        if self.batches is Batches.SIGN:
            return self.negative(delta[0, 0])
        return self.batches is Batches.ALL or self._odd

    def weight_delta(self, p: Pass, op: Operator, x: np.ndarray, delta: np.ndarray) -> np.ndarray | None:
        self._random = False
        if op.number not in self.chosen or not self._now(delta):
            return delta
        if self.how is Gradient.APPROXIMATED:
            return p.count(*spikes(delta, op.formats.deltas.width, self.scale))
        self._random = self.how is Gradient.RANDOM
        return None

    def gradient(self, p: Pass, op: Operator, gradient: np.ndarray) -> np.ndarray:
        if not self._random:
            return gradient
        assert isinstance(op, ProductOperator)
        return normal_gradient(p.key(Role.GRADIENT, CHOICE_SLOT), gradient.shape, op.formats.gradients)
