"""Gradient prediction as commands: in predicted batches a gradient is there before any backward pass; see golden.techniques.prediction."""

from typing import TYPE_CHECKING

from golden.operators import Operator
from golden.techniques.layers import rows_of_weights
from golden.techniques.prediction import GradientPrediction, Guess, filter_words
from golden.techniques.predictor import mean_exponent
from host.compiler.elementwise import Affine, Sweep, emit_sums, emit_sweep, emit_zeros, record_shape
from host.compiler.lowering import Lowering, Read, Write
from host.compiler.scalars import pack_scalars, unpack_sums
from host.compiler.techniques.predictor import PHASE, Guesser, Words, emit_features, emit_turned
from host.program import Context, Label, Symbol
from host.tensor import Tensor
from spec.number import Rounding

if TYPE_CHECKING:
    from host.compiler.network import Network


class Prediction(Lowering):
    """The predictor shares the machine with the layers; of the controls, zeros are commands and the last gradient is kept by the host."""

    policy: GradientPrediction

    def __init__(self, policy: GradientPrediction):
        super().__init__(policy)
        self.words: dict[int, Words] = {}  # by network
        self.guessers: dict[int, dict[int, Guesser]] = {}

    def keeps(self, net: "Network") -> None:
        if self.policy.predictor is not None:
            self.words[id(net)], self.guessers[id(net)] = Words.of(net, self.policy.predictor), {}

    def saves(self, read: Read) -> None:
        predictor = self.policy.predictor
        if predictor is not None:
            for kind in (predictor.weights, predictor.velocity):
                name = "weights" if kind is predictor.weights else "velocity"
                for number in kind:
                    kind[number] = read(f"predictor.{name}.{number}")

    def loads(self, write: Write) -> None:
        predictor = self.policy.predictor
        if predictor is not None:
            for name, kind in (("weights", predictor.weights), ("velocity", predictor.velocity)):
                for number, words in kind.items():
                    write(f"predictor.{name}.{number}", words)

    def lowest(self, net: "Network") -> int:
        return len(net.operators) if self.policy.predicting else 0

    def early(self, net: "Network", op: Operator, x: Tensor, out: Tensor) -> Tensor | None:
        predictor, number = self.policy.predictor, op.number
        if predictor is not None:
            features = emit_features(net, number, out, predictor)
            first, words = self.policy.first_node(number), self.words[id(net)]
            guesser = Guesser(net, number, features, filter_words(op), predictor, words, first)
            self.guessers[id(net)][number] = guesser
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
            guesser.forward(training=False)
            said = guesser.said
            self._scaled(net, op, said, said, -1)
            emit_turned(net.e, label, said, said.rows, gradient, filter_words(op))
        return gradient

    def learns(self, net: "Network", op: Operator, gradient: Tensor) -> None:
        number, chip = op.number, net.chip
        if self.policy.guess is Guess.LAST:

            def keep(context: Context) -> None:
                self.policy.last[number] = context.read(gradient.name)

            net.e.host(Label(number, "WG", "kept"), keep, (gradient.name,))
        if self.policy.predictor is None:
            return
        label = Label(number, PHASE, "target")
        records = net.memory.add(f"predictor.squares.{number}", record_shape(chip, gradient.row_bricks))
        emit_sums(net.e, label, gradient, gradient, records)

        def measure(context: Context) -> None:
            _, squares = unpack_sums(chip, context.read(records.name), gradient.channels)
            self.policy.exponents[number] = mean_exponent(sum(squares), gradient.rows * gradient.channels)

        net.e.host(label, measure, (records.name,))
        guesser = self.guessers[id(net)][number]
        target = net.memory.add(f"predictor.target.{number}", guesser.said.shape)
        emit_turned(net.e, label, gradient, filter_words(op), target, target.rows)
        self._scaled(net, op, target, target, 1)
        guesser.learn(target)

    def _scaled(self, net: "Network", op: Operator, words: Tensor, out: Tensor, sign: int) -> None:
        """``words`` times the power of two of the layer's gradients, or over it."""
        number = op.number
        name = f"predictor.scale.{number}"
        table = net.memory.table(name, 1)

        def scale(context: Context) -> None:
            power = sign * self.policy.exponents[number]
            context.write(name, pack_scalars(net.chip, [(1 << max(power, 0), 0, 0)], 1))
            context.values[f"{name}.shift"] = max(-power, 0)

        label = Label(number, PHASE, "scale")
        net.e.host(label, scale, (), (name,))
        step = Affine("out", "words", None, "scale", 0, Symbol(f"{name}.shift"))
        emit_sweep(net.e, Sweep(label, {"words": words}, {"out": out}, {"scale": table}, [step], Rounding.NEAREST))
