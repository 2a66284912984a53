"""The writing half of the AXI4 master: bricks into memory."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.axi import RESP_BITS, axi_address, axi_answer, axi_brick, axi_burst, axi_job, axi_write, bursts_of
from hw.fifo import Fifo
from hw.logic import select
from spec.axi import Axi
from spec.chip import BRICK


class AxiWriter(wiring.Component):
    """Jobs and bricks to bursts on AW and W; answers on B are counted. Jobs overlap as in :class:`hw.axi_read.AxiReader`.

    Every byte of every beat is written. Up to ``spec.outstanding`` bursts are announced and not answered. A beat a
    cycle, from job to job too, when memory takes and bricks come in time.

    Errors: jobs are trusted as by the reader. The first failure in a job is the one reported.

    Latency: one job to AW, two cycles; a brick's first beat comes with it.

    Members
    -------
    i : :py:`In(stream.Signature(axi_job))`
    bricks : :py:`In(stream.Signature(axi_brick))`, of all jobs in order
    done, error : a pulse for each job, in order, after its last answer; the BRESP that failed it, or zero
    aw, w, b : the bus
    """

    LATENCY = 2  # cycles from a job to its first address

    def __init__(self, spec: Axi):
        self.spec = spec
        super().__init__(
            {
                "i": In(stream.Signature(axi_job)),
                "bricks": In(stream.Signature(axi_brick(spec))),
                "done": Out(1),
                "error": Out(RESP_BITS),
                "aw": Out(stream.Signature(axi_address)),
                "w": Out(stream.Signature(axi_write(spec))),
                "b": In(stream.Signature(axi_answer)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        cut = bursts_of(m, self, self.aw)
        m.submodules.unsent = unsent = Fifo(axi_burst(spec), spec.outstanding)
        m.submodules.due = due = Fifo(axi_burst(spec), spec.outstanding)
        burst = cut.burst
        m.d.comb += [
            burst.ready.eq(unsent.i.ready & due.i.ready),
            unsent.i.valid.eq(burst.valid & burst.ready),
            unsent.i.p.eq(burst.p),
            due.i.valid.eq(burst.valid & burst.ready),
            due.i.p.eq(burst.p),
        ]

        # A brick leaves beat by beat, out of where it waits; the next one follows its last beat at once.
        size = 8 * spec.word_bytes
        whole = Signal(spec.brick_beats * spec.data_bits)
        m.d.comb += [whole.word_select(n, size).eq(self.bricks.p[n].as_signed()) for n in range(BRICK)]
        beats = [whole.word_select(n, spec.data_bits) for n in range(spec.brick_beats)]
        number = Signal(range(max(2, spec.brick_beats)))
        sent = Signal.like(unsent.o.p.more)  # bricks of this burst before the one that comes
        ends = Signal()  # the brick is the burst's last
        complete = Signal()
        move = Signal()
        m.d.comb += [
            complete.eq(number == spec.brick_beats - 1),
            ends.eq(sent == unsent.o.p.more),
            self.w.valid.eq(self.bricks.valid & unsent.o.valid),
            self.w.p.data.eq(select(number, beats)),
            self.w.p.strb.eq(-1),
            self.w.p.last.eq(ends & complete),
            move.eq(self.w.valid & self.w.ready),
            self.bricks.ready.eq(unsent.o.valid & self.w.ready & complete),
            unsent.o.ready.eq(move & complete & ends),
        ]
        with m.If(move):
            m.d.sync += number.eq(Mux(complete, 0, number + 1))
            with m.If(complete):
                m.d.sync += sent.eq(Mux(ends, 0, sent + 1))

        # Answers.
        found = Signal(RESP_BITS)
        now = Signal(RESP_BITS)
        m.d.comb += [
            self.b.ready.eq(due.o.valid),
            due.o.ready.eq(self.b.valid),
            now.eq(Mux((found == 0) & self.b.p.resp[1], self.b.p.resp, found)),
        ]
        m.d.sync += [self.done.eq(0), self.error.eq(now)]
        with m.If(due.o.valid & due.o.ready):
            m.d.sync += [found.eq(Mux(due.o.p.end, 0, now)), self.done.eq(due.o.p.end)]
        return m
