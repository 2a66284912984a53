"""What several share: one at a time, nobody left waiting, nothing lost or mixed up."""

from amaranth.hdl import Cat, Mux, Signal, unsigned

from hw.arbiter import Arbiter
from hw.read_share import ReadShare
from hw.rowqueue import RowQueue
from hw.scratchpad import Scratchpad
from hw.turns import Turns
from prove.chip import CHIP, chip
from prove.harness import Harness, fires, one_hot
from spec.axi import Axi
from spec.engine import DIMENSION_BITS


def arbiter(count: int = 5) -> Harness:
    h = Harness()
    m = h.m
    dut = h.add(Arbiter(unsigned(2), count))
    h.source(*dut.i)
    h.sink(dut.o)
    h.stable(dut.o)

    # One grant at a time, and only to who asks.
    granted, asks = Cat(i.ready & i.valid for i in dut.i), Cat(i.valid for i in dut.i)
    h.check(one_hot(Cat(i.ready for i in dut.i)))
    h.check(granted == Cat(i.ready for i in dut.i))
    h.check(dut.o.p.source < count, unless=~dut.o.valid)

    # What any one of them gives comes out under its number.
    me = h.constant(range(count), "me")
    h.assume(me < count)
    mine = Signal(2)
    for n, i in enumerate(dut.i):
        with m.If(me == n):
            m.d.comb += mine.eq(i.p)
    gives, takes = granted.bit_select(me, 1), fires(dut.o) & (dut.o.p.source == me)
    h.passes(gives, mine, takes, dut.o.p.value, most=2)
    total = h.passes(granted.any(), 0, fires(dut.o), 0, most=2, name="all")

    # While it waits, no other is served more than twice, and every cycle in which the output moves counts.
    other = h.constant(range(count), "other")
    h.assume((other < count) & (other != me))
    waits = asks.bit_select(me, 1) & ~gives
    served = Signal(range(4))
    with m.If(~waits):
        m.d.sync += served.eq(0)
    with m.Elif(granted.bit_select(other, 1)):
        m.d.sync += served.eq(served + 1)
    h.check(served <= 2)
    moves = ~dut.o.valid | dut.o.ready
    h.within(2 * count + 1, waits, moves)
    h.within(Arbiter.LATENCY - 2, (total != 0) & ~dut.o.valid, name="hidden")
    h.reach(served == 2)
    h.reach(total == 2)
    return h


def turns(count: int = 5, pause: int = 1, compact: bool = False) -> Harness:
    h = Harness()
    m = h.m
    dut = h.add(Turns(unsigned(2), count, pause, compact))
    h.source(*dut.i)
    fire = Cat(fires(i) for i in dut.i)
    begun = Signal()  # the restart that comes with a reset is over
    m.d.sync += begun.eq(1)
    h.check(one_hot(Cat(i.ready for i in dut.i)), unless=~begun)

    # What one gives is there LATENCY cycles later under its number, and nothing else ever is.
    number, word = Signal(range(count)), Signal(2)
    for n, i in enumerate(dut.i):
        with m.If(fire[n]):
            m.d.comb += [number.eq(n), word.eq(i.p)]
    came = h.before(Cat(fire.any(), number, word), Turns.LATENCY)
    h.check(dut.valid == came[0])
    h.check(Cat(dut.source, dut.value) == came[1:], unless=~dut.valid)

    # A restart may come when nothing is on its way.
    h.free(dut.restart)
    recent = [h.before(fire.any(), n, name=f"recent_{n}") for n in range(1, Turns.LATENCY + 1)]
    h.assume(~dut.restart | ~Cat(fire.any(), recent).any())
    h.assume(dut.restart | begun)
    me = h.constant(range(count), "me")
    h.assume(me < count)
    asks, has = (Cat(bits).bit_select(me, 1) for bits in ((i.valid for i in dut.i), fire))
    h.within(max(2, count, pause), asks & ~has & ~dut.restart)
    since = Signal(range(pause + 2), init=pause + 1)
    with m.If(has):
        m.d.sync += since.eq(1)
    with m.Elif((since != pause + 1) & ~dut.restart):
        m.d.sync += since.eq(since + 1)
    with m.Elif(dut.restart):
        m.d.sync += since.eq(pause + 1)
    h.check(since >= pause, unless=~has)
    h.reach(dut.valid & (dut.source == count - 1))
    h.reach(dut.restart)
    return h


def read_share(depth: int = 3) -> Harness:
    """Everything of master 1 is dyed: its addresses are odd, and memory answers odd addresses with odd data."""
    h = Harness()
    dut = h.add(ReadShare(Axi(data_bits=32, burst_beats=4), depth))
    for n, master in enumerate(dut.masters_ar):
        h.source(master)
        h.assume(master.p.addr[0] == n)
    h.sink(dut.ar, *dut.masters_r)
    h.source(dut.r)
    h.stable(dut.ar, *dut.masters_r)
    me = h.constant(1, "me")
    gives = Mux(me, fires(dut.masters_ar[1]), fires(dut.masters_ar[0]))
    given = Mux(me, dut.masters_ar[1].p.addr, dut.masters_ar[0].p.addr)
    h.passes(gives, given[:4], fires(dut.ar) & (dut.ar.p.addr[0] == me), dut.ar.p.addr[:4], most=1)

    # Memory knows who owns the bursts that it has been asked for.
    ends = fires(dut.r) & dut.r.p.last
    owed, owner = h.queue(fires(dut.ar), dut.ar.p.addr[0], ends, depth, "owner")
    h.assume(~dut.r.valid | ((owed != 0) & (dut.r.p.data[0] == owner)))
    for n, master in enumerate(dut.masters_r):
        h.check(master.p.data[0] == n, unless=~master.valid)
        h.check(master.p == dut.r.p, unless=~master.valid)
    h.check(Cat(fires(master) for master in dut.masters_r).any() == fires(dut.r))
    h.check(one_hot(Cat(master.valid for master in dut.masters_r)))
    # Master 1 waits for master 0, and nobody for anything else.
    first, second = dut.masters_ar
    h.within(1, first.valid & ~first.ready, dut.ar.ready & (owed + dut.ar.valid < depth), name="first")
    h.within(1, second.valid & ~second.ready & ~first.valid, dut.ar.ready & (owed + dut.ar.valid < depth), name="second")
    h.reach((owed == depth) & ends & ~me)
    return h


