"""Programs that a machine must stop in, again and again: broken descriptors, and a bus that fails."""

from dataclasses import dataclass, field

import numpy as np

from golden.emulator import Emulator
from spec.chip import Chip
from spec.isa import ErrorCode, Opcode, encode
from tb.fuzz import Fuzz
from tb.programs import ALL, RING, RING_ENTRIES, Case, beginning, blank, ending

BROKEN = 40  # descriptors of one program
FRAIL = 64  # bytes that the bus fails, where a case has any


@dataclass
class FuzzCase:
    """A program and where it must stop, one error after the other; it is started again behind each."""

    case: Case
    names: list[str]  # of the broken descriptors, in their order
    failing: dict[int, tuple[ErrorCode, tuple[int, int]]] = field(default_factory=dict)  # index: code, bytes in doubt
    frail: tuple[tuple[int, int], tuple[int, int]] | None = None  # reads and writes that the bus fails
    stops: list[tuple[ErrorCode, int]] = field(init=False)
    expected: np.ndarray = field(init=False)

    def solve(self) -> "FuzzCase":
        case = self.case
        case.memory = case.placed(case.descriptors)
        emulator = Emulator(case.chip, case.memory.copy(), read=case.layout.read, write=case.layout.write)
        self.stops, index = [], case.head
        while True:
            if index in self.failing:
                self.stops.append((self.failing[index][0], index))
            else:
                stop, _ = emulator.step(RING, index)
                if stop is not None:
                    self.stops.append((stop.code, index))
                    if stop.code == ErrorCode.NONE:
                        break
            index = (index + 1) % case.entries
        self.expected = emulator.memory
        return self


def broken(rng: np.random.Generator, chip: Chip, count: int = BROKEN) -> FuzzCase:
    """Broken descriptors, a small transfer before and behind each that would show whether it was carried out."""
    case = blank(rng, chip)
    case.entries = RING_ENTRIES
    layout = case.layout
    fuzz = Fuzz(chip, rng, layout.read, layout.write)
    good = Fuzz(chip, rng, (layout.write[0], layout.image), (layout.write[0], layout.image))
    case.descriptors, names = beginning(layout), []
    for _ in range(count):
        name, descriptor = fuzz.draw()
        names.append(name)
        for opcode in (Opcode.LOAD, Opcode.STORE):
            if fuzz.below(2):
                values = good.small_transfer(good.write)
                case.descriptors.append(encode(opcode, wait=ALL, tag=len(case.descriptors), **values))
        case.descriptors.append(descriptor)
    case.descriptors += ending(layout)
    return FuzzCase(case, names).solve()


def failing_bus(rng: np.random.Generator, chip: Chip, count: int = BROKEN) -> FuzzCase:
    """Transfers of which some meet bytes that the bus fails; nothing else is wrong."""
    case = blank(rng, chip)
    case.entries = RING_ENTRIES
    layout, size = case.layout, case.layout.brick_bytes
    middle = layout.write[0] + (layout.image - layout.write[0]) // 2
    frail = (middle, middle + FRAIL)
    fuzz = Fuzz(chip, rng, layout.read, layout.write)
    case.descriptors, names, failing = beginning(layout), [], {}
    for _ in range(count):
        opcode = Opcode.LOAD if fuzz.below(2) else Opcode.STORE
        values = fuzz.small_transfer((layout.write[0], layout.image))
        bricks = values["bricks"] * values["count_1"] * values["count_2"]
        if fuzz.below(2):
            values["address"] = frail[0] + size * (fuzz.below(bricks + 8) - bricks)
        first, end = values["address"], values["address"] + size * bricks
        # Bursts of a store fail whole, so those near by may.
        near = 0 if opcode == Opcode.LOAD else 4096
        meets = first < frail[1] and end > frail[0]
        if not meets and first < frail[1] + near and end > frail[0] - near:
            continue
        if opcode == Opcode.LOAD and not meets and any(first < b and end > a for _, (a, b) in failing.values()):
            continue  # a store that failed left nothing certain there
        if meets:
            code = ErrorCode.READ_BUS if opcode == Opcode.LOAD else ErrorCode.WRITE_BUS
            failing[(case.head + len(case.descriptors)) % case.entries] = (code, (first, end))
            names.append(code.name)
        case.descriptors.append(encode(opcode, wait=ALL, tag=len(case.descriptors), **values))
        if meets and opcode == Opcode.LOAD:  # what the scratchpad holds there now is not defined
            zeros = {"fill": 1, "scratch": values["scratch"], "bricks": bricks}
            case.descriptors.append(encode(Opcode.LOAD, wait=ALL, **zeros))
    case.descriptors += ending(layout)
    return FuzzCase(case, names, failing, (frail, frail)).solve()
