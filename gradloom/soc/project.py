"""Vendor projects through Edalize: the machine in a harness, its clock constrained, ready to open; nothing is run."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from gradloom.console import Refusal, write_folder
from gradloom.soc.axi_top import TOP, wrap
from gradloom.soc.harness import CLOCK, HARNESS, PINS, harness
from spec.axi import axi
from spec.chip import Chip

NAME = "gradloom"
MARK = f"{HARNESS}.v"  # a folder with it is an export's

# Quartus wants the family beside the device; both editions know these prefixes.
FAMILIES = {
    "5CE": "Cyclone V", "5CG": "Cyclone V", "5CS": "Cyclone V", "5A": "Arria V", "5S": "Stratix V", "10M": "MAX 10",
    "10CL": "Cyclone 10 LP", "10CX": "Cyclone 10 GX", "10A": "Arria 10", "10S": "Arria 10", "1S": "Stratix 10",
    "EP4CE": "Cyclone IV E", "EP4CGX": "Cyclone IV GX", "AG": "Agilex 7", "A5": "Agilex 5",
}  # fmt: skip


class ProjectError(ValueError):
    """A project that cannot be written; says what is missing or unknown."""


def _synopsys(period: float) -> str:
    lines = [f"create_clock -name {CLOCK} -period {period:g} [get_ports {CLOCK}]"]
    lines += [f"set_false_path -from [get_ports {pin}]" for pin in PINS[:2]]
    return "\n".join([*lines, f"set_false_path -to [get_ports {PINS[2]}]", ""])


def _quartus(period: float) -> str:
    return _synopsys(period) + "derive_clock_uncertainty\n"


def _lattice(period: float) -> str:
    return f'FREQUENCY PORT "{CLOCK}" {1000 / period:g} MHZ;\nBLOCK RESETPATHS;\nBLOCK ASYNCPATHS;\n'


@dataclass(frozen=True)
class Tool:
    """One vendor's tool. constraints : file name, Edalize's type for it, text for a period in ns."""

    part: str  # if the user gives none
    backend: str  # module:class of edalize
    constraints: tuple[str, str, Callable[[float], str]]
    options: Callable[[str], Mapping[str, Any]]
    modern: bool = False  # Edalize's flow API
    start: str = ""  # how the user goes on


def _quartus_options(part: str) -> dict[str, str]:
    known = [prefix for prefix in sorted(FAMILIES, key=len, reverse=True) if part.upper().startswith(prefix)]
    if not known:
        raise ProjectError(f"part {part!r} is of no known Quartus family; known prefixes: {', '.join(FAMILIES)}")
    return {"family": FAMILIES[known[0]], "device": part}


def _part(part: str) -> dict[str, str]:
    return {"part": part}


TOOLS = {
    "vivado": Tool(
        "xc7a100tcsg324-1", "edalize.flows.vivado:Vivado", ("gradloom.xdc", "xdc", _synopsys), _part, True,
        "vivado -mode batch -source gradloom.tcl, then open gradloom.xpr; or make synth",
    ),
    "quartus": Tool(
        "5CSEBA6U23I7", "edalize.quartus:Quartus", ("gradloom.sdc", "SDC", _quartus), _quartus_options, False,
        "quartus_sh -t gradloom.tcl, then open gradloom.qpf; or make",
    ),
    "radiant": Tool(
        "LIFCL-40-9BG400C", "edalize.radiant:Radiant", ("gradloom.sdc", "SDC", _synopsys), _part, False,
        "radiantc gradloom.tcl, then open gradloom.rdf",
    ),
    "diamond": Tool(
        "LFE5U-85F-6BG381C", "edalize.diamond:Diamond", ("gradloom.lpf", "LPF", _lattice), _part, False,
        "diamondc gradloom.tcl, then open gradloom.ldf",
    ),
}  # fmt: skip


def export_project(
    tool: str, chip: Chip, verilog: Path, folder: Path, part: str | None = None, mhz: float = 100.0
) -> list[Path]:
    """Write sources, constraints and ``tool``'s project to ``folder``, which is made; all its files.

    verilog : the machine's with portable primitives, which every vendor's synthesis maps to its multipliers and block RAMs.
    Raises :class:`ProjectError` without Edalize, and for a part or frequency that no project can have;
    :class:`gradloom.console.Refusal` when the folder cannot be written or holds what no export wrote.
    """
    if not 1 <= mhz <= 2000:
        raise ProjectError(f"mhz must be 1 to 2000, not {mhz:g}")
    chosen = TOOLS[tool]
    options = chosen.options(part or chosen.part)
    backend = _backend(chosen)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise Refusal(f"{folder} holds files that export did not write")
    write_folder(folder)
    name, kind, text = chosen.constraints
    sources = {
        f"{TOP}.v": (wrap(verilog.read_text(), axi(chip)), "verilogSource-2005"),
        f"{HARNESS}.v": (harness(axi(chip)), "verilogSource-2005"),
        name: (text(1000 / mhz), kind),
    }
    for file, (content, _) in sources.items():
        (folder / file).write_text(content)
    listed = [{"name": file, "file_type": kind} for file, (_, kind) in sources.items()]
    edam: dict[str, Any] = {"name": NAME, "toplevel": HARNESS, "files": listed}
    edam |= {"flow_options": dict(options)} if chosen.modern else {"tool_options": {tool: dict(options)}}
    backend(edam, str(folder)).configure()
    return sorted(path for path in folder.iterdir() if path.is_file())


def _backend(tool: Tool) -> Any:
    module, _, name = tool.backend.partition(":")
    try:
        # It tells of vendor tools that are not on this machine, which nothing here needs.
        logging.getLogger("edalize").setLevel(logging.ERROR)
        return getattr(import_module(module), name)
    except ImportError as error:
        raise ProjectError("projects need Edalize: pip install 'gradloom[soc]'") from error
