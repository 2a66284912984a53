"""Machines that carry out descriptors beside a memory of their own: the emulator, and generated hardware in simulation."""

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from golden.emulator import Emulator, Event, Outcome
from golden.emulator_product import ProductOutcome
from golden.emulator_transfer import TransferOutcome
from golden.emulator_vector import VectorOutcome
from spec.chip import Chip
from spec.engine import COUNTERS
from spec.isa import DESCRIPTOR_BYTES, UNITS, ErrorCode, Unit
from spec.registers import Control

PRODUCT = int(Unit.PRODUCT).bit_length() - 1  # number of the unit in an event


class MachineError(RuntimeError):
    """A machine that stopped by an error; ``code`` and ``index`` are the status registers'."""

    def __init__(self, code: ErrorCode, index: int, reason: str = ""):
        super().__init__(f"descriptor {index}: {code.name.lower()}" + (f": {reason}" if reason else ""))
        self.code, self.index = code, index


@dataclass(frozen=True)
class Carried:
    """One command of a run, as the machine tells of it; what a machine cannot tell is zero or None.

    issued, done : cycles since the run's START. counters : :data:`spec.engine.COUNTERS` of a product.
    """

    index: int  # in its run
    issued: int = 0
    done: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)
    read_beats: int = 0
    write_beats: int = 0
    outcome: Outcome = None


class Backend(Protocol):
    """A :class:`host.program.Machine` that also tells what it carried out.

    progress : None, or called now and then with the cycles of the run under way.
    """

    progress: Callable[[int], None] | None

    @property
    def chip(self) -> Chip: ...

    def read(self, address: int, count: int) -> bytes: ...

    def write(self, address: int, data: bytes) -> None: ...

    def run(self, descriptors: bytes) -> None: ...

    def take(self) -> list["Ran"]:
        """The runs since the last call."""


@dataclass(frozen=True)
class Ran:
    """One run of descriptors: its commands, in order, and the cycles from START to the interrupt."""

    commands: Sequence[Carried]
    cycles: int = 0
    counters: Mapping[str, int] = field(default_factory=dict)  # the machine's, of this run; empty if it has none

    @property
    def vector_saturations(self) -> int:
        told = [c.counters.get("saturations", 0) for c in self.commands if isinstance(c.outcome, VectorOutcome)]
        return self.counters.get("vector_saturations", 0) + sum(told)


class EmulatedMachine:
    """:class:`golden.emulator.Emulator` with ``size`` bytes of memory, descriptors at the end of it.

    check : races are refused, see there.
    """

    def __init__(self, chip: Chip, size: int, ring: int, check: bool = True):
        self.chip = chip
        self.memory = np.zeros(size, np.uint8)
        self.ring = ring
        self.emulator = Emulator(chip, self.memory, check=check)
        self.progress: Callable[[int], None] | None = None
        self._runs: list[Ran] = []

    def read(self, address: int, count: int) -> bytes:
        return self.memory[address : address + count].tobytes()

    def write(self, address: int, data: bytes) -> None:
        self.memory[address : address + len(data)] = np.frombuffer(data, np.uint8)

    def run(self, descriptors: bytes) -> None:
        self.write(self.ring, descriptors)
        commands: list[Carried] = []

        def note(event: Event) -> None:
            if event.opcode in UNITS:
                commands.append(Carried(event.index, counters=_counts(event.outcome), outcome=event.outcome))

        stop = self.emulator.run(self.ring, len(descriptors) // DESCRIPTOR_BYTES, on_event=note)
        self._runs.append(Ran(commands))
        if stop.code != ErrorCode.NONE:
            raise MachineError(stop.code, stop.index, stop.reason)

    def take(self) -> list[Ran]:
        runs, self._runs = self._runs, []
        return runs


def working(descriptors: bytes) -> list[int]:
    """Indices of the commands that a unit carries out: all but FENCE and END, which give no events."""
    return [number for number, opcode in enumerate(descriptors[::DESCRIPTOR_BYTES]) if opcode in UNITS]


def _counts(outcome: Outcome) -> dict[str, int]:
    if isinstance(outcome, ProductOutcome):
        return {
            "busy_lane_cycles": outcome.macs,
            "outputs_computed": outcome.outputs,
            "saturations": outcome.saturations,
        }
    if isinstance(outcome, VectorOutcome):
        return {"saturations": outcome.saturations}
    assert outcome is None or isinstance(outcome, TransferOutcome)
    return {}


class Native(Protocol):
    """What :class:`tb.native.machine_host.NativeMachine` offers of use here."""

    chip: Chip
    bytes: np.ndarray

    def load(self, ring: int, program: builtins.bytes) -> int: ...

    def start(self, ring: int, count: int, head: int = 0) -> None: ...

    def wait(self, limit: int = ..., progress: Callable[[int], None] | None = None) -> Any: ...

    def write(self, register: str, value: int) -> None: ...

    def take_events(self) -> np.ndarray: ...

    def counters(self) -> dict[str, int]: ...

    @property
    def cycles(self) -> int: ...


class NativeBackend:
    """Generated hardware, compiled to a library, as a :class:`Backend`; its memory begins at address 0.

    A KeyboardInterrupt in :meth:`run` stops the hardware before it goes on, so that the next run finds it idle.
    """

    def __init__(self, native: Native, ring: int):
        self.native = native
        self.chip = native.chip
        self.ring = ring
        self.progress: Callable[[int], None] | None = None
        self._runs: list[Ran] = []

    def read(self, address: int, count: int) -> bytes:
        return self.native.bytes[address : address + count].tobytes()

    def write(self, address: int, data: bytes) -> None:
        self.native.bytes[address : address + len(data)] = np.frombuffer(data, np.uint8)

    def run(self, descriptors: bytes) -> None:
        count = self.native.load(self.ring, descriptors)
        before = self.native.counters()
        self.native.start(self.ring, count)
        begin = self.native.cycles
        try:
            outcome = self.native.wait(progress=self.progress)
        except KeyboardInterrupt:
            self.native.write("control", Control.ABORT)
            self.native.wait()
            self.native.take_events()
            raise
        after = self.native.counters()
        commands = [
            Carried(
                index=number,
                issued=int(event["issued"]) - begin,
                done=int(event["done"]) - begin,
                counters=dict(zip(COUNTERS, event["counters"].tolist(), strict=True))
                if event["unit"] == PRODUCT
                else {},
                read_beats=int(event["read_beats"]),
                write_beats=int(event["write_beats"]),
            )
            for number, event in zip(working(descriptors), self.native.take_events(), strict=False)
        ]
        counters = {name: value - before[name] for name, value in after.items()}
        self._runs.append(Ran(commands, outcome.cycles, counters))
        if outcome.error != ErrorCode.NONE:
            raise MachineError(outcome.error, outcome.index)

    def take(self) -> list[Ran]:
        runs, self._runs = self._runs, []
        return runs
