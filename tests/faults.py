"""Faults planted in the hardware, one at a time, to see that the engine cases, or a unit's bench, catch each.

``python tests/faults.py`` writes a copy of the sources per fault, changes one line of it, emits, builds and
plays cases until one fails, or runs the bench that the fault names; prints a table and ends with status 1 if a fault survives.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from engine_player import FAILED
from fault_list import FAULTS, Fault

from tb import toolchain

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("spec", "golden", "hw", "tb", "gradloom", "tests")
CASES = 150  # a fault that needs more to show would show in the full suite by luck only


class FaultError(ValueError):
    """A fault that does not fit the sources any more, or whose machine does not build."""


@dataclass(frozen=True)
class Outcome:
    """What became of one fault; ``by`` is what the failing check said, empty when it survived."""

    fault: str
    unit: str
    chip: str
    caught: bool
    by: str
    seconds: float


def mutated(fault: Fault) -> str:
    """The text of the fault's file with the fault in it; raises :class:`FaultError` unless it fits exactly once."""
    text = (ROOT / fault.file).read_text()
    found = text.count(fault.old)
    if found != 1:
        raise FaultError(f"fault {fault.name!r}: its text occurs {found} times in {fault.file}, not once")
    return text.replace(fault.old, fault.new)


def try_fault(fault: Fault | None, chip: str = "2x4w16", seed: int = 1) -> Outcome:
    """Plant ``fault``, or nothing, in a copy of the sources and play cases on its chip."""
    chip = fault.chip if fault else chip
    root = toolchain.build_root()
    root.mkdir(exist_ok=True)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fault-", dir=root) as scratch:
        folder = Path(scratch)
        for name in COPIED:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        if fault:
            (folder / fault.file).write_text(mutated(fault))
        (folder / "build").mkdir()
        (root / "runtime").mkdir(exist_ok=True)
        (folder / "build" / "runtime").symlink_to(root / "runtime")  # Verilator's own objects, the same for all
        if fault and fault.bench:
            command = [sys.executable, "tests/bench_player.py", "--unit", fault.bench]
        else:
            command = [sys.executable, "tests/engine_player.py", "--cases", str(CASES), "--optimize=-O0"]
        done = subprocess.run(
            [*command, "--chip", chip, "--seed", str(seed)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    name, unit = (fault.name, fault.unit) if fault else ("none", "")
    seconds = round(time.monotonic() - start, 1)
    if done.returncode == 0:
        return Outcome(name, unit, chip, False, "", seconds)
    if done.returncode == FAILED:
        return Outcome(name, unit, chip, True, _short(done.stdout), seconds)
    if done.returncode < 0:  # the player's own limit on processor time
        return Outcome(name, unit, chip, True, "the host waits for ever", seconds)
    raise FaultError(f"fault {name!r}: no machine to test:\n{done.stdout}{done.stderr}")


def _short(output: str) -> str:
    """`case 3 (tiled): 5 words differ`, of all that the failing case says; what a bench says as it is."""
    line = output.strip().splitlines()[-1]
    said = line.partition(", seed ")[2].partition(", ")[2] or line
    return said.partition(";")[0].partition(", first word")[0]


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help="faults whose name holds this text; all without")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    chosen = [fault for fault in FAULTS if not options.name or any(text in fault.name for text in options.name)]
    outcomes = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for outcome in pool.map(lambda fault: try_fault(fault, seed=options.seed), chosen):
            outcomes.append(outcome)
            by = outcome.by if outcome.caught else "SURVIVED"
            print(f"{outcome.fault:<50} {outcome.chip:<8} {outcome.seconds:5.0f} s  {by}", flush=True)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=2) + "\n")
    survivors = [outcome.fault for outcome in outcomes if not outcome.caught]
    print(f"{len(outcomes) - len(survivors)} of {len(outcomes)} faults caught")
    return 1 if survivors or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
