"""LOAD against a memory that keeps the rules: patterns, fill, windows, failures, stalls, stop; pace and latency measured."""

import cocotb
from cocotb.triggers import RisingEdge

from spec.axi import Axi, Resp
from spec.isa import ErrorCode
from tb.axi_memory import ORIGINS, PAGE, PAGES, Memory
from tb.kit import Stream, cycles, generator, guard, load_spec, start
from tb.transfers import LIMIT, allowed, command, plain, set_window, transfers

# First and last byte: ordinary, cutting bricks, the ends of the address space, one byte, as after reset, the wrong way round.
WINDOWS = (
    (ORIGINS[1] + PAGE, ORIGINS[1] + 2 * PAGE - 1),
    (ORIGINS[1] + PAGE - 1, ORIGINS[1] + 2 * PAGE),
    (ORIGINS[1] + PAGE + 1, ORIGINS[1] + 2 * PAGE - 2),
    (0, PAGE - 1),
    (LIMIT + 1 - PAGE, LIMIT),
    (ORIGINS[1] + PAGE, ORIGINS[1] + PAGE),
    (0, 0),
    (ORIGINS[1] + 2 * PAGE, ORIGINS[1] + PAGE),
)


class Scratchpad:
    """Takes bricks, idling ``stall`` of the time, in the order in which they come."""

    def __init__(self, dut, rng, stall):
        self.dut, self.rng, self.stall = dut, rng, stall
        self.port = Stream(dut, "write")
        self.written = []
        self.ended = []  # error, bricks written before
        self.bricks = 0
        cocotb.start_soon(guard(self.port))
        cocotb.start_soon(self._watch())

    async def _watch(self):
        edge = RisingEdge(self.dut.clk)
        while True:
            await edge
            if self.dut.done.value:
                self.ended.append((int(self.dut.error.value), len(self.written)))
            if self.port.valid.value and self.port.ready.value:
                self.written.append(self.port.raw())
            self.bricks += int(self.dut.brick.value)
            self.port.ready.value = int(self.rng.random() >= self.stall)


async def begin(dut, stall=0.0, window=(0, LIMIT), **how):
    rng, spec = generator(), load_spec(Axi)
    await start(dut)
    set_window(dut, window)
    return rng, spec, Memory(dut, spec, rng, stall=stall, **how), Scratchpad(dut, rng, stall)


def expected(spec, memory, f, good, scratch_bits):
    result = []
    for address, scratch in good:
        bricks = [0] * f["bricks"] if f["fill"] else memory.read(address, f["bricks"])
        result += [((scratch + n) % (1 << scratch_bits), brick) for n, brick in enumerate(bricks)]
    return result


