"""A graph of nodes to a program: forward, loss, backward, update, in the order of :meth:`golden.graph.Graph.step`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

from golden.graph import Graph
from golden.layers import Role
from golden.loss import cross_entropy
from golden.nodes import SAMPLES, AvgPoolNode, MaxPoolNode
from golden.operators import (
    LOSS_SLOT,
    SLOTS,
    AddOperator,
    AvgPoolOperator,
    BatchNormOperator,
    ConvOperator,
    DenseOperator,
    FlattenOperator,
    MaxPoolOperator,
    Operator,
    ReluOperator,
)
from golden.optimizer import SgdPlan
from golden.pool import reciprocal
from host.compiler.convs import Layer
from host.compiler.elementwise import Affine, Sweep, emit_sweep
from host.compiler.emit import Emitter
from host.compiler.errors import Unsupported
from host.compiler.geometry import Axis, Window, backward_axis, forward_axis
from host.compiler.memory import Memory, view
from host.compiler.norms import Norm
from host.compiler.pools import Pool, emit_pool
from host.compiler.update import emit_update, optimizer_scalars
from host.program import Context, Label, Program, Value, key_symbol
from host.tensor import Tensor
from spec.chip import Chip
from spec.isa import MAX_TAPS, Kind
from spec.number import Rounding


@dataclass(frozen=True)
class _Delta:
    """The gradient of a node's output. gated : it is zero wherever that output is not positive."""

    tensor: Tensor
    gated: bool = False


