"""How fast cocotb drives the engine: clock cycles per second of wall time while it computes."""

import json
import os
import time
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from spec.chip import BRICK, Chip
from spec.engine import Widths
from spec.product import Product, ceil_div
from spec.tiling import command_words, planned
from tb.kit import start


async def write(dut, address: int, words: np.ndarray, width: int):
    """Rows of words as bricks, one a cycle when the engine takes them."""
    dut.write__valid.value = 1
    for n, brick in enumerate(words.reshape(-1, BRICK).tolist()):
        dut.write__payload__address.value = address + n
        packed = sum((word & (1 << width) - 1) << (place * width) for place, word in enumerate(brick))
        dut.write__payload__words.value = packed
        while True:
            await RisingEdge(dut.clk)
            if int(dut.write__ready.value):
                break
    dut.write__valid.value = 0


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def measure(dut):
    chip = Chip(**json.loads(Path(os.environ["SPEC"]).read_text()))
    m, k, n = (int(part) for part in os.environ["SPEED_SHAPE"].split(","))
    cycles = int(os.environ["SPEED_CYCLES"])
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    for port in ("command", "write", "read"):
        getattr(dut, f"{port}__valid").value = 0
    await start(dut)

    along, across = ceil_div(k, BRICK), ceil_div(n, BRICK)
    product = planned(
        chip,
        Product(
            m=m,
            k=k,
            n=n,
            a_stride=along,
            b_base=m * along,
            b_stride=across,
            c_base=m * along + k * across,
            c_stride=across,
            skip=False,
            index_stride=n,
        ),
    )
    # Some rows are enough: words that are all zero would toggle fewer signals.
    await write(dut, product.a_base, rng.integers(-3000, 3000, 16 * k), chip.width)
    await write(dut, product.b_base, rng.integers(-3000, 3000, 16 * n), chip.width)
    for (field, _), value in zip(Widths(chip).command_fields(), command_words(chip, product), strict=True):
        getattr(dut, f"command__payload__{field}").value = value
    dut.command__valid.value = 1
    await RisingEdge(dut.clk)
    dut.command__valid.value = 0
    await ClockCycles(dut.clk, 200)
    assert int(dut.running.value)

    began = time.perf_counter()
    await ClockCycles(dut.clk, cycles)
    seconds = time.perf_counter() - began
    assert int(dut.running.value)
    Path(os.environ["SPEED_ANSWER"]).write_text(json.dumps({"cycles": cycles, "hz": cycles / seconds}))
