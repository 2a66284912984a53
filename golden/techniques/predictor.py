"""The small network that guesses gradients: pooled features, one convolution, one dense layer (ADA-GP, see :mod:`golden.techniques.prediction`)."""

from dataclasses import dataclass

import numpy as np

from golden.convert import convert
from golden.graph import Graph
from golden.layers import Execute, Formats
from golden.nodes import Builder
from golden.operators import Pass
from golden.optimizer import Sgd
from spec.number import Fixed, Rounding

FRAC = 10  # fraction bits of what it says
TOP_BITS = FRAC  # the largest word of a layer's features, and of its gradients, is scaled to 0.5 to 1


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


class Predictor:
    """One for all layers: what a layer's filters do not need of its ``outputs`` is neither computed nor learned."""

    def __init__(self, size: Shape, outputs: int, width: int, seed: int, rate: float, momentum: float):
        b = Builder((size.side, size.side, 1))
        b.conv(size.filters, 3, padding=1)
        b.relu()
        b.flatten()
        b.dense(outputs)
        formats = Formats(
            weights=Fixed(width, width - 3),
            activations=Fixed(width, FRAC),
            deltas=Fixed(width, FRAC),
            gradients=Fixed(width, FRAC - 3),
            velocity=Fixed(width, FRAC - 3),
        )
        self.graph = Graph(b.build("predictor"), Fixed(width, FRAC), formats, seed)
        self.sgd = Sgd(rate=rate, momentum=momentum)

    @staticmethod
    def exponent(words: np.ndarray) -> int:
        """The power of two that scales a layer's features or gradients; 0 where all are zero."""
        most = int(np.abs(words).max())
        return TOP_BITS - most.bit_length() if most else 0

    def predict(self, execute: Execute, maps: np.ndarray) -> np.ndarray:
        """(filters, outputs) words with FRAC fraction bits for maps (filters, features); rounded to the nearest."""
        return self.graph.predict(execute, maps)

    def learn(self, p: Pass, maps: np.ndarray, target: np.ndarray, step: int) -> float:
        """One step of mean square error against ``target`` (filters, some of the outputs); its ratio to the target's mean square."""
        own = Pass(p.execute, p.rounding, self.graph.seed, step, training=True)
        tensors, kept = self.graph.forward(own, maps)
        error = np.zeros_like(tensors[-1], np.int64)
        error[:, : target.shape[1]] = tensors[-1][:, : target.shape[1]] - target
        delta, _ = convert(error, 0, Rounding.NEAREST, width=self.graph.inputs.width)
        plans = [self.sgd.plan(formats, len(maps)) for formats in self.graph.formats]
        self.graph.descend(own, kept, delta, plans)
        p.saturations += own.saturations
        square = float((target.astype(np.float64) ** 2).sum())
        return float((error.astype(np.float64) ** 2).sum()) / square if square else 0.0
