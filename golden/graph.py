"""Any network of nodes on raw integer words: prediction, training steps, state to keep and restore."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from golden.layers import Execute, Formats, Role
from golden.loss import LOSS_FRAC, cross_entropy
from golden.network import StepResult, check_state
from golden.nodes import SAMPLES, Architecture, BatchNormNode, MaxPoolNode
from golden.operators import LOSS_SLOT, OPERATORS, Kept, Operator, Pass, ProductOperator, ReluOperator
from golden.optimizer import SgdPlan
from golden.policy import EXACT, Policy, part_of
from golden.reformat import moved, moved_running
from golden.residual import accumulate
from spec.number import Fixed, Rounding


class Graph:
    """``architecture`` with formats, parameters and softmax cross-entropy after its last node.

    inputs : format of the samples. formats : one for all nodes, or one each; nodes that only
    choose words (ReLU, max-pool, flatten) keep the format they read and ignore theirs.
    weights, velocity : by number, int64 words of the nodes that learn: (rows, channels), a
    convolution's as :class:`golden.conv.Conv` has them, batch norm's gamma over beta.
    running : by number, batch norm's running statistics.
    observe : None, or called with name and words of every tensor of a step once it is complete: "out.N" what node N gives,
    "places.N" where max-pool's words came from, "delta.N" the loss's gradient of the last node, "part.N.S.M" that of node
    M's output as node N, which reads it as its S-th operand, gives it, "delta.M.N" the sum of such parts up to that of N,
    "gradient.N" of parameters, "early.N" where a policy knew it in the forward pass, "velocity.N" and "weights.N" after the update.
    Keys are :func:`golden.layers.tensor_key` of ``(seed, step, SLOTS * node + slot, role)``; a gradient
    has the key of the node that computes it. Raises ValueError for formats that do not fit.
    """

    def __init__(
        self,
        architecture: Architecture,
        inputs: Fixed,
        formats: Formats | Sequence[Formats] | None = None,
        seed: int = 0,
    ):
        count = len(architecture.nodes)
        if formats is None or isinstance(formats, Formats):
            formats = (formats or Formats(),) * count
        if len(formats) != count:
            raise ValueError(f"{architecture.name}: formats must be one for each of {count} nodes, not {len(formats)}")
        self.architecture = architecture
        self.inputs = inputs
        self.seed = seed
        self.operators = _operators(architecture, inputs, formats)
        learning = [op for op in self.operators if op.learns]
        self.formats = tuple(op.formats for op in learning)  # of the nodes that learn
        self.weights = {op.number: words for op in learning if (words := op.first(seed)) is not None}
        self.velocity = {number: np.zeros_like(words) for number, words in self.weights.items()}
        self.observe: Callable[[str, np.ndarray], None] | None = None
        self.running = {
            op.number: op.unit.first_running(op.shape[-1])  # type: ignore[attr-defined]
            for op in learning
            if isinstance(op.node, BatchNormNode)
        }

        self.policy: Policy = EXACT

    def follow(self, policy: Policy, epoch_steps: int) -> None:
        """Train by ``policy`` from the next step on; ValueError with the reason where it cannot work on this network."""
        policy.bind(self, epoch_steps)
        self.policy = policy

    def reformat(self, formats: Formats | Sequence[Formats]) -> None:
        """Go on in other formats from the next step on, parameters rounded to the nearest; ValueError for formats that do not fit."""
        other = Graph(self.architecture, self.inputs, formats, self.seed)
        other.operators = [replace(op, positive=mine.positive) for op, mine in zip(other.operators, self.operators, strict=True)]
        for number, running in self.running.items():
            seen, read = self.operators[number].reads[0], other.operators[number].reads[0]
            other.running[number] = moved_running(running, seen, read)
        for number in self.weights:
            have, want = self.operators[number].formats, other.operators[number].formats
            other.weights[number] = moved(self.weights[number], have.weights, want.weights)
            other.velocity[number] = moved(self.velocity[number], have.velocity, want.velocity)
        for name in ("operators", "formats", "weights", "velocity", "running"):
            setattr(self, name, getattr(other, name))

    def predict(self, execute: Execute, x: np.ndarray) -> np.ndarray:
        """Logits (batch, classes) for x (batch, features), all rounded to nearest, running statistics in batch norm."""
        p = Pass(execute, Rounding.NEAREST, self.seed, 0, training=False)
        return self.forward(p, x)[0][-1]

    def step(
        self,
        execute: Execute,
        x: np.ndarray,
        labels: np.ndarray,
        plans: Sequence[SgdPlan],
        rounding: Rounding,
        step: int,
    ) -> StepResult:
        """Forward, backward and update on one batch, x (batch, features) and labels (batch,).

        plans : one for each node that learns, in order, as :attr:`formats`. ``step`` makes the keys of
        its tensors. An interrupted step leaves the state of the step before.
        """
        p = Pass(execute, rounding, self.seed, step, training=True, policy=self.policy)
        self.policy.begins(p)
        p.lowest = self.policy.lowest(p)
        tensors, kept = self.forward(p, x)
        last = self.operators[-1]
        p.node = last.number
        loss = cross_entropy(tensors[-1], labels, last.out, last.formats.deltas, rounding, p.key(Role.DELTA, LOSS_SLOT))
        p.saturations += loss.saturations
        self._show(f"delta.{last.number}", loss.delta)
        self.descend(p, kept, loss.delta, plans)
        self.policy.ends(p, loss.loss / len(labels) / (1 << LOSS_FRAC))
        return StepResult(loss.loss, loss.correct, len(labels), p.saturations)

    def descend(self, p: Pass, kept: list[Kept], delta: np.ndarray, plans: Sequence[SgdPlan]) -> None:
        """Backward pass from the last output's gradient, and update."""
        gradients = self._backward(p, kept, delta)
        weights, velocity = {}, {}
        for plan, number in zip(plans, self.weights, strict=True):
            old = self.weights[number], self.velocity[number]
            if number not in gradients:  # a policy leaves it as it is
                weights[number], velocity[number] = old
                continue
            op = self.operators[number]
            p.node = number
            weights[number], velocity[number], count = self.policy.update(p, op, plan, *old, gradients[number])
            p.saturations += count
            self._show(f"velocity.{number}", velocity[number])
            self._show(f"weights.{number}", weights[number])
        running = {}
        for number, old in self.running.items():
            unit = self.operators[number].unit  # type: ignore[attr-defined]
            running[number] = unit.run(old, *kept[number].saved)
        # At once, so that an interrupted step leaves the state of the step before.
        self.weights, self.velocity, self.running = weights, velocity, running

    def _show(self, name: str, words: np.ndarray) -> None:
        if self.observe is not None:
            self.observe(name, words)

    def _samples(self, x: np.ndarray) -> np.ndarray:
        return x.reshape(-1, *self.architecture.input)

    def forward(self, p: Pass, x: np.ndarray) -> tuple[list[np.ndarray], list[Kept]]:
        """Every node's output, and what its backward pass needs."""
        samples = self._samples(x)
        tensors: list[np.ndarray] = []
        kept: list[Kept] = []
        for op in self.operators:
            p.node = op.number
            reads = [samples if i == SAMPLES else tensors[i] for i in op.node.reads]
            out, saved = op.forward(p, reads, self.weights.get(op.number), self.running.get(op.number))
            self._show(f"out.{op.number}", out)
            if isinstance(op.node, MaxPoolNode):
                self._show(f"places.{op.number}", saved)
            tensors.append(out)
            kept.append(Kept(reads, out, saved))
            if p.training and isinstance(op, ProductOperator):
                kept[-1].gradient = p.policy.early(p, op, saved, out)
        return tensors, kept

    def _backward(self, p: Pass, kept: list[Kept], delta: np.ndarray) -> dict[int, np.ndarray]:
        """Gradients of all parameters, by node."""
        deltas: dict[int, np.ndarray] = {len(kept) - 1: delta}
        gradients = {n: early for n, one in enumerate(kept) if (early := one.gradient) is not None}
        for number, early in gradients.items():
            self._show(f"early.{number}", early)
        for op in reversed(self.operators):
            if op.number not in deltas or op.number < p.lowest:
                continue  # nothing learns below it, or not from a gradient of its output
            p.node = op.number
            below, gradient = op.backward(p, deltas.pop(op.number), kept[op.number], self.weights.get(op.number))
            if gradient is not None:
                gradients[op.number] = gradient
                self._show(f"gradient.{op.number}", gradient)
            for side, (source, part) in enumerate(zip(op.node.reads, below, strict=True)):
                if part is None:
                    continue
                self._show(f"part.{op.number}.{side}.{source}", part)
                if source in deltas:
                    above = self.operators[source].above
                    assert above is not None
                    done = accumulate(deltas[source], part, above)
                    part = p.count(done.words, done.saturations)
                    self._show(f"delta.{source}.{op.number}", part)
                deltas[source] = part
        return gradients

    def state(self) -> dict[str, np.ndarray]:
        """Everything a later step depends on but its step number, as arrays by name (``numpy.savez`` keeps them)."""
        return {
            f"{kind}{number}": words
            for kind, tensors in (("weights", self.weights), ("velocity", self.velocity), ("running", self.running))
            for number, words in tensors.items()
        } | {f"policy.{name}": words for name, words in self.policy.state().items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what :meth:`state` gave; ValueError when names or shapes are not this network's."""
        check_state(self.architecture.name, self.state(), state)
        for kind in ("weights", "velocity", "running"):
            setattr(self, kind, {n: np.array(state[f"{kind}{n}"], np.int64) for n in getattr(self, kind)})
        self.policy.restore(part_of(state, "policy."))

    def digest(self) -> str:
        """SHA-256 over weights and velocity, node by node, then running statistics, little-endian 64-bit words."""
        return digest(self.weights, self.velocity, self.running)


Tensors = Mapping[int, np.ndarray]  # by node


def digest(weights: Tensors, velocity: Tensors, running: Tensors) -> str:
    """What :meth:`Graph.digest` is made of."""
    content = hashlib.sha256()
    for number in weights:
        for tensors in (weights, velocity):
            content.update(np.ascontiguousarray(tensors[number], dtype="<i8").tobytes())
    for words in running.values():
        content.update(np.ascontiguousarray(words, dtype="<i8").tobytes())
    return content.hexdigest()


def _operators(architecture: Architecture, inputs: Fixed, formats: Sequence[Formats]) -> list[Operator]:
    shapes = architecture.shapes
    operators: list[Operator] = []
    wanted: list[bool] = []  # by number: does anything learn there or below
    positive: list[bool] = []  # by number: no negative words, and zero exactly where ReLU's output is
    caps: list[int] = []  # by number: the largest word, where a ReLU with a limit says one
    for number, (node, own) in enumerate(zip(architecture.nodes, formats, strict=True)):
        sources = [None if i == SAMPLES else operators[i] for i in node.reads]
        kind = OPERATORS[type(node)]
        if own.weights.width != inputs.width:
            raise ValueError(
                f"{architecture.name}: formats of node {number} must have the samples' width {inputs.width}, "
                f"not {own.weights.width}"
            )
        op = kind(
            number=number,
            node=node,
            reads=tuple(inputs if source is None else source.out for source in sources),
            belows=tuple(source.above if source is not None and wanted[source.number] else None for source in sources),
            positive=sources[0] is not None and positive[sources[0].number],
            cap=0 if sources[0] is None else caps[sources[0].number],
            shapes=tuple(architecture.input if i == SAMPLES else shapes[i] for i in node.reads),
            shape=shapes[number],
            formats=own,
        )
        operators.append(op)
        wanted.append(op.learns or any(below is not None for below in op.belows))
        positive.append(node.rectifies or (node.chooses and op.positive))
        caps.append(op.limit if isinstance(op, ReluOperator) else op.cap if node.chooses else 0)
    return operators


def uniform(
    architecture: Architecture, frac: int, width: int = 16, outputs: Fixed | None = None
) -> tuple[Formats, ...]:
    """One format with ``frac`` fraction bits for every tensor of every node; layer outputs in ``outputs`` if given,
    as Gupta et al. 2015 train their convolutional networks."""
    same = Formats.uniform(frac, width)
    return (same if outputs is None else replace(same, activations=outputs),) * len(architecture.nodes)
