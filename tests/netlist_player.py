"""Engine cases played on the synthesised netlist: the look-up tables, carries and flip-flops that an ECP5 is given.

``python tests/netlist_player.py --chip 2x4w16 --cases 20 --seed 1`` synthesises, compiles the netlist with models of its cells and plays.
Ends with status 0 if every word of the scratchpad equals golden's after every command, 1 if one differs.

Models of LUT4, CCU2C, PFUMX, L6MUX21, TRELLIS_FF and TRELLIS_DPR16X4 are those that Yosys carries; MULT18X18D and DP16KD, of which it carries the
ports alone, are those of ``ecp5_models.v``.
"""

import argparse
import json
import re
import shutil
import sys
import time
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

from engine_cases import CASE_CHIPS
from engine_player import CaseFailed, Player, Tally, built_quickly
from twins import HERE, OWN

from gradloom.machine import chip_folder, netlist
from spec.chip import CHIPS, Chip
from spec.netlist import Netlist
from synth.flow import area_by_unit
from synth.netlist import count_cells
from synth.tools import YOSYS, run, versions
from tb import toolchain

TARGET = "ecp5-85k"
MODELS = HERE / OWN["ecp5"]
TOP = "engine"
YOSYS_MODELS = ("common_sim.vh", "ccu2c_sim.vh")
# The models take more inputs than one mode reads, and say how long a cell takes.
HARMLESS = ("WIDTHTRUNC", "PINMISSING", "SPECIFYIGN", "INITIALDLY", "CASEINCOMPLETE", "UNOPTFLAT", "TIMESCALEMOD")
WRITE = "read_json {top}.json\nwrite_verilog -noattr {top}_netlist.v\n"
OPTIMIZE = "-O0"  # twenty cases are over before an optimiser is


def synthesised(chip: Chip, *, progress: bool = True) -> Path:
    """Verilog of the engine's netlist; synthesised once for a chip, its sources and a Yosys."""
    source = netlist(chip, TOP, "ecp5")
    flow = [path.read_text() for path in sorted((Path(__file__).parents[1] / "synth").rglob("*.py"))]
    key = toolchain.digest(source.verilog.read_text(), json.dumps(versions(YOSYS)), *flow)

    def build(folder: Path) -> None:
        area_by_unit(source.verilog, TOP, TARGET, out=folder, progress=progress)
        cells = count_cells(json.loads((folder / f"{TOP}.json").read_text()), TOP)
        (folder / "cells.json").write_text(json.dumps(cells, indent=2, sort_keys=True) + "\n")
        (folder / "write.ys").write_text(WRITE.format(top=TOP))
        run(YOSYS, ["write.ys"], folder=folder, log="write.log", what="write the netlist", progress=False)

    return toolchain.built_once(chip_folder(chip) / f"netlist-{key}", build)


def simulated(chip: Chip, folder: Path, wrong: int | None = None, *, progress: bool = True) -> Path:
    """The native library of a netlist and its models. ``wrong`` names a look-up table whose contents are inverted."""
    source = netlist(chip, TOP, "ecp5")
    share = Path(find_spec("pyosys").origin).parent / "share" / "ecp5"
    cells = (folder / f"{TOP}_netlist.v").read_text()
    if wrong is not None:
        cells = _inverted(cells, wrong)
    waived = "".join(f"/* verilator lint_off {name} */\n" for name in HARMLESS)
    models = "".join(path.read_text() for path in (*(share / name for name in YOSYS_MODELS), MODELS))
    bench = folder / ("sim" if wrong is None else f"sim-{wrong}")
    bench.mkdir(exist_ok=True)
    for path in (source.spec, source.ports):
        shutil.copy(path, bench)
    whole = Netlist(verilog=bench / f"{TOP}.v", top=TOP)
    whole.verilog.write_text(f"`define NO_INCLUDES\n{waived}{models}{cells}")
    return built_quickly(whole, optimize=OPTIMIZE, progress=progress)


def _inverted(cells: str, number: int) -> str:
    """The netlist with one table's bits the other way round."""
    tables = list(re.finditer(r"LUT4 #\(\s*\.INIT\(16'h([0-9a-f]{4})\)", cells))
    if not 0 <= number < len(tables):
        raise ValueError(f"--wrong must be 0 to {len(tables) - 1}, not {number}")
    start, end = tables[number].span(1)
    return f"{cells[:start]}{int(cells[start:end], 16) ^ 0xFFFF:04x}{cells[end:]}"


def play(chip: Chip, cases: int, seed: int, wrong: int | None = None, *, progress: bool = True) -> tuple[dict, Tally]:
    """Cells of the netlist, and what was played. Raises :class:`engine_player.CaseFailed` at the first difference."""
    folder = synthesised(chip, progress=progress)
    player = Player(chip, simulated(chip, folder, wrong, progress=progress), seed)
    return json.loads((folder / "cells.json").read_text()), player.play(cases)


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chip", choices=[*CASE_CHIPS, *CHIPS], default="2x4w16")
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--wrong", type=int, metavar="N", help="invert look-up table N, to see a netlist fail")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcome")
    options = parser.parse_args(arguments)
    start = time.monotonic()
    try:
        cells, tally = play((CASE_CHIPS | CHIPS)[options.chip], options.cases, options.seed, options.wrong)
    except CaseFailed as error:
        print(error)
        return 1
    except ValueError as error:  # a tool that is missing or failed, a table that is not there
        print(error, file=sys.stderr)
        return 2
    if options.json:
        result = {"chip": options.chip, "target": TARGET, "seed": options.seed, "cells": cells, **vars(tally), "versions": versions(YOSYS)}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    print(
        f"netlist of {options.chip} ({', '.join(f'{count} {name}' for name, count in cells.items())}): {tally.cases} cases, "
        f"{tally.commands} commands, {tally.words} words compared, {tally.differing_words} differ, {time.monotonic() - start:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
