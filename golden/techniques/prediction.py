"""Gradient prediction: in most batches a small network guesses the gradients, and there is no backward pass.

Janfaza, Mandal, Mahmud and Muzahid 2023, "ADA-GP: Accelerating DNN Training By Adaptive Gradient Prediction" (MICRO; arXiv:2305.13236):
warm-up, schedule and reorganisation are theirs. Sizes of the predictor could not be read and are parameters; its features and targets are scaled
by a power of two for each layer, as activations and gradients span orders of magnitude (ours).
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from golden.convert import convert
from golden.keyed import random_bits
from golden.operators import Operator, Pass, ProductOperator
from golden.policy import Policy, part_of
from golden.techniques.layers import product_layers, refused, rows_of_weights
from golden.techniques.predictor import FIRST, SMALL, Predictor, Shape, mean_exponent
from spec.number import Rounding

if TYPE_CHECKING:
    from golden.graph import Graph

PREDICTOR_INDEX = 0x0ADA  # of the random bits that seed the predictor


class Guess(Enum):
    """What stands for the gradients of a predicted batch."""

    PREDICTED = "predicted"
    ZERO = "zero"  # null control: momentum alone moves the weights
    LAST = "last"  # null control: the last true gradient


@dataclass(frozen=True)
class Groups:
    """``warm_up`` epochs of true gradients, then stages of (predicted, true, epochs): so many predicted batches, then so many true ones,
    in so many epochs; the last stage holds to the end."""

    warm_up: int = 10
    stages: tuple[tuple[int, int, int], ...] = ((4, 1, 4), (3, 1, 4), (2, 1, 4), (1, 1, 1))

    def __post_init__(self) -> None:
        if self.warm_up < 1:
            raise ValueError(f"warm_up must be at least 1, not {self.warm_up}: a prediction needs a true gradient before it")
        for stage in self.stages:
            if min(stage) < 1:
                raise ValueError(f"a stage must be three numbers of at least 1, not {stage}")

    def predicts(self, epoch: int, batch: int) -> bool:
        """Whether the gradients of this batch of the epoch are predicted."""
        if epoch < self.warm_up or not self.stages:
            return False
        left = epoch - self.warm_up
        now = self.stages[-1]
        for stage in self.stages:
            if left < stage[2]:
                now = stage
                break
            left -= stage[2]
        return batch % (now[0] + now[1]) < now[0]


PAPER = Groups()


def bound(share: float) -> float:
    """Speedup if a prediction costs nothing, FW 1 and BW 2: ``3 / (3 - 2 * share)`` of predicted batches."""
    return 3 / (3 - 2 * share)


class GradientPrediction(Policy):
    """Every layer of products; batch norms keep gamma and beta in predicted batches, biases move by their momentum.

    size : of the predictor. rate, momentum : of its SGD. losses : of the last true batch, a layer's mean square error in squares of its scaled
    gradient, beside the mean square of that gradient: a predictor that says nothing has 1.
    """

    def __init__(
        self,
        groups: Groups = PAPER,
        guess: Guess = Guess.PREDICTED,
        size: Shape = SMALL,
        rate: float = 0.01,
        momentum: float = 0.9,
    ):
        self.groups, self.guess, self.size, self.rate, self.momentum = groups, guess, size, rate, momentum
        self.order: list[int] = []
        self.nodes = 0
        self.epoch_steps = 1
        self.predicting = False
        self.predictor: Predictor | None = None
        self.maps: dict[int, np.ndarray] = {}
        self.exponents: dict[int, int] = {}
        self.last: dict[int, np.ndarray] = {}
        self.losses: dict[int, float] = {}

    def bind(self, graph: "Graph", epoch_steps: int) -> None:
        layers = product_layers(graph)
        if len(layers) < 2:
            raise refused("gradient prediction", graph, "it has one layer only")
        self.order, self.nodes, self.epoch_steps = [op.number for op in layers], len(graph.operators), epoch_steps
        self.exponents = dict.fromkeys(self.order, 0)
        if self.guess is Guess.LAST:
            self.last = {number: np.zeros_like(graph.weights[number]) for number in self.order}
        if self.guess is Guess.PREDICTED:
            most = max(filter_words(op) for op in layers)
            seed = int(random_bits(graph.seed, np.array([PREDICTOR_INDEX]))[0])
            self.predictor = Predictor(self.size, most, graph.inputs.width, seed, self.rate, self.momentum)

    def begins(self, p: Pass) -> None:
        self.predicting = self.groups.predicts(*divmod(p.step, self.epoch_steps))

    def variant(self) -> Hashable:
        return self.predicting

    def lowest(self, p: Pass) -> int:
        return self.nodes if self.predicting else 0

    def early(self, p: Pass, op: Operator, x: np.ndarray, out: np.ndarray) -> np.ndarray | None:
        if self.predictor is not None:
            maps = reorganised(out, self.size.side)
            self.maps[op.number] = scaled_maps(maps, self.predictor.width)
        if not self.predicting:
            return None
        rows = np.zeros((filter_words(op) + rows_of_weights(op)[2], out.shape[-1]), np.int64)
        if self.guess is Guess.LAST:
            return self.last[op.number]
        if self.predictor is not None:
            said = self.predictor.predict(p.execute, self.maps[op.number], filter_words(op))
            words, saturations = scaled(said, -self.exponents[op.number], op.formats.gradients.width)
            rows[: filter_words(op)] = p.count(words, saturations).T
        return rows

    def gradient(self, p: Pass, op: Operator, gradient: np.ndarray) -> np.ndarray:
        """Of a true batch: the predictor learns from it."""
        if self.guess is Guess.LAST:
            self.last[op.number] = gradient
        if self.predictor is not None:
            true = gradient[: filter_words(op)].T.astype(np.int64)
            self.exponents[op.number] = exponent = mean_exponent(int((gradient.astype(np.int64) ** 2).sum()), gradient.size)
            target, _ = scaled(true, exponent, op.formats.gradients.width)
            self.losses[op.number] = self.predictor.learn(p, self.maps[op.number], target, self.first_node(op.number))
        return gradient

    def first_node(self, number: int) -> int:
        """For the keys with which the predictor learns of layer ``number``."""
        return FIRST + 4 * self.order.index(number)

    def state(self) -> dict[str, np.ndarray]:
        kept = {"exponents": np.array(list(self.exponents.values()), np.int64)}
        kept |= {f"last{number}": words for number, words in self.last.items()}
        if self.predictor is not None:
            kept |= {f"predictor.{name}": words for name, words in self.predictor.state().items()}
        return kept

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self.exponents = dict(zip(self.order, state["exponents"].tolist(), strict=True))
        self.last = {number: np.array(state[f"last{number}"]) for number in self.last}
        if self.predictor is not None:
            self.predictor.restore(part_of(state, "predictor."))


def filter_words(op: Operator) -> int:
    """Gradients of one filter, its bias apart."""
    assert isinstance(op, ProductOperator)
    positions, channels, _ = rows_of_weights(op)
    return positions * channels


def scaled(words: np.ndarray, power: int, width: int) -> tuple[np.ndarray, int]:
    """``words * 2**power``, rounded to the nearest; saturations."""
    return convert(words.astype(np.int64) << max(power, 0), max(-power, 0), Rounding.NEAREST, width=width)


def scaled_maps(maps: np.ndarray, width: int) -> np.ndarray:
    """A layer's features as the predictor sees them."""
    return scaled(maps, Predictor.exponent(maps), width)[0]


def reorganised(out: np.ndarray, side: int) -> np.ndarray:
    """A layer's output (batch, h, w, c) or (batch, c) as samples of the predictor, one a channel: (c, side * side).

    The mean over batch and window, in words of ``out``: the sum is exact and rounded once. Windows divide the map into
    ``side`` by ``side``, as even as can be; in a smaller map they overlap.
    """
    if out.ndim == 2:
        out = out[:, None, None]
    batch, height, width, channels = out.shape
    total = out.sum(axis=0, dtype=np.int64)
    maps = np.empty((channels, side, side), np.int64)
    for i in range(side):
        for j in range(side):
            part = total[window(height, i, side), window(width, j, side)]
            count = batch * part.shape[0] * part.shape[1]
            sums = part.sum(axis=(0, 1))
            maps[:, i, j] = (2 * sums + count) // (2 * count)
    return maps.reshape(channels, -1)


def window(size: int, place: int, places: int) -> slice:
    """Of ``places`` windows along a side of ``size`` the one at ``place``."""
    return slice(place * size // places, -(-(place + 1) * size // places))
