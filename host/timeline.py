"""What each command of a program cost: its place in time, bytes, and for products the work that was wanted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from golden.emulator_product import ProductOutcome
from golden.tally import PhaseTally
from host.machines import Carried, Ran
from host.program import Command, Label, Program, Run
from spec.chip import BRICK, Chip
from spec.isa import FIELDS, UNITS, Opcode, Unit, brick_bytes
from spec.product import ceil_div

ORDER = (Unit.PRODUCT, Unit.VECTOR, Unit.STORE, Unit.LOAD)  # who is charged when several units work


@dataclass(frozen=True)
class Row:
    """One command that a unit carried out.

    issued, done : cycles since the program's first START, times of the host left out. cycles : those in which it was the first
    of :data:`ORDER` at work, and ``idle`` of them in which no unit was and it came next; see :func:`charged`. Over a program
    they sum to its cycles.
    """

    run: int
    index: int  # in the run
    label: Label
    opcode: Opcode
    unit: Unit
    issued: int
    done: int
    cycles: int
    idle: int
    bytes_read: int
    bytes_written: int
    counters: Mapping[str, int]
    product: PhaseTally | None  # counts of a product; only macs_done and outputs are from the machine

    @property
    def phase(self) -> str:
        return self.label.phase


def rows(chip: Chip, program: Program, runs: Sequence[Ran]) -> list[Row]:
    """All commands of a program that were carried out in ``runs``, in order."""
    result: list[Row] = []
    begun = 0
    parts = [part for part in program.parts if isinstance(part, Run)]
    for number, (part, ran) in enumerate(zip(parts, runs, strict=False)):
        units = [UNITS[part.commands[carried.index].opcode] for carried in ran.commands]
        times = [(carried.issued, carried.done) for carried in ran.commands]
        for carried, (cycles, idle) in zip(ran.commands, charged(units, times, ran.cycles), strict=True):
            command = part.commands[carried.index]
            read, written = _bytes(chip, command)
            result.append(
                Row(
                    run=number,
                    index=carried.index,
                    label=command.label,
                    opcode=command.opcode,
                    unit=UNITS[command.opcode],
                    issued=begun + carried.issued,
                    done=begun + carried.done,
                    cycles=cycles,
                    idle=idle,
                    bytes_read=read,
                    bytes_written=written,
                    counters=carried.counters,
                    product=_product(command, carried) if command.opcode == Opcode.PRODUCT else None,
                )
            )
        begun += ran.cycles
    return result


def charged(units: Sequence[Unit], times: Sequence[tuple[int, int]], total: int) -> list[tuple[int, int]]:
    """For each command of a run its cycles of the run's ``total``, and how many of them are idle.

    times : when a command was issued and when it was done, in the order of issue; those of one unit follow each other. A
    cycle is charged to the product under way, or else to the vector command, the store or the load. One in which no unit works
    is idle and charged to the next command issued, behind all of them to the last. So what runs beside a product costs
    nothing, and nothing is charged twice.
    """
    if not times:
        return []
    begins, ends = np.array(times, np.int64).T.clip(0, total)
    cuts = np.unique(np.concatenate([[0, total], begins, ends]))
    owner = np.minimum(np.searchsorted(begins, cuts[:-1]), len(times) - 1)
    idle = np.ones(len(owner), bool)
    for unit in reversed(ORDER):
        mine = np.flatnonzero(np.array(units) == unit)
        if len(mine):
            at = np.searchsorted(begins[mine], cuts[:-1], side="right") - 1
            works = (at >= 0) & (cuts[:-1] < ends[mine[at]])
            owner[works], idle[works] = mine[at[works]], False
    result = np.zeros((len(times), 2), np.int64)
    np.add.at(result[:, 0], owner, np.diff(cuts))
    np.add.at(result[:, 1], owner[idle], np.diff(cuts)[idle])
    return [(cycles, rest) for cycles, rest in result.tolist()]


def _value(command: Command, name: str) -> int:
    value = command.fields.get(name)
    if value is None:
        return next(field.low for field in FIELDS[command.opcode] if field.name == name)
    assert isinstance(value, int), name
    return value


def _bytes(chip: Chip, command: Command) -> tuple[int, int]:
    """Moved by loads and by stores."""
    if command.opcode not in (Opcode.LOAD, Opcode.STORE) or command.fields.get("fill"):
        return 0, 0
    moved = brick_bytes(chip)
    for name in ("bricks", "count_1", "count_2"):
        moved *= _value(command, name)
    return (moved, 0) if command.opcode == Opcode.LOAD else (0, moved)


def _product(command: Command, carried: Carried) -> PhaseTally:
    """A product's counts: exact where an emulator tells them.

    A machine counts multiplications and outputs, not the zeros of A: there ``nonzero`` and ``words`` are over all outputs
    computed, so that their ratio is the density that its lanes saw.
    """
    length = BRICK * (_value(command, "a_bricks") - 1) + _value(command, "a_tail")
    words = _value(command, "taps_x") * _value(command, "taps_y") * length + _value(command, "bias")
    if _value(command, "slabs"):
        words *= ceil_div(_value(command, "k"), _value(command, "k_tile"))
    rows = _value(command, "m")
    outputs = rows * _value(command, "n") * _value(command, "seg_x") * _value(command, "seg_y")
    finished = _value(command, "finish")
    counts = PhaseTally(outputs=outputs * finished, macs_dense=words * outputs)
    if isinstance(carried.outcome, ProductOutcome):
        o = carried.outcome
        return replace(
            counts, words=o.words, nonzero=o.nonzero, unmasked=o.outputs, macs_done=o.macs, saturations=o.saturations
        )
    told = carried.counters
    computed, done = told["outputs_computed"], told["busy_lane_cycles"]
    seen = computed if finished and _value(command, "masked") else outputs
    return replace(
        counts,
        words=words * seen,
        nonzero=done,
        unmasked=computed,
        macs_done=done,
        saturations=told["saturations"],
    )
