"""First-in first-out queues between two streams."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.bram import Bram
from hw.logic import balance


class Fifo(wiring.Component):
    """Up to ``depth`` words of ``shape`` wait here; a word passes in one cycle when none waits.

    Amaranth's :class:`~amaranth.lib.fifo.SyncFIFO` as a component with stream members, so that it
    becomes one module with readable ports.

    Members
    -------
    i : :py:`In(stream.Signature(shape))`; stalls when ``depth`` words wait
    o : :py:`Out(stream.Signature(shape))`
    """

    def __init__(self, shape, depth: int):
        self.shape = shape
        self.depth = depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        bits = self.i.p.as_value() if hasattr(self.i.p, "as_value") else self.i.p
        m.submodules.queue = queue = SyncFIFO(width=len(bits), depth=self.depth)
        # What the queue would say of its level, in registers: much hangs on a stream's valid and ready.
        some, room = Signal(), Signal(init=1)
        put, get = Signal(), Signal()
        m.d.comb += [
            put.eq(self.i.valid & room),
            get.eq(self.o.ready & some),
            queue.w_data.eq(bits),
            queue.w_en.eq(put),
            self.i.ready.eq(room),
            self.o.p.eq(queue.r_data),
            self.o.valid.eq(some),
            queue.r_en.eq(get),
        ]
        with m.If(put & ~get):
            m.d.sync += [some.eq(1), room.eq(queue.level != self.depth - 1)]
        with m.If(get & ~put):
            m.d.sync += [some.eq(queue.level != 1), room.eq(1)]
        return m


class BlockFifo(wiring.Component):
    """The same for wide words, which wait in block RAM and in its registers, and so take no look-up tables.

    Latency: ``LATENCY`` cycles when none waits. One word a cycle.

    Members
    -------
    i : :py:`In(stream.Signature(shape))`; stalls when ``depth`` words wait
    o : :py:`Out(stream.Signature(shape))`
    """

    LATENCY = 1 + Bram.LATENCY

    def __init__(self, shape, depth: int, target: str | None = None):
        self.shape = shape
        self.depth = depth  # a power of two
        self.target = target
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        i, o = self.i, self.o
        bits = i.p.as_value() if hasattr(i.p, "as_value") else i.p
        m.submodules.memory = memory = Bram(width=len(bits), depth=self.depth, target=self.target, stalls=True)
        write, read = Signal(exact_log2(self.depth)), Signal(exact_log2(self.depth))
        level = Signal(range(self.depth + 1))  # the top bit alone when no word has room
        unread = Signal(range(self.depth + 1))  # of these, words whose address the memory has not got
        some = Signal()
        put, get, fetch = Signal(), Signal(), Signal()
        latched = Signal()
        move = Signal()
        m.d.comb += [
            i.ready.eq(~level[-1]),
            put.eq(i.valid & i.ready),
            get.eq(o.valid & o.ready),
            move.eq(o.ready | ~o.valid),
            some.eq(unread.any()),
            fetch.eq(some & move),
            memory.w_en.eq(put),
            memory.w_addr.eq(write),
            memory.w_data.eq(bits),
            memory.r_addr.eq(read),
            memory.r_en.eq(move),
            (o.p.as_value() if hasattr(o.p, "as_value") else o.p).eq(memory.r_data),
        ]
        m.d.sync += [
            write.eq(write + put),
            read.eq(read + fetch),
            level.eq(level + balance(put, get)),
            unread.eq(unread + balance(put, fetch)),
        ]
        with m.If(move):
            m.d.sync += [latched.eq(some), o.valid.eq(latched)]
        return m


class Skid(wiring.Component):
    """Two places between two streams; no path leads from ``o.ready`` to ``i.ready``.

    Latency: a cycle. One word a cycle; stalls freely.

    Members
    -------
    i, o : streams of ``shape``
    """

    def __init__(self, shape):
        self.shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        spare = Signal(self.shape, reset_less=True)
        free = Signal(init=1)  # nothing is in it; a register of this sense, as much hangs on it
        word = Signal(self.shape, reset_less=True)
        m.d.comb += [self.i.ready.eq(free), self.o.p.eq(word)]
        with m.If(free):
            m.d.sync += spare.eq(self.i.p)
        with m.If(self.o.ready | ~self.o.valid):
            m.d.sync += [
                self.o.valid.eq(self.i.valid | ~free),
                word.eq(Mux(free, self.i.p, spare)),
                free.eq(1),
            ]
        with m.Elif(self.i.valid):
            m.d.sync += free.eq(0)
        return m
