"""Verilog, spec and C header of a chip, written to a folder of the user's; of a machine also all that puts it into a SoC."""

from pathlib import Path

from gradloom.console import Refusal, write_folder
from gradloom.header import header, machine_header
from gradloom.soc.axi_top import TOP, wrap
from gradloom.soc.core_file import core_file
from gradloom.soc.driver import driver_files
from gradloom.soc.ipxact import ipxact
from gradloom.soc.svd import svd
from hw.emit import emit
from hw.engine import Engine
from hw.machine import Machine
from spec.axi import axi
from spec.chip import Chip

COMPONENTS = {"engine": Engine, "machine": Machine}
LITEX = "gradloom_litex.py"  # needs LiteX and none of our packages
LITEX_SOURCE = Path(__file__).with_name("soc") / "litex_module.py"


def files(unit: str) -> tuple[str, ...]:
    """What there is of a unit in its folder."""
    always = (f"{unit}.v", "spec.json", "ports.json", "sources.json", f"{unit}.h")
    if unit == "engine":
        return always
    return (*always, *(f"{TOP}.{kind}" for kind in ("v", "core", "xml", "svd")), LITEX, *driver_files())


def generate(chip: Chip, folder: Path, unit: str = "engine") -> list[Path]:
    """Write :func:`files` of a unit of ``chip`` to ``folder`` and return their paths.

    Raises :class:`gradloom.console.Refusal` when the folder cannot be written or holds anything else.
    """
    claim(folder, files(unit))
    netlist = emit(COMPONENTS[unit](chip), unit, spec=chip, folder=folder)
    texts = {"engine.h": header(chip)} if unit == "engine" else _around(chip, netlist.verilog.read_text())
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in files(unit)]


def claim(folder: Path, own: tuple[str, ...]) -> None:
    """``folder``, made where it is missing. Raises :class:`Refusal` when it holds anything but files of the names ``own``."""
    if folder.is_dir():
        foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in own)
        if foreign:
            raise Refusal(f"{folder} holds files that generate did not write: {', '.join(foreign[:3])}")
    write_folder(folder)


def _around(chip: Chip, verilog: str) -> dict[str, str]:
    """Files that go with a machine's Verilog, by name."""
    return {
        "machine.h": machine_header(chip),
        f"{TOP}.v": wrap(verilog, axi(chip)),
        f"{TOP}.core": core_file(chip),
        f"{TOP}.xml": ipxact(chip),
        f"{TOP}.svd": svd(chip),
        LITEX: LITEX_SOURCE.read_text(),
        **driver_files(),
    }
