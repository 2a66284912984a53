"""Loss, backward pass and update, in the order of :meth:`golden.graph.Graph.step`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from golden.layers import Role
from golden.loss import cross_entropy
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
from host.compiler.memory import view
from host.compiler.network import Network, mean_image, pool_window_back
from host.compiler.pools import Pool, emit_pool
from host.program import Context, Label
from host.tensor import Tensor
from spec.isa import Kind
from spec.number import Rounding


@dataclass(frozen=True)
class Delta:
    """The gradient of a node's output. gated : it is zero wherever that output is not positive."""

    tensor: Tensor
    gated: bool = False


def emit_backward(net: Network, plans: Sequence[SgdPlan]) -> None:
    """Everything behind the logits."""
    last = net.operators[-1]
    deltas = {last.number: _loss(net)}
    awaited = Counter(
        source
        for op in net.operators[net.lowest :]
        for side, source in enumerate(op.node.reads)
        if net.below(op, side)
    )
    gradients = dict(net.early)
    for op in reversed(net.operators):
        if op.number not in deltas or op.number < net.lowest:
            continue  # nothing learns below it, or not from a gradient of its output
        if op.learns and op.number not in gradients:
            gradients[op.number] = net.memory.add(f"gradient.{op.number}", net.weights[op.number].shape)
        parts = _back(net, op, deltas.pop(op.number), gradients.get(op.number))
        for source, part in zip(op.node.reads, parts, strict=True):
            if part is None:
                continue
            awaited[source] -= 1
            if source in deltas:
                part = _accumulated(net, op, source, deltas[source], part, not awaited[source])
            deltas[source] = part
    for plan, number in zip(plans, net.weights, strict=True):
        if number in gradients:
            net.lowering.update(net, net.operators[number], plan, gradients[number])

    def finish(context: Context) -> None:
        for norm in net.norms.values():
            norm.run(context)

    net.e.host(Label(last.number, "update", "running statistics"), finish)


def _loss(net: Network) -> Delta:
    last, rounding = net.operators[-1], net.rounding
    logits = net.values[last.number]
    delta = net.memory.add(f"delta.{last.number}", logits.shape)

    def loss(context: Context) -> None:
        z, labels = context.read(logits.name), context.inputs["labels"]
        key = context.key(SLOTS * last.number + LOSS_SLOT, Role.DELTA)
        done = cross_entropy(z, labels, last.out, last.formats.deltas, rounding, key)
        context.write(delta.name, done.delta)
        context.results |= {"loss": done.loss, "correct": done.correct}

    net.e.host(Label(last.number, "BP", "loss"), loss, (logits.name,), (delta.name,))
    return Delta(delta)


def _accumulated(net: Network, op: Operator, source: int, one: Delta, other: Delta, last: bool) -> Delta:
    """Gradients of a tensor that two nodes read; behind the last of a ReLU's, its own backward pass at once."""
    label, above = Label(source, "BP", "accumulate"), net.operators[source]
    reads = {"u": one.tensor, "v": other.tensor}
    gated = one.gated and other.gated
    if last and not gated and isinstance(above, ReluOperator) and net.below(above) is not None:
        table, dx = net.memory.scalars(1, 1), _room(net, above)
        steps = [
            Affine("sum", "u", "v", "scalars", 0, 0),
            Affine("dx", "sum", "out", "scalars", 0, 0, gate=True),
        ]
        reads["out"] = net.open(source, above.limit)
        emit_sweep(net.e, Sweep(label, reads, {"dx": dx}, {"scalars": table}, steps, Rounding.FLOOR))
        return Delta(dx, True)
    out = net.memory.add(f"delta.{source}.{op.number}", one.tensor.shape)
    net.affine(label, reads, out, (1, 1), 0, 0, rounding=Rounding.FLOOR)
    return Delta(out, gated)


def _room(net: Network, op: Operator, side: int = 0) -> Tensor:
    """For the gradient of what it reads."""
    source = op.node.reads[side]
    return net.memory.add(f"part.{op.number}.{side}.{source}", net.values[source].shape)


