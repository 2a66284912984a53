"""``gradloom export``: a vendor's project of the machine."""

from pathlib import Path

import click

from gradloom.console import err
from gradloom.options import chip_option
from spec.chip import Chip

BUILD = Path("build")
NAMES = ("vivado", "quartus", "radiant", "diamond")


@click.command()
@click.option("--tool", type=click.Choice(NAMES), required=True, help="Whose project.")
@chip_option("ecp5-64")
@click.option("--part", help="[default: one that is common on boards]")
@click.option("--mhz", type=float, default=100.0, show_default=True, help="Frequency that the clock is constrained to.")
@click.option("-o", "--out", "folder", type=Path, help="Folder to write.  [default: build/TOOL-CHIP]")
def export(tool: str, chip: Chip, part: str | None, mhz: float, folder: Path | None) -> None:
    """Write the machine as a project for a vendor's tool, through Edalize.

    Everything is in the folder: Verilog with portable primitives, a top with four pins that keeps every port of the machine
    between registers, the clock's constraint and the tool's own project script. Nothing is run.
    """
    from gradloom.machine import netlist
    from gradloom.soc.project import TOOLS, export_project

    for path in export_project(tool, chip, netlist(chip, "machine").verilog, folder or BUILD / f"{tool}-{chip.name}", part, mhz):
        click.echo(path)
    err.print(f"{TOOLS[tool].start}")
