"""The AXI4 master: bursts that cover their job, beats that carry its bricks, an answer for each."""

from amaranth.hdl import Cat, Mux, Signal

from hw.axi import Bursts, axi_burst, axi_read
from hw.axi_read import AxiReader
from hw.axi_write import AxiWriter
from prove.harness import Harness, fires
from spec.axi import ADDRESS_BITS, COUNT_BITS, PAGE, Axi, Resp
from spec.chip import BRICK

WIDE = Axi()
NARROW = Axi(width=8, data_bits=64, burst_beats=4, outstanding=2)  # bursts of two bricks, a brick of two beats


def job_source(h: Harness, job, spec: Axi) -> None:
    """Jobs as they are promised: aligned, of at least one brick, inside the address space."""
    below = (spec.brick_bytes - 1).bit_length()
    address, bricks = job.p.address, job.p.bricks
    h.source(job)
    h.assume((address[:below] == 0) & (bricks != 0))
    h.assume((address[below:] + bricks) <= 1 << (ADDRESS_BITS - below))


def bursts(spec: Axi = WIDE) -> Harness:
    """Whole addresses and counts. What is inside the unit is tied to the model, so that one cycle proves the next."""
    h = Harness()
    m = h.m
    dut = h.add(Bursts(spec))
    job_source(h, dut.i, spec)
    h.sink(dut.address, dut.burst)
    h.stable(dut.address)
    below = (spec.brick_bytes - 1).bit_length()

    # The next burst begins at `at`; `left` bricks of the job are not in a burst yet.
    at, left = Signal(ADDRESS_BITS - below + 1), Signal(COUNT_BITS)
    room, size = Signal(range(spec.burst_bricks + 1)), Signal(range(spec.burst_bricks + 1))
    m.d.comb += [room.eq(spec.burst_bricks - at % spec.burst_bricks), size.eq(Mux(left < room, left, room))]
    with m.If(fires(dut.burst)):
        m.d.sync += [at.eq(at + size), left.eq(left - size)]
    with m.If(fires(dut.i)):
        m.d.sync += [at.eq(dut.i.p.address >> below), left.eq(dut.i.p.bricks)]
    h.check(dut.i.ready == (left == 0))
    h.check(left != 0, unless=~dut.burst.valid)
    h.check((dut.burst.p.more == size - 1) & (dut.burst.p.end == (left == size)), unless=~dut.burst.valid)
    h.check(at + left <= 1 << (ADDRESS_BITS - below), unless=left == 0)
    h.check(h.inside("busy") == (left != 0))
    h.check((h.inside("address") == at) & (h.inside("left") == left), unless=left == 0)

    # It goes out on the bus, once, inside one page.
    sent, sent_at, sent_size = Signal(), Signal.like(at), Signal.like(size)
    with m.If(fires(dut.address)):
        m.d.sync += sent.eq(0)
    with m.If(fires(dut.burst)):
        m.d.sync += [sent.eq(1), sent_at.eq(at), sent_size.eq(size)]
    out = dut.address.p
    h.check(dut.address.valid == sent)
    h.check((out.addr == sent_at << below) & (out.len + 1 == sent_size * spec.brick_beats), unless=~sent)
    h.check((sent_at % spec.burst_bricks) + sent_size <= spec.burst_bricks, unless=~sent)
    h.check(((out.addr % PAGE) + sent_size * spec.brick_bytes) <= PAGE, unless=~sent)
    h.check((1 << out.size == spec.beat_bytes) & (out.burst == 1), unless=~sent)
    h.check(fires(dut.address) | ~sent, unless=~fires(dut.burst))
    h.within(1, (left != 0) & ~fires(dut.burst), dut.burst.ready & (~sent | dut.address.ready))
    h.reach(fires(dut.burst) & dut.burst.p.end & (left < room) & (sent_size == spec.burst_bricks))
    return h


def writer(spec: Axi = NARROW) -> Harness:
    h = Harness()
    m = h.m
    dut = h.add(AxiWriter(spec))
    job_source(h, dut.i, spec)
    h.source(dut.bricks, dut.b)
    h.sink(dut.aw, dut.w)
    h.stable(dut.aw, dut.w)

    # A brick leaves as its beats, one after the other, sign-extended, and is taken with the last of them.
    beats = spec.brick_beats
    brick, beat = Signal(8 * spec.brick_bytes), Signal(range(max(2, beats)))
    m.d.comb += [brick.word_select(n, 8 * spec.word_bytes).eq(word.as_signed()) for n, word in enumerate(dut.bricks.p)]
    with m.If(fires(dut.w)):
        m.d.sync += beat.eq(Mux(beat == beats - 1, 0, beat + 1))
    h.check(dut.bricks.valid, unless=~dut.w.valid)
    h.check(dut.w.p.data == brick.word_select(beat, spec.data_bits), unless=~dut.w.valid)
    h.check(dut.w.p.strb.all(), unless=~dut.w.valid)
    h.check(fires(dut.bricks) == (fires(dut.w) & (beat == beats - 1)))

    # A burst announced is sent with as many beats, the last of them marked.
    announced = h.inside("bursts.burst__valid") & h.inside("burst__ready")
    burst = dut_burst(h, spec)
    sent = Signal(range(spec.burst_beats))
    last = fires(dut.w) & dut.w.p.last
    with m.If(fires(dut.w)):
        m.d.sync += sent.eq(Mux(dut.w.p.last, 0, sent + 1))
    size = (burst.more + 1) * beats
    wide_size, sent_size = Signal(range(spec.burst_beats + 1)), Signal(range(spec.burst_beats + 1))
    m.d.comb += [wide_size.eq(size), sent_size.eq(sent + 1)]
    h.passes(announced, wide_size, last, sent_size, most=spec.outstanding + 1, name="burst")
    # As the bus does: the same bursts by AW, in the same order.
    wide_len = Signal.like(wide_size)
    m.d.comb += wide_len.eq(dut.aw.p.len + 1)
    h.passes(announced, wide_size, fires(dut.aw), wide_len, most=1, name="address")

    # Memory answers bursts that it has in whole; the job's last answer ends it, with the first failure.
    written, _ = h.queue(last, 0, fires(dut.b), spec.outstanding, "written")
    asked, _ = h.queue(fires(dut.aw), 0, fires(dut.b), spec.outstanding, "asked")
    h.assume(~dut.b.valid | ((written != 0) & (asked != 0)))
    h.check(dut.b.ready, unless=~dut.b.valid)
    _, end = h.queue(announced, burst.end, fires(dut.b), spec.outstanding, "end")
    found, now = Signal(2), Signal(2)
    m.d.comb += now.eq(Mux((found == 0) & (dut.b.p.resp >= Resp.SLAVE), dut.b.p.resp, found))
    with m.If(fires(dut.b)):
        m.d.sync += found.eq(Mux(end, 0, now))
    h.check(dut.done == h.before(fires(dut.b) & end, name="done"))
    h.check(dut.error == h.before(now, name="error"), unless=~dut.done)

    # It goes on whenever bus and bricks do.
    moves = (~dut.w.valid | dut.w.ready) & (~dut.aw.valid | dut.aw.ready)
    waits = ~fires(dut.w) & ~fires(dut.aw) & dut.bricks.valid & (~dut.i.ready | dut.i.valid)
    h.within(4, waits & (asked == written) & (asked == 0), moves, name="stuck")
    h.reach(dut.done & (dut.error == Resp.SLAVE))
    h.reach((asked == spec.outstanding) & (written == spec.outstanding))
    return h