@dataclass
class Network:
    """Compiles one program for ``batch`` samples.

    plans : of the optimizer, one for each node that learns, as :meth:`golden.graph.Graph.step` takes them; None for
    prediction. base : first byte of memory. Tensors are named in docs/compiler.md.
    """

    graph: Graph
    chip: Chip
    batch: int
    plans: Sequence[SgdPlan] | None
    rounding: Rounding
    base: int = 0
    values: dict[int, Tensor] = field(default_factory=dict)
    norms: dict[int, Norm] = field(default_factory=dict)

    def __post_init__(self) -> None:
        width = self.graph.inputs.width
        if self.chip.width != width:
            raise Unsupported(
                f"{self.graph.architecture.name}: words have {width} bits, chip {self.chip.name}'s have {self.chip.width}"
            )
        self.e = Emitter(self.chip)
        self.memory = Memory(self.chip, self.base)
        # Parameters first, so that all programs of a graph agree about them.
        self.weights = {n: self.memory.add(f"weights.{n}", w.shape) for n, w in self.graph.weights.items()}
        self.velocity = {n: self.memory.add(f"velocity.{n}", w.shape) for n, w in self.graph.weights.items()}
        self.readers: dict[int, list[Operator]] = {}
        for op in self.operators:
            for source in op.node.reads:
                self.readers.setdefault(source, []).append(op)

    @property
    def operators(self) -> list[Operator]:
        return self.graph.operators

    @property
    def training(self) -> bool:
        return self.plans is not None

    def key(self, op: Operator, role: Role, slot: int = 0) -> Value:
        """As :meth:`golden.operators.Pass.key`."""
        return key_symbol(SLOTS * op.number + slot, role) if self.training else 0

    def label(self, op: Operator, phase: str, what: str = "") -> Label:
        return Label(op.number, phase, what)

    def program(self) -> Program:
        """The whole program. Raises :class:`host.compiler.errors.DoesNotFit` or :class:`Unsupported`."""
        self._samples()
        self.e.host(Label(SAMPLES, "FP", "start"), self._start, (), ("x",))
        for op in self.operators:
            self._forward(op)
        if self.plans is None:
            logits = self.values[len(self.operators) - 1].name
            self.e.host(Label(len(self.operators) - 1, "FP", "logits"), lambda c: _predict(c, logits), (logits,))
        else:
            self._backward(self.plans)
        self.e.end()
        return Program(
            name=self.graph.architecture.name,
            parts=tuple(self.e.parts),
            tensors=self.memory.tensors,
            parameters={n: t.name for n, t in self.weights.items()},
            velocity={n: t.name for n, t in self.velocity.items()},
            memory_bytes=self.memory.end,
        )

    def _samples(self) -> None:
        """As images, or flat if nobody wants images."""
        shape: tuple[int, ...] = self.graph.architecture.input
        if all(isinstance(op, FlattenOperator) for op in self.readers[SAMPLES]):
            shape = (prod(shape),)
        self.values[SAMPLES] = self.memory.add("x", (self.batch, *shape))

    def _start(self, context: Context) -> None:
        """Samples, constants, the optimizer's scalars."""
        x = self.values[SAMPLES]
        context.write("x", np.asarray(context.inputs["x"]).reshape(x.shape))
        for name, words in self.memory.constants.items():
            context.write(name, words)
        if self.plans is not None:
            optimizer_scalars(context, self.chip, list(self.weights), context.inputs.get("plans", self.plans))

    def _fused(self, op: Operator) -> bool:
        """Whether its only reader is a ReLU, which then is done in the same sweep."""
        readers = self.readers.get(op.number, [])
        alone = len(readers) == 1 and isinstance(readers[0], ReluOperator)
        return alone and isinstance(op, (BatchNormOperator, AddOperator))

    def _follows_fused(self, op: Operator) -> bool:
        source = op.node.reads[0]
        return source != SAMPLES and self._fused(self.operators[source])

    def _result(self, op: Operator) -> Tensor:
        """Room for its output, named after the ReLU that is fused with it, if one is."""
        number = self.readers[op.number][0].number if self._fused(op) else op.number
        stored = self.values[op.node.reads[0]].shape
        # Flat features that cannot be bricks still lie as an image.
        same = prod(op.shapes[0]) == prod(op.shape) and not isinstance(op, (ConvOperator, DenseOperator))
        return self.memory.add(f"out.{number}", stored if same else (self.batch, *op.shape))

    def _forward(self, op: Operator) -> None:
        reads = [self.values[i] for i in op.node.reads]
        x = reads[0]
        key = self.key(op, Role.ACTIVATION)
        label = self.label(op, "FP")
        if isinstance(op, FlattenOperator):
            try:
                self.values[op.number] = view(x, (self.batch, *op.shape))
            except ValueError:
                self.values[op.number] = x
            return
        if (
            isinstance(op, ReluOperator)
            and self._fused(self.operators[op.node.reads[0]])
            and op.node.reads[0] != SAMPLES
            and isinstance(self.operators[op.node.reads[0]], (BatchNormOperator, AddOperator))
        ):
            self.values[op.number] = x
            return
        out = self._result(op)
        self.values[op.number] = out
        if isinstance(op, (ConvOperator, DenseOperator)):
            Layer.of(op, x, out, self.weights[op.number]).forward(self.e, self.memory, key, self.rounding)
        elif isinstance(op, BatchNormOperator):
            if x.shape[1:] != op.shapes[0]:
                raise Unsupported(f"node {op.number}: batch norm of flat features needs images of 8, 16, ... channels")
            self.norms[op.number] = Norm(op, self.memory, self.weights[op.number])
            self.norms[op.number].forward(self.e, x, out, key, self.rounding, self._fused(op), self.training)
        elif isinstance(op, ReluOperator):
            self._affine(label, {"u": x}, out, (1, 0), 0, 0, relu=True)
        elif isinstance(op, AddOperator):
            finest = max(op.reads[0].frac, op.reads[1].frac, op.out.frac)
            scalars = (1 << (finest - op.reads[0].frac), 1 << (finest - op.reads[1].frac))
            relu = self._fused(op)
            self._affine(label, {"u": x, "v": reads[1]}, out, scalars, key, finest - op.out.frac, relu=relu)
        elif isinstance(op, MaxPoolOperator):
            places = self.memory.add(f"places.{op.number}", out.shape) if self.training else None
            emit_pool(self.e, Pool(label, Kind.MAX, self._window(op, x, out), out, places))
        elif isinstance(op, AvgPoolOperator):
            area = op.unit.window(x.shape) ** 2
            scalar, shift = reciprocal(area, op.out.frac - op.reads[0].frac)
            x, flat = self._mean_shapes(op, x, out)
            window = self._window(op, x, flat)
            pool = Pool(label, Kind.MEAN, window, flat, None, self.memory.scalars(scalar), key, shift, self.rounding)
            emit_pool(self.e, pool)
        else:
            raise Unsupported(f"node {op.number}: no commands for {type(op).__name__}")

    def _affine(
        self,
        label: Label,
        reads: dict[str, Tensor],
        out: Tensor,
        scalars: tuple[int, int],
        key: Value,
        shift: int,
        *,
        relu: bool = False,
        gate: bool = False,
        rounding: Rounding | None = None,
    ) -> None:
        """out = Convert(s0*u + s1*v), the same for all channels."""
        table = self.memory.scalars(*scalars)
        step = Affine("out", "u", "v" if "v" in reads else None, "scalars", key, shift, relu=relu, gate=gate)
        mode = self.rounding if rounding is None else rounding
        emit_sweep(self.e, Sweep(label, reads, {"out": out}, {"scalars": table}, [step], mode))

    def _mean_shapes(self, op: AvgPoolOperator, x: Tensor, out: Tensor) -> tuple[Tensor, Tensor]:
        """Whole images larger than a window may be are one place wide: their positions are lines."""
        side = op.unit.window(x.shape)
        if side <= MAX_TAPS or out.shape[1] > 1:
            return x, out
        batch, height, width, channels = x.shape
        return view(x, (batch, height * width, 1, channels)), out

    def _window(self, op: Operator, x: Tensor, out: Tensor) -> Window:
        """Of pooling forward."""
        return Window(_pool_axis(op, forward_axis, x, out, 1), _pool_axis(op, forward_axis, x, out, 2), x)

    def _window_back(self, op: Operator, x: Tensor, delta: Tensor) -> Window:
        return Window(_pool_axis(op, backward_axis, x, delta, 1), _pool_axis(op, backward_axis, x, delta, 2), delta)

    def _backward(self, plans: Sequence[SgdPlan]) -> None:
        last = self.operators[-1]
        logits = self.values[last.number]
        delta = self.memory.add(f"delta.{last.number}", logits.shape)
        loss_key = (SLOTS * last.number + LOSS_SLOT, Role.DELTA)

        def loss(context: Context) -> None:
            done = cross_entropy(
                context.read(logits.name),
                context.inputs["labels"],
                last.out,
                last.formats.deltas,
                self.rounding,
                context.key(*loss_key),
            )
            context.write(delta.name, done.delta)
            context.results |= {"loss": done.loss, "correct": done.correct}

        self.e.host(self.label(last, "BP", "loss"), loss, (logits.name,), (delta.name,))
        deltas = {last.number: _Delta(delta)}
        gradients: dict[int, Tensor] = {}
        for op in reversed(self.operators):
            if op.number not in deltas:
                continue  # nothing learns below it
            if op.learns:
                gradients[op.number] = self.memory.add(f"gradient.{op.number}", self.weights[op.number].shape)
            parts = self._back(op, deltas.pop(op.number), gradients.get(op.number))
            for source, part in zip(op.node.reads, parts, strict=True):
                if part is None:
                    continue
                if source in deltas:
                    part = self._accumulate(op, source, deltas[source], part)
                deltas[source] = part
        for plan, (number, weights) in zip(plans, self.weights.items(), strict=True):
            emit_update(
                self.e, self.memory, plan, number, weights, self.velocity[number], gradients[number], self.rounding
            )

        def finish(context: Context) -> None:
            for norm in self.norms.values():
                norm.run(context)

        self.e.host(Label(last.number, "update", "running statistics"), finish)

    def _accumulate(self, op: Operator, source: int, one: _Delta, other: _Delta) -> _Delta:
        """Gradients of a tensor that two nodes read."""
        out = self.memory.add(f"delta.{source}.{op.number}", one.tensor.shape)
        label = self.label(op, "BP", "accumulate")
        self._affine(label, {"u": one.tensor, "v": other.tensor}, out, (1, 1), 0, 0, rounding=Rounding.FLOOR)
        return _Delta(out, one.gated and other.gated)

    def _back(self, op: Operator, delta: _Delta, gradient: Tensor | None) -> list[_Delta | None]:
        """Emits a node's backward pass; gradients of what it reads."""
        reads = [self.values[i] for i in op.node.reads]
        x, below = reads[0], op.belows[0]
        label = self.label(op, "BP")
        key = self.key(op, Role.DELTA)

        def room(side: int = 0) -> Tensor:
            source = op.node.reads[side]
            return self.memory.add(f"part.{op.number}.{side}.{source}", reads[side].shape)

        if isinstance(op, FlattenOperator):
            return [
                None
                if below is None
                else _Delta(view(delta.tensor, x.shape) if delta.tensor.shape != x.shape else delta.tensor, delta.gated)
            ]
        if isinstance(op, (ConvOperator, DenseOperator)):
            assert gradient is not None
            layer = Layer.of(op, x, self.values[op.number], self.weights[op.number])
            layer.gradient(self.e, self.memory, delta.tensor, gradient, self.key(op, Role.GRADIENT), self.rounding)
            if below is None:
                return [None]
            dx = room()
            layer.backward(self.e, delta.tensor, dx, below, op.positive, key, self.rounding)
            return [_Delta(dx, op.positive)]
        if isinstance(op, BatchNormOperator):
            assert gradient is not None
            dx_or_none = None if below is None else room()
            norm, given = self.norms[op.number], below or op.formats.deltas
            norm.backward(self.e, delta.tensor, x, dx_or_none, gradient, given, key, self.rounding)
            return [None if dx_or_none is None else _Delta(dx_or_none)]
        if isinstance(op, AddOperator):
            return [self._rescaled(op, delta, side, room) for side in range(2)]
        if below is None:
            return [None]
        if isinstance(op, ReluOperator):
            if delta.gated:
                return [_Delta(delta.tensor)]
            dx = room()
            out = self.values[op.number]
            self._affine(label, {"u": delta.tensor, "v": out}, dx, (1, 0), 0, 0, gate=True)
            return [_Delta(dx)]
        dx = room()
        if isinstance(op, MaxPoolOperator):
            window = self._window_back(op, x, delta.tensor)
            places = self.memory.tensors[f"places.{op.number}"]
            emit_pool(self.e, Pool(label, Kind.MAX_BACK, window, dx, places))
            return [_Delta(dx, delta.gated)]
        assert isinstance(op, AvgPoolOperator)
        scalar, shift = reciprocal(op.unit.window(x.shape) ** 2, below.frac - op.above.frac)
        image, _ = self._mean_shapes(op, x, delta.tensor)
        window = self._window_back(op, image, delta.tensor)
        flat = view(dx, image.shape)
        emit_pool(
            self.e, Pool(label, Kind.MEAN, window, flat, None, self.memory.scalars(scalar), key, shift, self.rounding)
        )
        return [_Delta(dx)]

    def _rescaled(self, op: AddOperator, delta: _Delta, side: int, room: Callable[[int], Tensor]) -> _Delta | None:
        """One side of an addition gets the gradient in its own format."""
        below = op.belows[side]
        if below is None:
            return None
        finest = max(op.above.frac, below.frac)
        scalar, shift = 1 << (finest - op.above.frac), finest - below.frac
        if scalar == 1 and not shift:
            return _Delta(delta.tensor)
        dx = room(side)
        key = self.key(op, Role.DELTA, side)
        self._affine(self.label(op, "BP", f"side {side}"), {"u": delta.tensor}, dx, (scalar, 0), key, shift)
        return _Delta(dx)


