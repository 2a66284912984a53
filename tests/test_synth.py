"""Synthesis: what a unit takes and how fast it is; clear about what it cannot do."""

import json
import subprocess
from collections import Counter

import pytest
from amaranth.back import verilog

from hw.bram import Bram
from hw.convert import Converter
from hw.emit import emit
from hw.multiplier import Multiplier
from spec.convert import Convert
from synth import tools
from synth.edge import ring_verilog
from synth.estimate import CLOCK_TO_Q, LUT, Estimate
from synth.flow import SYNTHESIS, area_by_unit, synth
from synth.netlist import (
    bits_in_luts,
    buffer_resets,
    cells_by_instance,
    count_cells,
    dsp_registered,
    luts,
    summary,
    tree,
)
from synth.report import read_placed, read_timing
from synth.targets import TARGETS, SynthError, load_target

KEYS = {"lut4", "ff", "dsp", "bram", "fmax_mhz", "lanes", "lut4_per_lane", "target"}


def write(component, top, folder):
    path = folder / f"{top}.v"
    path.write_text(verilog.convert(component, name=top, emit_src=False))
    return path


def test_unknown_target_lists_the_known_ones():
    with pytest.raises(SynthError) as error:
        load_target("ice40")
    assert str(error.value) == "unknown target 'ice40'; known targets: ecp5-25k, ecp5-45k, ecp5-85k"


def test_targets_are_named_by_their_key():
    assert [target.name for target in TARGETS.values()] == list(TARGETS)


def test_missing_verilog(tmp_path):
    with pytest.raises(SynthError) as error:
        synth(tmp_path / "none.v", "none", "ecp5-25k", out=tmp_path)
    assert str(error.value) == f"no Verilog file {tmp_path / 'none.v'}"


def test_folder_that_cannot_be_made(tmp_path):
    source = tmp_path / "unit.v"
    source.write_text("module unit; endmodule\n")
    with pytest.raises(SynthError) as error:
        synth(source, "unit", "ecp5-25k", out=source / "out")
    assert str(error.value) == f"cannot write to {source / 'out'}: Not a directory"


@pytest.mark.parametrize("seeds", [0, []])
def test_no_seed(seeds, tmp_path):
    with pytest.raises(SynthError) as error:
        synth(tmp_path / "unit.v", "unit", "ecp5-25k", seeds=seeds, out=tmp_path)
    assert str(error.value) == f"seeds must name at least one placement, not {seeds!r}"


@pytest.mark.parametrize("package", [tools.YOSYS, tools.NEXTPNR])
def test_missing_tool(package, monkeypatch):
    monkeypatch.setattr(tools, "find_spec", lambda name: None if name == package.replace("-", "_") else object())
    with pytest.raises(SynthError) as error:
        tools.versions()
    assert str(error.value) == f"{package} is not installed; pip install {package}"


def test_tool_error_is_quoted(tmp_path):
    source = tmp_path / "unit.v"
    source.write_text("module unit(input clk); endmodule\n")
    with pytest.raises(SynthError) as error:
        area_by_unit(source, "other", out=tmp_path, progress=False)
    log = tmp_path / "synth.log"
    assert str(error.value) == f"synthesise other for ecp5-85k: Module `other' not found! (log: {log})"


