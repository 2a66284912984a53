"""Synthesis: what a unit takes and how fast it is; clear about what it cannot do."""

import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from amaranth.back import verilog

from hw.bram import Bram
from hw.convert import Converter
from hw.emit import emit
from hw.group import Group
from hw.multiplier import Multiplier
from spec.bram import Storage
from spec.chip import CHIPS
from spec.convert import Convert
from synth import tools
from synth.edge import ring_verilog
from synth.estimate import CLOCK_TO_Q, LUT, Estimate
from synth.flow import SYNTHESIS, area_by_unit, synth
from synth.memories import read_memories
from synth.netlist import buffer_resets, cells_by_instance, count_cells, dsp_use, luts, summary, tree
from synth.part import LARGE, SynthError
from synth.report import read_placed, read_timing, slack_histogram
from synth.source import Sources, read_sources
from synth.targets import TARGETS, load_target

KEYS = {"lut4", "ff", "dsp", "bram", "fmax_mhz", "lanes", "lut4_per_lane", "target"}
KEYS |= {"luts", "memory_bits_in_luts", "fmax_spread", "dsp_registered"}
ECP5 = TARGETS["ecp5-25k"].family


def write(component, top, folder):
    path = folder / f"{top}.v"
    path.write_text(verilog.convert(component, name=top, emit_src=False))
    return path


def test_unknown_target_lists_the_known_ones():
    with pytest.raises(SynthError) as error:
        load_target("ice40")
    assert str(error.value) == (
        "unknown target 'ice40'; known targets: ecp5-25k, ecp5-45k, ecp5-85k, gw2a-18, ice40-up5k, lifcl-40, "
        "xc7a100t, xczu3eg"
    )


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


PACKAGES = [tools.YOSYS, *sorted({t.family.placer.package for t in TARGETS.values() if t.family.placer})]


@pytest.mark.parametrize("package", PACKAGES)
def test_missing_tool(package, monkeypatch):
    monkeypatch.setattr(tools, "find_spec", lambda name: None if name == package.replace("-", "_") else object())
    with pytest.raises(SynthError) as error:
        tools.versions(package)
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
    text, flip_flops = ring_verilog("unit", ports, "ring", ECP5.ring)
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
    assert luts(count_cells(netlist, "top"), ECP5) == 4


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
    rows = {row["unit"]: row for row in tree(homes, ECP5)}
    assert list(rows) == ["", "group_*", "group_*.lane_*", "queue"]
    assert [row["count"] for row in rows.values()] == [1, 2, 3, 1]
    assert [row["luts"] for row in rows.values()] == [36, 35, 30, 0]
    assert rows["group_*"]["dsp"] == rows["group_*.lane_*"]["dsp"] == 1
    assert rows[""]["ff"] == 4
    assert [row["unit"] for row in tree(homes, ECP5, deepest=1)] == ["", "group_*", "queue"]


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
    assert module["cells"]["reset_buffer_0"]["connections"] == {"CLKI": [32], "CE": ["1"], "CLKO": [31]}
    # The buffer has a table and a register to itself.
    assert cells["or_32"]["connections"] == {"A": [33], "Z": [32]}
    assert cells["ff_0_33"]["connections"] == {"CLK": [0], "LSR": [31], "Q": [33]}
    assert cells["or"]["connections"] == {"A": [10], "Z": [2]}
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


def test_a_small_design_is_not_spread():
    """With few cells the static placer never ends; :func:`test_unit_is_placed_routed_and_measured` would wait for it."""
    placer = load_target("ecp5-25k").family.placer
    assert "static" not in placer.effort(LARGE - 1)
    assert placer.effort(LARGE) == (*placer.effort(0), "--placer", "static")


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


