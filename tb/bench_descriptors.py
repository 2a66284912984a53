"""Descriptors out of a ring against a memory that keeps the rules: order, windows, failures, stops at any time; pace measured."""

import cocotb
from cocotb.triggers import RisingEdge

from spec.axi import Axi, Resp
from spec.isa import DESCRIPTOR_BYTES, LAYOUT, ErrorCode, Opcode, encode
from tb.axi_memory import ORIGINS, PAGE, PAGES, Memory
from tb.kit import Stream, cycles, generator, load_spec, start
from tb.transfers import LIMIT, set_window

RING = PAGES * PAGE // DESCRIPTOR_BYTES  # descriptors that memory holds
NOISY = {Opcode.PRODUCT: "key", Opcode.VECTOR: "index_base", Opcode.LOAD: "memory_2", Opcode.STORE: "memory_1"}


def last_word(opcode):
    return max(place.word for place in LAYOUT.get(opcode, LAYOUT[Opcode.END]))


def draw(rng, opcode=None):
    """A descriptor with one field of noise and noise behind its last word; and what is wrong with it."""
    number = int(rng.integers(0, 9)) if opcode is None else int(opcode)
    if number not in set(Opcode):
        return bytes([number]) + rng.bytes(DESCRIPTOR_BYTES - 1), ErrorCode.OPCODE
    opcode = Opcode(number)
    noise = {NOISY[opcode]: int(rng.integers(0, 1 << 31))} if opcode in NOISY else {}
    legal = encode(opcode, int(rng.integers(0, 16)), int(rng.integers(0, 1 << 16)), **noise)
    used = 4 * last_word(opcode) + 4
    return legal[:used] + rng.bytes(DESCRIPTOR_BYTES - used), ErrorCode.NONE


class Bench:
    def __init__(self, dut, rng, spec, memory, stall):
        self.dut, self.rng, self.spec, self.memory, self.stall = dut, rng, spec, memory, stall
        self.o = Stream(dut, "o")
        self.errors = []
        for n in range(RING):
            descriptor, error = draw(rng)
            self.put(n, descriptor)
            self.errors.append(error)

    def put(self, n, descriptor):
        self.memory.bytes[n * DESCRIPTOR_BYTES : (n + 1) * DESCRIPTOR_BYTES] = descriptor

    async def begin(self, head, size=RING, base=None):
        dut = self.dut
        dut.stop.value = 1
        for _ in range(3000):
            await RisingEdge(dut.clk)
            if dut.idle.value:
                break
        assert dut.idle.value
        dut.head.value, dut.size.value = head, size
        dut.base.value = self.memory.origin if base is None else base
        await cycles(dut, 3)
        assert not dut.o__valid.value
        dut.start.value = 1
        await cycles(dut, 1)
        dut.start.value, dut.stop.value = 0, 0

    async def take(self, index, size=RING, error=None):
        """The next one is that of ``index``."""
        dut, edge = self.dut, RisingEdge(self.dut.clk)
        dut.o__ready.value = 0
        while self.rng.random() < self.stall:
            await edge
        dut.o__ready.value = 1
        await edge
        while not dut.o__valid.value:
            await edge
        got = dict(zip(self.o.fields, self.o.raw(), strict=True))
        words = int(dut.words.value)
        dut.o__ready.value = 0
        assert (got["index"], got["following"]) == (index, (index + 1) % size)
        want = self.errors[index] if error is None else error
        assert got["error"] == want, f"descriptor {index}"
        if want != ErrorCode.FETCH:
            bits = int.from_bytes(self.memory.bytes[index * DESCRIPTOR_BYTES :][:DESCRIPTOR_BYTES], "little")
            opcode = bits & 0xFF
            mask = (1 << 32 * (last_word(opcode) + 1)) - 1
            assert words & mask == bits & mask
            head = (got["head__opcode"], got["head__wait"], got["head__tag"])
            assert head == (opcode, bits >> 8 & 0xF, bits >> 12 & 0xFFFF)


async def begin(dut, stall=0.0, window=(0, LIMIT), **how):
    rng, spec = generator(), load_spec(Axi)
    await start(dut)
    set_window(dut, window)
    bench = Bench(dut, rng, spec, Memory(dut, spec, rng, stall=stall, **how), stall)
    cocotb.start_soon(watch(bench.o, dut.stop))
    return bench


