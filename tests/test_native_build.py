"""The native build: once, however many want it; never a half of it; clear about what is missing."""

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from engine_cases import CASE_CHIPS
from test_kit import Stage, StageCircuit

from gradloom.machine import netlist
from hw.emit import emit
from tb import toolchain
from tb.native.build import build_library
from tb.native.machine import build_engine

WRAPPER = Path(__file__).with_name("native_stage.cpp")


@pytest.fixture
def build_folder(tmp_path, monkeypatch):
    """A build root of this test's own, with the shared runtime of the real one."""
    root = tmp_path / "build"
    root.mkdir()
    (toolchain.build_root() / "runtime").mkdir(parents=True, exist_ok=True)
    (root / "runtime").symlink_to(toolchain.build_root() / "runtime")
    monkeypatch.setattr(toolchain, "build_root", lambda: root)
    return root


@pytest.fixture
def stage(tmp_path):
    return emit(StageCircuit(Stage()), "stage", spec=Stage(), folder=tmp_path / "stage")


@pytest.mark.rtl
def test_library_runs_the_verilog(stage, build_folder, capfd):
    library = build_library(stage.verilog, stage.top, WRAPPER)
    assert "compiling the wrapper ..." in capfd.readouterr().err

    native = ctypes.CDLL(str(library))
    native.stage_new.restype = ctypes.c_void_p
    native.stage_delete.argtypes = [ctypes.c_void_p]
    native.stage_pass.argtypes = [ctypes.c_void_p, ctypes.c_uint]
    native.stage_pass.restype = ctypes.c_uint
    top = native.stage_new()
    assert [native.stage_pass(top, index) for index in (7, 2**32 - 1, 0)] == [7, 2**32 - 1, 0]
    native.stage_delete(top)

    assert build_library(stage.verilog, stage.top, WRAPPER) == library
    assert not capfd.readouterr().err


@pytest.mark.rtl
def test_changed_sources_are_built_anew(stage, build_folder, tmp_path):
    library = build_library(stage.verilog, stage.top, WRAPPER, progress=False)
    wrapper = tmp_path / "other.cpp"
    wrapper.write_text(WRAPPER.read_text() + "\n")
    assert build_library(stage.verilog, stage.top, wrapper, progress=False) != library


@pytest.mark.rtl
def test_a_wrapper_that_does_not_compile_leaves_nothing(stage, build_folder, tmp_path):
    wrapper = tmp_path / "broken.cpp"
    wrapper.write_text('#include "Vstage.h"\nint wrong = "text";\n')
    with pytest.raises(toolchain.ToolError, match=r"^g\+\+ ended with status 1:\n(.*\n)*.*broken.cpp:2"):
        build_library(stage.verilog, stage.top, wrapper, progress=False)
    assert [path.suffix for path in (build_folder / "native").iterdir()] == [".lock"]


def test_a_missing_tool_is_named_on_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(toolchain.ToolError) as error:
        toolchain.check_tools()
    assert str(error.value) == (
        "missing on this machine: g++ (a C++ compiler), make (GNU make), perl (Perl); "
        "install with the system's package manager"
    )


def test_processes_that_want_one_build_make_it_once(tmp_path):
    script = """
import sys, time
from pathlib import Path
from tb.toolchain import built_once

def build(folder):
    with open(sys.argv[2], "a") as log:
        log.write("built\\n")
    (folder / "first").touch()
    time.sleep(0.5)
    (folder / "last").touch()

assert (built_once(Path(sys.argv[1]), build) / "last").exists()
"""
    command = [sys.executable, "-c", script, str(tmp_path / "out"), str(tmp_path / "log")]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    assert (tmp_path / "log").read_text() == "built\n"


def test_an_interrupted_build_is_not_used(tmp_path):
    script = """
import os, sys
from pathlib import Path
from tb.toolchain import built_once

def build(folder):
    (folder / "half").touch()
    os.kill(os.getpid(), 9)

built_once(Path(sys.argv[1]), build)
"""
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path / "out")], check=False).returncode == -9
    assert not (tmp_path / "out").exists()
    toolchain.built_once(tmp_path / "out", lambda folder: (folder / "whole").touch())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole"]


def test_a_folder_with_spaces_is_refused(tmp_path):
    folder = tmp_path / "two words"
    with pytest.raises(toolchain.ToolError) as error:
        toolchain.built_once(folder, lambda _: None)
    assert str(error.value) == f"make cannot build in a folder with spaces in its path: {folder}"


@pytest.mark.rtl
def test_engines_come_and_go_in_any_order():
    """In a process of its own: a wrong order ended the process without a word."""
    chip = CASE_CHIPS["2x4w16"]
    library = build_engine(netlist(chip), progress=False)
    lines = [
        "from pathlib import Path",
        "from spec.chip import Chip",
        "from tb.native.engine import NativeEngine",
        f"chip, library = {chip!r}, Path({str(library)!r})",
        "first, second = NativeEngine(chip, library), NativeEngine(chip, library)",
        "second.close(); first.idle(3); first.close()",
    ]
    spoilt = os.environ | {"MALLOC_PERTURB_": "165"}  # freed memory is overwritten
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)], env=spoilt, check=False).returncode == 0


@pytest.mark.rtl
def test_groups_run_the_same_code():
    """Verilator merged the groups' functions, but for those that tell the two readers of A apart: without that an engine
    runs a third slower."""
    library = build_engine(netlist(CASE_CHIPS["7x4w12"]), progress=False)
    written = "".join(path.read_text() for path in library.parent.glob("Vnative_group__*.cpp"))
    names = re.findall(r"^void \w+___nba_sequent\w*(group_\d+)__\d+\(", written, re.MULTILINE)
    assert names.count("group_0") > names.count("group_1")
    assert set(names) <= {"group_0", "group_1"}
