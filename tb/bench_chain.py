"""Chain: nothing lost or reordered, as deep as it says, an item every second cycle, its latency measured."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, gather

from tb.kit import Stream, collect, cycles, generator, guard, measure_latency, send, start
from tb.models import setting


def draw(rng, stream, count):
    """Random words in every field."""
    return {field: rng.integers(0, 1 << width, count) for field, width in stream.widths.items()}


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(source=[0.0, 0.5], sink=[0.0, 0.5])
async def passes_items_unchanged(dut, source, sink):
    rng, i, o = generator(), Stream(dut, "i"), Stream(dut, "o")
    items = draw(rng, i, 300)
    await start(dut)
    cocotb.start_soon(guard(o))
    _, got = await gather(send(i, items, rng, source), collect(o, 300, rng, sink))
    for field, words in items.items():
        np.testing.assert_array_equal(got[field], words)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    i, o = Stream(dut, "i"), Stream(dut, "o")
    await start(dut)
    assert await measure_latency(i, o, draw(generator(), i, 1)) == setting("depth")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def holds_as_many_as_its_depth(dut):
    rng, i, o = generator(), Stream(dut, "i"), Stream(dut, "o")
    depth = setting("depth")
    items = draw(rng, i, depth + 1)
    await start(dut)
    sender = cocotb.start_soon(send(i, items, rng))
    await cycles(dut, 3 * depth + 3)
    assert not sender.done(), f"took {depth + 1} items while its output stalled"
    got = await collect(o, depth + 1, rng)
    assert sender.done(), "the last item went out before it went in"
    for field, words in items.items():
        np.testing.assert_array_equal(got[field], words)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def takes_an_item_in_every_second_cycle(dut):
    rng, i, o = generator(), Stream(dut, "i"), Stream(dut, "o")
    await start(dut)
    o.ready.value = 1
    sender = cocotb.start_soon(send(i, draw(rng, i, 50), rng))
    spent = 0
    while not sender.done():
        await RisingEdge(dut.clk)
        spent += 1
    assert spent <= 2 * 50 + 1
