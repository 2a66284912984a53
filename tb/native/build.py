"""Verilog and a C++ wrapper to a shared library, built once by Verilator and g++.

The wrapper of module ``x`` includes ``Vx.h``, drives class ``Vx`` and exports ``extern "C"``
functions for ctypes. Verilator spells the port ``o__valid`` as member ``o___05Fvalid``.
"""

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tb import toolchain

WAIVED = ["-Wno-WIDTHEXPAND"]  # Yosys leaves operand extension to Verilog context
VERILATE = ["-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert"]
# Passes that give the instances of one module different code; see :func:`tb.native.machine.shared_code`.
VERILATE += ["-fno-table", "-fno-dfg"]
OPTIMIZE = "-O2 -march=native -fno-tree-vectorize"
OBJECT_FLAGS = "-fPIC"
LIBRARY = "simulation.so"
CONTROL = "control.vlt"
WATCHED = "-fprofile-generate -fprofile-update=single"
Train = Callable[[Path], list[str]]  # of the library to the command that runs it


def build_library(
    verilog: Path,
    top: str,
    wrapper: Path,
    *,
    name: str | None = None,
    control: str = "",
    train: Train | None = None,
    progress: bool = True,
) -> Path:
    """Path of the shared library of module ``top`` of ``verilog`` behind ``wrapper``; ``name`` is what it is called.

    Built under ``build/native/<digest>`` unless a library of the same Verilog, wrapper, headers beside the
    wrapper that it includes, flags, tools and processor is there. ``control`` is a Verilator control file's text.
    ``train`` runs a library of the same interface that notes which branches are taken, for the compiler to
    lay out the code by; it takes a second build. ``progress`` reports a build on standard error.

    Raises :class:`tb.toolchain.ToolError` naming a missing tool on one line, or with the
    end of the log of a tool that failed.
    """
    name = name or top
    headers = re.findall(r'^#include "(\w+\.h)"', wrapper.read_text(), re.MULTILINE)
    sources = [wrapper, *(path for name in headers if (path := wrapper.parent / name).exists())]
    digest = toolchain.digest(
        verilog.read_text(), top, control, *(source.read_text() for source in sources), *VERILATE, OPTIMIZE, OBJECT_FLAGS,
        str(train is not None),
    )

    def step(title: str, command: list[str], folder: Path) -> None:
        start = time.monotonic()
        if progress:
            print(f"  {title} ...", end="", file=sys.stderr, flush=True)
        toolchain.run_tool(command, folder / "build.log")
        if progress:
            print(f" {time.monotonic() - start:.0f} s", file=sys.stderr)

    def build(folder: Path) -> None:
        runtime = toolchain.digest("native", OPTIMIZE, OBJECT_FLAGS)
        if progress:
            print(f"building the native simulation of {name}, once:", file=sys.stderr)
        (folder / CONTROL).write_text("`verilator_config\n" + control)
        step("Verilator", _verilate(verilog.resolve(), top, folder), folder)
        toolchain.take_runtime(folder, runtime)
        if train:
            step("compiling what it wrote, to be watched", _make(top, folder, WATCHED), folder)
            step("compiling the wrapper", _link(top, wrapper.resolve(), folder, WATCHED), folder)
            step("watching it at work", train(folder / LIBRARY), folder)
            for product in (*folder.glob(f"V{top}*.o"), *folder.glob("*.gch"), *folder.glob("*.a")):
                product.unlink()
        flags = "-fprofile-use -Wno-missing-profile" if train else ""
        step("compiling what it wrote", _make(top, folder, flags), folder)
        toolchain.keep_runtime(folder, runtime)
        step("compiling the wrapper", _link(top, wrapper.resolve(), folder), folder)

    return toolchain.built_once(toolchain.build_root() / "native" / f"{name}-{digest}", build) / LIBRARY


def _verilate(verilog: Path, top: str, folder: Path) -> list[str]:
    verilator = str(toolchain.verilator_root() / "bin" / "verilator")
    names = ["--cc", "--top-module", top, "-Mdir", str(folder)]
    return [verilator, *names, *VERILATE, *WAIVED, "-CFLAGS", OBJECT_FLAGS, str(folder / CONTROL), str(verilog)]


def _make(top: str, folder: Path, flags: str) -> list[str]:
    jobs = min(os.cpu_count() or 1, 4)
    # The slow part runs once at the start.
    optimize = [f"OPT_FAST={OPTIMIZE} {flags}", f"OPT_GLOBAL={OPTIMIZE}", "OPT_SLOW=-O0"]
    return ["make", f"-j{jobs}", "-C", str(folder), "-f", f"V{top}.mk", *optimize, f"libV{top}.a", "libverilated.a"]


def _link(top: str, wrapper: Path, folder: Path, watched: str = "") -> list[str]:
    include = toolchain.verilator_root() / "include"
    flags = ["-std=gnu++20", *OPTIMIZE.split(), *OBJECT_FLAGS.split(), *watched.split(), "-shared", "-pthread"]
    headers = [f"-I{folder}", f"-I{wrapper.parent}", f"-I{include}", f"-I{include / 'vltstd'}"]
    archives = [str(folder / f"libV{top}.a"), str(folder / "libverilated.a")]
    return ["g++", *flags, *headers, str(wrapper), *archives, "-o", str(folder / LIBRARY)]
