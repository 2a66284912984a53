"""All proofs of ``prove/table.py``, and each with every fault planted that must break it.

``python tests/proofs.py`` proves the sources as they are; then, for each fault, a copy of them with one line changed, where the solver must find
a run from reset that breaks the claim. Prints a table and ends with status 1 if a proof fails or a fault is not found, 2 if a tool is missing.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from faults import ROOT, mutated

from prove import solve
from prove.solve import SolverError, Task
from prove.table import PROOFS, Fault, Proof
from tb import toolchain

COPIED = ("spec", "hw", "prove")
DOCS = ROOT / "docs" / "proofs.md"
GOOD = {"claim": "PASS", "reached": "PASS", "refuted": "FAIL"}  # verdicts as they must be


@dataclass(frozen=True)
class Outcome:
    """What the solver said of one question; ``fault`` is empty for the sources as they are."""

    proof: str
    task: str
    fault: str
    verdict: str
    good: bool
    seconds: float


def design(proof: Proof, fault: Fault | None = None) -> str:
    """The proof's harness as RTLIL, around the unit with the fault in it. Raises :class:`SolverError` if it does not build."""
    with TemporaryDirectory(prefix="prove-") as scratch:
        folder = Path(scratch)
        for name in COPIED if fault else ():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        if fault:
            (folder / fault.file).write_text(mutated(fault))
        done = subprocess.run(
            [sys.executable, "-m", "prove.emit", proof.name, str(folder / "design.il")],
            cwd=folder if fault else ROOT,
            env=os.environ | {"PYTHONPATH": str(folder if fault else ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SolverError(f"proof {proof.name!r}{f', {fault.name!r}' if fault else ''}: no harness:\n{done.stderr}")
        return (folder / "design.il").read_text()


def answer(proof: Proof, task: Task, fault: Fault | None = None) -> Outcome:
    """Ask one question."""
    start = time.monotonic()
    name = (fault.name if fault else proof.name).replace(" ", "-").replace(":", "").replace(",", "")
    verdict = solve.solve(task, design(proof, fault), toolchain.build_root() / "prove" / name)
    seconds = round(time.monotonic() - start, 1)
    return Outcome(proof.name, task.name, fault.name if fault else "", verdict, verdict == GOOD[task.name], seconds)


def questions(proofs: Iterable[Proof], faults: bool = True) -> list[tuple[Proof, Task, Fault | None]]:
    """What must be asked of some proofs, the slowest kind first."""
    proofs = list(proofs)
    asked = [(proof, task, None) for task in (solve.claim, solve.reached) for proof in proofs]
    if faults:
        asked += [(proof, solve.refuted, fault) for proof in proofs for fault in proof.faults]
    return [(proof, task(proof), fault) for proof, task, fault in asked]


def rows(proofs: Iterable[Proof], seconds: dict[str, float]) -> list[str]:
    """The table of docs/proofs.md; ``seconds`` of each claim by the name of its proof."""
    lines = ["| proof | of | claim | by | shown to fail with | s |", "|---|---|---|---|---|---|"]
    for proof in proofs:
        how = f"induction, depth {proof.depth}" if proof.depth else "reachability"
        units = ", ".join(f"`{unit}`" for unit in proof.units)
        faults = "; ".join(fault.name.partition(": ")[2] for fault in proof.faults)
        lines.append(f"| {proof.name} | {units} | {proof.claim} | {how} | {faults} | {seconds.get(proof.name, 0):.0f} |")
    return lines


def write_docs(lines: list[str]) -> None:
    begin, end = "<!-- proofs -->", "<!-- end of proofs -->"
    text = DOCS.read_text()
    before, after = text[: text.index(begin) + len(begin)], text[text.index(end) :]
    DOCS.write_text("\n".join([before, *lines, after]))


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help="proofs whose name holds this text; all without")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--no-faults", action="store_true", help="prove the sources as they are, and nothing else")
    parser.add_argument("--docs", action="store_true", help="write the table of docs/proofs.md; of all proofs")
    options = parser.parse_args(arguments)
    chosen = [proof for proof in PROOFS if not options.name or any(text in proof.name for text in options.name)]
    start = time.monotonic()
    outcomes = []
    try:
        tools = solve.versions()
        with ThreadPoolExecutor(options.jobs) as pool:
            for outcome in pool.map(lambda asked: answer(*asked), questions(chosen, not options.no_faults)):
                outcomes.append(outcome)
                said = outcome.verdict if outcome.good else f"{outcome.verdict}, NOT {GOOD[outcome.task]}"
                print(f"{outcome.proof:<22} {outcome.task:<8} {outcome.seconds:5.0f} s  {said:<6} {outcome.fault}", flush=True)
    except SolverError as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        result = {"versions": tools, "seconds": round(time.monotonic() - start), "outcomes": [asdict(outcome) for outcome in outcomes]}
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    if options.docs:
        write_docs(rows(PROOFS, {outcome.proof: outcome.seconds for outcome in outcomes if outcome.task == "claim"}))
    bad = {outcome.proof for outcome in outcomes if not outcome.good and not outcome.fault}
    planted = [outcome for outcome in outcomes if outcome.fault]
    found = sum(outcome.good for outcome in planted)
    print(
        f"{len(chosen) - len(bad)} of {len(chosen)} proofs pass, {found} of {len(planted)} planted faults found, "
        f"{time.monotonic() - start:.0f} s with {', '.join(f'{name} {number}' for name, number in tools.items())}"
    )
    return 1 if bad or found != len(planted) or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
