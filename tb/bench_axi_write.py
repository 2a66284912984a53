"""AXI writer against a memory that keeps the rules: every place around a page, guard bytes, stalls, failures."""

import cocotb
from cocotb.triggers import RisingEdge, gather

from spec.axi import Resp, bursts
from tb.axi_checks import begin, check_overlap, check_pace
from tb.axi_memory import ORIGINS, columns, isolate, jobs_around_pages, random_bricks
from tb.kit import Stream, cycles, generator, send
from tb.models import setting


async def play(dut, spec, rng, memory, ends, jobs, stall=0.0):
    """Write random bricks and return what memory must hold then: the jobs' bytes, and all others as they were."""
    bricks = random_bricks(spec, rng, sum(count for _, count in jobs))
    expected, done = bytearray(memory.bytes), 0
    for address, count in jobs:
        lines = memory.lines(bricks[done : done + count])
        place = address - memory.origin
        expected[place : place + len(lines)] = lines
        done += count
    await gather(
        send(Stream(dut, "i"), columns(jobs), rng, stall), send(Stream(dut, "bricks"), bricks, rng, stall)
    )
    await ends.wait(len(jobs))
    return expected


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.25, 0.75], origin=ORIGINS, late=[False, True])
async def writes_its_bytes_and_no_other(dut, stall, origin, late):
    rng, spec, memory, ends = await begin(dut, origin=origin, stall=stall, latency=7, late=late)
    cocotb.start_soon(isolate(dut, generator()))
    jobs = jobs_around_pages(spec, rng, origin)
    expected = await play(dut, spec, rng, memory, ends, jobs, stall)
    assert memory.bytes == expected
    assert memory.bursts == [burst for job in jobs for burst in bursts(spec, *job)]
    assert ends.errors == [Resp.OKAY] * len(jobs)


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.75])
async def reports_what_the_bus_fails(dut, stall):
    rng, spec, memory, ends = await begin(dut, stall=stall, latency=5)
    size = spec.brick_bytes
    jobs = [(n * 20 * size, 1 + int(rng.integers(0, 20))) for n in range(12)]
    expected = []
    for n, job in enumerate(jobs):
        error = (Resp.OKAY, Resp.SLAVE, Resp.DECODE)[n % 3]
        addresses = [address for address, _ in bursts(spec, *job)]
        first = int(rng.integers(0, len(addresses)))
        memory.failing |= {address: 5 - int(error) for address in addresses[first + 1 :] if error}
        memory.failing[addresses[first]] = int(error) or 1  # EXOKAY is no failure
        expected.append(error)
    await play(dut, spec, rng, memory, ends, jobs, stall)
    assert ends.errors == expected


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def sends_a_beat_in_every_cycle(dut):
    await check_pace(dut, await begin(dut), play)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def overlaps_jobs(dut):
    await check_overlap(dut, await begin(dut, latency=50), play)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    """With both readies low: neither channel waits to be taken before it offers."""
    rng, spec, memory, ends = await begin(dut)
    memory.stall = 1.0
    await cycles(dut, 2)
    i, aw, w = (Stream(dut, name) for name in ("i", "aw", "w"))
    edge = RisingEdge(dut.clk)
    cocotb.start_soon(send(Stream(dut, "bricks"), random_bricks(spec, rng, 1), rng))
    i.valid.value = 1
    i.drive(i.to_rows(columns([(0, 1)]))[0])
    await edge
    i.valid.value = 0
    seen = {}
    for now in range(1, 20):
        await edge
        for channel in (aw, w):
            assert not channel.ready.value
            if channel.valid.value:
                seen.setdefault(channel.name, now)
    assert seen == {"aw": setting("latency"), "w": setting("latency")}
    assert not ends.all
    memory.stall = 0.0
    await ends.wait(1)
    assert ends.errors == [Resp.OKAY]