def test_interrupt_stops_the_tool(tmp_path, monkeypatch):
    children = []
    start = subprocess.Popen

    def remember(*args, **options):
        children.append(start(*args, **options))
        return children[-1]

    def interrupt(*_):
        raise KeyboardInterrupt

    (tmp_path / "long.ys").write_text("exec -- sleep 60\n")
    monkeypatch.setattr(subprocess, "Popen", remember)
    monkeypatch.setattr(tools, "HEARTBEAT", 0.2)
    monkeypatch.setattr(tools, "_say", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tools.run(tools.YOSYS, ["long.ys"], folder=tmp_path, log="long.log", what="long", progress=True)
    assert children[0].returncode is not None


def test_ring_has_a_register_per_port_bit_and_nothing_else():
    ports = {
        "clk": {"direction": "input", "bits": [2]},
        "rst": {"direction": "input", "bits": [3]},
        "a": {"direction": "input", "bits": [4, 5, 6]},
        "y": {"direction": "output", "bits": [7]},
    }
    text, flip_flops = ring_verilog("unit", ports, "ring")
    assert flip_flops == 4
    assert text.count("TRELLIS_FF") == 4
    assert text.count("DCCA") == 1
    assert text.count(".DI(pin)") == 3
    assert "unit unit (.\\clk (clk), .\\rst (reset), .\\a (port2), .\\y (port3));" in text


def test_cells_go_to_the_innermost_instance():
    names = {
        "lane": "$scopeinfo",
        "lane.bank": "$scopeinfo",
        "lane.bank.word_LUT4_Z": "LUT4",
        "lane.sum_CCU2C_S0": "CCU2C",
        "lanes_LUT4": "LUT4",
        "valid_TRELLIS_FF_Q": "TRELLIS_FF",
    }
    netlist = {"modules": {"top": {"cells": {name: {"type": kind} for name, kind in names.items()}}}}
    homes = cells_by_instance(netlist, "top")
    assert homes == {
        "": Counter(LUT4=1, TRELLIS_FF=1),
        "lane": Counter(CCU2C=1),
        "lane.bank": Counter(LUT4=1),
    }
    assert sum(homes.values(), Counter()) == count_cells(netlist, "top")
    assert luts(count_cells(netlist, "top")) == 4


def test_tree_counts_equal_units_together():
    homes = {
        "": Counter(LUT4=1),
        "group_0": Counter(LUT4=2),
        "group_0.lane_0": Counter(LUT4=10, MULT18X18D=1),
        "group_1": Counter(LUT4=3),
        "group_1.lane_0": Counter(LUT4=10),
        "group_1.lane_1": Counter(CCU2C=5),
        "queue": Counter(TRELLIS_FF=4),
    }
    rows = {row["unit"]: row for row in tree(homes)}
    assert list(rows) == ["", "group_*", "group_*.lane_*", "queue"]
    assert [row["count"] for row in rows.values()] == [1, 2, 3, 1]
    assert [row["lut4"] for row in rows.values()] == [36, 35, 30, 0]
    assert rows["group_*"]["dsp"] == rows["group_*.lane_*"]["dsp"] == 1
    assert rows[""]["ff"] == 4
    assert [row["unit"] for row in tree(homes, deepest=1)] == ["", "group_*", "queue"]


def test_memories_in_luts_and_registers_of_multipliers():
    assert bits_in_luts(Counter(TRELLIS_DPR16X4=3, LUT4=7)) == 192
    registered = {f"REG_{name}_CLK": "CLK0" for name in ("INPUTA", "INPUTB", "OUTPUT")}

    def multipliers(*parameters):
        cells = {str(n): {"type": "MULT18X18D", "parameters": each} for n, each in enumerate(parameters)}
        return {"modules": {"top": {"cells": cells | {"ff": {"type": "TRELLIS_FF", "parameters": {}}}}}}

    assert dsp_registered(multipliers(registered, registered), "top")
    assert not dsp_registered(multipliers(registered, registered | {"REG_OUTPUT_CLK": "NONE"}), "top")
    assert not dsp_registered(multipliers({}), "top")


def test_resets_of_many_get_a_global_net():
    cells = {f"ff_{n}": cell("TRELLIS_FF", "Q", CLK=0, LSR=2 if n < 6 else 3, Q=10 + n) for n in range(9)}
    cells |= {
        "by_port": cell("TRELLIS_FF", "Q", LSR=4, Q=30),
        "or": cell("LUT4", "Z", A=10, Z=2),
        "few": cell("LUT4", "Z", A=2, Z=3),
    }
    nets = {name: {"bits": [bit]} for name, bit in {"many": 2, "few": 3, "rst": 4, "last": 30}.items()}
    module = {"cells": cells, "netnames": nets}
    assert buffer_resets({"modules": {"top": module}}, "top", least=4) == ["many"]
    assert module["cells"]["reset_buffer_0"]["connections"] == {"CLKI": [2], "CE": ["1"], "CLKO": [31]}
    assert [cells[f"ff_{n}"]["connections"]["LSR"][0] for n in range(9)] == [31] * 6 + [3] * 3
    assert cells["few"]["connections"]["A"] == [2]
    assert cells["by_port"]["connections"]["LSR"] == [4]


def cell(kind, outputs, **pins):
    directions = {pin: "output" if pin in outputs else "input" for pin in pins}
    bits = {pin: [bit] for pin, bit in pins.items()}
    return {"type": kind, "port_directions": directions, "connections": bits, "parameters": {}}


def test_estimate_follows_the_slowest_way():
    """One register through one table or two to another: the longer way counts, and its nets are named."""
    cells = {
        "a": cell("TRELLIS_FF", "Q", CLK=0, DI="0", Q=1),
        "near": cell("LUT4", "Z", A=1, B="0", C="0", D="0", Z=2),
        "far": cell("LUT4", "Z", A=2, B=1, C="0", D="0", Z=3),
        "b": cell("TRELLIS_FF", "Q", CLK=0, DI=3, Q=4),
        "c": cell("TRELLIS_FF", "Q", CLK=0, DI=2, CE=1, Q=5),
    }
    nets = {"start": 1, "middle": 2, "end": 3, "unit.b": 4, "unit.c": 5}
    module = {"cells": cells, "netnames": {name: {"bits": [bit]} for name, bit in nets.items()}}
    paths = Estimate({"modules": {"top": module}}, "top").paths()
    assert [path.end for path in paths] == ["unit.b.DI", "unit.c.DI", "unit.c.CE"]
    assert paths[0].start == "start (3)"
    assert paths[0].through == ("middle (2)", "end")
    assert CLOCK_TO_Q + 2 * LUT + 1.5 < paths[0].ns < CLOCK_TO_Q + 2 * LUT + 3
    assert paths[1].ns < paths[0].ns
    assert all(path.ends == 1 for path in paths)


def test_placed_log_is_read(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        "Info: \t        TRELLIS_COMB:    5709/  83640     6%\nInfo: \t  DP16KD:      0/    208     0%\n"
        "Info: Max frequency for clock '$glbnet$clk$TRELLIS_IO_IN': 69.18 MHz (FAIL at 160.00 MHz)\n"
    )
    timing = read_placed(log)
    assert timing.fmax_mhz == pytest.approx(69.18)
    assert timing.used == {"TRELLIS_COMB": 5709}
    log.write_text("")
    with pytest.raises(SynthError) as error:
        read_placed(log)
    assert str(error.value) == f"{log}: no clock rate"


def report(tmp_path, clock):
    edge = f"posedge {clock}"
    steps = [("clk-to-q", 0.5, "unit.a", "Q"), ("routing", 1.25, "unit.b", "A"), ("logic", 0.25, "unit.b", "F")]
    steps += [("routing", 0, "unit.c", "FCI"), ("logic", 0.5, "unit.c", "FCO"), ("setup", 0.0, "unit.c", "DI")]
    path = [
        {"type": kind, "delay": delay, "net": "unit.n", "from": {}, "to": {"cell": cell, "port": port}}
        for kind, delay, cell, port in steps
    ]
    content = {
        "fmax": {clock: {"achieved": 400.0, "constraint": 160.0}},
        "utilization": {"TRELLIS_COMB": {"used": 7, "available": 9}, "DP16KD": {"used": 0, "available": 9}},
        "critical_paths": [{"from": "<async>", "to": edge, "path": []}, {"from": edge, "to": edge, "path": path}],
    }
    file = tmp_path / "report.json"
    file.write_text(json.dumps(content))
    return file


def test_report_is_read(tmp_path):
    timing = read_timing(report(tmp_path, "$glbnet$clk$TRELLIS_IO_IN"))
    assert timing.fmax_mhz == pytest.approx(400)
    assert timing.used == {"TRELLIS_COMB": 7}
    assert timing.critical_path == [
        " 0.50   0.50 clk-to-q a.Q",
        " 1.25   1.75 routing n -> b.A",
        " 0.75   2.50 logic",
        " 0.00   2.50 setup c.DI",
    ]


def test_report_without_the_clock(tmp_path):
    file = report(tmp_path, "other")
    with pytest.raises(SynthError) as error:
        read_timing(file)
    assert str(error.value) == f"{file}: expected one clock, found other"


def test_area_adds_up(tmp_path):
    netlist = emit(Converter(Convert()), "converter", spec=Convert(), folder=tmp_path)
    rows = area_by_unit(netlist.verilog, "converter", out=tmp_path / "out", progress=False)
    assert rows[0]["instance"] == ""
    assert rows[0]["lut4_below"] == sum(row["lut4"] for row in rows) > 200
    assert {"keyed"} <= {row["instance"] for row in rows}
    whole = json.loads((tmp_path / "out" / "converter.json").read_text())
    total = summary(count_cells(whole, "converter"))
    assert total["ff"] == sum(row["ff"] for row in rows)
    assert total["lut4"] == rows[0]["lut4_below"]


def test_synthesis_alone_gives_area_and_estimates(tmp_path):
    netlist = emit(Converter(Convert()), "converter", spec=Convert(), folder=tmp_path)
    out = tmp_path / "out"
    result = synth(netlist.verilog, "converter", "ecp5-25k", out=out, lanes=8, until=SYNTHESIS, progress=False)
    assert result.keys() >= KEYS
    assert result["fmax_mhz"] is None
    assert result["lut4"] == result["luts"] == result["by_unit"][0]["lut4"] > 200
    assert result["lut4_per_lane"] == round(result["lut4"] / 8, 1)
    assert [row["unit"] for row in result["by_unit"]] == ["", "keyed"]
    assert result["memory_bits_in_luts"] == 0
    assert result["dsp_registered"]
    assert 3 < result["estimated_paths"][0]["ns"] < 12
    assert not list(out.glob("seed*"))
    json.dumps(result)


@pytest.mark.pnr
def test_unit_is_placed_routed_and_measured(tmp_path, capfd):
    netlist = emit(Converter(Convert()), "converter", spec=Convert(), folder=tmp_path)
    result = synth(netlist.verilog, "converter", "ecp5-25k", seeds=[1, 2], out=tmp_path / "out", lanes=8)
    assert result.keys() >= KEYS
    assert result["target"] == "ecp5-25k"
    assert result["lut4"] == sum(result["luts_by"].values())
    assert result["lut4_per_lane"] == round(result["lut4"] / 8, 1)
    assert result["fmax_mhz"] == max(result["fmax_by_seed"].values()) == result["fmax_by_seed"][str(result["seed"])]
    assert result["dsp"] == result["bram"] == 0
    assert result["critical_path"][0].split()[2] == "clk-to-q"
    # The ring is not counted: what was routed has exactly the flip-flops that were synthesised.
    whole = json.loads((tmp_path / "out" / "converter.json").read_text())
    assert result["ff"] == count_cells(whole, "converter")["TRELLIS_FF"]
    assert "place and route converter on ecp5-25k, seed 2: " in capfd.readouterr().err
    json.dumps(result)


@pytest.mark.pnr
@pytest.mark.parametrize(
    ("component", "dsp", "bram", "fmax"),
    [
        (lambda: Multiplier(16, "ecp5"), 1, 0, 200),
        (lambda: Bram(width=48, depth=1024, target="ecp5"), 0, 3, 250),
    ],
    ids=["multiplier", "bram"],
)
def test_primitives_hold_their_registers(component, dsp, bram, fmax, tmp_path):
    """No flip-flop outside them, and no clock-to-output of an unregistered one in a path."""
    source = write(component(), "unit", tmp_path)
    result = synth(source, "unit", "ecp5-25k", out=tmp_path / "out", progress=False)
    assert (result["ff"], result["dsp"], result["bram"]) == (0, dsp, bram)
    assert result["lut4"] <= 2  # nextpnr's sources of constant 0 and 1
    assert result["fmax_mhz"] > fmax


@pytest.mark.pnr
def test_unit_that_does_not_fit(tmp_path):
    source = write(Bram(width=16, depth=65536, target="ecp5"), "unit", tmp_path)  # 64 blocks of 56
    with pytest.raises(SynthError, match=r"^place and route unit on ecp5-25k, seed 1: .*DP16KD"):
        synth(source, "unit", "ecp5-25k", out=tmp_path / "out", progress=False)
