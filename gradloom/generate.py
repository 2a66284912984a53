"""Verilog, spec and C header of a chip, written to a folder of the user's."""

from pathlib import Path

from gradloom.console import Refusal, write_folder
from gradloom.header import header
from hw.emit import emit
from hw.engine import Engine
from spec.chip import Chip

FILES = ("engine.v", "spec.json", "ports.json", "engine.h")


def generate(chip: Chip, folder: Path) -> list[Path]:
    """Write :data:`FILES` of ``chip`` to ``folder`` and return their paths.

    Raises :class:`gradloom.console.Refusal` when the folder cannot be written or holds anything else.
    """
    if folder.is_dir():
        foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in FILES)
        if foreign:
            raise Refusal(f"{folder} holds files that generate did not write: {', '.join(foreign[:3])}")
    write_folder(folder)
    emit(Engine(chip), "engine", spec=chip, folder=folder)
    (folder / "engine.h").write_text(header(chip))
    return [folder / name for name in FILES]
