"""STORE against a memory that keeps the rules: patterns, guard bytes, windows, failures, stalls, stop; its pace measured."""

import cocotb
from cocotb.triggers import RisingEdge

from spec.axi import Axi, Resp, bursts
from spec.isa import ErrorCode
from tb.axi_memory import ORIGINS, PAGE, PAGES, Memory, random_bricks
from tb.kit import Stream, cycles, generator, guard, load_spec, start
from tb.models import serve
from tb.transfers import LIMIT, allowed, command, plain, set_window, transfers


class Bench:
    """The unit, its memory, and a scratchpad of random bricks that answers four cycles late."""

    def __init__(self, dut, rng, spec, memory, stall):
        self.dut, self.rng, self.spec, self.memory = dut, rng, spec, memory
        request = Stream(dut, "request")
        self.bits = request.widths[""]
        self.scratch = random_bricks(spec, rng, 1 << self.bits)
        self.ended = []
        self.bricks = self.requests = 0
        cocotb.start_soon(guard(request))
        cocotb.start_soon(serve(request, dut.valid, dut.brick, dict(enumerate(self.scratch)), rng, stall, late=False))
        cocotb.start_soon(self._watch(request))

    async def _watch(self, request):
        edge = RisingEdge(self.dut.clk)
        while True:
            await edge
            self.bricks += int(self.dut.moved.value)
            self.requests += int(bool(request.valid.value and request.ready.value))
            if self.dut.done.value:
                self.ended.append(int(self.dut.error.value))

    def expected(self, f, good):
        """Memory behind the runs of ``good``."""
        result, size = bytearray(self.memory.bytes), self.spec.brick_bytes
        for address, scratch in good:
            bricks = [self.scratch[(scratch + n) % (1 << self.bits)] for n in range(f["bricks"])]
            place = address - self.memory.origin
            result[place : place + f["bricks"] * size] = self.memory.lines(bricks)
        return result

    async def play(self, f, patience=200_000):
        """One transfer; its error."""
        ends, edge = len(self.ended), RisingEdge(self.dut.clk)
        await command(Stream(self.dut, "command"), f, edge)
        for _ in range(patience):
            if len(self.ended) > ends:
                break
            await edge
        written = bytes(self.memory.bytes)
        await cycles(self.dut, 30)
        assert len(self.ended) == ends + 1
        assert self.memory.bytes == written, "done before the last answer"
        return self.ended[-1]


async def begin(dut, stall=0.0, window=(0, LIMIT), **how):
    rng, spec = generator(), load_spec(Axi)
    await start(dut)
    set_window(dut, window)
    return Bench(dut, rng, spec, Memory(dut, spec, rng, stall=stall, **how), stall)


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.25, 0.75], origin=ORIGINS)
async def writes_its_bytes_and_no_other(dut, stall, origin):
    bench = await begin(dut, stall, origin=origin, latency=9, late=True)
    written = 0
    for f in transfers(bench.spec, bench.rng, origin, bench.bits, 25):
        f["fill"] = int(bench.rng.integers(0, 2))  # no meaning
        good, _ = allowed(bench.spec, f, (0, LIMIT))
        expected = bench.expected(f, good)
        assert await bench.play(f) == ErrorCode.NONE
        assert bench.memory.bytes == expected
        written += f["bricks"] * len(good)
    assert bench.bricks == bench.requests == written


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.75])
async def writes_nothing_from_the_first_run_outside(dut, stall):
    origin = ORIGINS[1]
    window = (origin + PAGE + 3, origin + 3 * PAGE - 4)
    bench = await begin(dut, stall, window, origin=origin, latency=9)
    outside = inside = 0
    for f in transfers(bench.spec, bench.rng, origin, bench.bits, 120):
        good, refused = allowed(bench.spec, f, window)
        expected = bench.expected(f, good)
        bench.memory.bursts.clear()
        assert await bench.play(f) == (ErrorCode.WRITE_OUTSIDE if refused else ErrorCode.NONE)
        assert bench.memory.bytes == expected
        assert bench.memory.bursts == [cut for at, _ in good for cut in bursts(bench.spec, at, f["bricks"])]
        outside, inside = outside + (refused and bool(good)), inside + (not refused)
    assert outside > 0
    assert inside > 0
    # A long run is refused at once, and no brick is read for it.
    before = bench.requests
    assert await bench.play(plain(0, 0, 65535), 60) == ErrorCode.WRITE_OUTSIDE
    assert bench.requests == before


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def ends_when_the_bus_fails(dut, stall):
    bench = await begin(dut, stall, latency=5)
    size = bench.spec.brick_bytes
    for n in range(6):
        f = plain(0, 7, 3, 20, 8)
        run = int(bench.rng.integers(0, 20))
        bench.memory.failing = {0: int(Resp.EXOKAY), run * 8 * size: int(Resp.SLAVE if n % 2 else Resp.DECODE)}
        assert await bench.play(f) == ErrorCode.WRITE_BUS
        bench.memory.failing = {}
        assert await bench.play(f) == ErrorCode.NONE


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def stops_when_told(dut):
    bench = await begin(dut, latency=20)
    edge = RisingEdge(dut.clk)
    await command(Stream(dut, "command"), plain(0, 0, 4, 1 << 15, 0), edge)
    await cycles(dut, 300)
    dut.stop.value = 1
    await cycles(dut, 1000)
    assert bench.ended == [ErrorCode.NONE]
    dut.stop.value = 0
    f = plain(0, 9, 2)
    expected = bench.expected(f, [(0, 9)])
    assert await bench.play(f) == ErrorCode.NONE
    assert bench.memory.bytes == expected


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def keeps_the_bus_busy(dut):
    """Share of cycles with a beat, by the length of runs that lie apart; memory answers after 50 cycles."""
    bench = await begin(dut, latency=50)
    times = bench.memory.beat_times
    for bricks, least in ((1, 0.5), (2, 0.85), (4, 0.9), (16, 0.95)):
        count = 256 // bricks
        step = (PAGES * PAGE // bench.spec.brick_bytes - bricks) // count
        times.clear()
        await bench.play(plain(0, 0, bricks, count, step))
        took = times[-1] - times[0] + 1
        dut._log.info(f"runs of {bricks}: {len(times)} beats in {took} cycles, {len(times) / took:.2f} of the bus")
        assert len(times) / took >= least


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    bench = await begin(dut)
    edge = RisingEdge(dut.clk)
    aw = Stream(dut, "aw")
    bench.memory.stall = 1.0
    await cycles(dut, 2)
    await command(Stream(dut, "command"), plain(0, 0, 1), edge)
    latency = 1
    await edge
    while not aw.valid.value:
        await edge
        latency += 1
    assert latency == 5