async def play(dut, scratchpad, f, patience=200_000):
    """One transfer; what was written, and its error."""
    before, ends = len(scratchpad.written), len(scratchpad.ended)
    edge = RisingEdge(dut.clk)
    await command(Stream(dut, "command"), f, edge)
    for _ in range(patience):
        if len(scratchpad.ended) > ends:
            break
        await edge
    error, count = scratchpad.ended[-1]
    await cycles(dut, 10)
    assert len(scratchpad.ended) == ends + 1
    assert count == len(scratchpad.written), "done before the last brick"
    return scratchpad.written[before:], error


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.25, 0.75], origin=ORIGINS)
async def brings_what_memory_holds(dut, stall, origin):
    rng, spec, memory, scratchpad = await begin(dut, stall, origin=origin, latency=9, late=True)
    bits = scratchpad.port.widths["address"]
    read = 0
    for f in transfers(spec, rng, origin, bits, 25):
        f["fill"] = int(rng.random() < 0.2)
        good, _ = allowed(spec, f, (0, LIMIT))
        written, error = await play(dut, scratchpad, f)
        assert error == ErrorCode.NONE
        assert written == expected(spec, memory, f, good, bits)
        read += 0 if f["fill"] else len(written)
    assert scratchpad.bricks == read > 0


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.75])
async def stops_before_the_first_run_outside(dut, stall):
    origin = ORIGINS[1]
    window = (origin + PAGE + 3, origin + 3 * PAGE - 4)  # cuts a brick at both ends
    rng, spec, memory, scratchpad = await begin(dut, stall, window, origin=origin, latency=9)
    bits = scratchpad.port.widths["address"]
    outside = inside = 0
    for f in transfers(spec, rng, origin, bits, 120):
        memory.bursts.clear()
        good, refused = allowed(spec, f, window)
        written, error = await play(dut, scratchpad, f)
        assert error == (ErrorCode.READ_OUTSIDE if refused else ErrorCode.NONE)
        assert written == expected(spec, memory, f, good, bits)
        assert all(window[0] <= at and at + n * spec.beat_bytes - 1 <= window[1] for at, n in memory.bursts)
        outside, inside = outside + (refused and bool(good)), inside + (not refused)
    assert outside > 0
    assert inside > 0


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(case=range(len(WINDOWS)))
async def knows_the_ends_of_the_window(dut, case):
    """Every place of a run around both ends, those of the address space among them."""
    window = WINDOWS[case]
    origin = max(at for at in ORIGINS if at <= window[0])
    _rng, spec, _memory, scratchpad = await begin(dut, window=window, origin=origin)
    size, refusals = spec.brick_bytes, 0
    for end in (window[0], window[1] + 1):
        for n in range(-3, 3):
            f = plain((end // size + n) * size % (1 << 32), 0, 2)
            good, refused = allowed(spec, f, window)
            written, error = await play(dut, scratchpad, f)
            assert error == (ErrorCode.READ_OUTSIDE if refused else ErrorCode.NONE), f
            assert len(written) == 2 * len(good)
            refusals += refused
    assert refusals >= 3


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def ends_when_the_bus_fails(dut, stall):
    rng, spec, memory, scratchpad = await begin(dut, stall, latency=5)
    size = spec.brick_bytes
    for n in range(6):
        memory.failing = {}
        f = plain(0, 7, 3, 20, 5)
        run = int(rng.integers(0, 20))
        memory.failing[(run * 5 + 1) * size] = int(Resp.SLAVE if n % 2 else Resp.DECODE)
        memory.failing[0] = int(Resp.EXOKAY)  # no failure
        written, error = await play(dut, scratchpad, f)
        assert error == ErrorCode.READ_BUS
        assert len(written) % 3 == 0
        assert len(written) >= 3 * (run + 1)
        memory.failing = {}
        _, error = await play(dut, scratchpad, f)
        assert error == ErrorCode.NONE


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(fill=[0, 1])
async def stops_when_told(dut, fill):
    """In the middle: whole runs come to an end, far from all, and the unit goes on to the next command."""
    _rng, _spec, memory, scratchpad = await begin(dut, latency=20)
    f = plain(0, 0, 4, 1 << 15, 0) | {"fill": fill}
    edge = RisingEdge(dut.clk)
    await command(Stream(dut, "command"), f, edge)
    await cycles(dut, 300)
    dut.stop.value = 1
    for _ in range(1000):
        await edge
    assert len(scratchpad.ended) == 1
    assert scratchpad.ended[0][0] == ErrorCode.NONE
    dut.stop.value = 0
    written, error = await play(dut, scratchpad, plain(0, 9, 2))
    assert error == ErrorCode.NONE
    assert written == [(9 + n, brick) for n, brick in enumerate(memory.read(0, 2))]


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def keeps_the_bus_busy(dut):
    """Share of cycles with a beat, by the length of runs that lie apart; memory answers after 50 cycles."""
    _rng, spec, memory, scratchpad = await begin(dut, latency=50)
    for bricks, least in ((1, 0.55), (2, 0.85), (4, 0.9), (16, 0.95)):
        count = 256 // bricks
        step = (PAGES * PAGE // spec.brick_bytes - bricks) // count
        memory.beat_times.clear()
        await play(dut, scratchpad, plain(0, 0, bricks, count, step))
        took = memory.beat_times[-1] - memory.beat_times[0] + 1
        share = len(memory.beat_times) / took
        dut._log.info(f"runs of {bricks}: {len(memory.beat_times)} beats in {took} cycles, {share:.2f} of the bus")
        assert share >= least


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    _rng, _spec, memory, scratchpad = await begin(dut)
    edge = RisingEdge(dut.clk)
    ar = Stream(dut, "ar")
    memory.stall = 1.0
    await cycles(dut, 2)
    await command(Stream(dut, "command"), plain(0, 0, 1), edge)
    latency = 1
    await edge
    while not ar.valid.value:
        await edge
        latency += 1
    assert latency == 5
    memory.stall = 0.0
    while not scratchpad.written:
        await edge
    latency = 0
    while not scratchpad.ended:
        await edge
        latency += 1
    dut._log.info(f"done {latency} cycles after the last brick")
    assert latency <= 3
