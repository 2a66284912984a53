"""The reading half of the AXI4 master: bricks out of memory."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.axi import RESP_BITS, axi_address, axi_brick, axi_burst, axi_job, axi_read, bursts_of
from hw.fifo import Fifo, Skid
from spec.axi import Axi
from spec.chip import BRICK

BEATS = 16  # that wait in a small memory


class AxiReader(wiring.Component):
    """Jobs to bursts on AR and R, to bricks. Jobs overlap: the next one is asked for while this one's beats come.

    One ID, so answers come in order; up to ``spec.outstanding`` bursts are asked for and not complete. A beat a cycle,
    from job to job too, when memory answers in time and ``o`` takes.

    Errors: jobs are trusted: aligned, of at least one brick, inside the address space. One that the bus fails gives all
    its bricks, some of which hold anything. The first failure in a job is the one reported.

    Latency: one job to AR, two cycles; one beat that completes a brick to ``o``, one.

    Members
    -------
    i : :py:`In(stream.Signature(axi_job))`
    o : :py:`Out(stream.Signature(axi_brick))`
    done, error : a pulse for each job, in order, behind the transfer of its last brick; the RRESP that failed it, or zero
    ar, r : the bus
    """

    LATENCY = 2  # cycles from a job to its first address

    def __init__(self, spec: Axi, compact: bool = False):
        self.spec = spec
        self.compact = compact  # beats wait in a small memory
        super().__init__(
            {
                "i": In(stream.Signature(axi_job)),
                "o": Out(stream.Signature(axi_brick(spec))),
                "done": Out(1),
                "error": Out(RESP_BITS),
                "ar": Out(stream.Signature(axi_address)),
                "r": In(stream.Signature(axi_read(spec))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        cut = bursts_of(m, self, self.ar)
        m.submodules.due = due = Fifo(axi_burst(spec), spec.outstanding)
        m.submodules.beats = beats = Fifo(axi_read(spec), BEATS) if self.compact else Skid(axi_read(spec))  # so that no path leads from `o` to the bus
        wiring.connect(m, cut.burst, due.i)
        wiring.connect(m, beats.i, wiring.flipped(self.r))
        burst, beat = due.o.p, beats.o.p

        # Beats of a brick are shifted in from above; the last one stays where it came, until the brick is taken.
        number = Signal(range(max(2, spec.brick_beats)))
        complete = Signal()  # this beat is the brick's last
        take = Signal()
        bits = beat.data
        if spec.brick_beats > 1:
            earlier = Signal((spec.brick_beats - 1) * spec.data_bits, reset_less=True)
            bits = Cat(earlier, beat.data)
            with m.If(take):
                m.d.sync += earlier.eq(bits >> spec.data_bits)
        m.d.comb += [
            complete.eq(number == spec.brick_beats - 1),
            self.o.valid.eq(beats.o.valid & due.o.valid & complete),
            beats.o.ready.eq(due.o.valid & (self.o.ready | ~complete)),
            take.eq(beats.o.valid & beats.o.ready),
        ]
        ends = take & beat.last
        if spec.brick_beats > 1:  # no burst's last beat follows another's: the burst may go a cycle behind it
            late = Signal()
            m.d.sync += late.eq(ends)
            ends = late
        m.d.comb += due.o.ready.eq(ends)

        found = Signal(RESP_BITS)  # in the job under way
        now = Signal(RESP_BITS)
        m.d.comb += now.eq(Mux((found == 0) & beat.resp[1], beat.resp, found))
        size = 8 * spec.word_bytes
        m.d.comb += [self.o.p[n].eq(bits.word_select(n, size)) for n in range(BRICK)]
        m.d.sync += [self.done.eq(take & beat.last & burst.end), self.error.eq(now)]
        with m.If(take):
            m.d.sync += [number.eq(Mux(complete, 0, number + 1)), found.eq(now)]
            with m.If(beat.last & burst.end):
                m.d.sync += found.eq(0)
        return m
