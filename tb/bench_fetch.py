"""Fetch against its golden twin: densities, lengths and tails of every kind, bricks at once or late."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from golden.fetch import row_list
from spec.chip import BRICK, Chip
from spec.engine import Widths
from tb.kit import Stream, cycles, generator, guard, load_spec, send, start
from tb.models import pack, serve, to_signed

BUFFERS = 2  # bricks asked for ahead
LATENCY = 5  # cycles: two places for bricks, the words being read, the two registers of the multiplier


def draw(rng, chip, memory, length, density):
    """A row of ``length`` words behind all others in memory; behind its end lie words that are not its own."""
    limit = 1 << chip.width - 1
    words = rng.integers(-limit, limit, -(-length // BRICK) * BRICK)
    words[:length] *= rng.random(length) < density
    address = max(memory, default=-1) + int(rng.integers(1, 40))
    for n, brick in enumerate(words.reshape(-1, BRICK)):
        memory[address + n] = pack(brick, chip.width)
    spare = length % BRICK
    job = {"address": [address], "bricks": [len(words) // BRICK], "tail": [(1 << spare) - 1 if spare else 0xFF]}
    return words[:length], job


async def record(dut, chip, lists):
    """Lists as they are completed: slot, pairs, and the cycles of their first and last write."""
    edge, pairs, now, times = RisingEdge(dut.clk), [], 0, []
    while True:
        await edge
        now += 1
        if dut.w_enable.value:
            assert int(dut.w_address.value) == len(pairs), "a pair was stored out of turn"
            pairs.append((int(dut.w_k.value), to_signed(int(dut.w_a.value), chip.width)))
            times.append(now)
        if dut.done.value:
            assert int(dut.done_last.value) == len(pairs) - 1
            lists.append((int(dut.w_slot.value), pairs, times[-1] - times[0] + 1))
            pairs, times = [], []


async def check(dut, rng, chip, lengths, columns, skip, density, stall, latency):
    """Fetch rows of these lengths; return the cycles each took to write."""
    memory, lists = {}, []
    request, jobs = Stream(dut, "request"), Stream(dut, "i")
    dut.skip.value, dut.columns.value = skip, columns
    servant = cocotb.start_soon(
        serve(request, dut.brick_valid, dut.brick, memory, rng, stall, latency, outstanding=BUFFERS)
    )
    watcher = cocotb.start_soon(record(dut, chip, lists))
    rows, slots = [], rng.integers(0, chip.slots, len(lengths))
    for slot, length in zip(slots, lengths, strict=True):
        words, job = draw(rng, chip, memory, length, density)
        rows.append(words)
        await send(jobs, job | {"slot": [slot]}, rng, stall)
    jobs.valid.value = 0
    for _ in range(5000):
        if len(lists) == len(rows):
            break
        await cycles(dut, 1)
    await cycles(dut, 20)
    servant.cancel()
    watcher.cancel()

    assert len(lists) == len(rows), f"{len(lists)} lists of {len(rows)} rows"
    wrap = (1 << Widths(chip).half_address) - 1
    for words, slot, (got_slot, pairs, _) in zip(rows, slots, lists, strict=True):
        k, a = row_list(words, columns, skip)
        assert got_slot == slot
        np.testing.assert_array_equal(pairs, np.stack([k & wrap, a], axis=1))
    return [span for _, _, span in lists]


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5], density=[0.0, 0.1, 0.5, 1.0])
async def matches_golden(dut, stall, density):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    cocotb.start_soon(guard(Stream(dut, "request")))
    for skip in (1, 0):
        lengths = [1, 7, 8, 9, chip.list_depth, *rng.integers(1, chip.list_depth + 1, 8)]
        columns = int(rng.integers(1, 1 << Widths(chip).column, endpoint=True))
        latency = int(rng.integers(1, 12))
        await check(dut, rng, chip, lengths, columns, skip, density, stall, latency)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def stores_a_nonzero_in_every_cycle(dut):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    spans = await check(dut, rng, chip, [chip.list_depth] * 3, 1, 1, 1.0, 0.0, 6)
    assert max(spans) <= chip.list_depth + 2, f"{max(spans)} cycles for {chip.list_depth} words"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def spends_a_cycle_on_a_brick_of_zeros(dut):
    """Bricks come four cycles after they are asked for, two at a time: sixteen take at most that many."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    request, jobs, memory = Stream(dut, "request"), Stream(dut, "i"), {}
    dut.skip.value, dut.columns.value = 1, 1
    cocotb.start_soon(serve(request, dut.brick_valid, dut.brick, memory, rng))
    count = chip.list_depth // BRICK
    _, job = draw(rng, chip, memory, count * BRICK, 0.0)
    await send(jobs, job | {"slot": [0]}, rng)
    spent = 0
    while not dut.done.value:
        await cycles(dut, 1)
        spent += 1
    assert spent <= 4 * count + 12


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    """Edges from the first that sees a brick to the first that sees its first pair stored."""
    chip = load_spec(Chip)
    await start(dut)
    await send(Stream(dut, "i"), {"slot": [0], "address": [0], "bricks": [1], "tail": [0xFF]}, generator())
    dut.request__ready.value = 1
    await cycles(dut, 5)
    dut.brick.value, dut.brick_valid.value = pack([1] * BRICK, chip.width), 1
    await RisingEdge(dut.clk)
    dut.brick_valid.value = 0
    latency = 0
    while not dut.w_enable.value:
        await RisingEdge(dut.clk)
        latency += 1
    assert latency == LATENCY
