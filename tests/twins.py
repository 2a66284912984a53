"""A unit on an FPGA's own primitives against its portable twin, in one Verilator simulation.

Both run on the same random inputs, the primitives as ``ecp5_models.v`` describes them.
"""

import subprocess
from pathlib import Path

from amaranth.back import verilog

from tb.toolchain import environment

MODELS = Path(__file__).with_name("ecp5_models.v")
HARMLESS = ("-Wno-fatal", "-Wno-lint", "-Wno-STMTDLY")  # the models take more inputs than one mode reads


def write_pair(make, name: str, folder: Path) -> list[Path]:
    """Verilog of ``make(None)`` and ``make("ecp5")`` as modules ``<name>`` and ``<name>_ecp5``."""
    files = []
    for target, top in ((None, name), ("ecp5", f"{name}_ecp5")):
        path = folder / f"{top}.v"
        path.write_text(verilog.convert(make(target), name=top, emit_src=False))
        files.append(path)
    return files


def simulate(bench: str, sources: list[Path], folder: Path, seed: int) -> dict[str, tuple[int, int]]:
    """Build and run module ``bench``; return its ``<name> compared <n> differing <n>`` lines."""
    path = folder / "bench.v"
    path.write_text(bench)
    build = ["verilator_bin", "--binary", "--timing", "--top-module", "bench", "--Mdir", "obj", *HARMLESS]
    names = [str(source.resolve()) for source in (*sources, MODELS, path)]
    built = subprocess.run([*build, *names], cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    command = [folder / "obj" / "Vbench", f"+verilator+seed+{seed % 2147483646 + 1}"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    words = [line.split() for line in run.stdout.splitlines() if " compared " in line]
    return {line[0]: (int(line[2]), int(line[4])) for line in words}
