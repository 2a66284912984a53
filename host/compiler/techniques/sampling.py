"""Column-row sampling as commands: norms from exact sums, the host's choice, a factor for every channel; see golden.techniques.sampling."""

from typing import TYPE_CHECKING

import numpy as np

from golden.conv import Conv
from golden.layers import Role
from golden.operators import SLOTS, Operator, ProductOperator
from golden.policy import CHOICE_SLOT
from golden.techniques.layers import rows_of_weights
from golden.techniques.sampling import FACTOR_BITS, ColumnRowSampling, norms_of
from host.compiler.elementwise import Affine, Sweep, emit_sweep
from host.compiler.errors import Unsupported
from host.compiler.lowering import Lowering
from host.compiler.memory import view
from host.compiler.scalars import pack_scalars
from host.compiler.techniques.squares import emit_squares
from host.program import Context, Label
from host.tensor import Tensor
from spec.chip import BRICK
from spec.number import Rounding

if TYPE_CHECKING:
    from host.compiler.network import Network


class Sampling(Lowering):
    """What is not taken is zero in the operand of FP and WG, which costs nothing, and masked in BP."""

    policy: ColumnRowSampling

    def reads(self, net: "Network", op: Operator, x: Tensor) -> Tensor:
        if op.number not in self.policy.chosen:
            return x
        flat, number, positive = _by_pair(net, op, x), op.number, op.positive
        memory, chip, weights = net.memory, net.chip, net.weights[op.number]
        entries = flat.row_bricks * BRICK
        factors, masks = f"pairs.{number}.factors", f"pairs.{number}.mask"
        table, _ = (memory.table(name, entries) for name in (factors, masks))

        def choose(context: Context, squares: list[int]) -> None:
            key = context.key(SLOTS * number + CHOICE_SLOT, Role.ACTIVATION)
            words = np.asarray(context.read(weights.name))
            bias = rows_of_weights(op)[2]
            pairs = self.policy.taken(number, norms_of(squares, words[: len(words) - bias], flat.channels), key)
            taken = (pairs.counts > 0).tolist()
            scalars = [(factor * have, 0, 0) for factor, have in zip(pairs.factors.tolist(), taken, strict=True)]
            context.write(factors, pack_scalars(chip, scalars, entries))
            ones = [(have, 0, 0) if positive else (0, 0, have) for have in map(int, taken)]
            context.write(masks, pack_scalars(chip, ones, entries))

        emit_squares(net, Label(number, "FP", "norms"), flat, choose, (weights.name,), (factors, masks))
        seen = memory.add(f"seen.{number}", x.shape)
        _scaled(net, Label(number, "FP", "taken"), flat, view(seen, flat.shape), table, FACTOR_BITS)
        return seen

    def mask(self, net: "Network", op: Operator, mask: Tensor | None) -> Tensor | None:
        if op.number not in self.policy.chosen:
            return mask
        if mask is not None and not op.cap and not self.policy.scaled and not self.policy.replace:
            return net.seen[op.number]  # positive where the input is and was taken
        given = mask or net.values[op.node.reads[0]]
        flat, out = _by_pair(net, op, given), net.memory.add(f"taken.{op.number}", given.shape)
        table = net.memory.tensors[f"pairs.{op.number}.mask"]
        _scaled(net, Label(op.number, "BP", "taken"), flat, view(out, flat.shape), table, 0)
        return out

    def passes_on(self, net: "Network", op: Operator, dx: Tensor) -> Tensor:
        policy = self.policy
        if op.number not in policy.chosen or not (policy.scaled or policy.replace):
            return dx
        flat = _by_pair(net, op, dx)
        table = net.memory.tensors[f"pairs.{op.number}.factors"]
        _scaled(net, Label(op.number, "BP", "factors"), flat, flat, table, FACTOR_BITS)
        return dx


def _by_pair(net: "Network", op: Operator, x: Tensor) -> Tensor:
    """``x`` with a channel for each pair: a dense layer's features may lie as an image."""
    assert isinstance(op, ProductOperator)
    if isinstance(op.unit, Conv):
        return x
    try:
        return view(x, (net.batch, op.shapes[0][-1]))
    except ValueError:
        raise Unsupported(f"node {op.number}: sampled features need images of 8, 16, ... channels, not {x.channels}") from None


def _scaled(net: "Network", label: Label, x: Tensor, out: Tensor, table: Tensor, shift: int) -> None:
    step = Affine("out", "x", None, "factors", 0, shift, uniform=False)
    emit_sweep(net.e, Sweep(label, {"x": x}, {"out": out}, {"factors": table}, [step], Rounding.NEAREST))