def ending(cell, event, late):
    return {"cell": cell, "event": event, "delay": [late / 2, late], "port": "DI"}


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
        "detailed_net_timings": [
            {"event": edge, "endpoints": [ending("lane_3.mac.total_FF_Q", edge, 2.5), ending("pin", "<async>", 9)]},
            {"event": edge, "endpoints": [ending("lane_3.mac.total_FF_Q", edge, 1.5)]},
            {"event": edge, "endpoints": [ending("lane_3.mac.total_FF_Q_1", edge, 2)]},
            {"event": edge, "endpoints": [ending("unit.ring", edge, 3.25)]},
            {"event": "<async>", "endpoints": [ending("unit.reset", edge, 8)]},
        ],
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
    assert timing.arrivals == {"lane_3.mac.total_FF_Q": 2.5, "lane_3.mac.total_FF_Q_1": 2, "unit.ring": 3.25}


def test_path_is_told_in_the_terms_of_the_source():
    cells = {
        "lane_3": {"type": "$scopeinfo", "attributes": {"module": "lane"}},
        "lane_3.mac": {"type": "$scopeinfo", "attributes": {"module": "mac"}},
        "lane_3.mac.total_FF_Q": {"type": "TRELLIS_FF", "attributes": {}},
    }
    sources = {
        "lane": {"sum_0": "hw/lane.py:97"},
        "mac": {"total": "hw/mac.py:62", "sum": "hw/mac.py:51"},
        "top": {"o": "hw/x.py:1"},
    }
    located = Sources({"modules": {"top": {"cells": cells}}}, "top", sources)
    nets = [
        "unit.lane_3.mac.total_FF_Q_DI[7]",
        "unit.lane_3.mac.total[8]",
        "unit.$abc$17",
        "unit.lane_3.sum_0_LUT4_Z",
        "unit.o_TRELLIS_FF",
    ]
    assert located.path(nets) == ["lane_3.mac.total hw/mac.py:62", "lane_3.sum_0 hw/lane.py:97", "o hw/x.py:1"]
    arrivals = {"unit.lane_3.mac.total_FF_Q": 2.5, "unit.lane_3.mac.total_FF_Q_1": 7.004}
    arrivals |= {"unit.sums.0.9$COMB0": 6.5, "unit.sums.0.9$COMB1": 6}
    assert located.slowest(arrivals, 6.25) == [
        {"end": "lane_3.mac.total hw/mac.py:62", "ns": 7.0, "late": 1, "ends": 2},
        {"end": "sums.0.9", "ns": 6.5, "late": 1, "ends": 2},
    ]


def test_sources_are_written_beside_the_verilog(tmp_path):
    netlist = emit(Converter(Convert()), "converter", spec=Convert(), folder=tmp_path)
    sources = read_sources(netlist.verilog)
    assert sources.keys() == {"converter", "keyed"}
    places = {signal: place.split(":") for signals in sources.values() for signal, place in signals.items()}
    assert {file for file, _ in places.values()} >= {"hw/convert.py", "hw/keyed.py"}
    for signal in ("coarse_1", "total0"):
        file, line = places[signal]
        assert "Signal(" in Path(file).read_text().splitlines()[int(line) - 1]
    assert read_sources(tmp_path / "elsewhere" / "unit.v") == {}


def test_report_without_the_clock(tmp_path):
    file = report(tmp_path, "other")
    with pytest.raises(SynthError) as error:
        read_timing(file)
    assert str(error.value) == f"{file}: expected one clock, found other"


def test_area_adds_up(tmp_path):
    netlist = emit(Converter(Convert()), "converter", spec=Convert(), folder=tmp_path)
    rows = area_by_unit(netlist.verilog, "converter", out=tmp_path / "out", progress=False)
    assert rows[0]["instance"] == ""
    assert rows[0]["luts_below"] == sum(row["luts"] for row in rows) > 200
    assert {"keyed"} <= {row["instance"] for row in rows}
    whole = json.loads((tmp_path / "out" / "converter.json").read_text())
    total = summary(count_cells(whole, "converter"), ECP5)
    assert total["ff"] == sum(row["ff"] for row in rows)
    assert total["luts"] == rows[0]["luts_below"]


