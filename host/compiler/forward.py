"""The forward pass, node by node."""

from math import prod

from golden.layers import Role
from golden.operators import (
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
from golden.pool import reciprocal
from host.compiler.convs import Layer
from host.compiler.elementwise import Affine, Sweep, emit_sweep
from host.compiler.errors import Unsupported
from host.compiler.memory import view
from host.compiler.network import Network, Postponed, mean_image, pool_window
from host.compiler.norms import Norm
from host.compiler.pools import Pool, emit_pool
from host.program import Label, Value
from host.tensor import Tensor
from spec.isa import Kind
from spec.number import Rounding


def emit_forward(net: Network, op: Operator) -> None:
    """Commands for one node's output, which is in ``net.values`` from then on."""
    x = net.values[op.node.reads[0]]
    if isinstance(op, FlattenOperator):
        try:
            net.values[op.number] = view(x, (net.batch, *op.shape))
        except ValueError:  # features would not be whole bricks
            net.values[op.number] = x
        return
    if isinstance(op, ReluOperator) and net.fused(op.node.reads[0]):
        net.values[op.number] = x
        return
    if isinstance(op, BatchNormOperator):
        _norm(net, op, x)
        return
    out = net.values[op.number] = _room(net, op, x)
    e, memory, label, key = net.e, net.memory, Label(op.number, "FP", ""), net.key(op, Role.ACTIVATION)
    if isinstance(op, (ConvOperator, DenseOperator)):
        _products(net, op, x, out)
    elif isinstance(op, ReluOperator) and op.limit:
        _limited(net, op, x, out)
    elif isinstance(op, ReluOperator):
        net.affine(label, {"u": x}, out, (1, 0), 0, 0, relu=True)
    elif isinstance(op, AddOperator):
        _sum(net, op, out, key)
    elif isinstance(op, MaxPoolOperator):
        places = memory.add(f"places.{op.number}", out.shape) if net.training else None
        emit_pool(e, Pool(label, Kind.MAX, pool_window(op, x, out), out, places))
    elif isinstance(op, AvgPoolOperator):
        scalar, shift = reciprocal(op.unit.window(x.shape) ** 2, op.out.frac - op.reads[0].frac)
        window = pool_window(op, mean_image(op, x), out)
        emit_pool(e, Pool(label, Kind.MEAN, window, out, None, memory.scalars(scalar), key, shift, net.rounding))
    else:
        raise Unsupported(f"node {op.number}: no commands for {type(op).__name__}")


def _limited(net: Network, op: ReluOperator, x: Tensor, out: Tensor) -> None:
    """ReLU with a limit: what is left of the limit above a word, from the limit."""
    tables = {"same": net.memory.scalars(1), "rest": net.memory.scalars(-1, 0, op.limit)}
    steps = [
        Affine("y", "x", None, "same", 0, 0, relu=True),
        Affine("rest", "y", None, "rest", 0, 0, relu=True),
        Affine("out", "rest", None, "rest", 0, 0),
    ]
    emit_sweep(net.e, Sweep(Label(op.number, "FP", ""), {"x": x}, {"out": out}, tables, steps, Rounding.FLOOR))


def _products(net: Network, op: ConvOperator | DenseOperator, x: Tensor, out: Tensor) -> None:
    """A layer of products; what a policy learns of it at once."""
    key = net.key(op, Role.ACTIVATION)
    seen = net.seen[op.number] = net.lowering.reads(net, op, x) if net.training else x
    Layer.of(op, seen, out, net.weights[op.number]).forward(net.e, net.memory, key, net.rounding)
    if not net.training:
        return
    net.lowering.gives(net, op, seen, out)
    gradient = net.lowering.early(net, op, seen, out)
    if gradient is not None:
        net.early[op.number] = gradient


def _norm(net: Network, op: BatchNormOperator, x: Tensor) -> None:
    if x.shape[1:] != op.shapes[0]:
        raise Unsupported(f"node {op.number}: batch norm of flat features needs images of 8, 16, ... channels")
    norm = net.norms[op.number] = Norm(op, net.memory, net.weights[op.number])
    table, shift = norm.forward(net.e, x, net.training)
    key = net.key(op, Role.ACTIVATION)
    if net.summed(op.number):
        net.postponed[op.number] = Postponed(x, table, key, shift)
        net.values[op.number] = x
        return
    out = net.values[op.number] = _room(net, op, x)
    step = Affine("y", "x", None, "scalars", key, shift, uniform=False, relu=net.fused(op.number))
    sweep = Sweep(Label(op.number, "FP", ""), {"x": x}, {"y": out}, {"scalars": table}, [step], net.rounding)
    emit_sweep(net.e, sweep)


def _sum(net: Network, op: AddOperator, out: Tensor, key: Value) -> None:
    """The affines of batch norms that are only read here come first."""
    finest = max(op.reads[0].frac, op.reads[1].frac, op.out.frac)
    tables = {"scalars": net.memory.scalars(*(1 << (finest - fixed.frac) for fixed in op.reads))}
    reads: dict[str, Tensor] = {}
    steps: list[Affine] = []
    for name, source in zip("uv", op.node.reads, strict=True):
        norm = net.postponed.get(source)
        if norm is None:
            reads[name] = net.values[source]
            continue
        reads[f"{name} before"], tables[f"{name} scalars"] = norm.x, norm.table
        steps.append(Affine(name, f"{name} before", None, f"{name} scalars", norm.key, norm.shift, uniform=False))
    steps.append(Affine("out", "u", "v", "scalars", key, finest - op.out.frac, relu=net.fused(op.number)))
    emit_sweep(net.e, Sweep(Label(op.number, "FP", ""), reads, {"out": out}, tables, steps, net.rounding))


def _room(net: Network, op: Operator, x: Tensor) -> Tensor:
    """Room for its output, named after the ReLU that is fused with it, if one is."""
    number = net.readers[op.number][0].number if net.fused(op.number) else op.number
    same = prod(op.shapes[0]) == prod(op.shape) and not isinstance(op, (ConvOperator, DenseOperator))
    return net.memory.add(f"out.{number}", x.shape if same else (net.batch, *op.shape))
