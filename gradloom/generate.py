"""Verilog, spec and C header of a chip, written to a folder of the user's."""

from pathlib import Path

from gradloom.console import Refusal, write_folder
from gradloom.header import header, machine_header
from hw.emit import emit
from hw.engine import Engine
from hw.machine import Machine
from spec.chip import Chip

HEADERS = {"engine": (Engine, header), "machine": (Machine, machine_header)}


def files(unit: str) -> tuple[str, ...]:
    """What there is of a unit in its folder."""
    return (f"{unit}.v", "spec.json", "ports.json", "sources.json", f"{unit}.h")


def generate(chip: Chip, folder: Path, unit: str = "engine") -> list[Path]:
    """Write :func:`files` of a unit of ``chip`` to ``folder`` and return their paths.

    Raises :class:`gradloom.console.Refusal` when the folder cannot be written or holds anything else.
    """
    if folder.is_dir():
        foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in files(unit))
        if foreign:
            raise Refusal(f"{folder} holds files that generate did not write: {', '.join(foreign[:3])}")
    write_folder(folder)
    component, text = HEADERS[unit]
    emit(component(chip), unit, spec=chip, folder=folder)
    (folder / f"{unit}.h").write_text(text(chip))
    return [folder / name for name in files(unit)]
