"""An engine's Verilog to the library that :class:`tb.native.engine.NativeEngine` calls."""

import json
from pathlib import Path

from spec.netlist import Netlist
from tb.native.build import build_library

TOP = "machine"
WRAPPER = Path(__file__).with_name("engine.cpp")


def build_engine(netlist: Netlist, *, progress: bool = True) -> Path:
    """The shared library of the engine ``netlist``; built once, see :func:`tb.native.build.build_library`."""
    machine = netlist.folder / f"{TOP}.v"
    machine.write_text(netlist.verilog.read_text() + "\n" + machine_verilog(netlist))
    return build_library(machine, TOP, WRAPPER, progress=progress)


def machine_verilog(netlist: Netlist) -> str:
    """A module with the engine's ports around it that registers its reset.

    Verilator evaluates once more whatever depends on an input of the top, and everything
    depends on reset: with a register of its own between them the simulation is three times as fast.
    """
    ports = json.loads(netlist.ports.read_text())
    declared = [
        f"  {port['direction']} {'signed ' if port['signed'] else ''}{_range(port['width'])}{name};"
        for name, port in ports.items()
    ]
    connected = [f".{name}({'reset' if name == 'rst' else name})" for name in ports]
    return "\n".join([
        f"module {TOP}({', '.join(ports)});",
        *declared,
        "  reg reset = 1;",
        "  always @(posedge clk) reset <= rst;",
        f"  {netlist.top} {netlist.top}({', '.join(connected)});",
        "endmodule",
        "",
    ])


def _range(width: int) -> str:
    return f"[{width - 1}:0] " if width > 1 else ""
