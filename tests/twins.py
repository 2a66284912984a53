"""A unit on an FPGA's own primitives against its portable twin, in one Verilator simulation.

All run on the same random inputs. The primitives behave as Yosys's models of them say where it carries one, and
else as ours: ``ecp5_models.v`` and its like.
"""

import re
import subprocess
from pathlib import Path

import pyosys
from amaranth.back import verilog

from tb.toolchain import digest, environment, keep_runtime, take_runtime

HERE = Path(__file__).parent
SHARE = Path(pyosys.__file__).parent / "share"
OWN = {"ecp5": "ecp5_models.v", "gowin": "gowin_models.v", "nexus": "nexus_models.v", "xcup": "xcup_models.v"}
CARRIED = {
    "ice40": ("ice40/cells_sim.v", ("SB_MAC16",)),
    "nexus": ("nexus/cells_sim.v", ("OXIDE_DSP_REG", "OXIDE_DSP_SIM", "MULT18X18")),
    "xc7": ("xilinx/cells_sim.v", ("DSP48E1",)),
}
HARMLESS = ("-Wno-fatal", "-Wno-lint", "-Wno-STMTDLY")  # the models take more inputs than one mode reads
BUILD = ("verilator_bin", "--binary", "--timing", "--top-module", "bench", "--Mdir", "obj", *HARMLESS)


def write_pair(make, name: str, folder: Path, target: str) -> list[Path]:
    """Verilog of ``make(None)`` and ``make(target)`` as modules ``<name>`` and ``<name>_primitive``."""
    files = []
    for built_for, top in ((None, name), (target, f"{name}_primitive")):
        path = folder / f"{top}.v"
        path.write_text(verilog.convert(make(built_for), name=top, emit_src=False))
        files.append(path)
    return files


def models(target: str, folder: Path) -> list[Path]:
    """The models of a family's primitives."""
    files = [HERE / OWN[target]] if target in OWN else []
    if target in CARRIED:
        source, names = CARRIED[target]
        text = (SHARE / source).read_text()
        modules = [
            re.search(rf"^module {name} ?[#(].*?^endmodule", text, re.DOTALL | re.MULTILINE)[0] for name in names
        ]
        files.append(folder / f"{target}_carried.v")
        files[-1].write_text("\n".join(modules) + "\n")
    return files


def simulate(bench: str, sources: list[Path], folder: Path, seed: int, target: str) -> dict[str, tuple[int, int]]:
    """Build and run module ``bench``; return its ``<name> compared <n> differing <n>`` lines."""
    path = folder / "bench.v"
    path.write_text(bench)
    names = [str(source.resolve()) for source in (*sources, *models(target, folder), path)]
    runtime = digest(*BUILD)
    (folder / "obj").mkdir()
    take_runtime(folder / "obj", runtime)
    built = subprocess.run([*BUILD, *names], cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    keep_runtime(folder / "obj", runtime)
    command = [folder / "obj" / "Vbench", f"+verilator+seed+{seed % 2147483646 + 1}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    words = [line.split() for line in run.stdout.splitlines() if " compared " in line]
    return {line[0]: (int(line[2]), int(line[4])) for line in words}
