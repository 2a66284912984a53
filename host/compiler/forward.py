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
from host.compiler.errors import Unsupported
from host.compiler.memory import view
from host.compiler.network import Network, mean_image, pool_window
from host.compiler.norms import Norm
from host.compiler.pools import Pool, emit_pool
from host.program import Label
from host.tensor import Tensor
from spec.isa import Kind


def emit_forward(net: Network, op: Operator) -> None:
    """Commands for one node's output, which is in ``net.values`` from then on."""
    reads = [net.values[i] for i in op.node.reads]
    x = reads[0]
    if isinstance(op, FlattenOperator):
        try:
            net.values[op.number] = view(x, (net.batch, *op.shape))
        except ValueError:  # features would not be whole bricks
            net.values[op.number] = x
        return
    if isinstance(op, ReluOperator) and net.fused(op.node.reads[0]):
        net.values[op.number] = x
        return
    out = net.values[op.number] = _room(net, op, x)
    e, memory, label, key = net.e, net.memory, Label(op.number, "FP", ""), net.key(op, Role.ACTIVATION)
    if isinstance(op, (ConvOperator, DenseOperator)):
        Layer.of(op, x, out, net.weights[op.number]).forward(e, memory, key, net.rounding)
    elif isinstance(op, BatchNormOperator):
        if x.shape[1:] != op.shapes[0]:
            raise Unsupported(f"node {op.number}: batch norm of flat features needs images of 8, 16, ... channels")
        net.norms[op.number] = Norm(op, memory, net.weights[op.number])
        net.norms[op.number].forward(e, x, out, key, net.rounding, net.fused(op.number), net.training)
    elif isinstance(op, ReluOperator):
        net.affine(label, {"u": x}, out, (1, 0), 0, 0, relu=True)
    elif isinstance(op, AddOperator):
        finest = max(op.reads[0].frac, op.reads[1].frac, op.out.frac)
        scalars = (1 << (finest - op.reads[0].frac), 1 << (finest - op.reads[1].frac))
        relu = net.fused(op.number)
        net.affine(label, {"u": x, "v": reads[1]}, out, scalars, key, finest - op.out.frac, relu=relu)
    elif isinstance(op, MaxPoolOperator):
        places = memory.add(f"places.{op.number}", out.shape) if net.training else None
        emit_pool(e, Pool(label, Kind.MAX, pool_window(op, x, out), out, places))
    elif isinstance(op, AvgPoolOperator):
        scalar, shift = reciprocal(op.unit.window(x.shape) ** 2, op.out.frac - op.reads[0].frac)
        window = pool_window(op, mean_image(op, x), out)
        emit_pool(e, Pool(label, Kind.MEAN, window, out, None, memory.scalars(scalar), key, shift, net.rounding))
    else:
        raise Unsupported(f"node {op.number}: no commands for {type(op).__name__}")


def _room(net: Network, op: Operator, x: Tensor) -> Tensor:
    """Room for its output, named after the ReLU that is fused with it, if one is."""
    number = net.readers[op.number][0].number if net.fused(op.number) else op.number
    same = prod(op.shapes[0]) == prod(op.shape) and not isinstance(op, (ConvOperator, DenseOperator))
    return net.memory.add(f"out.{number}", x.shape if same else (net.batch, *op.shape))
