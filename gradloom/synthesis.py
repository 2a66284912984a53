"""From a chip to what one of its units takes on an FPGA and how fast it is there."""

from pathlib import Path

from rich.table import Table

from gradloom.machine import UNITS, chip_folder, netlist
from gradloom.units import build_unit
from spec.chip import Chip
from spec.netlist import Netlist
from synth.flow import ROUTE, synth
from synth.targets import load_target
from tb import toolchain
from tb.benches import UNITS as SINGLE

WHOLE = ("group", "engine", "machine")


def known_units() -> list[str]:
    return [*WHOLE, *(name for name in SINGLE if name not in WHOLE)]


def synthesise(unit: str, chip: Chip, target: str, *, seeds: int = 1, until: str = ROUTE) -> dict:
    """Raises ValueError on an unknown unit or target, and what :func:`synth.flow.synth` raises."""
    primitives = load_target(target).family.name  # what multipliers and block RAMs are written as
    if unit not in known_units():
        raise ValueError(f"unknown unit {unit!r}; known units: {', '.join(known_units())}")
    design = netlist(chip, unit, target=primitives) if unit in UNITS else _single(unit, chip, primitives)
    lanes = {"lanes": chip.lanes, "group": chip.lanes, "engine": chip.total_lanes, "machine": chip.total_lanes}.get(
        unit
    )
    folder = design.folder / f"synth-{target}"
    result = synth(design.verilog, design.top, target, seeds=seeds, out=folder, lanes=lanes, until=until)
    return result | {"chip": chip.name, "unit": unit}


def _single(unit: str, chip: Chip, primitives: str) -> Netlist:
    """A unit that has a bench, made as the bench has it, of the part's own primitives."""
    folder = chip_folder(chip) / f"{unit}-{primitives}"

    def build(scratch: Path) -> None:
        build_unit(unit, chip, scratch, primitives)

    toolchain.built_once(folder, build)
    return Netlist(verilog=folder / f"{unit}.v", top=unit)


def unit_table(result: dict) -> Table:
    """Where the area goes, down the hierarchy."""
    table = Table(title=f"{result['unit']} of chip {result['chip']}, by unit, after synthesis")
    table.add_column("unit")
    columns = ("count", "luts", "carry", "ram", "ff", "dsp", "bram")
    for name in columns:
        table.add_column(name, justify="right")
    for row in result["by_unit"]:
        depth = row["unit"].count(".") + 1 if row["unit"] else 0
        name = row["unit"].rpartition(".")[2] or result["top"]
        table.add_row("  " * depth + name, *(f"{row[column]:,}" for column in columns))
    return table


def end_table(result: dict) -> Table:
    """Registers in which the slowest paths of the routed design end."""
    table = Table(title=f"slowest ends, routed; late: slower than {result['frequency_mhz']} MHz")
    for name in ("ns", "late", "ends"):
        table.add_column(name, justify="right")
    table.add_column("register")
    for row in result["slowest_ends"]:
        table.add_row(f"{row['ns']:.1f}", str(row["late"]), str(row["ends"]), row["end"])
    return table


def path_table(result: dict) -> Table:
    """Ends of the longest paths as :mod:`synth.estimate` sees them."""
    table = Table(title="longest paths, estimated before placement")
    for name in ("ns", "ends", "nets"):
        table.add_column(name, justify="right")
    table.add_column("register")
    table.add_column("from")
    for path in result["estimated_paths"]:
        table.add_row(f"{path['ns']:.1f}", str(path["ends"]), str(len(path["through"])), path["end"], path["start"])
    return table
