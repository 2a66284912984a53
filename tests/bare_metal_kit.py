"""Compiles the bare-metal driver as a user would, for a board or against a simulated machine."""

from pathlib import Path

from gradloom.header import machine_header
from gradloom.soc.driver import driver_files
from spec.chip import Chip
from tb import toolchain

ROOT = Path(__file__).parents[1]
STRICT = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
PORT = ['-DGRADLOOM_PORT="port.h"', f"-I{ROOT / 'tb/native'}"]


def write_driver(chip: Chip, folder: Path) -> list[Path]:
    """Everything in C that `generate` writes, to ``folder``; the sources among it."""
    for name, text in {**driver_files(), "machine.h": machine_header(chip)}.items():
        (folder / name).write_text(text)
    return sorted(folder.glob("*.c"))


def gcc(folder: Path, *arguments: str | Path) -> None:
    toolchain.run_tool(["gcc", f"-I{folder}", *map(str, arguments)], folder / "gcc.log")


def link(chip: Chip, library: Path, main: Path, folder: Path, *flags: str) -> Path:
    """``main`` and the driver as a program on the simulated machine ``library``."""
    sources = write_driver(chip, folder)
    undefined = ["-fsanitize=undefined", "-fno-sanitize-recover=undefined"]
    with_machine = [library, f"-Wl,-rpath,{library.parent}", "-o", folder / "program"]
    port = ROOT / "tb/native/port.c"
    gcc(folder, "-O1", "-g", *STRICT, *undefined, *PORT, *flags, main, port, *sources, *with_machine)
    return folder / "program"
