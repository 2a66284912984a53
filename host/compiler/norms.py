"""Batch normalisation: exact sums on the machine, integers per channel on the host, one affine on the machine."""

from collections.abc import Callable
from dataclasses import dataclass

from golden.batchnorm import Scalars
from golden.layers import Role
from golden.operators import SLOTS, BatchNormOperator
from host.compiler.elementwise import Affine, Sweep, emit_sums, emit_sweep, record_shape
from host.compiler.emit import Emitter
from host.compiler.memory import Memory
from host.compiler.scalars import pack_scalars, unpack_sums
from host.program import Context, Label, Symbol, Value
from host.tensor import Tensor
from spec.chip import BRICK
from spec.number import Fixed, Rounding


@dataclass(frozen=True)
class Norm:
    """One node; ``parameters`` is gamma over beta."""

    op: BatchNormOperator
    memory: Memory
    parameters: Tensor

    def _label(self, phase: str, what: str) -> Label:
        return Label(self.op.number, phase, what)

    def _scalars(self, kind: str, like: Tensor) -> tuple[Tensor, Symbol, Callable[[Context, Scalars], None]]:
        """A table for the channels of ``like``, the symbol of its shift, and what sets both."""
        name = f"norm.{self.op.number}.{kind}"
        entries = like.row_bricks * BRICK
        table = self.memory.table(name, entries)

        def put(context: Context, scalars: Scalars) -> None:
            context.write(name, pack_scalars(self.memory.chip, scalars.channels, entries))
            context.values[f"{name}.shift"] = scalars.shift

        return table, Symbol(f"{name}.shift"), put

    def _records(self, kind: str, like: Tensor) -> Tensor:
        return self.memory.add(f"norm.{self.op.number}.{kind}", record_shape(self.memory.chip, like.row_bricks))

    def forward(self, e: Emitter, x: Tensor, training: bool) -> tuple[Tensor, Symbol]:
        """Scalars of x with the batch's statistics, or when not training the running ones: their table and shift."""
        op, channels = self.op, x.channels
        table, shift, put = self._scalars("forward", x)
        reads: tuple[str, ...] = (self.parameters.name,)
        if training:
            records = self._records("sums", x)
            emit_sums(e, self._label("FP", ""), x, x, records)
            reads += (records.name,)

        def host(context: Context) -> None:
            if training:
                sums, squares = unpack_sums(self.memory.chip, context.read(records.name), channels)
                statistics, spread = op.unit.statistics_of(sums, squares, x.rows)
                context.saved[op.number] = statistics, spread
            else:
                statistics = op.unit.running_statistics(context.running[op.number])
            put(context, op.unit.forward_scalars(context.read(self.parameters.name), statistics))

        e.host(self._label("FP", "statistics"), host, reads, (table.name,))
        return table, shift

    def backward(
        self,
        e: Emitter,
        delta: Tensor,
        x: Tensor,
        dx: Tensor | None,
        gradient: Tensor,
        below: Fixed,
        key: Value,
        rounding: Rounding,
    ) -> None:
        """From delta to dx, if anyone wants it, and the parameters' gradient."""
        op, channels = self.op, x.channels
        table, shift, put = self._scalars("backward", x)
        records = self._records("products", x)
        emit_sums(e, self._label("BP", ""), delta, x, records)

        def host(context: Context) -> None:
            statistics, _ = context.saved[op.number]
            parameters = context.read(self.parameters.name)
            totals, products = unpack_sums(self.memory.chip, context.read(records.name), channels)
            joint = op.unit.joint(totals, products, statistics)
            put(context, op.unit.backward_scalars(totals, joint, parameters, statistics, below))
            own = context.key(SLOTS * op.number, Role.GRADIENT)
            words, _ = op.unit.parameter_gradient(totals, joint, statistics, rounding, own)
            context.write(gradient.name, words)

        reads = (self.parameters.name, records.name)
        e.host(self._label("BP", "gradients"), host, reads, (table.name, gradient.name))
        if dx is not None:
            step = Affine("dx", "delta", "x", "scalars", key, shift, uniform=False)
            operands = {"delta": delta, "x": x}
            emit_sweep(e, Sweep(self._label("BP", ""), operands, {"dx": dx}, {"scalars": table}, [step], rounding))

    def run(self, context: Context) -> None:
        """Moves the running statistics, at the end of a step."""
        statistics, spread = context.saved[self.op.number]
        context.running[self.op.number] = self.op.unit.run(context.running[self.op.number], statistics, spread)