def _back(net: Network, op: Operator, delta: Delta, gradient: Tensor | None) -> list[Delta | None]:
    """Commands for one node; gradients of what it reads, None where not asked for."""
    if isinstance(op, AddOperator):
        return [_rescaled(net, op, delta, side) for side in range(len(op.belows))]
    if op.learns:
        assert gradient is not None
        return [_back_learning(net, op, delta, gradient)]
    return [None if net.below(op) is None else _back_fixed(net, op, delta)]


def _back_learning(net: Network, op: Operator, delta: Delta, gradient: Tensor) -> Delta | None:
    """A node with parameters."""
    x, below, key = net.values[op.node.reads[0]], net.below(op), net.key(op, Role.DELTA)
    if isinstance(op, BatchNormOperator):
        dx = None if below is None else _room(net, op)
        given = below or op.formats.deltas
        net.norms[op.number].backward(net.e, delta.tensor, x, dx, gradient, given, key, net.rounding)
        return None if dx is None else Delta(dx)
    assert isinstance(op, (ConvOperator, DenseOperator))
    if op.number not in net.early:
        _weight_gradient(net, op, delta.tensor, gradient)
    if below is None:
        return None
    dx, lowering = _room(net, op), net.lowering
    layer = Layer.of(op, x, net.values[op.number], net.weights[op.number])
    mask = lowering.mask(net, op, net.open(op.node.reads[0], op.cap) if op.positive else None)
    operand = lowering.input_delta(net, op, delta.tensor)
    layer.backward(net.e, operand, dx, below, mask, key, net.rounding)
    return Delta(lowering.passes_on(net, op, dx), op.positive)


def _weight_gradient(net: Network, op: ConvOperator | DenseOperator, delta: Tensor, gradient: Tensor) -> None:
    layer = Layer.of(op, net.seen[op.number], net.values[op.number], net.weights[op.number])

    def exact(operand: Tensor) -> None:
        layer.gradient(net.e, net.memory, operand, gradient, net.key(op, Role.GRADIENT), net.rounding)

    net.lowering.weight_gradient(net, op, delta, gradient, exact)
    net.lowering.learns(net, op, gradient)


def _back_fixed(net: Network, op: Operator, delta: Delta) -> Delta:
    """A node without parameters that reads one tensor, whose gradient somebody wants."""
    x, below, label = net.values[op.node.reads[0]], net.below(op), Label(op.number, "BP", "")
    if isinstance(op, FlattenOperator):
        same = delta.tensor.shape == x.shape
        return Delta(delta.tensor if same else view(delta.tensor, x.shape), delta.gated)
    if isinstance(op, ReluOperator):
        if delta.gated:
            return Delta(delta.tensor)
        dx, out = _room(net, op), net.open(op.number, op.limit)
        net.affine(label, {"u": delta.tensor, "v": out}, dx, (1, 0), 0, 0, gate=True)
        return Delta(dx)
    dx = _room(net, op)
    if isinstance(op, MaxPoolOperator):
        places = net.memory.tensors[f"places.{op.number}"]
        emit_pool(net.e, Pool(label, Kind.MAX_BACK, pool_window_back(op, x, delta.tensor), dx, places))
        # A window whose largest word is not positive has no gradient.
        return Delta(dx, delta.gated)
    assert isinstance(op, AvgPoolOperator)
    assert below is not None
    scalar, shift = reciprocal(op.unit.window(x.shape) ** 2, below.frac - op.above.frac)
    image = mean_image(op, x)
    window, flat = pool_window_back(op, image, delta.tensor), view(dx, image.shape)
    table, key = net.memory.scalars(scalar), net.key(op, Role.DELTA)
    emit_pool(net.e, Pool(label, Kind.MEAN, window, flat, None, table, key, shift, net.rounding))
    return Delta(dx)


def _rescaled(net: Network, op: AddOperator, delta: Delta, side: int) -> Delta | None:
    """One side of an addition gets the gradient in its own format."""
    below = net.below(op, side)
    if below is None:
        return None
    finest = max(op.above.frac, below.frac)
    scalar, shift = 1 << (finest - op.above.frac), finest - below.frac
    if scalar == 1 and not shift:
        return Delta(delta.tensor)
    dx = _room(net, op, side)
    label, key = Label(op.number, "BP", f"side {side}"), net.key(op, Role.DELTA, side)
    net.affine(label, {"u": delta.tensor}, dx, (scalar, 0), key, shift)
    return Delta(dx)
