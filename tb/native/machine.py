"""Verilog of an engine or of a whole machine to the library that :class:`tb.native.engine.NativeEngine` or
:class:`tb.native.machine_host.NativeMachine` calls."""

import json
import re
import sys
from pathlib import Path

from spec.netlist import Netlist
from tb.native.build import build_library
from tb.native.gating import PORTS, gated

TOP = "native"
ENGINE = Path(__file__).with_name("engine.cpp")
MACHINE = Path(__file__).with_name("machine.cpp")


def build_engine(netlist: Netlist, *, trained: bool = False, progress: bool = True) -> Path:
    """The shared library of the engine ``netlist``; built once, see :func:`tb.native.build.build_library`.

    ``trained``: compiled by what a product or two did in a first build. Takes twice as long, runs a seventh faster.
    """
    return _build(netlist, ENGINE, "tb.native.train" if trained else "", progress)


def build_machine(netlist: Netlist, *, trained: bool = False, progress: bool = True) -> Path:
    """The same for a machine; what it is ``trained`` by is a short program."""
    return _build(netlist, MACHINE, "tb.native.train_machine" if trained else "", progress)


def _build(netlist: Netlist, wrapper: Path, trainer: str, progress: bool) -> Path:
    source = netlist.folder / f"{TOP}.v"
    verilog = netlist.verilog.read_text()
    extra = {}
    if wrapper == MACHINE:
        verilog, extra = gated(verilog, netlist.top), PORTS

    def train(library: Path) -> list[str]:
        return [sys.executable, "-m", trainer, str(netlist.spec), str(library)]

    source.write_text(verilog + "\n" + clocked(netlist, extra))
    return build_library(
        source, TOP, wrapper, name=netlist.top, control=shared_code(verilog), train=train if trainer else None,
        progress=progress,
    )  # fmt: skip


def shared_code(verilog: str, unit: str = "group") -> str:
    """Verilator control lines that let all instances of ``unit`` in ``verilog`` run the same code.

    Verilator merges functions of instances when they are equal to the letter. Inlined instances never are, nor are those
    into which it carries what the parent connects to an input; so the inputs that are connected differently
    are declared visible. Code that is run once for each group stays in the processor's first cache: a 64-lane
    chip then runs at 1.4 times the speed (docs/decisions/0007-native-speed.md).
    """
    instances = [
        dict(re.findall(r"\.(\w+)\(([^()]*)\)", connections))
        for connections in re.findall(rf"^  {unit} \w+ \((.*?)\);", verilog, re.MULTILINE | re.DOTALL)
    ]
    if len(instances) < 2:
        return ""
    module = re.search(rf"^module {unit}\(.*?^endmodule", verilog, re.MULTILINE | re.DOTALL)
    inputs = re.findall(r"^  input (?:signed )?(?:\[[^]]*\] )?(\w+);", module[0], re.MULTILINE)
    lines = [f'no_inline -module "{unit}"']
    for port in inputs:
        if len({instance.get(port) for instance in instances}) > 1:
            lines.append(f'public_flat_rd -module "{unit}" -var "{port}"')
    return "\n".join([*lines, ""])


def clocked(netlist: Netlist, extra: dict[str, dict]) -> str:
    """A module with the top's ports, and ``extra`` ones, around it that registers its reset.

    Verilator evaluates once more whatever depends on an input of the top, and everything
    depends on reset: with a register of its own between them the simulation is three times as fast.
    """
    ports = json.loads(netlist.ports.read_text()) | extra
    declared = [
        f"  {port['direction']} {'signed ' if port['signed'] else ''}{width(port['width'])}{name};"
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


def width(width: int) -> str:
    return f"[{width - 1}:0] " if width > 1 else ""
