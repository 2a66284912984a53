"""Localized learning as commands: the weight gradient with the layer's output as operand, behind its forward product; see golden.techniques.local."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from golden.layers import Role
from golden.operators import ConvOperator, DenseOperator, Operator
from golden.optimizer import SgdPlan
from golden.techniques.local import LocalizedLearning, hebbian_formats, reciprocal_root
from host.compiler.convs import Layer
from host.compiler.elementwise import Affine, Sweep, emit_sweep
from host.compiler.lowering import Lowering
from host.compiler.scalars import pack_scalars
from host.compiler.techniques.squares import emit_squares
from host.program import Context, Label, Symbol
from host.tensor import Tensor
from spec.number import Rounding

if TYPE_CHECKING:
    from host.compiler.network import Network


class Local(Lowering):
    """Layers before the transition layer; the norm of D comes from exact sums, its reciprocal from the host."""

    policy: LocalizedLearning

    def lowest(self, net: "Network") -> int:
        return self.policy.lowest_node

    def early(self, net: "Network", op: Operator, x: Tensor, out: Tensor) -> Tensor | None:
        if not self.policy.local(op) or not self.policy.learns:
            return None
        assert isinstance(op, (ConvOperator, DenseOperator))
        gradient = net.memory.add(f"early.{op.number}", net.weights[op.number].shape)
        own = replace(op, formats=hebbian_formats(op.formats, out.rows))
        layer = Layer.of(own, x, out, net.weights[op.number])
        layer.gradient(net.e, net.memory, out, gradient, net.key(op, Role.GRADIENT), net.rounding)
        return gradient

    def update(self, net: "Network", op: Operator, plan: SgdPlan, gradient: Tensor) -> None:
        number, label = op.number, Label(op.number, "update", "")
        if number in self.policy.changed:
            velocity = net.velocity[number]
            zeros = np.zeros(velocity.shape, np.int64)
            net.e.host(label, lambda context: context.write(velocity.name, zeros), (), (velocity.name,))
        if self.policy.local(op):
            self._step(net, op, gradient)
            return
        if self.policy.watched(number):
            emit_squares(net, replace(label, what="norm"), gradient, lambda context, squares: self.policy.saw(sum(squares)))
        super().update(net, op, plan, gradient)

    def _step(self, net: "Network", op: Operator, gradient: Tensor) -> None:
        """Weights in place: W + rate * D / |D|."""
        number, form, policy = op.number, op.formats.weights, self.policy
        names = {step: f"local.{number}.{step}" for step in ("unit", "weights")}
        tables = {f"{step} scalars": net.memory.table(name, 1) for step, name in names.items()}

        def scalars(context: Context, squares: list[int]) -> None:
            factor, shift = reciprocal_root(sum(squares), form.width)
            step = policy.step(form)
            for kind, (s0, s1, drop) in {"unit": (factor, 0, shift), "weights": (step.s0, step.s1, step.shift)}.items():
                context.write(names[kind], pack_scalars(net.chip, [(s0, s1, 0)], 1))
                context.values[f"{names[kind]}.shift"] = drop

        emit_squares(net, Label(number, "update", "norm"), gradient, scalars, (), tuple(names.values()))
        weights = net.weights[number]
        key = net.key(op, Role.WEIGHT)
        steps = [
            Affine("unit", "gradient", None, "unit scalars", 0, Symbol(f"{names['unit']}.shift"), rounding=Rounding.NEAREST),
            Affine("new weights", "weights", "unit", "weights scalars", key, Symbol(f"{names['weights']}.shift")),
        ]
        reads, writes = {"gradient": gradient, "weights": weights}, {"new weights": weights}
        emit_sweep(net.e, Sweep(Label(number, "update", ""), reads, writes, tables, steps, net.rounding))
