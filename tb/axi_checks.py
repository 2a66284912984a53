"""What the benches of both halves of the AXI4 master try alike; each plays jobs in its own way."""

from collections.abc import Awaitable, Callable
from typing import Any

from spec.axi import Axi
from tb.axi_memory import Ends, Memory
from tb.kit import generator, load_spec, start

Begun = tuple[Any, Axi, Memory, Ends]
Play = Callable[..., Awaitable[Any]]  # of dut, spec, rng, memory, ends and jobs


async def begin(dut: Any, **how: Any) -> Begun:
    """A started unit, and a memory as ``how`` says."""
    rng, spec = generator(), load_spec(Axi)
    await start(dut)
    memory = Memory(dut, spec, rng, **how)
    return rng, spec, memory, Ends(dut)


async def check_pace(dut: Any, begun: Begun, play: Play) -> None:
    """A beat in every cycle, from burst to burst and from job to job."""
    rng, spec, memory, ends = begun
    memory.latency = max(1, min(50, spec.burst_beats * (spec.outstanding - 1) - 5))  # what the others hide
    half = 64 * spec.brick_bytes
    jobs = [(0, 64), (half, 64)] if spec.burst_beats >= 2 else [(0, 128)]  # a job costs a cycle between its bursts
    await play(dut, spec, rng, memory, ends, jobs)
    took = memory.beat_times[-1] - memory.beat_times[0] + 1
    dut._log.info(f"{len(memory.beat_times)} beats in {took} cycles at latency {memory.latency}, {memory.most} outstanding")
    assert took == len(memory.beat_times)


async def check_overlap(dut: Any, begun: Begun, play: Play) -> None:
    """Jobs of one brick at a slow memory: as many at once as may be outstanding."""
    rng, spec, memory, ends = begun
    jobs = [(n * 8 * spec.brick_bytes, 1) for n in range(24)]
    await play(dut, spec, rng, memory, ends, jobs)
    took = memory.beat_times[-1] - memory.beat_times[0] + 1
    dut._log.info(f"{len(jobs)} jobs of one brick in {took} cycles at latency {memory.latency}, {memory.most} outstanding")
    assert memory.most == spec.outstanding
