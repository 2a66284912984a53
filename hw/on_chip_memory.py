"""Memory in block RAM that the machine reaches over AXI4 and the host through a port of its own."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect
from amaranth.utils import exact_log2

from hw.axi import axi_read, memory_bus
from hw.bram import Bram
from hw.fifo import Fifo
from hw.logic import balance, delayed
from spec.axi import Axi, Resp

ANSWERS = 8  # beats read that wait for the bus


def memory_port(words: int, bits: int):
    """Words one at a time, as their user sees it: a read is answered by ``valid``, which cannot wait, a write by nothing."""
    return wiring.Signature({
        "request": Out(stream.Signature(data.StructLayout({"write": 1, "address": (words - 1).bit_length(), "data": bits}))),
        "valid": In(1),
        "data": In(bits),
    })


class OnChipMemory(wiring.Component):
    """``size`` bytes at address 0, a multiple of 4 KiB, so that a burst lies inside or outside as a whole.

    Bursts of the machine's kind: INCR, whole beats, at most a page. A beat a cycle, and three cycles between two bursts of a
    kind; reads and writes side by side. The host goes first, and so never waits, and costs the bus a cycle. What was
    written is read from the next cycle on. Latency: six cycles from an address to its first beat, four to the host's answer.
    Errors: a burst outside is answered by DECERR and changes nothing; a beat with a strobe missing is not written, and its
    burst ends with SLVERR.

    Members
    -------
    bus : :py:`In(memory_bus(spec))`
    host : :py:`In(memory_port(...))`
    """

    HOST_LATENCY = 2 + Bram.LATENCY

    def __init__(self, spec: Axi, size: int, target: str | None = None):
        self.spec = spec
        self.words = size // spec.beat_bytes
        self.target = target
        super().__init__({"bus": In(memory_bus(spec)), "host": In(memory_port(self.words, spec.data_bits))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.bytes = memory = Bram(width=self.spec.data_bits, depth=self.words, target=self.target)
        m.d.comb += self.host.request.ready.eq(1)
        self._read(m, memory)
        self._write(m, memory)
        return m

    def _index(self, channel):
        """Of the word that a burst begins with, and whether that is inside."""
        word = channel.p.addr >> exact_log2(self.spec.beat_bytes)
        return word, word < self.words

    def _read(self, m, memory):
        bus, host = self.bus, self.host.request
        m.submodules.beats = beats = Fifo(axi_read(self.spec), ANSWERS)
        connect(m, beats.o, wiring.flipped(bus).r)
        busy, outside, last = Signal(), Signal(), Signal()
        index = Signal(range(self.words))
        left = Signal.like(bus.ar.p.len)
        under_way = Signal(range(ANSWERS + 1))  # beats asked for and not taken
        room = Signal()
        ask = Signal()
        word, inside = self._index(bus.ar)
        asks_host = host.valid & ~host.p.write
        m.d.comb += [bus.ar.ready.eq(~busy), ask.eq(busy & room & ~asks_host), last.eq(left == 0)]
        # One beat may be asked for between the count and its use.
        m.d.sync += room.eq(under_way < ANSWERS - 1)
        m.d.sync += under_way.eq(under_way + balance(ask, bus.r.valid & bus.r.ready))
        with m.If(ask):
            m.d.sync += [index.eq(index + 1), left.eq(left - 1)]
            with m.If(last):
                m.d.sync += busy.eq(0)
        with m.If(bus.ar.valid & ~busy):
            m.d.sync += [busy.eq(1), index.eq(word), left.eq(bus.ar.p.len), outside.eq(~inside)]
        address = Signal(range(self.words), reset_less=True)
        m.d.sync += address.eq(Mux(asks_host, host.p.address, index))
        m.d.comb += memory.r_addr.eq(address)

        answer = Signal(data.StructLayout({"bus": 1, "host": 1, "outside": 1, "last": 1}))
        m.d.sync += [answer.bus.eq(ask), answer.host.eq(asks_host), answer.outside.eq(outside), answer.last.eq(last)]
        late = delayed(m, answer, Bram.LATENCY, "answer", control=True)
        m.d.comb += [
            beats.i.valid.eq(late.bus),
            beats.i.p.data.eq(memory.r_data),
            beats.i.p.resp.eq(Mux(late.outside, Resp.DECODE, Resp.OKAY)),
            beats.i.p.last.eq(late.last),
        ]
        m.d.sync += [self.host.valid.eq(late.host), self.host.data.eq(memory.r_data)]

    def _write(self, m, memory):
        bus, host = self.bus, self.host.request
        busy, outside = Signal(), Signal()
        index = Signal(range(self.words))
        failed = Signal(Resp)
        word, inside = self._index(bus.aw)
        writes_host = host.valid & host.p.write
        take, whole = Signal(), Signal()
        m.d.comb += [
            bus.aw.ready.eq(~busy & ~bus.b.valid),
            bus.w.ready.eq(busy & ~writes_host),
            take.eq(bus.w.valid & bus.w.ready),
            whole.eq(bus.w.p.strb.all()),
        ]
        m.d.sync += [
            memory.w_en.eq(writes_host | (take & whole & ~outside)),
            memory.w_addr.eq(Mux(writes_host, host.p.address, index)),
            memory.w_data.eq(Mux(writes_host, host.p.data, bus.w.p.data)),
        ]
        with m.If(take):
            m.d.sync += index.eq(index + 1)
            with m.If(~whole & (failed == Resp.OKAY)):
                m.d.sync += failed.eq(Resp.SLAVE)
            with m.If(bus.w.p.last):
                m.d.sync += [busy.eq(0), bus.b.valid.eq(1)]
        with m.If(bus.b.valid & bus.b.ready):
            m.d.sync += bus.b.valid.eq(0)
        m.d.comb += bus.b.p.resp.eq(failed)
        with m.If(bus.aw.valid & bus.aw.ready):
            m.d.sync += [
                busy.eq(1),
                index.eq(word),
                outside.eq(~inside),
                failed.eq(Mux(inside, Resp.OKAY, Resp.DECODE)),
            ]
