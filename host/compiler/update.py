"""The optimizer's step: two or three affines on every parameter."""

from collections.abc import Sequence

from golden.layers import Role
from golden.operators import SLOTS
from golden.optimizer import SgdPlan
from host.compiler.elementwise import Affine, Sweep, emit_sweep
from host.compiler.emit import Emitter
from host.compiler.memory import Memory
from host.compiler.scalars import pack_scalars
from host.program import Context, Label, Symbol, key_symbol
from host.tensor import Tensor
from spec.number import Rounding

STEPS = ("decay", "velocity", "weights")  # fields of a plan


def emit_update(
    e: Emitter,
    memory: Memory,
    plan: SgdPlan,
    number: int,
    weights: Tensor,
    velocity: Tensor,
    gradient: Tensor,
    rounding: Rounding,
) -> None:
    """``weights`` and ``velocity`` change in place; whether gradients decay is fixed by ``plan``, its numbers are not."""
    layer = SLOTS * number
    of_gradient = "gradient" if plan.decay is None else "decayed"
    steps = [
        Affine(
            "new velocity", "velocity", of_gradient, "velocity scalars", *_rounded(layer, Role.VELOCITY, "velocity")
        ),
        Affine("new weights", "weights", "new velocity", "weights scalars", *_rounded(layer, Role.WEIGHT, "weights")),
    ]
    if plan.decay is not None:
        steps.insert(
            0, Affine("decayed", "gradient", "weights", "decay scalars", *_rounded(layer, Role.DECAYED, "decay"))
        )
    tables = {step.table: memory.table(f"optimizer.{layer}.{step.table.split()[0]}", 1) for step in steps}
    reads = {"gradient": gradient, "weights": weights, "velocity": velocity}
    writes = {"new weights": weights, "new velocity": velocity}
    emit_sweep(e, Sweep(Label(number, "update", ""), reads, writes, tables, steps, rounding))


def _rounded(layer: int, role: Role, step: str) -> tuple[Symbol, Symbol]:
    return key_symbol(layer, role), Symbol(f"optimizer.{layer}.{step}.shift")


def optimizer_scalars(context: Context, memory: Memory, numbers: Sequence[int], plans: Sequence[SgdPlan]) -> None:
    """Writes what :func:`emit_update` reads, where a layer is updated so: the plans of this step."""
    for number, plan in zip(numbers, plans, strict=True):
        for name in STEPS:
            affine = getattr(plan, name)
            table = f"optimizer.{SLOTS * number}.{name}"
            if affine is not None and table in memory.tensors:
                context.write(table, pack_scalars(memory.chip, [(affine.s0, affine.s1, 0)], 1))
                context.values[f"{table}.shift"] = affine.shift
