"""Random programs played on a generated machine, every byte of memory compared with the emulator's.

``python tests/machine_player.py --chip tiny --cases 30 --seed 1`` plays some by hand; ``--case 7`` one alone.
All cases run on one machine without a reset.
"""

import argparse
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from engine_player import CaseFailed
from machine_cases import MACHINE_CHIPS

from golden.emulator_product import ProductOutcome
from golden.emulator_transfer import TransferOutcome
from golden.emulator_vector import VectorOutcome
from gradloom.machine import netlist
from spec.chip import CHIPS, Chip
from spec.engine import COUNTERS
from spec.isa import UNITS, ErrorCode, Kind, Opcode, decode
from spec.registers import Control, Status
from tb.native import build as native_build
from tb.native.machine import build_machine
from tb.native.machine_host import MachineStuck, NativeMachine, Outcome
from tb.programs import RING, Case, draw

LIMIT = 3_000_000  # cycles of a program
WATCHDOG = 50_000


def build_case_machine(chip: Chip, *, optimize: str = "-O1", progress: bool = False) -> Path:
    """The library of ``chip``, compiled for a short build rather than for speed."""
    usual, native_build.OPTIMIZE = native_build.OPTIMIZE, optimize
    try:
        return build_machine(netlist(chip, "machine"), progress=progress)
    finally:
        native_build.OPTIMIZE = usual


@dataclass
class Tally:
    cases: int = 0
    commands: int = 0
    cycles: int = 0
    words: int = 0
    differing_words: int = 0


class Player:
    """A machine, and cases played on it and compared."""

    def __init__(self, chip: Chip, library: Path, seed: int):
        self.chip, self.seed, self.tally = chip, seed, Tally()
        self.library = library
        self.machine: NativeMachine | None = None

    def play(self, cases: int, commands: int = 60) -> Tally:
        for number in range(cases):
            self.play_one(number, commands)
        return self.tally

    def draw(self, number: int, commands: int = 60) -> Case:
        return draw(np.random.default_rng([self.seed, number, int(self.chip.digest, 16)]), self.chip, commands)

    def play_one(self, number: int, commands: int = 60) -> None:
        case = self.draw(number, commands)
        title = f"chip {self.chip.name}, seed {self.seed}, case {number}"
        wrong = self.differs(case)
        if wrong:
            raise CaseFailed(f"{title}: {wrong}; {case.how}; {self.culprit(case)}")
        self.tally.cases += 1

    def prepare(self, case: Case) -> NativeMachine:
        """A machine with the case's memory and windows; made at the first case."""
        if self.machine is None:
            self.machine = NativeMachine(self.chip, self.library, case.layout.size)
        machine = self.machine
        machine.bytes[:] = case.memory
        machine.behave(case.how)
        machine.mend()
        machine.set_windows(case.layout.read, case.layout.write)
        machine.write("watchdog", WATCHDOG)
        machine.write("control", int(Control.CLEAR))
        machine.take_events()
        return machine

    def run(self, case: Case) -> Outcome:
        """The program; raises MachineStuck."""
        return self.prepare(case).run(RING, case.entries, case.head, LIMIT)

    def differs(self, case: Case) -> str:
        """What is wrong, in words; nothing if nothing is."""
        try:
            outcome = self.run(case)
        except MachineStuck as error:
            return self._again(str(error))
        machine = self.machine
        assert machine is not None
        if (outcome.error, outcome.status) != (ErrorCode.NONE, Status.ENDED):
            return self._again(f"{outcome}")
        different = np.flatnonzero(machine.bytes != case.expected)
        size = case.layout.brick_bytes // 8
        words = len(np.unique(different // size))
        self.tally.words += len(machine.bytes) // size
        self.tally.differing_words += words
        if words:
            brick = (different[0] - case.layout.image) // case.layout.brick_bytes
            return f"{words} words differ, first at {different[0]:#x}, scratchpad brick {brick} if not negative"
        self.tally.commands += len(case.descriptors)
        self.tally.cycles += outcome.cycles
        return self._miscounted(case, machine)

    def _again(self, text: str) -> str:
        """After a failure: a machine that nothing of it is left in."""
        assert self.machine is not None
        self.machine.reset()
        return text

    def _miscounted(self, case: Case, machine: NativeMachine) -> str:
        """Rules of the bus, events and counters, against the emulator's."""
        if machine.bus().broken():
            return f"rules of AXI broken: {machine.bus().broken()}"
        expected = [(UNITS[e.opcode].bit_length() - 1, e.tag) for e in case.events if e.opcode in UNITS]
        events = machine.take_events()
        got = list(zip(events["unit"].tolist(), events["tag"].tolist(), strict=True))
        if got != expected:
            return f"events of {len(got)} commands, not the {len(expected)} issued, or in another order"
        outcomes = [e.outcome for e in case.events]
        saturations = events["counters"][:, COUNTERS.index("saturations")].tolist()
        wanted = [o.saturations if isinstance(o, ProductOutcome) else 0 for o in outcomes if o is not None]
        if saturations != wanted:
            place = next(n for n, pair in enumerate(zip(saturations, wanted, strict=True)) if pair[0] != pair[1])
            return f"saturations of command {place}: {saturations[place]}, not {wanted[place]}"
        moved = {True: 0, False: 0}
        for event in case.events:
            if isinstance(event.outcome, TransferOutcome):
                moved[event.opcode == Opcode.LOAD] += event.outcome.bytes // case.layout.brick_bytes
        wants = {
            "commands": len([event for event in case.events if event.opcode != Opcode.END]),
            "bricks_read": moved[True],
            "bricks_written": moved[False],
            "vector_saturations": sum(o.saturations for o in outcomes if isinstance(o, VectorOutcome)),
            "engine_saturations": sum(o.saturations for o in outcomes if isinstance(o, ProductOutcome)),
        }
        for name, want in wants.items():
            if machine.read(name) != want:
                return f"counter {name} is {machine.read(name)}, not {want}"
        return ""

    def culprit(self, case: Case) -> str:
        """The command behind the shortest failing beginning of the program, found by halving."""
        low, high = 2, len(case.descriptors) - 2
        if not self.differs(case.prefix(high)):
            return "with another ending it does not show"
        while low < high:
            middle = (low + high) // 2
            if self.differs(case.prefix(middle)):
                high = middle
            else:
                low = middle + 1
        if low == 2:
            return "nothing but loading and storing the scratchpad"
        opcode, fields = decode(case.descriptors[low - 1])
        kind = f" {Kind(fields['kind']).name}" if opcode == Opcode.VECTOR else ""
        shown = {name: value for name, value in fields.items() if value}
        return f"command {low - 1} of {len(case.descriptors)}, {opcode.name}{kind}: {shown}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chip", choices=[*MACHINE_CHIPS, *CHIPS], default="tiny")
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--commands", type=int, default=60)
    parser.add_argument("--case", type=int, help="only this one")
    parser.add_argument("--keep-on", action="store_true", help="play on after a failure")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    arguments = parser.parse_args()
    chip = MACHINE_CHIPS.get(arguments.chip) or CHIPS[arguments.chip]
    player = Player(chip, build_case_machine(chip, progress=True), arguments.seed)
    numbers = range(arguments.cases) if arguments.case is None else [arguments.case]
    failed, began = 0, time.monotonic()
    for number in numbers:
        try:
            player.play_one(number, arguments.commands)
        except CaseFailed as failure:
            print(failure)
            failed += 1
            if not arguments.keep_on:
                break
    print(f"seed {arguments.seed}: {player.tally}, {failed} failed, {time.monotonic() - began:.1f} s")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