def test_histogram_of_slacks_is_read_from_the_last_one():
    bars = "Info:          + represents [1,3) endpoint(s)\nInfo: [   881,   1103) |+\nInfo: [  1103,   1325) |*+\n"
    log = f"Info:  legend: * represents 9 endpoint(s)\n{bars}Info:  legend: * represents 3 endpoint(s)\n{bars}"
    assert slack_histogram(log) == [[881, 1103, 2], [1103, 1325, 5]]
    assert slack_histogram("Info: nothing") == []


def test_multiplier_without_a_register_is_told_apart():
    registered = {"REG_INPUTA_CLK": "CLK0", "REG_INPUTB_CLK": "CLK0", "REG_OUTPUT_CLK": "CLK0"}
    cells = {
        "full": {"type": "MULT18X18D", "parameters": registered},
        "half": {"type": "MULT18X18D", "parameters": registered | {"REG_OUTPUT_CLK": "NONE"}},
        "other": {"type": "LUT4", "parameters": {}},
    }
    assert dsp_use({"modules": {"top": {"cells": cells}}}, "top", ECP5) == {"registered": 1, "accumulating": 0}


MEMORIES = """
module unit(input clk, input we, input [9:0] wa, ra, input [3:0] wd, input [7:0] d, output reg [7:0] q, output [3:0] s);
  wire [7:0] x, y;
  store #(.DEPTH(1024)) wide(.clk(clk), .we(we), .wa(wa), .ra(ra), .d(d), .q(x));
  store #(.DEPTH(16)) narrow(.clk(clk), .we(we), .wa(wa), .ra(ra), .d(d), .q(y));
  reg [3:0] queue [0:15];
  always @(posedge clk) begin
    if (we) queue[wa[3:0]] <= wd;
    q <= x ^ y;
  end
  assign s = queue[ra[3:0]];
endmodule
module store #(parameter DEPTH = 16) (input clk, input we, input [9:0] wa, ra, input [7:0] d, output reg [7:0] q);
  reg [7:0] block_ram [0:DEPTH-1];
  always @(posedge clk) begin
    if (we) block_ram[wa[$clog2(DEPTH)-1:0]] <= d;
    q <= block_ram[ra[$clog2(DEPTH)-1:0]];
  end
endmodule
"""


@pytest.mark.parametrize(
    "target", ["ecp5-25k", "ice40-up5k", *(pytest.param(name, marks=pytest.mark.slow) for name in ("lifcl-40", "gw2a-18", "xc7a100t", "xczu3eg"))]
)
def test_memory_that_falls_into_look_up_tables_is_named(target, tmp_path):
    """Yosys puts 16 words of 8 bits into look-up tables or flip-flops though the source means block RAM."""
    source = tmp_path / "unit.v"
    source.write_text(MEMORIES)
    area_by_unit(source, "unit", target, out=tmp_path, progress=False)
    stored = {memory.name: memory for memory in read_memories(tmp_path / "memories.il", tmp_path / "synth.log")}
    assert {name: (memory.bits, memory.for_block) for name, memory in stored.items()} == {
        "wide.block_ram": (8192, True),
        "narrow.block_ram": (128, True),
        "queue": (64, False),
    }
    assert stored["wide.block_ram"].in_block
    assert not stored["queue"].in_block
    assert stored["narrow.block_ram"].in_block == (target == "ice40-up5k")  # which has no look-up tables for memory
    cells = json.loads((tmp_path / "unit.json").read_text())["modules"]["unit"]["cells"].values()
    blocks = sum(cell["type"] in TARGETS[target].family.bram for cell in cells)
    assert (blocks > 0) == any(memory.in_block for memory in stored.values())


def test_block_ram_is_told_by_the_name_that_the_source_gives_it(tmp_path):
    netlist = emit(Bram(width=16, depth=1024), "unit", spec=Storage(width=16, depth=1024), folder=tmp_path)
    area_by_unit(netlist.verilog, "unit", out=tmp_path, progress=False)
    [memory] = read_memories(tmp_path / "memories.il", tmp_path / "synth.log")
    assert (memory.bits, memory.for_block, memory.in_block) == (16384, True, True)


