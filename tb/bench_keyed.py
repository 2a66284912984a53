"""Keyed against its golden twin, with the enable at rest half of the time; its latency measured."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from golden.keyed import random_bits
from spec.keyed import KeyedBits
from tb.kit import generator, start

ALL = (1 << KeyedBits.LATENCY) - 1  # every stage loads


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def matches_golden(dut, stall):
    rng = generator()
    await start(dut)
    for key in (0, 0xFFFFFFFF, *map(int, rng.integers(0, 1 << 32, 4))):
        index = np.concatenate([np.arange(100), rng.integers(0, 1 << 32, 300), (1 << 32) - np.arange(1, 20)])
        dut.key.value = key
        got = await hashes(dut, index, rng, stall)
        np.testing.assert_array_equal(got, random_bits(key, index))


async def hashes(dut, index, rng, stall):
    """Bits of each index; while the enable rests, the index is noise and the bits must not move."""
    edge = RisingEdge(dut.clk)
    flush = [0] * KeyedBits.LATENCY
    words = []
    for word in [*map(int, index), *flush]:
        dut.en.value = 0
        while rng.random() < stall:
            dut.index.value = int(rng.integers(1 << 32))
            await edge
        dut.en.value = ALL
        dut.index.value = word
        await edge
        words.append(int(dut.bits.value))
    return np.array(words[KeyedBits.LATENCY :])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    """The first edge at which the bits of a new index can be read."""
    await start(dut)
    dut.en.value = ALL
    for _ in range(2 * KeyedBits.LATENCY):
        await RisingEdge(dut.clk)
    assert int(dut.bits.value) == random_bits(0, np.array(0))
    dut.index.value = 1
    await RisingEdge(dut.clk)  # takes the index
    latency = 1
    await RisingEdge(dut.clk)
    while int(dut.bits.value) != random_bits(0, np.array(1)):
        latency += 1
        await RisingEdge(dut.clk)
    assert latency == KeyedBits.LATENCY


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def gives_ones_on_request(dut):
    rng = generator()
    await start(dut)
    dut.ones.value = 1
    await RisingEdge(dut.clk)
    for _ in range(50):
        dut.en.value = int(rng.integers(2)) * ALL
        dut.index.value = int(rng.integers(1 << 32))
        await RisingEdge(dut.clk)
        assert int(dut.bits.value) == 0xFFFFFFFF


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def hashes_between_bubbles(dut):
    """A stage loads only what is there, as in Convert; now and then all rest."""
    rng, edge = generator(), RisingEdge(dut.clk)
    await start(dut)
    key = int(rng.integers(1 << 32))
    dut.key.value = key
    held = [None] * KeyedBits.LATENCY  # the index each stage works on
    seen = 0
    for _ in range(600):
        dut.index.value = noise = int(rng.integers(1 << 32))
        dut.en.value = 0
        last = held[-1]
        if rng.random() < 0.7:
            held = [noise if rng.random() < 0.5 else None, *held[:-1]]
            dut.en.value = sum(1 << stage for stage, index in enumerate(held) if index is not None)
        await edge
        if last is not None:  # an edge shows the cycle before it
            assert int(dut.bits.value) == random_bits(key, np.array(last))
            seen += 1
    assert seen > 100
