"""Runs main.c on a simulated machine: ``python examples/bare_metal/simulate.py [--net cnn] [--chip tiny] [--steps 3]``.

What a user of a board does, in order: `gradloom generate`, `gradloom program`, the C compiler. The port is tb/native/port.h.
"""

import argparse
import subprocess
from pathlib import Path

from click.testing import CliRunner

from gradloom.cli import main as gradloom
from gradloom.machine import netlist
from gradloom.soc.driver import driver_files
from spec.chip import load_chip
from tb.native.machine import build_machine
from tb.toolchain import build_root

HERE = Path(__file__).resolve().parent
PORT = HERE.parents[1] / "tb/native"


def run(*arguments: str) -> None:
    result = CliRunner().invoke(gradloom, arguments)
    if result.exit_code:
        raise SystemExit(result.stderr)


def main(net: str, chip: str, batch: int, steps: int) -> None:
    out = build_root() / f"bare_metal-{Path(chip).stem}"
    run("generate", "--unit", "machine", "--chip", chip, "-o", str(out / "rtl"))
    run("program", "--net", net, "--chip", chip, "--batch", str(batch), "-o", str(out / "net.bin"))
    library = build_machine(netlist(load_chip(chip), "machine"))
    sources = [out / "rtl" / name for name in driver_files() if name.endswith(".c")]
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", f"-I{out / 'rtl'}", f"-I{PORT}", '-DGRADLOOM_PORT="port.h"']
    flags += [f"-DSTEPS={steps}", "-DPREDICT", "-DINTERRUPTS=1"]
    machine = [library, f"-Wl,-rpath,{library.parent}", "-o", out / "program"]
    subprocess.run(["gcc", *flags, HERE / "main.c", PORT / "port.c", *sources, *machine], check=True)
    subprocess.run([out / "program", out / "net.bin", out / "memory.bin"], check=True)


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--net", default="cnn")
    options.add_argument("--chip", default="tiny")
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--steps", type=int, default=3)
    main(**vars(options.parse_args()))
