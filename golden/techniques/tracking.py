"""Sparse weights while training: only weights that moved far are kept.

Yang, Ghasemazar, Ren, Golub, Lemieux and Lis 2020, "Procrustes: a Dataflow and Accelerator for Sparse Deep Neural Network Training"
(MICRO; arXiv:2009.10976), section 3; the streaming quantile estimate is theirs, in integers.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from golden.operators import Operator, Pass
from golden.optimizer import SgdPlan
from golden.policy import Policy
from golden.techniques.layers import product_layers, refused

if TYPE_CHECKING:
    from golden.graph import Graph

GUESS_BITS = 24  # fraction bits of the threshold, below a word
DECAY_BITS = 16


@njit(cache=True)
def _stream(scores, guess, up, down):  # type: ignore[no-untyped-def]
    """Which of ``scores`` are above the threshold, which moves with each of them; the threshold after the last."""
    kept = np.zeros(scores.size, np.bool_)
    for i in range(scores.size):
        keep = (scores[i] << GUESS_BITS) > guess
        kept[i] = keep
        part = guess >> 32
        low = guess & 0xFFFFFFFF
        if keep:
            guess += part * up + (low * up >> 32)
        else:
            guess = max(guess - (part * down + (low * down >> 32)), 1)
    return kept, guess


def stream(scores: np.ndarray, guess: int, share: float, rate: float) -> tuple[np.ndarray, int]:
    """Keep about ``share`` of the scores: above the threshold it grows by ``1 + rate * (1 - share)``, else shrinks by ``1 - rate * share``.

    ``guess`` has GUESS_BITS fraction bits; both factors have 32. Equal inputs, equal words: integers throughout.
    """
    quantile = 1 - share
    up, down = round(rate * quantile * (1 << 32)), round(rate * (1 - quantile) * (1 << 32))
    kept, guess = _stream(np.ascontiguousarray(scores, np.int64).reshape(-1), guess, up, down)
    return kept.reshape(scores.shape), int(guess)


class WeightTracking(Policy):
    """Of every layer's weights about ``share`` is tracked; the others are their first words times ``0.9**t`` after t steps, soon 0.

    rate : lambda of the estimate, which must suit a layer's size; None takes 8 / (number of weights) (ours: in one pass the threshold
    then moves by a factor of e**8 at most). Biases are kept. The paper trains without momentum.
    """

    def __init__(self, share: float = 0.1, decay: float = 0.9, rate: float | None = None):
        if not 0 < share < 1:
            raise ValueError(f"share must be more than 0 and less than 1, not {share}")
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be at least 0 and less than 1, not {decay}")
        self.share, self.decay, self.rate = share, decay, rate
        self.first: dict[int, np.ndarray] = {}
        self.guess: dict[int, int] = {}

    def bind(self, graph: "Graph", epoch_steps: int) -> None:
        layers = product_layers(graph)[:-1]
        if not layers:
            raise refused("weight tracking", graph, "it has no layer before its last")
        self.first = {op.number: np.array(words) for op in layers if (words := op.first(graph.seed)) is not None}
        self.guess = {number: 1 << GUESS_BITS for number in self.first}

    def update(
        self, p: Pass, op: Operator, plan: SgdPlan, weights: np.ndarray, velocity: np.ndarray, gradient: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, int]:
        weights, velocity, saturations = p.sgd(op, plan, weights, velocity, gradient)
        if op.number not in self.first:
            return weights, velocity, saturations
        factor = round(self.decay ** (p.step + 1) * (1 << DECAY_BITS))
        faded = self.first[op.number] * factor >> DECAY_BITS
        rate = self.rate or 8 / weights.size
        kept, self.guess[op.number] = stream(np.abs(weights - faded), self.guess[op.number], self.share, rate)
        if getattr(op.unit, "bias", True):  # type: ignore[attr-defined]
            kept[-1] = True
        return np.where(kept, weights, faded), velocity, saturations

    def state(self) -> dict[str, np.ndarray]:
        return {f"guess{number}": np.array(guess, np.int64) for number, guess in self.guess.items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self.guess = {number: int(state[f"guess{number}"]) for number in self.guess}
