"""Programs with broken descriptors and failing buses, played on a native machine from one error to the next.

``python tests/machine_fuzz.py --chip tiny --descriptors 10000 --seed 1`` plays some by hand.
"""

import argparse
import os
import sys
import time
from collections import Counter

import numpy as np
from engine_player import CaseFailed
from machine_cases import MACHINE_CHIPS
from machine_player import LIMIT, WATCHDOG, Player, build_case_machine

from spec.isa import ErrorCode, Opcode, encode
from spec.registers import Control, Status
from tb.faulty import broken, failing_bus
from tb.fuzz import Fuzz
from tb.native.machine_host import MachineStuck
from tb.programs import RING, beginning, blank


class Fuzzer(Player):
    """Plays such cases; counts what was found."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.found: Counter[str] = Counter()
        self.descriptors = 0

    def fuzz_one(self, number: int) -> None:
        rng = np.random.default_rng([self.seed, number, int(self.chip.digest, 16), 1])
        fuzz = (failing_bus if number % 5 == 4 else broken)(rng, self.chip)
        case = fuzz.case
        title = f"chip {self.chip.name}, seed {self.seed}, case {number}"
        stops: list[tuple[ErrorCode, int]] = []
        machine = self.prepare(case)
        try:
            for writes, (first, end) in enumerate(fuzz.frail or ()):
                machine.fail(first, end, 2 + case.head % 2, writes=bool(writes))
            outcome = machine.run(RING, case.entries, case.head, LIMIT)
            while outcome.error != ErrorCode.NONE and len(stops) <= len(fuzz.stops):
                stops.append((outcome.error, outcome.index))
                if outcome.status != Status.FAILED:
                    raise CaseFailed(f"{title}: {outcome} is a failure without the status of one; {case.how}")
                outcome = machine.run(RING, case.entries, (outcome.index + 1) % case.entries, LIMIT)
        except MachineStuck as error:
            machine.reset()
            raise CaseFailed(f"{title}: {error} behind stops {stops[-2:]}; {case.how}") from error
        stops.append((outcome.error, (case.head + len(case.descriptors) - 1) % case.entries))
        for got, want, name in zip(stops, fuzz.stops, [*fuzz.names, "end"], strict=False):
            if got != want:
                machine.reset()
                raise CaseFailed(f"{title}: stopped by {got}, not {want} ({name}); {case.how}")
        if outcome.status != Status.ENDED:
            raise CaseFailed(f"{title}: {outcome} at the end; {case.how}")
        wrong = machine.bytes != fuzz.expected
        for code, (first, end) in fuzz.failing.values():
            if code == ErrorCode.WRITE_BUS:
                wrong[first:end] = False
        if wrong.any():
            raise CaseFailed(
                f"{title}: {int(wrong.sum())} bytes differ, first {np.flatnonzero(wrong)[0]:#x}; {case.how}"
            )
        if machine.bus().broken():
            raise CaseFailed(f"{title}: rules of AXI broken: {machine.bus().broken()}; {case.how}")
        self.found.update(code.name for code, _ in stops)
        self.descriptors += len(case.descriptors)
        self.tally.cases += 1

    def wild_one(self, number: int) -> str:
        """A command whose fields do not agree: it ends, or is ended; nothing outside the window is written."""
        rng = np.random.default_rng([self.seed, number, int(self.chip.digest, 16), 2])
        case = blank(rng, self.chip)
        layout = case.layout
        fuzz = Fuzz(self.chip, rng, layout.read, layout.write)
        case.descriptors = [*beginning(layout), fuzz.wild(), encode(Opcode.END)]
        case.memory = case.placed(case.descriptors)
        title = f"chip {self.chip.name}, seed {self.seed}, wild case {number}"
        machine, how = self.prepare(case), "ended"
        try:
            machine.start(RING, case.entries, case.head)
            outcome = machine.wait(4 * WATCHDOG)
        except MachineStuck:
            machine.write("control", int(Control.ABORT))
            try:
                outcome, how = machine.wait(2 * WATCHDOG), "aborted"
            except MachineStuck as error:
                machine.reset()
                raise CaseFailed(f"{title}: not ended by an abort: {error}; {case.how}") from error
        first, end = layout.write
        if (machine.bytes[:first] != case.memory[:first]).any() or (machine.bytes[end:] != case.memory[end:]).any():
            raise CaseFailed(f"{title}: bytes outside the window have changed; {case.how}")
        if machine.bus().broken():
            raise CaseFailed(f"{title}: rules of AXI broken: {machine.bus().broken()}; {case.how}")
        how = outcome.error.name.lower() if outcome.error else how
        self.found[f"wild {how}"] += 1
        return how


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chip", choices=MACHINE_CHIPS, default="tiny")
    parser.add_argument("--descriptors", type=int, default=2000)
    parser.add_argument("--wild", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    arguments = parser.parse_args()
    chip = MACHINE_CHIPS[arguments.chip]
    fuzzer, began, failed = Fuzzer(chip, build_case_machine(chip, progress=True), arguments.seed), time.monotonic(), 0
    number = arguments.first
    try:
        while fuzzer.descriptors < arguments.descriptors:
            fuzzer.fuzz_one(number)
            number += 1
        for wild in range(arguments.wild):
            fuzzer.wild_one(wild)
    except CaseFailed as failure:
        print(failure)
        failed = 1
    print(
        f"seed {arguments.seed}: {fuzzer.descriptors} descriptors, {dict(fuzzer.found)}, {time.monotonic() - began:.1f} s"
    )
    sys.exit(failed)


if __name__ == "__main__":
    main()
