"""What each command of a program cost: its place in time, bytes, and for products the work that was wanted."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from golden.emulator_product import ProductOutcome
from golden.tally import PhaseTally
from host.machines import Carried, Ran
from host.program import Command, Label, Program, Run
from spec.chip import BRICK, Chip
from spec.isa import FIELDS, UNITS, Opcode, Unit, brick_bytes
from spec.product import ceil_div


@dataclass(frozen=True)
class Row:
    """One command that a unit carried out.

    issued, done : cycles since the program's first START, times of the host left out. advance : cycles by which it was
    done later than everything before it; over a program they sum to its cycles. busy : lanes times cycles.
    """

    run: int
    index: int  # in the run
    label: Label
    opcode: Opcode
    unit: Unit
    issued: int
    done: int
    advance: int
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
        frontier = 0
        for carried, last in _marked(ran.commands):
            command = part.commands[carried.index]
            # What follows the last command until the interrupt is its cost as well.
            done = max(carried.done, ran.cycles) if last else carried.done
            advance = max(0, done - frontier)
            frontier += advance
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
                    advance=advance,
                    bytes_read=read,
                    bytes_written=written,
                    counters=carried.counters,
                    product=_product(command, carried) if command.opcode == Opcode.PRODUCT else None,
                )
            )
        begun += ran.cycles
    return result


def _marked(commands: Sequence[Carried]) -> Iterator[tuple[Carried, bool]]:
    """Each, and whether it is the last."""
    for number, carried in enumerate(commands, start=1):
        yield carried, number == len(commands)


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
