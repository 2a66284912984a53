"""AXI reader against a memory that keeps the rules: every place around a page, stalls, failures; its speed."""

import cocotb
from cocotb.triggers import RisingEdge, gather

from spec.axi import Resp, bursts
from tb import axi_checks
from tb.axi_checks import check_overlap, check_pace
from tb.axi_memory import ORIGINS, columns, isolate, jobs_around_pages
from tb.kit import Stream, collect, cycles, generator, guard, send
from tb.models import setting


async def begin(dut, **how):
    begun = await axi_checks.begin(dut, **how)
    cocotb.start_soon(guard(Stream(dut, "o")))
    return begun


async def play(dut, spec, rng, memory, ends, jobs, stall=0.0):
    """Bricks that come of ``jobs``."""
    count = sum(bricks for _, bricks in jobs)
    _, got = await gather(
        send(Stream(dut, "i"), columns(jobs), rng, stall), collect(Stream(dut, "o"), count, rng, stall)
    )
    await ends.wait(len(jobs))
    return [int(brick) for brick in got]


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.25, 0.75], origin=ORIGINS, late=[False, True])
async def brings_what_memory_holds(dut, stall, origin, late):
    rng, spec, memory, ends = await begin(dut, origin=origin, stall=stall, latency=7, late=late)
    cocotb.start_soon(isolate(dut, generator()))
    jobs = jobs_around_pages(spec, rng, origin)
    got = await play(dut, spec, rng, memory, ends, jobs, stall)
    assert got == [brick for job in jobs for brick in memory.read(*job)]
    assert memory.bursts == [burst for job in jobs for burst in bursts(spec, *job)]
    assert ends.errors == [Resp.OKAY] * len(jobs)


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.75])
async def reports_what_the_bus_fails(dut, stall):
    rng, spec, memory, ends = await begin(dut, stall=stall, latency=5)
    size = spec.brick_bytes
    jobs = [(n * 20 * size, 1 + int(rng.integers(0, 20))) for n in range(12)]
    expected = []
    for n, (address, bricks) in enumerate(jobs):
        error = (Resp.OKAY, Resp.SLAVE, Resp.DECODE)[n % 3]
        beats = bricks * spec.brick_beats
        first = int(rng.integers(0, beats)) if n < 9 else beats - 1
        if error:
            memory.failing[address + first * spec.beat_bytes] = int(error)
            if first + 1 < beats:  # the first failure counts
                memory.failing[address + (beats - 1) * spec.beat_bytes] = 5 - int(error)
        else:
            memory.failing[address] = 1  # EXOKAY is no failure
        expected.append(error)
    got = await play(dut, spec, rng, memory, ends, jobs, stall)
    assert len(got) == sum(bricks for _, bricks in jobs)
    assert ends.errors == expected


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def takes_a_beat_in_every_cycle(dut):
    await check_pace(dut, await begin(dut), play)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def overlaps_jobs(dut):
    await check_overlap(dut, await begin(dut, latency=50), play)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    _, _, memory, ends = await begin(dut)
    i, ar, o = (Stream(dut, name) for name in ("i", "ar", "o"))
    o.ready.value = 1
    memory.stall = 1.0  # an address is offered whether or not memory would take it
    await cycles(dut, 2)
    assert not ar.ready.value
    edge = RisingEdge(dut.clk)
    i.valid.value = 1
    i.drive(i.to_rows(columns([(0, 1)]))[0])
    await edge
    i.valid.value = 0
    latency = 0
    while latency == 0 or not ar.valid.value:
        await edge
        latency += 1
    assert latency == setting("latency")
    memory.stall = 0.0
    r, taken = Stream(dut, "r"), 0
    while not o.valid.value:
        await edge
        taken = 0 if r.valid.value and r.ready.value else taken + 1
    assert taken == 1, f"brick {taken} cycles after its last beat"
    await ends.wait(1)
