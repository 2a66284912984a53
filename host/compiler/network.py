"""What is known of a network while it is compiled: where tensors lie, who reads whom, commands collected so far."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np

from golden.graph import Graph
from golden.layers import Role
from golden.nodes import SAMPLES, AvgPoolNode, MaxPoolNode
from golden.operators import (
    SLOTS,
    AddOperator,
    AvgPoolOperator,
    BatchNormOperator,
    ConvOperator,
    FlattenOperator,
    Operator,
    ReluOperator,
)
from golden.optimizer import SgdPlan
from golden.policy import EXACT
from host.compiler.elementwise import Affine, Sweep, emit_sweep
from host.compiler.emit import Emitter
from host.compiler.errors import Unsupported
from host.compiler.geometry import Axis, Window, backward_axis, forward_axis
from host.compiler.lowering import Lowering
from host.compiler.memory import Memory, view
from host.compiler.norms import Norm
from host.program import Label, Symbol, Value, key_symbol
from host.tensor import Tensor
from spec.chip import BRICK, Chip
from spec.isa import MAX_TAPS
from spec.number import Fixed, Rounding
from spec.product import ceil_div


@dataclass(frozen=True)
class Postponed:
    """A batch norm whose affine is done by the sum that alone reads it."""

    x: Tensor
    table: Tensor
    key: Value
    shift: Symbol


@dataclass
class Network:
    """One program for ``batch`` samples of ``graph`` on ``chip``.

    plans : of the optimizer, one for each node that learns, as :meth:`golden.graph.Graph.step` takes them; None for
    prediction. base : first byte of memory. values : by node, its output as it lies in memory: an image where flat
    features would not be whole bricks; of a batch norm that a sum does, what it reads. lowering : of the policy the step follows. seen : by node, what
    a layer of products read. early : by node, gradients known in the forward pass. Raises :class:`Unsupported` for words of another width than the chip's.
    """

    graph: Graph
    chip: Chip
    batch: int
    plans: Sequence[SgdPlan] | None
    rounding: Rounding
    base: int = 0
    lowering: Lowering = field(default_factory=lambda: Lowering(EXACT))
    seen: dict[int, Tensor] = field(default_factory=dict)
    early: dict[int, Tensor] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)
    norms: dict[int, Norm] = field(default_factory=dict)
    postponed: dict[int, Postponed] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name, width = self.graph.architecture.name, self.graph.inputs.width
        if self.chip.width != width:
            raise Unsupported(f"{name}: words have {width} bits, chip {self.chip.name}'s have {self.chip.width}")
        self.e = Emitter(self.chip)
        self.memory = Memory(self.chip, self.base)
        # Parameters first, so that all programs of a graph agree about them.
        self.weights = {n: self.memory.add(f"weights.{n}", w.shape) for n, w in self.graph.weights.items()}
        self.velocity = {n: self.memory.add(f"velocity.{n}", w.shape) for n, w in self.graph.weights.items()}
        self.lowering.keeps(self)
        self.readers: dict[int, list[Operator]] = {}
        for op in self.operators:
            for source in op.node.reads:
                self.readers.setdefault(source, []).append(op)
        # Samples are flat if nobody wants images.
        flat = all(isinstance(op, FlattenOperator) for op in self.readers[SAMPLES])
        shape: tuple[int, ...] = self.graph.architecture.input
        if flat:
            shape = (prod(shape),)
        elif self.folded is not None:
            shape = (shape[0], self.folded.shape[1], self.folded.unit.kernel * shape[2])
        self.values[SAMPLES] = self.memory.add("x", (self.batch, *shape))

    @property
    def operators(self) -> list[Operator]:
        return self.graph.operators

    @cached_property
    def folded(self) -> ConvOperator | None:
        """The convolution that reads the samples, if they are to lie so that a tap along y finds all it sees in one position.

        Where that takes no more bricks of a position: a brick of one channel is seven eighths zeros.
        """
        readers = self.readers[SAMPLES]
        if len(readers) > 1 or not isinstance(readers[0], ConvOperator) or readers[0].unit.stride > 1:
            return None
        kernel, channels = readers[0].unit.kernel, readers[0].shapes[0][-1]
        return readers[0] if kernel > 1 and ceil_div(kernel * channels, BRICK) == ceil_div(channels, BRICK) else None

    def samples(self, x: np.ndarray) -> np.ndarray:
        """Words of the samples as they lie in memory."""
        lies = self.values[SAMPLES].shape
        if self.folded is None:
            return x.reshape(lies)
        x = x.reshape(len(x), *self.graph.architecture.input)
        x = np.pad(x, ((0, 0), (0, 0), (self.folded.unit.padding,) * 2, (0, 0)))
        seen = np.lib.stride_tricks.sliding_window_view(x, self.folded.unit.kernel, axis=2)
        return np.moveaxis(seen, -1, 3).reshape(lies)

    @property
    def training(self) -> bool:
        return self.plans is not None

    @cached_property
    def lowest(self) -> int:
        """The first node that gets a gradient of its output."""
        return self.lowering.lowest(self)

    def below(self, op: Operator, side: int = 0) -> Fixed | None:
        """The format of the gradient of what ``op`` reads, if anybody asks for it; as :meth:`golden.operators.Operator.asked`."""
        return op.belows[side] if op.node.reads[side] >= self.lowest else None

    def key(self, op: Operator, role: Role, slot: int = 0) -> Value:
        """As :meth:`golden.operators.Pass.key`."""
        return key_symbol(SLOTS * op.number + slot, role) if self.training else 0

    def fused(self, number: int) -> bool:
        """Whether this node's only reader is a ReLU, which then is done in the same sweep."""
        if number == SAMPLES or not isinstance(self.operators[number], (BatchNormOperator, AddOperator)):
            return False
        readers = self.readers.get(number, [])
        return len(readers) == 1 and isinstance(readers[0], ReluOperator) and not readers[0].limit

    def summed(self, number: int) -> bool:
        """Whether this batch norm's only reader is a sum, which then does its affine in the same sweep."""
        readers = self.readers.get(number, [])
        return len(readers) == 1 and isinstance(readers[0], AddOperator) and len(set(readers[0].node.reads)) == 2

    def open(self, number: int, cap: int) -> Tensor:
        """Positive where node ``number``, which ReLU rectified, lets a gradient through: its output, or where words of ``cap`` do not
        a tensor of its own."""
        x, name = self.values[number], f"open.{number}"
        if not cap or name in self.memory.tensors:
            return self.memory.tensors.get(name, x)
        out = self.memory.add(name, x.shape)
        step = Affine("open", "x", "x", "scalars", 0, 0, gate=True)
        tables = {"scalars": self.memory.scalars(-1, 0, cap)}
        emit_sweep(self.e, Sweep(Label(number, "BP", "open"), {"x": x}, {"open": out}, tables, [step], Rounding.FLOOR))
        return out

    def affine(
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
        """out = Convert(s0*u + s1*v), the same for all channels; u and v by name in ``reads``."""
        table = self.memory.scalars(*scalars)
        step = Affine("out", "u", "v" if "v" in reads else None, "scalars", key, shift, relu=relu, gate=gate)
        mode = self.rounding if rounding is None else rounding
        emit_sweep(self.e, Sweep(label, reads, {"out": out}, {"scalars": table}, [step], mode))


def pool_window(op: Operator, x: Tensor, out: Tensor) -> Window:
    """Of pooling x to out."""
    return Window(_axis(op, forward_axis, x, out, 1), _axis(op, forward_axis, x, out, 2), x)


def pool_window_back(op: Operator, x: Tensor, delta: Tensor) -> Window:
    """Of the gradient of x, from delta."""
    return Window(_axis(op, backward_axis, x, delta, 1), _axis(op, backward_axis, x, delta, 2), delta)


def _axis(op: Operator, make: Callable[[int, int, int, int, int], Axis], x: Tensor, out: Tensor, side: int) -> Axis:
    node = op.node
    assert isinstance(node, (MaxPoolNode, AvgPoolNode))
    kernel = node.kernel or x.shape[side]
    padding = node.padding if isinstance(node, MaxPoolNode) else 0
    stride = node.stride if node.kernel else 1
    return make(x.shape[side], out.shape[side], kernel, stride, padding)


def mean_image(op: AvgPoolOperator, x: Tensor) -> Tensor:
    """x; a whole image larger than a window can be is one place wide, its positions are lines."""
    if op.unit.kernel or x.shape[1] <= MAX_TAPS:
        return x
    batch, height, width, channels = x.shape
    return view(x, (batch, height * width, 1, channels))
