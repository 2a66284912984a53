"""The command line: parse, call, print."""

from pathlib import Path

import click

from gradloom.bitstream import bitstream, board
from gradloom.console import RefusingGroup, err, talk, write_json
from gradloom.demo import demo
from gradloom.estimate import estimate
from gradloom.export import export
from gradloom.options import chip_option, json_option, seed_option
from gradloom.program import program
from gradloom.study import study
from gradloom.trace import trace
from gradloom.train import train
from spec.chip import Chip
from spec.version import VERSION
from synth.flow import STEPS

BUILD = Path("build")


@click.group(cls=RefusingGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(VERSION, prog_name="gradloom")
def main() -> None:
    """Generate accelerators that train neural networks, and prove them bit for bit.

    \b
    Start here:
      gradloom demo                           train a classifier on the generated engine
      gradloom generate --chip ecp5-64 -o rtl Verilog, spec.json and a C header
      gradloom measure product 512x512x512    cycles and utilisation from on-chip counters

    Everything generated goes to build/. Bad input ends in one line and status 2;
    GRADLOOM_TRACEBACK=1 shows where it was refused.
    """


@main.command()
@click.option("--unit", type=click.Choice(["engine", "machine"]), default="engine", show_default=True)
@chip_option("ecp5-64")
@click.option(
    "-o", "--out", "folder", type=Path, help="Folder to write.  [default: build/rtl-CHIP, build/machine-CHIP]"
)
def generate(unit: str, chip: Chip, folder: Path | None) -> None:
    """Write a chip's Verilog, its spec.json and a C header.

    The engine computes matrix products; the machine is the whole accelerator, with its buses, that carries out commands in
    memory. With the machine come its top with standard AXI ports, IP-XACT, SVD, a FuseSoC core, a LiteX module and a
    bare-metal driver in C: docs/integration.md. The Verilog stands alone: one module per distinct unit. A folder that
    holds files of other origin is left untouched.
    """
    from gradloom.generate import generate as write

    for path in write(chip, folder or BUILD / f"{'rtl' if unit == 'engine' else unit}-{chip.name}", unit):
        click.echo(path)


main.add_command(demo)
main.add_command(train)
main.add_command(trace)
main.add_command(study)
main.add_command(estimate)
main.add_command(program)
main.add_command(export)
main.add_command(bitstream)
main.add_command(board)


@main.command()
@click.argument("bench", required=False)
@chip_option("tiny")
@click.option("--waves", is_flag=True, help="Record every signal to an FST file; its path is printed.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of stimulus and stalls.")
def sim(bench: str | None, chip: Chip, waves: bool, seed: int) -> None:
    """Run the cocotb bench of a unit on a chip; without BENCH, list the benches."""
    from gradloom.simulate import names, simulate

    if bench is None:
        for name, module in names().items():
            click.echo(f"{name:12} tb/{module}.py")
        return
    ran, failed = simulate(bench, chip, seed, waves)
    click.echo(f"{bench}: {ran} tests, {failed} failed")
    if failed or not ran:
        raise SystemExit(1)


@main.group(cls=RefusingGroup)
def measure() -> None:
    """Measure the engine, from its own counters, and the simulators, by the clock."""


@measure.command()
@click.argument("shape", metavar="MxKxN")
@click.option("--density", type=float, default=1.0, show_default=True, help="Share of A's words that are not zero.")
@click.option("--mask-density", type=float, help="Compute only this share of C, chosen at random.")
@chip_option("sim64")
@seed_option
@json_option
def product(shape: str, density: float, mask_density: float | None, chip: Chip, seed: int, json_to: str | None) -> None:
    """Run one product of random words on the engine; compare every word with golden.

    A is M by K, B is K by N. Cycles, busy lane cycles and outputs are read from the engine's counters.
    """
    from gradloom.machine import native_engine
    from gradloom.measure import check_product, measure_product, parse_shape
    from report.tables import value_table

    dimensions = parse_shape(shape)
    check_product(chip, dimensions, density, mask_density)
    with native_engine(chip) as machine, err.status(f"{shape} on {chip.name}"):
        result = measure_product(machine, dimensions, density=density, mask_density=mask_density, seed=seed)
    talk(json_to).print(value_table(f"{shape} on chip {chip.name}", result))
    write_json(result, json_to)
    if result["differing_words"]:
        raise SystemExit(1)


@measure.command()
@chip_option("ecp5-64")
@json_option
def speed(chip: Chip, json_to: str | None) -> None:
    """Simulated cycles per second, native and under cocotb; golden products per second."""
    from gradloom.machine import native_engine
    from gradloom.measure import measure_speed
    from report.tables import value_table

    with native_engine(chip) as machine, err.status("measuring") as status:
        result = measure_speed(machine, clock=lambda: machine.cycles, say=status.update)
    talk(json_to).print(value_table(f"speed, chip {chip.name}", result))
    write_json(result, json_to)


@main.command()
@click.option("--unit", default="group", show_default=True, help="group, engine, machine, or a unit that has a bench.")
@click.option("--target", default="ecp5-85k", show_default=True, help="FPGA part.")
@chip_option("ecp5-64")
@click.option("--seeds", type=int, default=1, show_default=True, help="Placements to try; the fastest counts.")
@click.option(
    "--until",
    type=click.Choice(STEPS),
    default=STEPS[-1],
    show_default=True,
    help="synthesis: area by unit and estimated paths; placement: with an estimated Fmax.",
)
@click.option("--picture", type=Path, help="PNG of the area by unit and of the slacks.")
@json_option
def synth(
    unit: str, target: str, chip: Chip, seeds: int, until: str, picture: Path | None, json_to: str | None
) -> None:
    """Synthesise, place and route a unit with Yosys and nextpnr: LUTs, block RAMs, DSPs and Fmax.

    Targets are listed in docs/synth.md. Those of Xilinx are synthesised only: utilisation, no Fmax. The result is kept in
    build/synth/UNIT-CHIP-TARGET.json too.
    """
    from gradloom.synthesis import end_table, path_table, synthesise, unit_table
    from report.synthesis import synthesis_picture
    from report.tables import value_table

    result = synthesise(unit, chip, target, seeds=seeds, until=until)
    tables = [unit_table(result), value_table(f"{unit} of chip {chip.name} on {target}", result)]
    if result["estimated_paths"]:
        tables.insert(1, path_table(result))
    if result["slowest_ends"]:
        tables.insert(-1, end_table(result))
    for table in tables:
        talk(json_to).print(table)
    for place in result["critical_path_source"]:
        talk(json_to).print(place, highlight=False)
    write_json(result, str(BUILD / "synth" / f"{unit}-{chip.name}-{target}.json"))
    write_json(result, json_to)
    if picture:
        synthesis_picture(result, picture)


if __name__ == "__main__":
    main()
