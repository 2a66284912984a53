"""Pruning of output gradients: N of every M channels for the input gradient, or by a random threshold.

McDanel, Dinh and Magallanes 2022, "Accelerating DNN Training with Structured Data Gradient Pruning" (arXiv:2202.00774);
Ye et al. 2019, "Accelerating CNN Training by Pruning Activation Gradients" (arXiv:1908.00173), section 3.
"""

from enum import Enum
from math import pi, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from golden.convert import convert
from golden.keyed import random_bits
from golden.layers import Role
from golden.operators import Operator, Pass
from golden.policy import CHOICE_SLOT, Policy
from golden.techniques.layers import convolutions, refused
from spec.number import Rounding

if TYPE_CHECKING:
    from golden.graph import Graph

RATIO_BITS = 10  # fraction bits of a rescaling factor
RATIO_MAX = (1 << 17) - 1  # 18 bits with a sign: a multiplier's
TAU_BITS = 16


class Keep(Enum):
    """Which N of M are kept."""

    LARGEST = "largest"
    RANDOM = "random"  # the null control


def of_groups(scores: np.ndarray, n: int, m: int) -> np.ndarray:
    """Where the ``n`` largest of every ``m`` consecutive words of the last axis stand; of equal ones the first."""
    groups = scores.reshape(*scores.shape[:-1], -1, m)
    order = np.argsort(-groups.astype(np.int64), axis=-1, kind="stable")
    kept = np.zeros(groups.shape, bool)
    np.put_along_axis(kept, order[..., :n], True, axis=-1)
    return kept.reshape(scores.shape)


def rescaled(pruned: np.ndarray, delta: np.ndarray, width: int) -> tuple[np.ndarray, int]:
    """``pruned`` times the ratio of L1 norms, by sample and channel, with RATIO_BITS fraction bits; saturations."""
    whole, left = (np.abs(words.astype(np.int64)).sum(axis=(1, 2), keepdims=True) for words in (delta, pruned))
    factor = ((whole << RATIO_BITS) + left // 2) // np.maximum(left, 1)
    factor = np.minimum(factor, RATIO_MAX)
    return convert(pruned * factor, RATIO_BITS, Rounding.NEAREST, width=width)


class StructuredPruning(Policy):
    """The input gradient of convolutions from the ``n`` of every ``m`` output channels alone; the weight gradient stays exact.

    rescale : by the ratio of L1 norms of each sample and channel before and after. The first convolution has no input gradient.
    """

    def __init__(self, n: int = 2, m: int = 4, keep: Keep = Keep.LARGEST, rescale: bool = False):
        if not 1 <= n <= m:
            raise ValueError(f"n must be 1 to m, {m}, not {n}")
        self.n, self.m, self.keep, self.rescale = n, m, keep, rescale
        self.chosen: frozenset[int] = frozenset()

    def bind(self, graph: "Graph", epoch_steps: int) -> None:
        pruned = [op for op in convolutions(graph)[1:] if op.belows[0] is not None]
        if not pruned:
            raise refused("structured pruning", graph, "it has no second convolution")
        for op in pruned:
            if op.shape[-1] % self.m:
                reason = f"node {op.number} has {op.shape[-1]} channels, not a multiple of {self.m}"
                raise refused("structured pruning", graph, reason)
        self.chosen = frozenset(op.number for op in pruned)

    def input_delta(self, p: Pass, op: Operator, delta: np.ndarray) -> np.ndarray:
        if op.number not in self.chosen:
            return delta
        if self.keep is Keep.LARGEST:
            scores = np.abs(delta.astype(np.int64))
        else:
            key = p.key(Role.DELTA, CHOICE_SLOT)
            scores = random_bits(key, np.arange(delta.size).reshape(delta.shape)).astype(np.int64)
        pruned = np.where(of_groups(scores, self.n, self.m), delta, 0)
        return p.count(*rescaled(pruned, delta, op.formats.deltas.width)) if self.rescale else pruned


def threshold(delta: np.ndarray, rate: float) -> int:
    """Below this word about ``rate`` of normally distributed words lie: ``sigma * PhiInverse((1 + rate) / 2)``,
    sigma = sqrt(pi / 2) * mean |dY|.

    The paper's printed sigma, sqrt(2 / pi) * mean |g|, is too small by 2 / pi.
    """
    factor = round(sqrt(pi / 2) * NormalDist().inv_cdf((1 + rate) / 2) * (1 << TAU_BITS))
    total = int(np.abs(delta.astype(np.int64)).sum())
    return (total * factor // delta.size) >> TAU_BITS


def pruned_below(delta: np.ndarray, tau: int, key: int) -> np.ndarray:
    """Words smaller than ``tau`` become ``tau`` with their sign with probability |word| / tau, else 0: the mean stays."""
    size = np.abs(delta.astype(np.int64))
    bits = random_bits(key, np.arange(delta.size).reshape(delta.shape)).astype(np.int64)
    raised = np.where(bits * tau < size << 32, np.sign(delta) * tau, 0)
    return np.where(size < tau, raised, delta).astype(np.int64)


class ThresholdPruning(Policy):
    """Both gradients of convolutions from a dY of which about ``rate`` is pruned at random, without bias."""

    def __init__(self, rate: float = 0.9):
        if not 0 < rate < 1:
            raise ValueError(f"rate must be more than 0 and less than 1, not {rate}")
        self.rate = rate
        self.chosen: frozenset[int] = frozenset()

    def bind(self, graph: "Graph", epoch_steps: int) -> None:
        self.chosen = frozenset(op.number for op in convolutions(graph))
        if not self.chosen:
            raise refused("threshold pruning", graph, "it has no convolution")

    def _pruned(self, p: Pass, op: Operator, delta: np.ndarray) -> np.ndarray:
        if op.number not in self.chosen:
            return delta
        return pruned_below(delta, threshold(delta, self.rate), p.key(Role.DELTA, CHOICE_SLOT))

    def weight_delta(self, p: Pass, op: Operator, x: np.ndarray, delta: np.ndarray) -> np.ndarray:
        return self._pruned(p, op, delta)

    def input_delta(self, p: Pass, op: Operator, delta: np.ndarray) -> np.ndarray:
        return self._pruned(p, op, delta)
