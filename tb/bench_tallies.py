"""Counters against sums: by the cycle, of products at their ends, past 32 bits, cleared."""

import cocotb
from cocotb.triggers import RisingEdge

from spec.engine import COUNTER_BITS, COUNTERS
from spec.isa import Unit
from spec.registers import COUNTER_NAMES
from tb.kit import cycles, generator, load_ports, start
from tb.models import pack


def values(dut):
    return {name: int(getattr(dut, f"values__{name}").value) for name in COUNTER_NAMES}


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def counts_what_happens(dut):
    rng = generator()
    await start(dut)
    most = (1 << load_ports()["vector_saturated"]["width"]) - 1
    inputs = {
        "running": 1, "busy": (1 << len(Unit)) - 1, "commands": 1, "brick_read": 1, "brick_written": 1,
        "vector_saturated": most,
    }  # fmt: skip
    totals = dict.fromkeys(COUNTER_NAMES, 0)
    edge = RisingEdge(dut.clk)
    pause = 0
    for now in range(3000):
        for name, high in inputs.items():
            getattr(dut, name).value = int(rng.integers(0, high + 1))
        engine = [int(rng.integers(0, 1 << 38 if now < 60 else 1 << 20)) for _ in COUNTERS]
        dut.engine.value = pack(engine, COUNTER_BITS)
        done = int(pause == 0 and rng.random() < 0.2)
        pause = 10 if done else max(0, pause - 1)
        dut.product_done.value = done
        await edge
        totals["run_cycles"] += int(dut.running.value)
        for n, unit in enumerate(Unit):
            totals[f"{unit.name.lower()}_cycles"] += int(dut.busy.value) >> n & 1
        totals["commands"] += int(dut.commands.value)
        totals["bricks_read"] += int(dut.brick_read.value)
        totals["bricks_written"] += int(dut.brick_written.value)
        totals["vector_saturations"] += int(dut.vector_saturated.value)
        if done:
            for name, value in zip(COUNTERS, engine, strict=True):
                totals[f"engine_{name}"] += value
    for name in inputs:
        getattr(dut, name).value = 0
    dut.product_done.value = 0
    await cycles(dut, 12)
    assert values(dut) == {name: total % (1 << COUNTER_BITS) for name, total in totals.items()}
    assert max(totals.values()) > 1 << 32
    dut.clear.value = 1
    await cycles(dut, 1)
    dut.clear.value = 0
    await cycles(dut, 3)
    assert not any(values(dut).values())
