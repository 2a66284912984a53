"""Gradient approximation as commands; see golden.techniques.approximation."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from golden.layers import Role
from golden.operators import SLOTS, Operator
from golden.policy import CHOICE_SLOT
from golden.techniques.approximation import Batches, Gradient, GradientApproximation, normal_gradient
from host.compiler.elementwise import emit_zeros
from host.compiler.lowering import Lowering
from host.compiler.techniques.spikes import emit_spikes
from host.program import Context, Label
from host.tensor import Tensor

if TYPE_CHECKING:
    from host.compiler.network import Network


class Approximation(Lowering):
    """Spikes are vector commands, the product is the engine's; random gradients come from the host."""

    policy: GradientApproximation

    def weight_gradient(
        self, net: "Network", op: Operator, delta: Tensor, gradient: Tensor, exact: Callable[[Tensor], None]
    ) -> None:
        policy = self.policy
        if op.number not in policy.chosen or (policy.batches is Batches.ALTERNATE and not policy.variant()):
            return exact(delta)
        if policy.batches is not Batches.SIGN:
            return self._approximated(net, op, delta, gradient, exact)
        flag = f"approximated.{op.number}"
        row = net.memory.alias(f"first row.{op.number}", delta, (1, *delta.shape[2:]))

        def decide(context: Context) -> None:
            context.flags[flag] = policy.negative(context.read(row.name)[0])

        net.e.host(Label(op.number, "WG", "sign"), decide, (row.name,))
        with net.e.when(flag, True):
            self._approximated(net, op, delta, gradient, exact)
        with net.e.when(flag, False):
            exact(delta)
        return None

    def _approximated(
        self, net: "Network", op: Operator, delta: Tensor, gradient: Tensor, exact: Callable[[Tensor], None]
    ) -> None:
        how, label = self.policy.how, Label(op.number, "WG", "")
        if how is Gradient.APPROXIMATED:
            exact(emit_spikes(net, op, delta, self.policy.scale))
        elif how is Gradient.ZERO:
            emit_zeros(net.e, label, gradient)
        else:

            def draw(context: Context) -> None:
                key = context.key(SLOTS * op.number + CHOICE_SLOT, Role.GRADIENT)
                context.write(gradient.name, normal_gradient(key, gradient.shape, op.formats.gradients))

            net.e.host(label, draw, (), (gradient.name,))
