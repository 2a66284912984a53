"""The LiteX module in a SoC of LiteX: it elaborates on every bus, and a program runs from the SoC's memory."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from machine_cases import MACHINE_CHIPS

from gradloom.generate import generate
from spec.isa import Opcode, Unit, brick_bytes, encode
from spec.registers import ID_VALUE, Control, Irq, offset
from tb import toolchain

CHIP = MACHINE_CHIPS["1x2w8"]
EXAMPLE = Path(__file__).parents[1] / "examples/litex/soc.py"
BENCH = Path(__file__).with_name("litex_bench.cpp")
MEMORY, REGISTERS = 0x4000_0000, 0x9000_0000
FROM, TO, RING = 0x1000, 0x4000, 0x8000
BRICKS = 20

pytestmark = pytest.mark.skipif(find_spec("litex") is None, reason="LiteX is not installed: pip install 'gradloom[litex]'")


@pytest.fixture(scope="module")
def rtl(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rtl") / "rtl"
    generate(CHIP, folder, "machine")
    return folder


def elaborate(rtl, out, *bus):
    # A process of its own: LiteX keeps its names in globals, and warns of things that are none of ours.
    command = [sys.executable, EXAMPLE, rtl, out, *bus]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, cwd=out.parent)
    assert done.returncode == 0, done.stderr[-3000:]
    return out / "soc.v"


@pytest.mark.parametrize("bus", [(), ("wishbone", 64), ("axi-lite", 32), ("axi", 64)], ids=lambda bus: "-".join(map(str, bus)) or "usual")
def test_soc_elaborates(rtl, tmp_path, bus):
    text = elaborate(rtl, tmp_path / "out", *bus).read_text()
    assert "gradloom_machine gradloom_machine(" in text
    for line in ("s_axi_awaddr", "m_axi_awlock", "m_axi_rid", "irq"):
        assert f".{line}" in text


def script(rng):
    """What the host does, and the bytes that must then be at TO."""
    data = rng.integers(-128, 128, BRICKS * 8).astype("<i2").tobytes()
    both = Unit.LOAD | Unit.STORE
    program = b"".join([
        encode(Opcode.LOAD, address=MEMORY + FROM, bricks=BRICKS),
        encode(Opcode.STORE, both, address=MEMORY + TO, bricks=BRICKS),
        encode(Opcode.END),
    ])
    registers = {
        "read_base": MEMORY, "read_limit": MEMORY + 0xFFFF, "write_base": MEMORY + TO, "write_limit": MEMORY + TO + len(data) - 1,
        "ring_base": MEMORY + RING, "ring_size": 3, "irq_enable": int(Irq.ENDED | Irq.FAILED), "control": int(Control.START),
    }  # fmt: skip
    lines = [f"r {REGISTERS + offset('id'):x}"]
    for at, block in ((FROM, data), (RING, program)):
        lines += [f"w {MEMORY + at + 4 * n:x} {word:x}" for n, word in enumerate(np.frombuffer(block, "<u4"))]
    lines += [f"w {REGISTERS + offset(name):x} {value:x}" for name, value in registers.items()]
    lines += ["i 20000", *(f"r {REGISTERS + offset(name):x}" for name in ("error", "status"))]
    lines += [f"r {MEMORY + TO + at:x}" for at in range(0, len(data) + 4, 4)]
    return "\n".join([*lines, ""]), data


@pytest.mark.rtl
@pytest.mark.parametrize("bus", [(), ("axi", 64)], ids=["wishbone", "axi"])
def test_a_program_runs_in_the_soc(rtl, tmp_path, bus, seed):
    assert brick_bytes(CHIP) == 16
    soc = elaborate(rtl, tmp_path / "out", *bus)
    verilator = str(toolchain.verilator_root() / "bin" / "verilator")
    waived = [f"-Wno-{rule}" for rule in ("fatal", "lint", "style")]
    command = [verilator, "--cc", "--exe", "--build", "-O1", "--top-module", "soc", "-Mdir", str(tmp_path / "sim"), *waived]
    command += ["-CFLAGS", "-O0", "-MAKEFLAGS", "OPT_FAST=-O0", str(soc), str(rtl / "gradloom_machine.v"), str(BENCH)]
    toolchain.run_tool(command, tmp_path / "sim.log")
    lines, data = script(np.random.default_rng(seed))
    program = tmp_path / "sim" / "Vsoc"
    done = subprocess.run([program], input=lines, capture_output=True, text=True, check=False, cwd=soc.parent)
    assert done.returncode == 0, done.stdout[-300:]
    told = done.stdout.split()
    assert told[:2] == [f"{ID_VALUE:08x}", "1"]
    assert [int(word, 16) for word in told[2:4]] == [0, 2]  # no error, ended
    copied = b"".join(int(word, 16).to_bytes(4, "little") for word in told[4:-1])
    assert copied == data
    assert told[-1] == "0" * 8  # nothing behind it
