"""Turns: every stream whole and in order, each at its turn, whatever the others do; latency and pace measured."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, gather
from cocotb.utils import get_sim_time

from tb.kit import Stream, cycles, generator, send, start
from tb.models import draw, setting


class Taken:
    """Cycles and sources of the input transfers; cycles, sources and words of the outputs."""

    def __init__(self, dut):
        self.inputs = [Stream(dut, f"i__{n}") for n in range(setting("count"))]
        self.names = list(self.inputs[0].fields)
        self.transfers, self.items = [], []
        cocotb.start_soon(self._watch(dut, [getattr(dut, f"value__{name}") for name in self.names]))

    async def _watch(self, dut, fields):
        edge, now = RisingEdge(dut.clk), 0
        while True:
            await edge
            now += 1
            self.transfers += [(now, n) for n, i in enumerate(self.inputs) if i.valid.value and i.ready.value]
            if dut.valid.value:
                self.items.append((now, int(dut.source.value), [int(field.value) for field in fields]))


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5, 0.9])
async def merges_without_loss(dut, stall):
    rng, taken = generator(), Taken(dut)
    await start(dut)
    items = [draw(rng, i, int(rng.integers(20, 60))) for i in taken.inputs]
    await gather(*(send(i, words, rng, stall) for i, words in zip(taken.inputs, items, strict=True)))
    await cycles(dut, 10)
    for n, sent in enumerate(items):
        got = np.array([words for _, source, words in taken.items if source == n]).T
        for name, words in zip(taken.names, got, strict=True):
            np.testing.assert_array_equal(words, sent[name])
        times = np.array([time for time, source in taken.transfers if source == n])
        assert not (np.diff(times) % max(len(items), setting("pause"))).any(), "a stream was served out of turn"
    # Each output is a transfer of ``LATENCY`` cycles ago.
    assert [(time, source) for time, source, _ in taken.items] == [(t + setting("latency"), n) for t, n in taken.transfers]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def serves_all_in_one_round(dut):
    rng, taken = generator(), Taken(dut)
    await start(dut)
    count = 20
    await gather(*(send(i, draw(rng, i, count), rng) for i in taken.inputs))
    pace = max(len(taken.inputs), setting("pause"))
    assert taken.transfers[-1][0] - taken.transfers[0][0] < count * pace


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def begins_its_round_anew(dut):
    """Whenever the restart comes, each stream has its turn as many cycles later, and is named rightly."""
    rng, taken = generator(), Taken(dut)
    await start(dut)
    seen = set()
    for _ in range(8):
        await cycles(dut, int(rng.integers(10, 40)))
        dut.restart.value = 1
        await cycles(dut, 1)
        dut.restart.value = 0
        taken.transfers.clear()
        taken.items.clear()
        before = int(get_sim_time("ns"))
        await gather(*(send(i, draw(rng, i, 1), rng) for i in taken.inputs))
        seen.add((int(get_sim_time("ns")) - before, tuple(n for _, n in taken.transfers)))
        await cycles(dut, setting("latency") + 1)
        assert [source for _, source, _ in taken.items] == [n for _, n in taken.transfers]
    assert len(seen) == 1