@pytest.mark.parametrize("target", ["ecp5-85k", pytest.param("gw2a-18", marks=pytest.mark.slow)])
def test_no_memory_of_a_group_falls_into_look_up_tables(target, tmp_path):
    """On primitives of block RAM, and where block RAM is left to inference; all multipliers keep their registers."""
    chip = CHIPS["tiny"]
    netlist = emit(Group(chip, TARGETS[target].family.name), "group", spec=chip, folder=tmp_path)
    result = synth(netlist.verilog, "group", target, out=tmp_path / "out", until="synthesis", progress=False)
    assert result["memories_in_luts"] == []
    assert result["memory_bits_in_luts"] == 0
    assert result["bram"] >= chip.lanes
    assert result["dsp_registered"] == result["dsp"] >= chip.lanes
    assert result["lut_ram_bits"] >= result["queue_bits_in_luts"] > 0
    assert result["fmax_mhz"] is None


def test_synthesis_alone_gives_area_and_estimates(tmp_path):
    netlist = emit(Converter(Convert()), "converter", spec=Convert(), folder=tmp_path)
    out = tmp_path / "out"
    result = synth(netlist.verilog, "converter", "ecp5-25k", out=out, lanes=8, until=SYNTHESIS, progress=False)
    assert result.keys() >= KEYS
    assert result["fmax_mhz"] is None
    assert result["lut4"] == result["luts"] == result["by_unit"][0]["luts"] > 200
    assert result["lut4_per_lane"] == round(result["lut4"] / 8, 1)
    assert [row["unit"] for row in result["by_unit"]] == ["", "keyed"]
    assert result["memory_bits_in_luts"] == 0
    assert result["dsp_registered"] == result["dsp"]
    assert result["buffered_resets"] == []
    assert 3 < result["estimated_paths"][0]["ns"] < 12
    assert not list(out.glob("seed*"))
    json.dumps(result)


@pytest.mark.pnr
def test_unit_is_placed_routed_and_measured(tmp_path, capfd):
    netlist = emit(Converter(Convert()), "converter", spec=Convert(), folder=tmp_path)
    result = synth(netlist.verilog, "converter", "ecp5-25k", seeds=[1, 2], out=tmp_path / "out", lanes=8)
    assert result.keys() >= KEYS
    assert result["target"] == "ecp5-25k"
    assert result["lut4"] == result["luts"] == sum(result["luts_by"].values())
    rates = result["fmax_by_seed"].values()
    assert result["fmax_spread"] == round(max(rates) - min(rates), 2)
    assert sum(endpoints for _, _, endpoints in result["slack_histogram"]) > 500
    assert result["lut4_per_lane"] == round(result["lut4"] / 8, 1)
    assert result["fmax_mhz"] == max(result["fmax_by_seed"].values()) == result["fmax_by_seed"][str(result["seed"])]
    assert result["dsp"] == result["bram"] == 0
    assert result["critical_path"][0].split()[2] == "clk-to-q"
    assert all(" hw/" in place for place in result["critical_path_source"])
    assert result["critical_path_source"]
    assert result["slowest_ends"][0]["ns"] == pytest.approx(1e3 / result["fmax_mhz"], abs=0.02)
    assert result["critical_path_source"][-1] in {row["end"] for row in result["slowest_ends"]}
    assert result["by_unit"][0]["luts"] == result["lut4"] - result["luts_by"]["packing"]
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
    assert result["dsp_registered"] == dsp
    assert result["lut4"] <= 2  # nextpnr's sources of constant 0 and 1
    assert result["fmax_mhz"] > fmax


@pytest.mark.pnr
def test_unit_that_does_not_fit(tmp_path):
    source = write(Bram(width=16, depth=65536, target="ecp5"), "unit", tmp_path)  # 64 blocks of 56
    with pytest.raises(SynthError, match=r"^place and route unit on ecp5-25k, seed 1: .*DP16KD"):
        synth(source, "unit", "ecp5-25k", out=tmp_path / "out", progress=False)
