"""Convert against its golden twin: every shift in every mode, both ways of saturating, its latency measured."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, gather

from golden.convert import convert
from spec.convert import Convert
from spec.number import Rounding
from spec.product import MAX_SHIFT
from tb.kit import Stream, collect, generator, guard, load_spec, measure_latency, send, start


def draw(rng, spec, shift, count):
    """Sums of every size, half of them within a few roundings of the limits of a word; extremes included."""
    low, high = -(1 << spec.acc_width - 1), (1 << spec.acc_width - 1) - 1
    size = rng.integers(0, spec.acc_width, count)
    anywhere = rng.integers(-(1 << size), 1 << size)
    step, limit = 1 << shift, 1 << spec.width - 1
    near = step * (rng.choice([-limit, limit], count) + rng.integers(-2, 3, count)) + rng.integers(0, step, count)
    sums = np.where(rng.random(count) < 0.5, anywhere, np.clip(near, low, high))
    sums[:4] = low, high, 0, -1
    return sums


async def check(dut, spec, shift, rounding, rng, stall, count):
    """Run one command; return how many words were clipped at either end."""
    key, index = int(rng.integers(1 << 32)), rng.integers(0, 1 << 32, count)
    sums = draw(rng, spec, shift, count)
    i, o = Stream(dut, "i"), Stream(dut, "o")
    # Settings change in the very cycle that offers the first sum.
    dut.shift.value, dut.rounding.value, dut.key.value = shift, int(rounding), key
    _, got = await gather(
        send(i, {"acc": sums, "index": index}, rng, stall),
        collect(o, count, rng, stall, after=2 * spec.LATENCY),
    )

    words, saturations = convert(sums, shift, rounding, key, index, spec.width, spec.acc_width)
    np.testing.assert_array_equal(got["word"], words, err_msg=f"shift {shift}, {rounding.name}, key {key}")
    assert got["saturated"].sum() == saturations
    clipped = words[got["saturated"] == 1]
    return int((clipped < 0).sum()), int((clipped > 0).sum())


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(rounding=list(Rounding), stall=[0.0, 0.5])
async def matches_golden(dut, rounding, stall):
    spec, rng = load_spec(Convert), generator()
    await start(dut)
    cocotb.start_soon(guard(Stream(dut, "o")))
    low = high = 0
    for shift in rng.permutation(MAX_SHIFT + 1).tolist():
        clipped = await check(dut, spec, shift, rounding, rng, stall, 150)
        low, high = low + clipped[0], high + clipped[1]
    assert low > 100, f"only {low} words were clipped at the low end"
    assert high > 100, f"only {high} words were clipped at the high end"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    spec = load_spec(Convert)
    i, o = Stream(dut, "i"), Stream(dut, "o")
    await start(dut)
    assert await measure_latency(i, o, {"acc": [-5], "index": [1]}) == spec.LATENCY


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def takes_a_sum_in_every_cycle(dut):
    rng, o = generator(), Stream(dut, "o")
    await start(dut)
    dut.o__ready.value = 1
    sender = cocotb.start_soon(send(Stream(dut, "i"), {"acc": range(100), "index": range(100)}, rng))
    while not o.valid.value:
        await RisingEdge(dut.clk)
    for word in range(100):
        assert o.valid.value
        assert o.raw() == (word, 0)
        await RisingEdge(dut.clk)
    assert not o.valid.value
    await sender
