"""Fifo and BlockFifo: nothing lost or reordered, as deep as it says, one item a cycle, its latency measured."""

import os

import cocotb
from cocotb.triggers import RisingEdge

from tb.kit import Stream, generator, measure_latency, send, start
from tb.models import draw
from tb.queues import check_depth, check_order


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(source=[0.0, 0.5], sink=[0.0, 0.5])
async def passes_items_unchanged(dut, source, sink):
    await check_order(dut, source, sink)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    i, o = Stream(dut, "i"), Stream(dut, "o")
    await start(dut)
    assert await measure_latency(i, o, draw(generator(), i, 1)) == int(os.environ.get("LATENCY", "1"))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def holds_as_many_as_its_depth(dut):
    await check_depth(dut)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def takes_an_item_in_every_cycle(dut):
    rng, i, o = generator(), Stream(dut, "i"), Stream(dut, "o")
    await start(dut)
    o.ready.value = 1
    cocotb.start_soon(send(i, draw(rng, i, 50), rng))
    await RisingEdge(dut.clk)
    for _ in range(50):
        await RisingEdge(dut.clk)
        assert i.ready.value
