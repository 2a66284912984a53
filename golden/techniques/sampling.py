"""Column-row sampling: products from some of their column-row pairs.

Adelman and Silberstein 2018, "Faster Neural Network Training with Approximate Tensor Operations" (arXiv:1805.08079), sections 3 and 4;
Bernoulli sampling: Adelman, Levy, Hakimi and Silberstein 2021 (NeurIPS, the same title). In a convolution a pair is an input channel.
"""

from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from golden.convert import convert
from golden.keyed import random_bits
from golden.layers import Role
from golden.operators import Operator, Pass
from golden.policy import CHOICE_SLOT, Policy
from golden.techniques.layers import product_layers, refused, rows_of_weights
from spec.number import Rounding

if TYPE_CHECKING:
    from golden.graph import Graph

FACTOR_BITS = 8  # fraction bits of a pair's factor
FACTOR_MAX = (1 << 17) - 1  # 18 bits with a sign: a multiplier's; larger factors are cut to 512


class Choice(Enum):
    """Which pairs are taken."""

    TOP = "top"  # the largest norms, no randomness
    NORMS = "norms"  # drawn, likely as their norms are large
    UNIFORM = "uniform"  # drawn, all equally likely: the null control
    BERNOULLI = "bernoulli"  # each by itself, min(1, k * its share of the norms)


@dataclass(frozen=True)
class Pairs:
    """What was taken of ``len(counts)`` pairs: how often each, and the factor with FACTOR_BITS of those taken."""

    counts: np.ndarray
    factors: np.ndarray

    @property
    def scaled(self) -> bool:
        return bool((self.factors != 1 << FACTOR_BITS).any())


def weights_of(x: np.ndarray, weights: np.ndarray, channels: int) -> list[int]:
    """``|X column|**2 * |W row|**2`` of every pair, exact; Frobenius norms over batch and positions, and over kernel and output channels."""
    return norms_of((x.reshape(-1, channels).astype(np.int64) ** 2).sum(axis=0).tolist(), weights, channels)


def norms_of(columns: list[int], weights: np.ndarray, channels: int) -> list[int]:
    """The same from the columns' sums of squares."""
    rows = (weights.reshape(-1, channels, weights.shape[-1]).astype(np.int64) ** 2).sum(axis=(0, 2))
    return [a * b for a, b in zip(columns, rows.tolist(), strict=True)]


def drawn(sizes: list[int], k: int, key: int, replace: bool) -> np.ndarray:
    """How often each was drawn in ``k`` draws with odds of ``sizes``; draw i takes the random bits of index i.

    With odds in integers every machine draws the same. Where nothing has odds left, the first that is left is drawn.
    """
    counts = np.zeros(len(sizes), np.int64)
    left = list(sizes)
    for bits in random_bits(key, np.arange(k)).tolist():
        passed = list(accumulate(left))
        taken = bisect_right(passed, bits * passed[-1] >> 32)
        if taken == len(left):
            taken = next(i for i in range(len(left)) if replace or not counts[i])
        counts[taken] += 1
        if not replace:
            left[taken] = 0
    return counts


def choose(sizes: list[int], k: int, how: Choice, key: int, replace: bool = False, scaled: bool = False) -> Pairs:
    """``k`` of the pairs (with BERNOULLI so many on average) and their factors: one, or ``count / (k * p)`` if ``scaled``."""
    odds = [1] * len(sizes) if how is Choice.UNIFORM else sizes
    total = sum(odds)
    if how is Choice.TOP:
        order = sorted(range(len(sizes)), key=lambda i: (-sizes[i], i))
        counts = np.zeros(len(sizes), np.int64)
        counts[order[:k]] = 1
    elif how is Choice.BERNOULLI:
        bits = random_bits(key, np.arange(len(sizes))).tolist()
        counts = np.array([int(b * total < min(total, k * size) << 32) for b, size in zip(bits, sizes, strict=True)])
    else:
        counts = drawn(odds, k, key, replace)
    one = 1 << FACTOR_BITS
    factors = np.full(len(sizes), one, np.int64)
    if scaled:
        for i in np.flatnonzero(counts):
            share = min(k * odds[i], total) if how is Choice.BERNOULLI else k * odds[i]
            factors[i] = min(int(counts[i]) * one * total // max(share, 1), FACTOR_MAX)
    elif replace:
        factors = np.maximum(counts, 1) << FACTOR_BITS
    return Pairs(counts, factors)


class ColumnRowSampling(Policy):
    """A ``share`` of the pairs of every layer but the first and the last: taken in FP, used again in BP and WG. Exact in evaluation.

    scaled : by ``1 / (k * p)``, which makes the estimate unbiased and, with rare pairs, the words saturate. least : pairs at least.
    """

    def __init__(self, share: float, how: Choice = Choice.TOP, *, replace: bool = False, scaled: bool = False, least: int = 1):
        if not 0 < share <= 1:
            raise ValueError(f"share must be more than 0 and at most 1, not {share}")
        if how is Choice.TOP and (replace or scaled):
            raise ValueError("the largest pairs are taken once and without a factor")
        if how is Choice.BERNOULLI and replace:
            raise ValueError("Bernoulli sampling takes each pair once at most")
        self.share, self.how, self.replace, self.scaled, self.least = share, how, replace, scaled, least
        self.chosen: frozenset[int] = frozenset()
        self.pairs: dict[int, Pairs] = {}

    def bind(self, graph: "Graph", epoch_steps: int) -> None:
        inner = product_layers(graph)[1:-1]
        if not inner:
            raise refused("column-row sampling", graph, "it has no layer between its first and its last")
        self.chosen = frozenset(op.number for op in inner)

    def reads(self, p: Pass, op: Operator, x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        if op.number not in self.chosen:
            return x
        _, channels, bias = rows_of_weights(op)
        sizes = weights_of(x, weights[: len(weights) - bias], channels)
        return self._times(p, op, x, self.taken(op.number, sizes, p.key(Role.ACTIVATION, CHOICE_SLOT)))

    def taken(self, number: int, sizes: list[int], key: int) -> Pairs:
        """What layer ``number`` takes of pairs of those sizes in this step; remembered for its backward pass."""
        k = min(max(int(len(sizes) * self.share), self.least, 1), len(sizes))
        self.pairs[number] = choose(sizes, k, self.how, key, self.replace, self.scaled)
        return self.pairs[number]

    def mask(self, p: Pass, op: Operator, shape: tuple[int, ...], mask: np.ndarray | None) -> np.ndarray | None:
        if op.number not in self.chosen:
            return mask
        taken = np.broadcast_to(self.pairs[op.number].counts > 0, shape)
        return taken if mask is None else mask & taken

    def passes_on(self, p: Pass, op: Operator, dx: np.ndarray) -> np.ndarray:
        if op.number not in self.chosen:
            return dx
        return self._times(p, op, dx, self.pairs[op.number])

    @staticmethod
    def _times(p: Pass, op: Operator, words: np.ndarray, pairs: Pairs) -> np.ndarray:
        """Columns that were not taken are zero, the others times their factor."""
        if not pairs.scaled:
            return np.where(pairs.counts > 0, words, 0)
        factors = np.where(pairs.counts > 0, pairs.factors, 0)
        width = op.formats.activations.width
        return p.count(*convert(words.astype(np.int64) * factors, FACTOR_BITS, Rounding.NEAREST, width=width))
