"""Counters against sums: while they count, when all is quiet, past their lower half, cleared at any time."""

import os

import cocotb
from cocotb.triggers import RisingEdge

from spec.engine import COUNTERS
from spec.isa import Unit
from spec.registers import COUNTER_NAMES
from tb.kit import cycles, generator, load_ports, start

UNSEEN = 2  # cycles before a question that an answer may not hold
HALF = 20  # bits of a total that are added at once


class Model:
    """Drives what is counted, and counts it."""

    def __init__(self, dut, rng):
        self.dut, self.rng = dut, rng
        ports = load_ports()
        most = {
            "running": 1, "busy": (1 << len(Unit)) - 1, "commands": 1, "brick_read": 1, "brick_written": 1,
            "vector_saturated": (1 << ports["vector_saturated"]["width"]) - 1,
        }  # fmt: skip
        most |= {name: (1 << ports[name]["width"]) - 1 for name in (f"engine__{counter}" for counter in COUNTERS)}
        self.most = most
        self.totals = dict.fromkeys(COUNTER_NAMES, 0)

    def show(self, how):
        for name, most in self.most.items():
            getattr(self.dut, name).value = how(most)

    def random(self):
        self.show(lambda most: int(self.rng.integers(0, most + 1)))

    def quiet(self):
        self.show(lambda most: 0)

    def counted(self, times=1):
        """What is shown has been seen by that many edges."""
        d, totals = self.dut, self.totals
        busy = int(d.busy.value)
        steps = {
            "run_cycles": d.running, "commands": d.commands, "bricks_read": d.brick_read,
            "bricks_written": d.brick_written, "vector_saturations": d.vector_saturated,
            **{f"engine_{name}": getattr(d, f"engine__{name}") for name in COUNTERS},
        }  # fmt: skip
        for name, port in steps.items():
            totals[name] += times * int(port.value)
        for n, unit in enumerate(Unit):
            totals[f"{unit.name.lower()}_cycles"] += times * (busy >> n & 1)

    async def cycle(self):
        await RisingEdge(self.dut.clk)
        self.counted()

    async def read(self, name, each):
        """The counter's total, and the cycles it took; ``each`` is called before every one of them."""
        d = self.dut
        d.wanted.value, d.number.value = 1, COUNTER_NAMES.index(name)
        for waited in range(1000):
            each()
            await self.cycle()
            if int(d.answer.value):
                d.wanted.value = 0
                await self.cycle()
                return int(d.value.value), waited
        raise AssertionError(f"{name} is not answered")


async def all_right(model):
    """Every counter, when nothing counts."""
    model.quiet()
    await cycles(model.dut, 4)
    for name in model.rng.permutation(COUNTER_NAMES):
        assert (await model.read(str(name), model.quiet))[0] == model.totals[name], name


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def counts_what_happens(dut):
    rng = generator()
    await start(dut)
    model = Model(dut, rng)
    latency, slowest = int(os.environ["LATENCY"]), 0
    for _ in range(100):
        name = str(rng.choice(COUNTER_NAMES))
        before = model.totals[name]
        for _ in range(UNSEEN):
            model.random()
            await model.cycle()
        value, waited = await model.read(name, model.random)
        assert before <= value <= model.totals[name]
        slowest = max(slowest, waited)
    assert latency - 3 <= slowest <= latency
    await all_right(model)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def counts_past_the_lower_half(dut):
    rng = generator()
    await start(dut)
    model = Model(dut, rng)
    for stretch in (70_000, 1, 33, 70_000 + int(rng.integers(0, 100))):
        model.show(lambda most: most)
        await cycles(dut, stretch)
        model.counted(stretch)
        await all_right(model)
    assert max(model.totals.values()) > 1 << HALF


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def is_cleared_at_any_time(dut):
    rng = generator()
    await start(dut)
    model = Model(dut, rng)
    for _ in range(30):
        for _ in range(int(rng.integers(0, 90))):
            model.random()
            await model.cycle()
        model.quiet()
        await cycles(dut, int(rng.integers(2, 40)))
        dut.clear.value = 1
        await cycles(dut, 1)
        dut.clear.value = 0
        model.totals = dict.fromkeys(COUNTER_NAMES, 0)
        for _ in range(int(rng.integers(0, 60))):
            model.random()
            await model.cycle()
        await all_right(model)
