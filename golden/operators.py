"""Nodes with formats: each computes its output and, backward, the gradients of what it reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from golden.batchnorm import BatchNorm
from golden.conv import Conv
from golden.layers import Dense, Execute, Formats, Role, tensor_key
from golden.network import first_weights
from golden.nodes import (
    AddNode,
    AvgPoolNode,
    BatchNormNode,
    ConvNode,
    DenseNode,
    FlattenNode,
    MaxPoolNode,
    Node,
    ReluNode,
    Shape,
)
from golden.optimizer import SgdPlan
from golden.policy import EXACT, Policy
from golden.pool import AvgPool, MaxPool
from golden.residual import add, rescale
from golden.vector import gate
from spec.number import Fixed, Rounding

SLOTS = 4  # layer numbers a node has for its keys: one more for each tensor of a role it already has
LOSS_SLOT = 2  # the loss gradient's, of the last node


@dataclass
class Pass:
    """One pass of one node: who computes products, how to round, which keys; saturations outside products."""

    execute: Execute
    rounding: Rounding
    seed: int
    step: int
    training: bool
    policy: Policy = EXACT
    node: int = 0
    lowest: int = 0  # no gradient of the output of a node below this one is computed
    saturations: int = 0

    def key(self, role: Role, slot: int = 0) -> int:
        """:func:`golden.layers.tensor_key` of the node's layer number ``SLOTS * node + slot``; 0 in evaluation."""
        return tensor_key(self.seed, self.step, SLOTS * self.node + slot, role) if self.training else 0

    def count(self, words: np.ndarray, saturations: int) -> np.ndarray:
        self.saturations += saturations
        return words

    def sgd(
        self, op: "Operator", plan: SgdPlan, weights: np.ndarray, velocity: np.ndarray, gradient: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """The update of a node's parameters: new weights, new velocity, saturations."""
        how = {"rounding": self.rounding, "seed": self.seed, "step": self.step, "layer": SLOTS * op.number}
        return plan.update(weights, velocity, gradient, **how)  # type: ignore[arg-type]


Words = Sequence[np.ndarray]
Gradients = tuple[list[np.ndarray | None], np.ndarray | None]  # of what it reads, where asked for; of its parameters


@dataclass
class Kept:
    """What a node's backward pass needs of its forward pass."""

    reads: Words
    out: np.ndarray
    saved: Any
    gradient: np.ndarray | None = None  # of its parameters, where a policy knows it already


@dataclass
class Operator:
    """Node ``number`` with the formats around it.

    reads, belows : formats of what it reads and of its gradients; a below is None where nobody
    asks for the gradient. positive : what it reads has been through ReLU, so that words of zero
    mask the gradient. cap : if not 0, words of it do too. shapes, shape : of one sample, read and written.
    """

    number: int
    node: Node
    reads: tuple[Fixed, ...]
    belows: tuple[Fixed | None, ...]
    positive: bool
    cap: int
    shapes: tuple[Shape, ...]
    shape: Shape
    formats: Formats
    learns: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Each kind makes its ``unit`` here, which refuses formats that do not fit."""

    @property
    def out(self) -> Fixed:
        """The output's format: its own, or for nodes that only choose words, what they read."""
        return self.reads[0]

    @property
    def above(self) -> Fixed | None:
        """The format of the output's gradient."""
        return self.belows[0]

    def asked(self, p: Pass, side: int = 0) -> Fixed | None:
        """The format of the gradient of what it reads, if anybody asks for it in this step."""
        return self.belows[side] if self.node.reads[side] >= p.lowest else None

    def first(self, seed: int) -> np.ndarray | None:
        """First parameters, (rows, columns) words; None for nodes without."""
        return None

    def forward(self, p: Pass, reads: Words, weights: Any, running: Any) -> tuple[np.ndarray, Any]:
        """Output, and whatever backward needs besides the tensors."""
        raise NotImplementedError

    def backward(self, p: Pass, delta: np.ndarray, kept: Kept, weights: Any) -> Gradients:
        """Gradients of what it reads, None where not asked for, and of its parameters."""
        raise NotImplementedError


@dataclass
class _Computing(Operator):
    """Operators whose output has formats of its own."""

    @property
    def out(self) -> Fixed:
        return self.formats.activations

    @property
    def above(self) -> Fixed:
        return self.formats.deltas


class ProductOperator(_Computing):
    """Operators whose ``unit`` has the three products of a layer."""

    learns = True
    unit: Conv | Dense

    def forward(self, p: Pass, reads: Words, weights: Any, running: Any) -> tuple[np.ndarray, Any]:
        x = reads[0]
        if not p.training:
            return self.unit.forward(p.execute, x, weights, p.rounding, p.key(Role.ACTIVATION)), None
        seen = p.policy.reads(p, self, x, weights)
        out = self.unit.forward(p.execute, seen, weights, p.rounding, p.key(Role.ACTIVATION))
        return p.policy.gives(p, self, seen, out), seen

    def backward(self, p: Pass, delta: np.ndarray, kept: Kept, weights: Any) -> Gradients:
        (x,), below = kept.reads, self.asked(p)
        gradient = self._gradient(p, kept, delta, weights) if kept.gradient is None else kept.gradient
        if below is None:
            return [None], gradient
        mask = p.policy.mask(p, self, x.shape, open_words(x, self.cap) if self.positive else None)
        how = (mask, below, p.rounding, p.key(Role.DELTA))
        delta = p.policy.input_delta(p, self, delta)
        if isinstance(self.unit, Conv):  # a stride leaves the input's size open
            dx = self.unit.input_gradient(p.execute, delta, weights, x.shape, *how)
        else:
            dx = self.unit.input_gradient(p.execute, delta, weights, *how)
        return [p.policy.passes_on(p, self, dx)], gradient

    def _gradient(self, p: Pass, kept: Kept, delta: np.ndarray, weights: Any) -> np.ndarray:
        seen = kept.saved
        chosen = p.policy.weight_delta(p, self, seen, delta)
        if chosen is None:
            gradient = np.zeros_like(weights)
        else:
            gradient = self.unit.weight_gradient(p.execute, seen, chosen, p.rounding, p.key(Role.GRADIENT))
        return p.policy.gradient(p, self, gradient)


class ConvOperator(ProductOperator):
    def __post_init__(self) -> None:
        n = self.node
        assert isinstance(n, ConvNode)
        self.unit: Conv = Conv(self.number, self.reads[0], self.formats, n.kernel, n.stride, n.padding, n.bias)

    def first(self, seed: int) -> np.ndarray:
        fan_in = self.unit.kernel**2 * self.shapes[0][2]
        key = tensor_key(seed, 0, SLOTS * self.number, Role.INIT)
        weights = first_weights(fan_in, self.shape[2], self.formats.weights, key)
        return weights if self.unit.bias else weights[:-1]


class DenseOperator(ProductOperator):
    def __post_init__(self) -> None:
        self.unit = Dense(self.number, self.reads[0], self.formats, sparser=False)

    def first(self, seed: int) -> np.ndarray:
        key = tensor_key(seed, 0, SLOTS * self.number, Role.INIT)
        return first_weights(self.shapes[0][0], self.shape[0], self.formats.weights, key)


class BatchNormOperator(_Computing):
    learns = True

    def __post_init__(self) -> None:
        self.unit = BatchNorm(self.number, self.reads[0], self.formats)

    def first(self, seed: int) -> np.ndarray:
        return self.unit.first_parameters(self.shape[-1])

    def forward(self, p: Pass, reads: Words, weights: Any, running: Any) -> tuple[np.ndarray, Any]:
        if p.training:
            statistics, spread = self.unit.statistics(reads[0])
        else:
            statistics, spread = self.unit.running_statistics(running), ()
        done = self.unit.forward(reads[0], weights, statistics, p.rounding, p.key(Role.ACTIVATION))
        return p.count(done.words, done.saturations), (statistics, spread)

    def backward(self, p: Pass, delta: np.ndarray, kept: Kept, weights: Any) -> Gradients:
        below = self.asked(p) or self.formats.deltas
        dx, gradient, saturations = self.unit.backward(
            delta, kept.reads[0], weights, kept.saved[0], below, p.rounding, p.key(Role.DELTA), p.key(Role.GRADIENT)
        )
        p.count(gradient, saturations)
        if self.asked(p) is None:
            return [None], gradient
        return [p.count(dx.words, dx.saturations)], gradient


class ReluOperator(Operator):
    """limit : the largest word of its output, or 0."""

    def __post_init__(self) -> None:
        assert isinstance(self.node, ReluNode)
        self.limit = 0
        if self.node.limit is not None:
            self.limit = round(self.node.limit * (1 << self.out.frac))
            if not 1 < self.limit <= self.out.hi:
                raise ValueError(f"node {self.number}: ReLU's limit {self.node.limit} must be 2 to {self.out.hi} in words of {self.out}, not {self.limit}")

    def forward(self, p: Pass, reads: Words, weights: Any, running: Any) -> tuple[np.ndarray, Any]:
        out = gate(reads[0], reads[0])
        return np.minimum(out, self.limit) if self.limit else out, None

    def backward(self, p: Pass, delta: np.ndarray, kept: Kept, weights: Any) -> Gradients:
        if self.limit:
            return [np.where(open_words(kept.out, self.limit), delta, 0)], None
        return [gate(delta, kept.out)], None


def open_words(x: np.ndarray, cap: int) -> np.ndarray:
    """Where ReLU lets a gradient through, from its output: above zero, and below ``cap`` if that is not 0."""
    return (x > 0) & (x < cap) if cap else x > 0


class MaxPoolOperator(Operator):
    def __post_init__(self) -> None:
        n = self.node
        assert isinstance(n, MaxPoolNode)
        self.unit = MaxPool(n.kernel, n.stride, n.padding)

    def forward(self, p: Pass, reads: Words, weights: Any, running: Any) -> tuple[np.ndarray, Any]:
        return self.unit.forward(reads[0])

    def backward(self, p: Pass, delta: np.ndarray, kept: Kept, weights: Any) -> Gradients:
        return [p.count(*self.unit.backward(delta, kept.saved, kept.reads[0].shape, self.out.width))], None


class AvgPoolOperator(_Computing):
    def __post_init__(self) -> None:
        n = self.node
        assert isinstance(n, AvgPoolNode)
        self.unit = AvgPool(n.kernel, n.stride)

    def forward(self, p: Pass, reads: Words, weights: Any, running: Any) -> tuple[np.ndarray, Any]:
        up = self.out.frac - self.reads[0].frac
        done = self.unit.forward(reads[0], up, p.rounding, p.key(Role.ACTIVATION), self.out.width)
        return p.count(*done), None

    def backward(self, p: Pass, delta: np.ndarray, kept: Kept, weights: Any) -> Gradients:
        below = self.asked(p)
        if below is None:
            return [None], None
        up = below.frac - self.above.frac
        done = self.unit.backward(delta, kept.reads[0].shape, up, p.rounding, p.key(Role.DELTA), self.out.width)
        return [p.count(*done)], None


class AddOperator(_Computing):
    def forward(self, p: Pass, reads: Words, weights: Any, running: Any) -> tuple[np.ndarray, Any]:
        done = add(reads[0], reads[1], (self.reads[0], self.reads[1]), self.out, p.rounding, p.key(Role.ACTIVATION))
        return p.count(done.words, done.saturations), None

    def backward(self, p: Pass, delta: np.ndarray, kept: Kept, weights: Any) -> Gradients:
        gradients: list[np.ndarray | None] = []
        for side in range(len(self.belows)):
            below = self.asked(p, side)
            if below is None:
                gradients.append(None)
                continue
            done = rescale(delta, self.above, below, p.rounding, p.key(Role.DELTA, side))
            gradients.append(p.count(done.words, done.saturations))
        return gradients, None


class FlattenOperator(Operator):
    def forward(self, p: Pass, reads: Words, weights: Any, running: Any) -> tuple[np.ndarray, Any]:
        return reads[0].reshape(len(reads[0]), -1), None

    def backward(self, p: Pass, delta: np.ndarray, kept: Kept, weights: Any) -> Gradients:
        return [delta.reshape(kept.reads[0].shape)], None


OPERATORS: dict[type[Node], type[Operator]] = {
    ConvNode: ConvOperator,
    DenseNode: DenseOperator,
    BatchNormNode: BatchNormOperator,
    ReluNode: ReluOperator,
    MaxPoolNode: MaxPoolOperator,
    AvgPoolNode: AvgPoolOperator,
    AddNode: AddOperator,
    FlattenNode: FlattenOperator,
}
