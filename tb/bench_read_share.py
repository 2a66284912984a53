"""Two masters' bursts on one memory: each gets its own beats, in its own order; who goes first."""

from collections import deque

import cocotb
from cocotb.triggers import RisingEdge, gather

from spec.axi import INCR, Axi
from tb.axi_memory import PAGE, PAGES, Memory
from tb.kit import Stream, collect, cycles, generator, guard, load_spec, send, start
from tb.models import setting


def draw(rng, spec, count):
    """Bursts of up to eight beats: addresses and lengths."""
    beats = rng.integers(1, 9, count)
    return [(int(rng.integers(0, PAGES * PAGE // 64)) * 64, int(n)) for n in beats]


def addresses(spec, bursts):
    size = spec.beat_bytes.bit_length() - 1
    columns = {"addr": [at for at, _ in bursts], "len": [n - 1 for _, n in bursts]}
    return columns | {"size": [size] * len(bursts), "burst": [INCR] * len(bursts)}


async def begin(dut, stall, **how):
    rng, spec = generator(), load_spec(Axi)
    await start(dut)
    for n in range(2):
        cocotb.start_soon(guard(Stream(dut, f"masters_r__{n}")))
    return rng, spec, Memory(dut, spec, rng, stall=stall, **how)


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.25, 0.75])
async def gives_each_its_own_beats(dut, stall):
    rng, spec, memory = await begin(dut, stall, latency=9, late=True)

    async def master(n):
        bursts = draw(rng, spec, 60)
        _, got = await gather(
            send(Stream(dut, f"masters_ar__{n}"), addresses(spec, bursts), rng, stall / 2),
            collect(Stream(dut, f"masters_r__{n}"), sum(count for _, count in bursts), rng, stall / 2),
        )
        want = deque()
        for at, count in bursts:
            for beat in range(count):
                place = at + beat * spec.beat_bytes
                line = int.from_bytes(memory.bytes[place : place + spec.beat_bytes], "little")
                want.append((line, 0, int(beat == count - 1)))
        assert list(zip(got["data"].tolist(), got["resp"].tolist(), got["last"].tolist(), strict=True)) == list(want)

    await gather(master(0), master(1))
    assert len(memory.bursts) == 120
    assert 4 < memory.most <= setting("depth")


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def lets_the_first_go_first(dut):
    _, _, memory = await begin(dut, 0.0, latency=5)
    memory.stall = 1.0
    await cycles(dut, 2)
    streams = [Stream(dut, f"masters_ar__{n}") for n in range(2)]
    for n, stream in enumerate(streams):
        row = dict(zip(("addr", "len", "size", "burst"), (0x100 * (n + 1), 0, 3, INCR), strict=True))
        stream.drive(tuple(row[name] for name in stream.fields))
        stream.valid.value = 1
    dut.masters_r__0__ready.value = dut.masters_r__1__ready.value = 1
    memory.stall = 0.0
    for _ in range(20):
        await RisingEdge(dut.clk)
    # As long as the first asks, the second waits.
    assert {at for at, _ in memory.bursts} == {0x100}
    streams[0].valid.value = 0
    await cycles(dut, 20)
    assert {at for at, _ in memory.bursts} == {0x100, 0x200}
