"""A graph to programs: a training step, a prediction."""

from collections.abc import Sequence

import numpy as np

from golden.graph import Graph
from golden.nodes import SAMPLES
from golden.optimizer import SgdPlan
from golden.policy import EXACT
from host.compiler.backward import emit_backward
from host.compiler.forward import emit_forward
from host.compiler.lowering import Lowering
from host.compiler.network import Network
from host.compiler.update import optimizer_scalars
from host.program import Context, Label, Program
from spec.chip import Chip
from spec.number import Rounding


def compile_step(
    graph: Graph,
    chip: Chip,
    batch: int,
    plans: Sequence[SgdPlan],
    rounding: Rounding = Rounding.STOCHASTIC,
    base: int = 0,
    lowering: Lowering | None = None,
) -> Program:
    """A training step of ``batch`` samples, as the policy of ``lowering`` says. Raises :class:`host.compiler.errors.DoesNotFit` or :class:`Unsupported`.

    Of ``plans`` only whether gradients decay is part of the program; their numbers are an input of each step.
    """
    return _program(Network(graph, chip, batch, plans, rounding, base, lowering or Lowering(EXACT)))


def compile_predict(graph: Graph, chip: Chip, batch: int, base: int = 0, lowering: Lowering | None = None) -> Program:
    """Logits of ``batch`` samples, as :meth:`golden.graph.Graph.predict` rounds them; raises as :func:`compile_step`."""
    return _program(Network(graph, chip, batch, None, Rounding.NEAREST, base, lowering or Lowering(EXACT)))


def _program(net: Network) -> Program:
    x, last = net.values[SAMPLES], len(net.operators) - 1

    def start(context: Context) -> None:
        context.write(x.name, net.samples(np.asarray(context.inputs["x"])))
        for name, words in net.memory.constants.items():
            context.write(name, words)
        if net.plans is not None:
            optimizer_scalars(context, net.memory, list(net.weights), context.inputs.get("plans", net.plans))

    net.e.host(Label(SAMPLES, "FP", "start"), start, (), (x.name,))
    for op in net.operators:
        emit_forward(net, op)
    if net.plans is not None:
        emit_backward(net, net.plans)
    else:
        logits = net.values[last].name

        def predict(context: Context) -> None:
            context.results["logits"] = context.read(logits)

        net.e.host(Label(last, "FP", "logits"), predict, (logits,))
    net.e.end()
    return Program(
        name=net.graph.architecture.name,
        parts=tuple(net.e.parts),
        tensors=net.memory.tensors,
        parameters={n: t.name for n, t in net.weights.items()},
        velocity={n: t.name for n, t in net.velocity.items()},
        memory_bytes=net.memory.end,
    )
