"""The optimizer's step: two or three affines on every parameter."""

from collections.abc import Mapping, Sequence

from golden.layers import Role
from golden.operators import SLOTS
from golden.optimizer import SgdPlan
from host.compiler.elementwise import Affine, Sweep, emit_sweep
from host.compiler.emit import Emitter
from host.compiler.memory import Memory
from host.compiler.scalars import pack_scalars
from host.program import Context, Label, Symbol, Value, key_symbol
from host.tensor import Tensor
from spec.number import Rounding

ROLES = {"decay": Role.DECAYED, "velocity": Role.VELOCITY, "weights": Role.WEIGHT}  # by field of a plan: what it gives


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
    rounded: dict[str, tuple[Value, Value]] = {
        step: (key_symbol(layer, role), Symbol(f"optimizer.{layer}.{step}.shift"))
        for step, role in ROLES.items()
        if getattr(plan, step) is not None
    }
    tables = {step: memory.table(f"optimizer.{layer}.{step}", 1) for step in rounded}
    emit_momentum(e, Label(number, "update", ""), weights, velocity, gradient, tables, rounded, rounding)


def emit_momentum(
    e: Emitter,
    label: Label,
    weights: Tensor,
    velocity: Tensor,
    gradient: Tensor,
    tables: Mapping[str, Tensor],
    rounded: Mapping[str, tuple[Value, Value]],
    rounding: Rounding,
) -> None:
    """tables, rounded : scalars, and key and shift, of each of the optimizer's steps; without "decay" there is none. Of the channels that
    ``gradient`` has: parameters may have more."""
    decays = "decay" in rounded
    operands = {
        "decay": ("decayed", "gradient", "weights"),
        "velocity": ("new velocity", "velocity", "decayed" if decays else "gradient"),
        "weights": ("new weights", "weights", "new velocity"),
    }
    steps = [Affine(*words, f"{step} scalars", *rounded[step]) for step, words in operands.items() if step in rounded]
    reads = {"gradient": gradient, "weights": weights, "velocity": velocity}
    writes = {"new weights": weights, "new velocity": velocity}
    emit_sweep(e, Sweep(label, reads, writes, {f"{step} scalars": table for step, table in tables.items()}, steps, rounding, like=gradient))


def optimizer_scalars(context: Context, memory: Memory, numbers: Sequence[int], plans: Sequence[SgdPlan]) -> None:
    """Writes what :func:`emit_update` reads, where a layer is updated so: the plans of this step."""
    for number, plan in zip(numbers, plans, strict=True):
        for name in ROLES:
            affine = getattr(plan, name)
            table = f"optimizer.{SLOTS * number}.{name}"
            if affine is not None and table in memory.tensors:
                context.write(table, pack_scalars(memory.chip, [(affine.s0, affine.s1, 0)], 1))
                context.values[f"{table}.shift"] = affine.shift