async def watch(stream, stop):
    """Only a stop withdraws what is offered."""
    edge, waiting = RisingEdge(stream.clk), None
    while True:
        await edge
        if waiting is not None:
            assert (int(stream.valid.value), stream.raw()) == (1, waiting)
        waiting = stream.raw() if stream.valid.value and not stream.ready.value and not stop.value else None


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.25, 0.75], origin=ORIGINS)
async def gives_the_ring_in_order(dut, stall, origin):
    bench = await begin(dut, stall, origin=origin, latency=20, late=True)
    for size in (1, 2, 7, RING):
        head = int(bench.rng.integers(0, size))
        await bench.begin(head, size)
        for n in range(40):
            await bench.take((head + n) % size, size)
    assert bench.memory.most > 4


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def refuses_what_lies_outside(dut, stall):
    """Descriptors across an end of the window, and indices past the ring's size."""
    origin = ORIGINS[1]
    bench = await begin(dut, stall, origin=origin, latency=9)
    for low, high, first in ((5, 20, 6), (0, RING, 0)):
        for cut in (0, 1):
            window = (origin + low * DESCRIPTOR_BYTES + cut, origin + high * DESCRIPTOR_BYTES - 1 - cut)
            set_window(dut, window)
            bench.memory.bursts.clear()
            inside = range(low + cut, high - cut)
            for head in {first, inside[-1], high - cut, max(0, low + cut - 1)}:
                if head >= RING:
                    continue
                await bench.begin(head)
                n = head
                while n in inside and n < head + 20 and n < RING - 1:
                    await bench.take(n)
                    n += 1
                if n not in inside:
                    dut.o__ready.value = 0
                    await bench.take(n, error=ErrorCode.FETCH)
            await cycles(dut, 50)
            assert all(window[0] <= at and at + n * 8 - 1 <= window[1] for at, n in bench.memory.bursts)
    set_window(dut, (0, LIMIT))
    for size, head in ((4, 4), (4, 9), (0, 0)):
        await bench.begin(head, size)
        dut.o__ready.value = 0
        for _ in range(60):
            await RisingEdge(dut.clk)
        assert dut.o__valid.value
        assert dut.o__payload__error.value == ErrorCode.FETCH


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def tells_what_the_bus_failed(dut, stall):
    bench = await begin(dut, stall, latency=9)
    for _ in range(20):
        bad, beat = int(bench.rng.integers(0, 12)), int(bench.rng.integers(0, 16))
        resp = Resp.DECODE if bench.rng.random() < 0.5 else Resp.SLAVE
        bench.memory.failing = {bad * DESCRIPTOR_BYTES + beat * bench.spec.beat_bytes: int(resp)}
        bench.memory.failing[(bad + 1) * DESCRIPTOR_BYTES] = int(Resp.EXOKAY)
        await bench.begin(0)
        for n in range(bad):
            await bench.take(n)
        await bench.take(bad, error=ErrorCode.FETCH)
        await bench.take(bad + 1)


@cocotb.test(timeout_time=50, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def begins_anew_after_a_stop_at_any_time(dut, stall):
    bench = await begin(dut, stall, latency=15, late=True)
    for delay in range(120):
        head = int(bench.rng.integers(0, RING))
        await bench.begin(head)
        dut.o__ready.value = int(bench.rng.random() < 0.5)
        if not dut.o__ready.value and delay % 3:
            for n in range(int(bench.rng.integers(0, 4))):
                await bench.take((head + n) % RING)
        await cycles(dut, delay)
        dut.stop.value = 1
        await cycles(dut, 1)
        dut.o__ready.value = 0
        await cycles(dut, 2)
        assert not dut.o__valid.value


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def has_the_next_one_soon(dut):
    """Cycles from when one is taken until the next, which lies here already, can be."""
    bench = await begin(dut, latency=30)
    edge = RisingEdge(dut.clk)
    for opcode in Opcode:
        for n in range(RING):
            bench.put(n, draw(bench.rng, opcode)[0])
        await bench.begin(0)
        await cycles(dut, 400)
        assert dut.o__valid.value
        dut.o__ready.value = 1
        await edge
        dut.o__ready.value = 0
        took = 0
        while not dut.o__valid.value or not took:
            await edge
            took += 1
        dut._log.info(f"{opcode.name.lower()}: {took} cycles")
        beats = last_word(opcode) // 2 + 1
        assert took == 8 + max(3, beats)
