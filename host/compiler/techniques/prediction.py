"""Gradient prediction as commands: in predicted batches a gradient is there before any backward pass; see golden.techniques.prediction."""

from typing import TYPE_CHECKING

from golden.operators import Operator
from golden.techniques.prediction import GradientPrediction, Guess
from host.compiler.elementwise import emit_zeros
from host.compiler.errors import Unsupported
from host.compiler.lowering import Lowering
from host.program import Context, Label
from host.tensor import Tensor

if TYPE_CHECKING:
    from host.compiler.network import Network


class Prediction(Lowering):
    """The controls: no gradient at all, and the last true one, which the host keeps."""

    policy: GradientPrediction

    def __init__(self, policy: GradientPrediction):
        super().__init__(policy)
        if policy.guess is Guess.PREDICTED:
            raise Unsupported("no machine carries out the predictor yet: golden does; its controls run")

    def lowest(self, net: "Network") -> int:
        return len(net.operators) if self.policy.predicting else 0

    def early(self, net: "Network", op: Operator, x: Tensor, out: Tensor) -> Tensor | None:
        if not self.policy.predicting:
            return None
        gradient, label = net.memory.add(f"early.{op.number}", net.weights[op.number].shape), Label(op.number, "WG", "")
        if self.policy.guess is Guess.ZERO:
            emit_zeros(net.e, label, gradient)
        else:

            def last(context: Context) -> None:
                context.write(gradient.name, self.policy.last[op.number])

            net.e.host(label, last, (), (gradient.name,))
        return gradient

    def learns(self, net: "Network", op: Operator, gradient: Tensor) -> None:
        if self.policy.guess is not Guess.LAST:
            return

        def keep(context: Context) -> None:
            self.policy.last[op.number] = context.read(gradient.name)

        net.e.host(Label(op.number, "WG", "kept"), keep, (gradient.name,))