def _rowqueue(groups: int):
    """Groups ask as :class:`hw.visits.Visits` does: for the same half until they are granted, and then not in the next cycle.

    A half gets a new tile only while nobody asks for it.
    """
    h = Harness()
    dut = h.add(RowQueue(chip(groups)))
    h.hold(dut.command)
    h.free(dut.set, dut.set_half, dut.set_over, dut.set_next, dut.set_limit, dut.request, dut.half)
    asked, granted, halves = (h.before(value, name=name) for value, name in (
        (dut.request, "asked"), (dut.grant, "granted"), (dut.half, "halves")))  # fmt: skip
    h.assume((asked & ~granted & ~dut.request) == 0)
    h.assume((asked & ~granted & (halves ^ dut.half)) == 0)
    h.assume((granted & dut.request) == 0)
    for n in range(2):
        h.assume(~(dut.set & (dut.set_half == n) & (dut.request & (dut.half if n else ~dut.half)).any()))
    fresh = h.inside("fresh")
    begun = h.before(fresh, name="fresh") & ~fresh  # a tile, for whose rows somebody was the first to ask
    return h, dut, begun


def rowqueue_grants(groups: int = 3) -> Harness:
    h, dut, begun = _rowqueue(groups)
    h.check(one_hot(dut.grant))
    h.check((dut.grant & ~h.before(dut.request, name="who")) == 0)
    me = h.constant(range(groups), "me")
    h.assume(me < groups)
    # Where a tile begins, the group is asked twice; all other cycles count.
    counts = ~begun.any() & ~h.before(begun.any(), name="begun")
    h.within(2 * groups, dut.request.bit_select(me, 1) & ~dut.grant.bit_select(me, 1), counts)
    h.reach(dut.grant.bit_select(me, 1) & dut.none)
    h.reach(dut.grant.bit_select(me, 1) & ~dut.none)
    return h


def rowqueue_rows(groups: int = 3) -> Harness:
    """Rows and limits of 16 bits; what is inside is tied to the model, so that one cycle proves the next."""
    h, dut, begun = _rowqueue(groups)
    m = h.m
    rows, limits = Signal(DIMENSION_BITS), [Signal(DIMENSION_BITS, name=f"limit_{n}") for n in range(2)]
    for n in range(2):
        with m.If(dut.set & (dut.set_half == n)):
            m.d.sync += limits[n].eq(dut.set_limit)
        h.check(h.inside(f"limit_{n}") == limits[n])

    # A row given is the one behind the last; the first one anew where a tile begins that says so; never its half's limit.
    gives, anew = dut.grant.any() & ~dut.none, (begun & h.inside("over")).any()
    half = (dut.grant & h.before(dut.half, name="half")).any()
    with m.If(gives):
        m.d.sync += rows.eq(rows + 1)
    with m.If(anew):
        m.d.sync += rows.eq(0)
    h.check((dut.row.row == rows) & (rows != Mux(half, limits[1], limits[0])), unless=~gives)
    h.check(h.inside("here")[:DIMENSION_BITS] == Mux(anew, 0, Mux(gives, rows + 1, rows))[:DIMENSION_BITS])
    h.check(~h.before(dut.grant.any(), name="grants") | ~dut.grant.any())
    h.reach(gives & (rows == 2))
    h.reach(dut.none & dut.grant.any() & (rows == 2))
    return h


def paused_turns() -> Harness:
    return turns(count=3, pause=5)


def compact_turns() -> Harness:
    return turns(compact=True)


def scratchpad(readers: int = 4, writers: int = 2) -> Harness:
    """Two readers with ports of their own, two that share one."""
    h = Harness()
    dut = h.add(Scratchpad(CHIP, readers=readers, writers=writers, pairs=1))
    h.source(*dut.read, *dut.write)
    row_bits = (CHIP.scratch_depth - 1).bit_length()
    # Who comes first goes first: in the same half, or at the same port. Nobody waits for anybody else.
    halves = [Cat(read.p[0], read.p[row_bits:]) for read in dut.read]
    for n, read in enumerate(dut.read):
        ahead = [dut.read[k].valid & ((halves[k] == halves[n]) | ((k, n) == (readers - 2, readers - 1))) for k in range(n)]
        h.check(read.ready == ~Cat(ahead).any(), unless=~read.valid)
    halves = [Cat(write.p.address[0], write.p.address[row_bits:]) for write in dut.write]
    for n, write in enumerate(dut.write):
        ahead = [other.valid & (halves[k] == halves[n]) for k, other in enumerate(dut.write[:n])]
        h.check(write.ready == ~Cat(ahead).any(), unless=~write.valid)
    h.check(dut.valid == h.before(Cat(fires(read) for read in dut.read), Scratchpad.LATENCY))
    h.reach(dut.valid[0] & dut.valid[1])
    h.reach(fires(dut.write[0]) & dut.write[1].valid & ~dut.write[1].ready)
    return h
