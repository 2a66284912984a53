"""The two halves of the AXI4 master: bricks out of memory, and bricks into it."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.fifo import Fifo
from spec.axi import ADDRESS_BITS, COUNT_BITS, INCR, Axi, JobError
from spec.chip import BRICK

ERROR_BITS = max(JobError).bit_length()

axi_job = data.StructLayout({"address": ADDRESS_BITS, "bricks": COUNT_BITS})
axi_address = data.StructLayout({"addr": ADDRESS_BITS, "len": 8, "size": 3, "burst": 2})
axi_answer = data.StructLayout({"resp": 2})


def axi_read(spec: Axi):
    return data.StructLayout({"data": spec.data_bits, "resp": 2, "last": 1})


def axi_write(spec: Axi):
    return data.StructLayout({"data": spec.data_bits, "strb": spec.beat_bytes, "last": 1})


def axi_brick(spec: Axi):
    return data.ArrayLayout(spec.width, BRICK)


def axi_burst(spec: Axi):
    """What became of a piece of a job; ``more`` is its number of bricks less one."""
    return data.StructLayout(
        {"more": max(1, exact_log2(spec.burst_bricks)), "none": 1, "refused": 1, "error": ERROR_BITS, "end": 1}
    )


class Bursts(wiring.Component):
    """Checks jobs and cuts them into bursts, one a cycle; every job gives at least one ``burst``.

    Golden twin: :func:`spec.axi.bursts`. A job costs three cycles before its first burst. A refused job
    and one of no bricks give no address. With ``whole`` a refused job is cut like any other.

    Members
    -------
    i : :py:`In(stream.Signature(axi_job))`
    window_base, window_limit : bytes that jobs may touch, the limit excluded; may change while no job is under way
    address : for AR or AW
    burst : the same bursts for those who wait for them, and those that never come to the bus
    """

    def __init__(self, spec: Axi, whole: bool):
        self.spec = spec
        self.whole = whole
        super().__init__(
            {
                "i": In(stream.Signature(axi_job)),
                "window_base": In(ADDRESS_BITS),
                "window_limit": In(ADDRESS_BITS + 1),
                "address": Out(stream.Signature(axi_address)),
                "burst": Out(stream.Signature(axi_burst(spec))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        below = exact_log2(spec.brick_bytes)
        within = exact_log2(spec.burst_bricks)
        address = Signal(ADDRESS_BITS)
        left = Signal(COUNT_BITS)  # bricks
        limit = Signal(ADDRESS_BITS + 1)  # where the job ends
        error = Signal(ERROR_BITS)
        none = Signal()

        at = address[below : below + within]  # the brick's place among those of the longest burst
        room = Signal(range(spec.burst_bricks + 1))
        end = Signal()
        count = Signal.like(room)
        m.d.comb += [room.eq(spec.burst_bricks - at), end.eq(left <= room), count.eq(Mux(end, left, room))]
        m.d.comb += [
            self.burst.p.more.eq(count - 1),
            self.burst.p.none.eq(none),
            self.burst.p.refused.eq(error != 0),
            self.burst.p.error.eq(error),
            self.burst.p.end.eq(end),
            self.address.p.size.eq(exact_log2(spec.beat_bytes)),
            self.address.p.burst.eq(INCR),
        ]

        with m.If(self.address.ready):
            m.d.sync += self.address.valid.eq(0)
        silent = Signal()
        m.d.comb += silent.eq((error != 0) | none)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [address.eq(self.i.p.address), left.eq(self.i.p.bricks)]
                with m.If(self.i.valid):
                    m.next = "MEASURE"
            with m.State("MEASURE"):
                m.d.sync += [limit.eq(address + (left << below)), none.eq(left == 0)]
                m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += error.eq(JobError.NONE)
                with m.If((address < self.window_base) | (limit > self.window_limit)):
                    m.d.sync += error.eq(JobError.OUTSIDE)
                    if not self.whole:
                        m.d.sync += left.eq(0)
                with m.If(address[:below].any()):
                    m.d.sync += error.eq(JobError.MISALIGNED)
                    if not self.whole:
                        m.d.sync += left.eq(0)
                m.next = "CUT"
            with m.State("CUT"):
                m.d.comb += self.burst.valid.eq(silent | ~self.address.valid | self.address.ready)
                with m.If(self.burst.valid & self.burst.ready):
                    m.d.sync += [
                        left.eq(left - room),
                        address[below:].eq(Cat(Const(0, within), address[below + within :] + 1)),
                    ]
                    with m.If(~silent):
                        m.d.sync += [
                            self.address.valid.eq(1),
                            self.address.p.addr.eq(address),
                            self.address.p.len.eq(count * spec.brick_beats - 1),
                        ]
                    with m.If(end):
                        m.next = "IDLE"
        return m


def _bursts(m: Module, unit, address, whole: bool) -> Bursts:
    m.submodules.bursts = cut = Bursts(unit.spec, whole)
    wiring.connect(m, cut.i, wiring.flipped(unit.i))
    wiring.connect(m, cut.address, wiring.flipped(address))
    m.d.comb += [cut.window_base.eq(unit.window_base), cut.window_limit.eq(unit.window_limit)]
    return cut


class AxiReader(wiring.Component):
    """Jobs to bursts on AR and R, to bricks. Jobs overlap: the next one is asked for while this one's beats come.

    One ID, so answers come in order; up to ``spec.outstanding`` bursts are asked for and not complete. A beat a cycle,
    from job to job too, when memory answers in time and ``o`` takes.

    Errors: a refused job touches no bus and gives no brick. One that the bus fails gives all its bricks, some of which
    hold anything. The first failure in a job is the one reported.

    Latency: one job to AR, four cycles; one beat that completes a brick to ``o``, two.

    Members
    -------
    i : :py:`In(stream.Signature(axi_job))`
    o : :py:`Out(stream.Signature(axi_brick))`
    window_base, window_limit : see :class:`Bursts`
    done, error : a pulse for each job, in order, behind the transfer of its last brick; its :class:`spec.axi.JobError`
    ar, r : the bus
    """

    LATENCY = 4  # cycles from a job to its first address

    def __init__(self, spec: Axi):
        self.spec = spec
        super().__init__(
            {
                "i": In(stream.Signature(axi_job)),
                "o": Out(stream.Signature(axi_brick(spec))),
                "window_base": In(ADDRESS_BITS),
                "window_limit": In(ADDRESS_BITS + 1),
                "done": Out(1),
                "error": Out(ERROR_BITS),
                "ar": Out(stream.Signature(axi_address)),
                "r": In(stream.Signature(axi_read(spec))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        cut = _bursts(m, self, self.ar, whole=False)
        m.submodules.due = due = Fifo(axi_burst(spec), spec.outstanding)
        m.submodules.beats = beats = Fifo(axi_read(spec), 2)  # so that no path leads from `o` to the bus
        wiring.connect(m, cut.burst, due.i)
        wiring.connect(m, beats.i, wiring.flipped(self.r))
        burst, beat = due.o.p, beats.o.p

        # Beats of a brick are shifted in from above; the last one passes straight to the output.
        number = Signal(range(max(2, spec.brick_beats)))
        complete = Signal()  # this beat is the brick's last
        take = Signal()
        bits = beat.data
        if spec.brick_beats > 1:
            earlier = Signal((spec.brick_beats - 1) * spec.data_bits, reset_less=True)
            bits = Cat(earlier, beat.data)
            with m.If(take):
                m.d.sync += earlier.eq(bits >> spec.data_bits)
        silent = Signal()
        free = Signal()
        m.d.comb += [
            complete.eq(number == spec.brick_beats - 1),
            silent.eq(burst.refused | burst.none),
            free.eq(~self.o.valid | self.o.ready),
            beats.o.ready.eq(due.o.valid & ~silent & (free | ~complete)),
            take.eq(beats.o.valid & beats.o.ready),
        ]
        # A burst without beats only ends its job, behind the bricks of the one before.
        m.d.comb += due.o.ready.eq(Mux(silent, ~self.o.valid, take & beat.last))

        found = Signal(ERROR_BITS)  # in the job under way
        now = Signal(ERROR_BITS)
        m.d.comb += now.eq(Mux((found == 0) & beat.resp[1], beat.resp, found))
        last = Signal()  # the brick at the output ends its job
        failed = Signal(ERROR_BITS)
        m.d.sync += self.done.eq(self.o.valid & self.o.ready & last)
        m.d.sync += self.error.eq(failed)
        with m.If(free):
            m.d.sync += self.o.valid.eq(0)
        with m.If(take):
            m.d.sync += [number.eq(Mux(complete, 0, number + 1)), found.eq(now)]
            with m.If(complete):
                size = 8 * spec.word_bytes
                m.d.sync += [
                    self.o.valid.eq(1),
                    *(self.o.p[n].eq(bits.word_select(n, size)) for n in range(BRICK)),
                    last.eq(beat.last & burst.end),
                    failed.eq(now),
                ]
            with m.If(beat.last & burst.end):
                m.d.sync += found.eq(JobError.NONE)
        with m.If(due.o.valid & silent & ~self.o.valid):
            m.d.sync += [self.done.eq(1), self.error.eq(burst.error)]
        return m


class AxiWriter(wiring.Component):
    """Jobs and bricks to bursts on AW and W; answers on B are counted. Jobs overlap as in :class:`AxiReader`.

    Every byte of every beat is written. Up to ``spec.outstanding`` bursts are announced and not answered. A beat a
    cycle, from job to job too, when memory takes and bricks come in time.

    Errors: a refused job touches no bus; its bricks are taken and dropped, so that those of the next job meet
    their own addresses, and ``done`` does not wait for them. The first failure in a job is the one reported.

    Latency: one job to AW, four cycles; one brick to its first beat, one cycle.

    Members
    -------
    i : :py:`In(stream.Signature(axi_job))`
    bricks : :py:`In(stream.Signature(axi_brick))`, of all jobs in order
    window_base, window_limit : see :class:`Bursts`
    done, error : a pulse for each job, in order, after its last answer; its :class:`spec.axi.JobError`
    aw, w, b : the bus
    """

    LATENCY = 4  # cycles from a job to its first address

    def __init__(self, spec: Axi):
        self.spec = spec
        super().__init__(
            {
                "i": In(stream.Signature(axi_job)),
                "bricks": In(stream.Signature(axi_brick(spec))),
                "window_base": In(ADDRESS_BITS),
                "window_limit": In(ADDRESS_BITS + 1),
                "done": Out(1),
                "error": Out(ERROR_BITS),
                "aw": Out(stream.Signature(axi_address)),
                "w": Out(stream.Signature(axi_write(spec))),
                "b": In(stream.Signature(axi_answer)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        cut = _bursts(m, self, self.aw, whole=True)
        m.submodules.unsent = unsent = Fifo(axi_burst(spec), spec.outstanding)
        m.submodules.due = due = Fifo(axi_burst(spec), spec.outstanding)
        burst = cut.burst
        m.d.comb += [
            burst.ready.eq(unsent.i.ready & due.i.ready),
            unsent.i.valid.eq(burst.valid & burst.ready & ~burst.p.none),
            unsent.i.p.eq(burst.p),
            # Of a refused job only the end matters here; its bricks may be long in coming.
            due.i.valid.eq(burst.valid & burst.ready & (burst.p.end | ~burst.p.refused)),
            due.i.p.eq(burst.p),
        ]

        # A brick leaves beat by beat; the next one follows its last beat at once.
        held = Signal(spec.brick_beats * spec.data_bits, reset_less=True)
        number = Signal(range(max(2, spec.brick_beats)))
        sent = Signal.like(unsent.o.p.more)  # bricks of this burst before the one that comes
        ends_burst = Signal()
        ends = Signal()  # the brick held is the burst's last
        complete = Signal()
        take = Signal()
        m.d.comb += [
            complete.eq(number == spec.brick_beats - 1),
            self.w.p.data.eq(held),
            self.w.p.strb.eq(-1),
            self.w.p.last.eq(ends & complete),
            self.bricks.ready.eq(unsent.o.valid & (~self.w.valid | (self.w.ready & complete))),
            take.eq(self.bricks.valid & self.bricks.ready),
            ends_burst.eq(sent == unsent.o.p.more),
            unsent.o.ready.eq(take & ends_burst),
        ]
        with m.If(self.w.valid & self.w.ready):
            m.d.sync += [held.eq(held >> spec.data_bits), number.eq(Mux(complete, 0, number + 1))]
            with m.If(complete):
                m.d.sync += self.w.valid.eq(0)
        with m.If(take):
            size = 8 * spec.word_bytes
            m.d.sync += [
                *(held.word_select(n, size).eq(self.bricks.p[n].as_signed()) for n in range(BRICK)),
                self.w.valid.eq(~unsent.o.p.refused),
                ends.eq(ends_burst),
                sent.eq(Mux(ends_burst, 0, sent + 1)),
            ]

        # Answers.
        found = Signal(ERROR_BITS)
        now = Signal(ERROR_BITS)
        silent = Signal()
        m.d.comb += [
            silent.eq(due.o.p.refused | due.o.p.none),
            self.b.ready.eq(due.o.valid & ~silent),
            due.o.ready.eq(silent | self.b.valid),
            now.eq(Mux(silent, due.o.p.error, Mux((found == 0) & self.b.p.resp[1], self.b.p.resp, found))),
        ]
        m.d.sync += [self.done.eq(0), self.error.eq(now)]
        with m.If(due.o.valid & due.o.ready):
            m.d.sync += [found.eq(Mux(due.o.p.end, 0, now)), self.done.eq(due.o.p.end)]
        return m