def dut_burst(h: Harness, spec: Axi):
    """The burst that the master has cut last, as it is announced."""
    return axi_burst(spec)(h.inside("bursts.burst__payload"))


def _reader(spec: Axi):
    """Memory answers in order, as many beats as it was asked for."""
    h = Harness()
    m = h.m
    dut = h.add(AxiReader(spec))
    job_source(h, dut.i, spec)
    h.sink(dut.ar, dut.o)
    h.source(dut.r)
    sent, left = Signal(8), Signal(8)
    fire, last = fires(dut.r), fires(dut.r) & dut.r.p.last
    asked, beats = h.queue(fires(dut.ar), dut.ar.p.len, last, spec.outstanding, "asked")
    m.d.comb += left.eq(beats - sent)
    with m.If(fire):
        m.d.sync += sent.eq(Mux(dut.r.p.last, 0, sent + 1))
    h.assume(~dut.r.valid | ((asked != 0) & (dut.r.p.last == (left == 0))))
    beat = Signal(range(max(2, spec.brick_beats)))
    with m.If(fire):
        m.d.sync += beat.eq(Mux(beat == spec.brick_beats - 1, 0, beat + 1))
    return h, dut, asked, beat, fire & (beat == spec.brick_beats - 1)


def reader_bricks(spec: Axi = NARROW) -> Harness:
    h, dut, asked, beat, complete = _reader(spec)
    h.stable(dut.ar, dut.o)

    # One bit of a brick, any one, comes out as it came.
    word, bit = h.constant(range(BRICK), "word"), h.constant(range(spec.width), "bit")
    beat_words = BRICK // spec.brick_beats
    mine, seen = Signal(), Signal()
    m = h.m
    m.d.comb += mine.eq(dut.r.p.data.word_select(word % beat_words, 8 * spec.word_bytes).bit_select(bit, 1))
    with m.If(fires(dut.r) & (beat == word // beat_words)):
        m.d.sync += seen.eq(mine)
    given = Mux(word // beat_words == spec.brick_beats - 1, mine, seen)
    taken = Cat(dut.o.p).word_select(word, spec.width).bit_select(bit, 1)
    inside = h.passes(complete, given, fires(dut.o), taken, most=2, name="brick")
    h.within(3, (inside != 0) & ~dut.o.valid, name="hidden")
    h.within(3, ~dut.i.ready & ~dut.ar.valid, asked == 0, name="asks")
    h.reach(inside == 1)
    h.reach(fires(dut.o) & taken & (word == BRICK - 1))
    return h


def reader_jobs(spec: Axi = NARROW) -> Harness:
    """A job ends with its last burst, as it was announced (see `bursts`); beats are those that leave the queue of the bus."""
    h, dut, _, _, _ = _reader(spec)
    m = h.m
    take, beat = h.inside("take"), axi_read(spec)(h.inside("beats.o__payload"))
    announced = h.inside("bursts.burst__valid") & h.inside("burst__ready")
    waiting, end = h.queue(announced, dut_burst(h, spec).end, take & beat.last, spec.outstanding, "end")
    h.check(waiting != 0, unless=~take)
    number, first, now = Signal(range(max(2, spec.brick_beats))), Signal(2), Signal(2)
    m.d.comb += now.eq(Mux((first == 0) & (beat.resp >= Resp.SLAVE), beat.resp, first))
    with m.If(take):
        m.d.sync += [
            first.eq(Mux(beat.last & end, 0, now)),
            number.eq(Mux(number == spec.brick_beats - 1, 0, number + 1)),
        ]
    h.check(fires(dut.o) == (take & (number == spec.brick_beats - 1)))
    h.check(dut.done == h.before(fires(dut.o) & beat.last & end, name="done"))
    h.check(dut.error == h.before(now, name="error"), unless=~dut.done)
    h.reach(dut.done & (dut.error == Resp.DECODE))
    return h