def _pool_axis(
    op: Operator, make: Callable[[int, int, int, int, int], Axis], x: Tensor, out: Tensor, side: int
) -> Axis:
    node = op.node
    assert isinstance(node, (MaxPoolNode, AvgPoolNode))
    kernel = node.kernel or x.shape[side]
    padding = node.padding if isinstance(node, MaxPoolNode) else 0
    stride = node.stride if node.kernel else 1
    return make(x.shape[side], out.shape[side], kernel, stride, padding)


def _predict(context: Context, logits: str) -> None:
    context.results["logits"] = context.read(logits)


def compile_step(
    graph: Graph,
    chip: Chip,
    batch: int,
    plans: Sequence[SgdPlan],
    rounding: Rounding = Rounding.STOCHASTIC,
    base: int = 0,
) -> Program:
    """A training step of ``batch`` samples. Raises :class:`host.compiler.errors.DoesNotFit` or :class:`Unsupported`."""
    return Network(graph, chip, batch, plans, rounding, base).program()


def compile_predict(graph: Graph, chip: Chip, batch: int, base: int = 0) -> Program:
    """Logits of ``batch`` samples, as :meth:`golden.graph.Graph.predict` rounds them."""
    return Network(graph, chip, batch, None, Rounding.NEAREST, base).program()
