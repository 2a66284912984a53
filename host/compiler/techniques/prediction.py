"""Gradient prediction as commands: in predicted batches a gradient is there before any backward pass; see golden.techniques.prediction."""

from typing import TYPE_CHECKING

import numpy as np

from golden.operators import Operator
from golden.techniques.layers import rows_of_weights
from golden.techniques.prediction import GradientPrediction, Guess, filter_words
from golden.techniques.predictor import CONV, DENSE, mean_exponent
from host.compiler.elementwise import Affine, Sweep, emit_sweep, emit_zeros
from host.compiler.emit import Span
from host.compiler.lowering import Lowering, Read, Write
from host.compiler.scalars import pack_scalars
from host.compiler.techniques.predictor import PHASE, Guesser, emit_features, emit_held, emit_turned, features_of
from host.compiler.techniques.squares import emit_squares
from host.program import Context, Label, Symbol
from host.tensor import Tensor
from spec.number import Rounding

if TYPE_CHECKING:
    from host.compiler.network import Network


class Prediction(Lowering):
    """The predictor shares the machine with the layers; of the controls, zeros are commands and the last gradient is kept by the host.

    resident : its weights stay in the scratchpad while a predicted batch goes through, loaded once (EFFICIENT), not with every layer (LOW).
    """

    policy: GradientPrediction

    def __init__(self, policy: GradientPrediction, resident: bool = False):
        super().__init__(policy)
        self.resident = resident
        self.held: dict[int, Span] = {}

    def keeps(self, net: "Network") -> None:
        for name, words in self._words():
            net.memory.add(name, words.shape)
        self.held = {}
        if self.resident and net.training and self.policy.predicting and self.policy.predictor is not None:
            sizes = {node: self._weights(net)[node].bricks for node in (CONV, DENSE)}
            whole = net.e.hold(self.policy.order[0], "the predictor of gradients", sum(sizes.values()))
            self.held = {CONV: Span(whole.base, sizes[CONV]), DENSE: Span(whole.base + sizes[CONV], sizes[DENSE])}

    def _weights(self, net: "Network") -> dict[int, Tensor]:
        return {node: net.memory.tensors[f"predictor.weights{node}"] for node in (CONV, DENSE)}

    def saves(self, read: Read) -> None:
        for name, words in self._words():
            words[...] = read(name)

    def loads(self, write: Write) -> None:
        for name, words in self._words():
            write(name, words)

    def _words(self) -> list[tuple[str, np.ndarray]]:
        """The predictor's parameters by their names in memory."""
        if self.policy.predictor is None:
            return []
        return [(f"predictor.{name}", words) for name, words in self.policy.predictor.state().items()]

    def _guesser(self, net: "Network", op: Operator, features: Tensor) -> Guesser:
        assert self.policy.predictor is not None
        return Guesser(
            net, op.number, features, filter_words(op), self.policy.predictor, self.policy.first_node(op.number), self.held
        )

    def lowest(self, net: "Network") -> int:
        return len(net.operators) if self.policy.predicting else 0

    def early(self, net: "Network", op: Operator, x: Tensor, out: Tensor) -> Tensor | None:
        predictor, number = self.policy.predictor, op.number
        if predictor is not None:
            guesser = self._guesser(net, op, emit_features(net, number, out, predictor))
        if not self.policy.predicting:
            return None
        gradient = net.memory.add(f"early.{number}", net.weights[number].shape)
        label = Label(number, PHASE if predictor is not None else "WG", "")
        if self.policy.guess is Guess.LAST:

            def last(context: Context) -> None:
                context.write(gradient.name, self.policy.last[number])

            net.e.host(label, last, (), (gradient.name,))
            return gradient
        if predictor is None or rows_of_weights(op)[2]:
            emit_zeros(net.e, label, gradient)  # with a predictor for the bias' row
        if predictor is not None:
            if number == self.policy.order[0]:
                emit_held(net.e, number, self._weights(net), self.held)
            guesser.forward(training=False)
            said = guesser.said
            self._scale(net, op, said, -1)
            emit_turned(net.e, label, said, said.rows, gradient, filter_words(op))
        return gradient

    def learns(self, net: "Network", op: Operator, gradient: Tensor) -> None:
        number = op.number
        if self.policy.guess is Guess.LAST:

            def keep(context: Context) -> None:
                self.policy.last[number] = context.read(gradient.name)

            net.e.host(Label(number, "WG", "kept"), keep, (gradient.name,))
        if self.policy.predictor is None:
            return
        label = Label(number, PHASE, "target")

        def measure(context: Context, squares: list[int]) -> None:
            self.policy.exponents[number] = mean_exponent(sum(squares), gradient.rows * gradient.channels)

        emit_squares(net, label, gradient, measure)
        guesser = self._guesser(net, op, net.memory.tensors[features_of(number)])
        target = net.memory.add(f"predictor.target.{number}", guesser.said.shape)
        emit_turned(net.e, label, gradient, filter_words(op), target, target.rows)
        self._scale(net, op, target, 1)
        guesser.learn(target)

    def _scale(self, net: "Network", op: Operator, words: Tensor, sign: int) -> None:
        """``words`` times the power of two of the layer's gradients, or over it, in place."""
        number = op.number
        name = f"predictor.scale.{number}"
        table = net.memory.table(name, 1)

        def scale(context: Context) -> None:
            power = sign * self.policy.exponents[number]
            context.write(name, pack_scalars(net.chip, [(1 << max(power, 0), 0, 0)], 1))
            context.values[f"{name}.shift"] = max(-power, 0)

        label = Label(number, PHASE, "scale")
        net.e.host(label, scale, (), (name,))
        step = Affine("words", "words", None, "scale", 0, Symbol(f"{name}.shift"))
        emit_sweep(net.e, Sweep(label, {"words": words}, {"words": words}, {"scale": table}, [step], Rounding.NEAREST))
