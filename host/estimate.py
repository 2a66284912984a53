"""How long a machine would take, without one: the emulator's words, and times worked out for every command.

A run is played command by command as the machine issues them: in order, each when its unit and those it waits for are idle. Loads and
stores that move at the same time share the memory's bandwidth. What a command costs by itself is :mod:`host.costs`'s to say.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf
from typing import Protocol

from golden.emulator_product import ProductOutcome
from host.costs import brick_pace, fill_cycles, moved, product_cycles, vector_cycles, visits
from host.machines import EmulatedMachine, Ran
from spec.chip import Chip
from spec.isa import DESCRIPTOR_BYTES, UNITS, Opcode, Unit, brick_bytes, decode

BEAT = 8  # bytes that a bus without a limit moves in a cycle each way
LOADED = 10  # from a load to its first address at the memory
BEGINS = 38  # cycles from START to a run's first command, besides a memory's latency
APART = {Opcode.LOAD: 16, Opcode.STORE: 16, Opcode.VECTOR: 26, Opcode.PRODUCT: 26}  # from the command before, both ready
WAITED = 3  # from the end of what a command waits for
ENDS = 12  # from the last unit's end to the interrupt


class Bus(Protocol):
    """The memory behind a machine; latencies in cycles, ``bandwidth`` in bytes a cycle, reads and writes together, 0 for a beat of each."""

    @property
    def read_latency(self) -> int: ...

    @property
    def write_latency(self) -> int: ...

    @property
    def bandwidth(self) -> float: ...


class EstimatedMachine(EmulatedMachine):
    """An emulator that tells times too; they are estimates, see docs/estimate.md for how good.

    multiplication : cycles of one in a lane; 1 on machines that can be built, another for comparison with other arrays.
    """

    def __init__(self, chip: Chip, size: int, ring: int, bus: Bus, multiplication: float = 1.0):
        super().__init__(chip, size, ring)
        self.bus = bus
        self.multiplication = multiplication

    def run(self, descriptors: bytes) -> None:
        super().run(descriptors)
        self._runs[-1] = timed(self.chip, descriptors, self._runs[-1], self.bus, self.multiplication)


@dataclass
class _Transfer:
    """A load or store under way. starts : when its first byte can move; left : bytes, ``most`` a cycle; after : cycles behind the last."""

    index: int
    starts: float
    left: float
    most: float
    after: float


class _Units:
    """What every unit is at, and when commands were issued and done."""

    def __init__(self, bus: Bus):
        self.bus = bus
        self.now = 0.0
        self.idle = dict.fromkeys(Unit, 0.0)  # since when; of one in `moving` that is not known yet
        self.moving: dict[Unit, _Transfer] = {}
        self.issued: dict[int, float] = {}
        self.done: dict[int, float] = {}

    def ready(self, units: Iterable[Unit]) -> float:
        """When all of them are idle; time goes on until the last transfer among them has ended."""
        units = list(units)
        while any(unit in self.moving for unit in units):
            self._go(inf)
        return max((self.idle[unit] for unit in units), default=0.0)

    def begin(self, index: int, unit: Unit, at: float, cycles: float) -> None:
        """A command whose cycles do not depend on others."""
        self.issued[index] = at
        self.idle[unit] = self.done[index] = at + cycles

    def move(self, index: int, unit: Unit, at: float, size: int, most: float) -> None:
        """A load or a store."""
        while self.now < at:
            self._go(at)
        self.issued[index] = at
        bus = self.bus
        before, after = (bus.read_latency + LOADED, 13) if unit == Unit.LOAD else (bus.write_latency, bus.write_latency + 20)
        self.moving[unit] = _Transfer(index, at + before, size, most, after)

    def _go(self, until: float) -> None:
        """To the next moment at which a transfer begins to move or ends, or to ``until``."""
        live = [unit for unit, transfer in self.moving.items() if transfer.starts <= self.now]
        share = self.bus.bandwidth / max(len(live), 1) or BEAT
        pace = {unit: min(share, self.moving[unit].most) for unit in live}
        moments = [transfer.starts for transfer in self.moving.values() if transfer.starts > self.now]
        moments += [self.now + self.moving[unit].left / pace[unit] for unit in live]
        then = min([until, *moments])
        for unit in live:
            transfer = self.moving[unit]
            transfer.left -= pace[unit] * (then - self.now)
            if transfer.left < 1e-6:
                self.idle[unit] = self.done[transfer.index] = then + transfer.after
                del self.moving[unit]
        self.now = then


def timed(chip: Chip, descriptors: bytes, ran: Ran, bus: Bus, multiplication: float = 1.0) -> Ran:
    """``ran`` with the times at which its commands would be issued and done, and the cycles of the whole."""
    units = _Units(bus)
    outcomes = {carried.index: carried.outcome for carried in ran.commands}
    last = float(BEGINS + bus.read_latency)
    for index in range(len(descriptors) // DESCRIPTOR_BYTES):
        at = index * DESCRIPTOR_BYTES
        opcode, fields = decode(descriptors[at : at + DESCRIPTOR_BYTES])
        unit = UNITS.get(opcode)
        needs = [*Unit] if opcode == Opcode.END else [*Unit(fields["wait"]), *([unit] if unit else [])]
        last = max(last + APART.get(opcode, 0), units.ready(needs) + WAITED)
        if unit is None:
            continue
        if opcode == Opcode.VECTOR:
            units.begin(index, unit, last, vector_cycles(chip, fields))
        elif opcode == Opcode.PRODUCT:
            outcome = outcomes[index]
            assert isinstance(outcome, ProductOutcome)
            units.begin(index, unit, last, product_cycles(chip, visits(chip, fields, outcome), multiplication=multiplication))
        elif fields.get("fill"):
            units.begin(index, unit, last, fill_cycles(chip, fields))
        else:
            most = brick_bytes(chip) / brick_pace(chip) if opcode == Opcode.LOAD else inf
            units.move(index, unit, last, moved(fields) * brick_bytes(chip), most)
    commands = [
        replace(carried, issued=round(units.issued[carried.index]), done=round(units.done[carried.index]))
        for carried in ran.commands
    ]
    return replace(ran, commands=commands, cycles=round(last + ENDS))
