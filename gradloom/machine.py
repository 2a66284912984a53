"""From a chip to its Verilog, and to an engine or a machine that runs."""

import hashlib
from pathlib import Path

from hw.emit import emit
from hw.engine import Engine
from hw.group import Group
from hw.machine import Machine
from spec.chip import Chip
from spec.netlist import Netlist
from spec.version import VERSION
from tb import toolchain
from tb.native.engine import NativeEngine
from tb.native.machine import build_engine

UNITS = {"engine": Engine, "group": Group, "machine": Machine}
SOURCES = ("hw", "spec")  # packages that decide what is emitted


def source_digest() -> str:
    """Eight hex digits of the Python that writes the Verilog."""
    root = Path(__file__).resolve().parents[1]
    content = hashlib.sha256(VERSION.encode())
    for package in SOURCES:
        for source in sorted((root / package).glob("*.py")):
            content.update(source.name.encode() + source.read_bytes())
    return content.hexdigest()[:8]


def chip_folder(chip: Chip) -> Path:
    """``build/<chip>-<digest>/``; the digest covers the chip's parameters and the sources."""
    return toolchain.build_root() / f"{chip.name}-{chip.digest}{source_digest()}"


def netlist(chip: Chip, unit: str = "engine", target: str | None = None) -> Netlist:
    """The unit's Verilog in its folder under ``build/``, written unless it is there."""
    folder = chip_folder(chip) / (unit if target is None else f"{unit}-{target}")

    def build(scratch: Path) -> None:
        # What is built for a part has no port that only simulations look at.
        component = Machine(chip, target, traced=False) if unit == "machine" and target else UNITS[unit](chip, target)
        emit(component, unit, spec=chip, folder=scratch)

    toolchain.built_once(folder, build)
    return Netlist(verilog=folder / f"{unit}.v", top=unit)


def compiled_twice(chip: Chip) -> bool:
    """Whether a simulation of ``chip`` is compiled by what a first build did: of few lanes, none is long enough to earn the minute back."""
    return chip.groups * chip.lanes >= 32


def native_engine(chip: Chip, *, progress: bool = True) -> NativeEngine:
    """A running engine of ``chip``: its Verilog written and compiled unless that is done already."""
    return NativeEngine(chip, build_engine(netlist(chip), trained=compiled_twice(chip), progress=progress))
