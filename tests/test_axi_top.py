"""The machine behind the standard's port names: nothing renamed wrongly, nothing left open, and it runs."""

import json
import re
import subprocess
from dataclasses import asdict

import pytest
from machine_cases import MACHINE_CHIPS

from gradloom.machine import netlist
from gradloom.soc.axi_top import TOP, ports, wrap
from gradloom.soc.core_file import WAIVED
from spec.axi import axi
from spec.netlist import Netlist
from tb import toolchain
from tb.run import run

CHIPS = [MACHINE_CHIPS["1x2w8"], MACHINE_CHIPS["3x8w18"]]


@pytest.fixture(params=CHIPS, ids=lambda chip: chip.name)
def chip(request):
    return request.param


@pytest.fixture
def wrapped(chip, tmp_path):
    made = netlist(chip, "machine")
    result = Netlist(verilog=tmp_path / f"{TOP}.v", top=TOP)
    result.verilog.write_text(wrap(made.verilog.read_text(), axi(chip)))
    result.spec.write_text(json.dumps(asdict(chip)))
    listed = {p.name: {"direction": "output" if p.output else "input", "width": p.width} for p in ports(axi(chip))}
    result.ports.write_text(json.dumps(listed))
    return result


@pytest.mark.rtl
@pytest.mark.parametrize("chip", CHIPS[:1], indirect=True, ids=lambda chip: chip.name)
def test_a_program_runs_through_standard_buses(wrapped, seed):
    ran, failed = run("bench_axi_top", wrapped, seed)
    assert ran == 4
    assert failed == 0


def test_every_module_has_the_prefix_and_every_port_its_width(chip, wrapped):
    text = wrapped.verilog.read_text()
    modules = re.findall(r"^module (\w+)", text, re.MULTILINE)
    assert all(name.startswith("gradloom_") for name in modules)
    assert len(modules) == len(set(modules))
    inner = json.loads(netlist(chip, "machine").ports.read_text())
    outer = {port.inner: port for port in ports(axi(chip)) if port.inner}
    assert set(outer) == {name for name in inner if name != "rst" and not name.startswith(("events", "counters"))}
    for name, port in outer.items():
        assert (inner[name]["direction"], inner[name]["width"]) == ("output" if port.output else "input", port.width)


def test_verilator_finds_no_fault_in_the_top(wrapped):
    command = [str(toolchain.verilator_root() / "bin" / "verilator"), "--lint-only", "-Wall", "--top-module", TOP]
    waived = [f"-Wno-{rule}" for rule in WAIVED]
    done = subprocess.run(
        [*command, *waived, str(wrapped.verilog)], env=toolchain.environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr[-2000:]) == (0, "")


def test_unknown_modules_are_refused(chip):
    with pytest.raises(ValueError, match="no module machine"):
        wrap("module other(\n", axi(chip))
    with pytest.raises(ValueError, match="no module lost"):
        wrap("module machine(clk);\n  lost \\one.two  (\n    .clk(clk)\n  );\nendmodule\n", axi(chip))
