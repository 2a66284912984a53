"""The small network that guesses gradients: pooled features, one convolution, one dense layer (ADA-GP, see :mod:`golden.techniques.prediction`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt

import numpy as np

from golden.convert import convert
from golden.graph import Graph
from golden.layers import Execute, Formats, Role, tensor_key
from golden.network import check_state
from golden.nodes import Builder
from golden.operators import SLOTS, Operator, Pass
from golden.optimizer import Sgd, SgdPlan
from spec.chip import BRICK
from spec.number import Fixed, Rounding
from spec.product import ceil_div

FRAC = 10  # fraction bits of what it says
TOP_BITS = FRAC  # the largest word of a layer's features is scaled to 0.5 to 1
MEAN_BITS = FRAC - 2  # the root mean square of a layer's gradients to 0.125 to 0.25
FIRST = 1 << 12  # number of its first node where keys are made, behind those of any network
CONV, DENSE = 0, 3  # its nodes that learn


@dataclass(frozen=True)
class Shape:
    """``side`` by ``side`` pooled features, ``filters`` of a 3x3 convolution."""

    side: int = 4
    filters: int = 4

    def __post_init__(self) -> None:
        if not 3 <= self.side <= 8:
            raise ValueError(f"side must be 3 to 8, not {self.side}")
        if not 1 <= self.filters <= 64:
            raise ValueError(f"filters must be 1 to 64, not {self.filters}")

    def macs(self, outputs: int) -> int:
        """Multiplications for one filter of a layer with so many gradients a filter."""
        return self.side**2 * self.filters * (9 + outputs)


SMALL = Shape()


@dataclass
class PredictorPass(Pass):
    """A pass whose keys are those of nodes from ``first`` on."""

    first: int = 0

    def key(self, role: Role, slot: int = 0) -> int:
        return tensor_key(self.seed, self.step, SLOTS * (self.first + self.node) + slot, role)

    def sgd(
        self, op: Operator, plan: SgdPlan, weights: np.ndarray, velocity: np.ndarray, gradient: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, int]:
        how = {"rounding": self.rounding, "seed": self.seed, "step": self.step}
        return plan.update(weights, velocity, gradient, layer=SLOTS * (self.first + op.number), **how)  # type: ignore[arg-type]


class Predictor:
    """One for all layers: of its ``outputs`` only the bricks that a layer's filters need are computed and learn.

    weights, velocity : by node, of all outputs.
    """

    def __init__(self, size: Shape, outputs: int, width: int, seed: int, rate: float, momentum: float):
        self.size, self.width, self.seed = size, width, seed
        self.sgd = Sgd(rate=rate, momentum=momentum)
        self._graphs: dict[int, Graph] = {}
        whole = self.graph(outputs)
        self.outputs = whole.operators[DENSE].shape[0]
        self.weights, self.velocity = dict(whole.weights), dict(whole.velocity)

    def graph(self, outputs: int) -> Graph:
        """The network for filters of so many gradients, with words of its own."""
        own = ceil_div(outputs, BRICK) * BRICK
        if own not in self._graphs:
            b = Builder((self.size.side, self.size.side, 1))
            b.conv(self.size.filters, 3, padding=1)
            b.relu()
            b.flatten()
            b.dense(own)
            width = self.width
            formats = Formats(
                weights=Fixed(width, width - 3),
                activations=Fixed(width, FRAC),
                deltas=Fixed(width, FRAC),
                gradients=Fixed(width, FRAC - 3),
                velocity=Fixed(width, FRAC - 3),
            )
            self._graphs[own] = Graph(b.build("predictor"), Fixed(width, FRAC), formats, self.seed)
        return self._graphs[own]

    def part(self, outputs: int) -> Graph:
        """The same with the present words."""
        graph = self.graph(outputs)
        own = graph.operators[DENSE].shape[0]
        for kind, words in (("weights", self.weights), ("velocity", self.velocity)):
            setattr(graph, kind, {CONV: words[CONV], DENSE: words[DENSE][:, :own]})
        return graph

    @staticmethod
    def exponent(words: np.ndarray) -> int:
        """The power of two that scales a layer's features; 0 where all are zero."""
        most = int(np.abs(words).max())
        return TOP_BITS - most.bit_length() if most else 0

    def predict(self, execute: Execute, maps: np.ndarray, outputs: int) -> np.ndarray:
        """(filters, outputs) words with FRAC fraction bits for maps (filters, features); rounded to the nearest."""
        return self.part(outputs).predict(execute, maps)[:, :outputs]

    def learn(self, p: Pass, maps: np.ndarray, target: np.ndarray, first: int) -> float:
        """One step of mean square error against ``target`` (filters, gradients), zero for what is left of its last brick;
        its ratio to the target's mean square. first : number of the first node, for keys."""
        graph = self.part(target.shape[1])
        own = PredictorPass(p.execute, p.rounding, p.seed, p.step, training=True, first=first)
        tensors, kept = graph.forward(own, maps)
        error = tensors[-1].astype(np.int64)
        error[:, : target.shape[1]] -= target
        delta, saturations = convert(error, 0, Rounding.NEAREST, width=self.width)
        graph.descend(own, kept, delta, self.plans(graph, len(maps)))
        for mine, its in ((self.weights, graph.weights), (self.velocity, graph.velocity)):
            mine[CONV], mine[DENSE] = its[CONV], mine[DENSE].copy()
            mine[DENSE][:, : its[DENSE].shape[1]] = its[DENSE]
        p.saturations += own.saturations + saturations
        square = float((target.astype(np.float64) ** 2).sum())
        error = error[:, : target.shape[1]]
        return float((error.astype(np.float64) ** 2).sum()) / square if square else 0.0

    def plans(self, graph: Graph, filters: int) -> list[SgdPlan]:
        """Of its two layers, for a batch of so many filters."""
        return [self.sgd.plan(formats, filters) for formats in graph.formats]

    def state(self) -> dict[str, np.ndarray]:
        """As :meth:`golden.graph.Graph.state`."""
        kinds = {"weights": self.weights, "velocity": self.velocity}
        return {f"{kind}{number}": words for kind, tensors in kinds.items() for number, words in tensors.items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what :meth:`state` gave."""
        check_state("predictor", self.state(), state)
        for kind in ("weights", "velocity"):
            setattr(self, kind, {number: np.array(state[f"{kind}{number}"], np.int64) for number in (CONV, DENSE)})


def mean_exponent(squares: int, count: int) -> int:
    """The power of two that scales a layer's gradients, from their sum of squares; 0 where their mean is below one."""
    root = isqrt(squares // count)
    return MEAN_BITS - root.bit_length() if root else 0
