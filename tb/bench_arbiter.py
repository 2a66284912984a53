"""Arbiter: every stream whole and in order, none starved, none sooner than its pause; its latency measured."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, gather

from tb.kit import Stream, collect, generator, guard, send, start
from tb.models import draw, setting


async def watch(inputs, taken):
    """Note the cycle and the source of every input transfer; never two in a cycle."""
    edge, now = RisingEdge(inputs[0].clk), 0
    while True:
        await edge
        now += 1
        sources = [n for n, i in enumerate(inputs) if i.valid.value and i.ready.value]
        assert len(sources) <= 1, f"took from streams {sources} in one cycle"
        taken += [(now, n) for n in sources]


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(source=[0.0, 0.5, 0.9], sink=[0.0, 0.5])
async def merges_without_loss(dut, source, sink):
    rng, o = generator(), Stream(dut, "o")
    inputs = [Stream(dut, f"i__{n}") for n in range(setting("count"))]
    counts = rng.integers(20, 60, len(inputs))
    items = [draw(rng, i, count) for i, count in zip(inputs, counts, strict=True)]
    taken = []
    await start(dut)
    cocotb.start_soon(guard(o))
    cocotb.start_soon(watch(inputs, taken))
    senders = [send(i, words, rng, source) for i, words in zip(inputs, items, strict=True)]
    *_, got = await gather(*senders, collect(o, counts.sum(), rng, sink))

    for n, words in enumerate(items):
        mine = got["source"] == n
        for field, sent in words.items():
            np.testing.assert_array_equal(got[f"value__{field}"][mine], sent)
        times = np.array([time for time, source in taken if source == n])
        assert np.diff(times).min() >= setting("pause"), f"stream {n} was served twice within its pause"
    np.testing.assert_array_equal(got["source"], [n for _, n in taken])


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(sink=[0.0, 0.5])
async def starves_none(dut, sink):
    """All streams ask all the time: while one waits, no other is served more than twice, and no cycle is lost."""
    rng, o = generator(), Stream(dut, "o")
    inputs = [Stream(dut, f"i__{n}") for n in range(setting("count"))]
    taken = []
    await start(dut)
    cocotb.start_soon(watch(inputs, taken))
    count = 30
    senders = [send(i, draw(rng, i, count), rng) for i in inputs]
    await gather(*senders, collect(o, count * len(inputs), rng, sink))
    order = [n for _, n in taken]
    for n in range(len(inputs)):
        places = [place for place, source in enumerate(order) if source == n]
        for before, after in zip([-1, *places], places, strict=False):
            between = order[before + 1 : after]
            assert max(map(between.count, between), default=0) <= 2, f"stream {n} waited while {between} were served"
    if not sink:
        steady = count * len(inputs) // 2  # later the streams run dry one by one
        pace = max(len(inputs), setting("pause")) / len(inputs)
        assert taken[steady][0] - taken[0][0] <= pace * steady + 1, "cycles are lost while streams wait"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def serves_one_alone_as_often_as_its_pause_allows(dut):
    rng, o = generator(), Stream(dut, "o")
    inputs = [Stream(dut, f"i__{n}") for n in range(setting("count"))]
    taken = []
    await start(dut)
    cocotb.start_soon(watch(inputs, taken))
    await gather(send(inputs[-1], draw(rng, inputs[-1], 20), rng), collect(o, 20, rng))
    assert set(np.diff([time for time, _ in taken]).tolist()) == {setting("pause")}


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    """Edges from the first that sees an input's valid to the first that sees the output's."""
    o, i = Stream(dut, "o"), Stream(dut, "i__0")
    await start(dut)
    o.ready.value = 1
    i.valid.value = 1
    await RisingEdge(dut.clk)
    latency = 0
    while not o.valid.value:
        await RisingEdge(dut.clk)
        latency += 1
    assert latency == setting("latency")
