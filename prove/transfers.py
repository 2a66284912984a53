"""Both sides of a transfer: the addresses that a descriptor means, and bricks that meet them."""

from amaranth.hdl import Cat, Mux, Signal

from hw.axi import axi_read
from hw.load import Load
from hw.store import BRICKS, Store
from hw.walk import RUN_COUNT_BITS, Walk
from prove.chip import CHIP, SPEC
from prove.harness import Harness, fires

BITS = 4  # of an address: arithmetic modulo a power of two is the same for any


def walk() -> Harness:
    """Steps and counts of any size; what is inside is tied to the numbers of the run that is next."""
    h = Harness()
    m = h.m
    dut = h.add(Walk(BITS))
    inputs = dut.base, dut.step_1, dut.step_2, dut.count_1, dut.count_2
    h.free(dut.resting, dut.start, dut.stop, *inputs)
    h.sink(dut.o)
    h.assume((dut.count_1 != 0) & (dut.count_2 != 0))
    h.assume(dut.resting | ~dut.start)
    h.stable(dut.o, unless=dut.resting | dut.stop)

    # Run i of round j is next, of a walk that was begun with these numbers.
    going = Signal()
    base, step_1, step_2, count_1, count_2 = (Signal.like(value, name=f"given_{n}") for n, value in enumerate(inputs))
    i, j = Signal(RUN_COUNT_BITS), Signal(RUN_COUNT_BITS)
    with m.If(fires(dut.o)):
        m.d.sync += i.eq(i + 1)
        with m.If(i == count_1 - 1):
            m.d.sync += [i.eq(0), j.eq(j + 1), going.eq(j != count_2 - 1)]
    with m.If(dut.stop | dut.resting):
        m.d.sync += going.eq(0)
    with m.If(dut.start):
        m.d.sync += [going.eq(1), i.eq(0), j.eq(0)]
        m.d.sync += [to.eq(value) for to, value in zip((base, step_1, step_2, count_1, count_2), inputs, strict=True)]
    h.check(dut.o.valid == going)
    first, here = Signal(BITS), Signal(BITS)
    m.d.comb += [first.eq(base + j * step_2), here.eq(first + i * step_1)]
    h.check(dut.o.p == here, unless=~going)

    h.check((i < count_1) & (j < count_2), unless=~going)
    for name, value in {
        "first": first, "by_1": step_1, "by_2": step_2, "runs": count_1, "single": count_1 == 1,
        "left_1": (count_1 - i)[:RUN_COUNT_BITS], "last_1": i == count_1 - 1,
        "left_2": (count_2 - j)[:RUN_COUNT_BITS], "last_2": j == count_2 - 1,
    }.items():  # fmt: skip
        h.check(h.inside(name) == value, unless=~going)
    h.reach(fires(dut.o) & (j == 1) & (i == 1))
    return h


def store_bricks() -> Harness:
    """The scratchpad answers what it was asked, any number of cycles later, and cannot be made to wait."""
    h = Harness()
    dut = h.add(Store(CHIP, SPEC))
    h.hold(dut.window)
    h.source(dut.command, dut.b)
    h.free(dut.stop, dut.valid, dut.brick)
    h.sink(dut.request, dut.aw, dut.w)
    h.stable(dut.request, unless=fires(dut.command))
    asked, _ = h.queue(fires(dut.request), 0, dut.valid, BRICKS, "asked")
    h.assume(~dut.valid | (asked != 0))
    h.check(h.inside("bricks.i__ready"), unless=~dut.valid)
    level = h.inside("bricks.level")
    h.check(level == h.inside("bricks.unread") + h.inside("bricks.latched") + h.inside("bricks.o__valid"))
    waiting = h.inside("requests.o__valid") + ~h.inside("requests.free")
    h.check(h.inside("ahead") == level + asked + waiting + h.inside("gone"))
    h.check(h.inside("ahead") <= BRICKS)
    h.reach(dut.moved & (asked == 2))
    return h


def load_bricks() -> Harness:
    """A brick from memory is written with the address that comes next, once; nothing else is written but zeros when filling."""
    h = Harness()
    dut = h.add(Load(CHIP, SPEC))
    h.hold(dut.window)
    h.source(dut.command, dut.r)
    h.free(dut.stop)
    h.sink(dut.write, dut.ar)
    fill = h.inside("fill")
    h.stable(dut.write, unless=(fill & dut.stop) | fires(dut.command))
    place = h.inside("places.o__valid")
    h.check(fires(dut.write) == dut.brick, unless=fill)
    h.check(~dut.brick, unless=~fill)
    h.check(h.inside("zeros") == fill, unless=~place)
    # Memory marks a brick's last beat only, so no beat of a brick is complete while a burst that has ended is still at the head.
    number, waiting = h.inside("reader.number"), h.inside("reader.beats.o__valid")
    came, ahead, spare = Signal(), axi_read(SPEC)(h.inside("reader.beats.o__payload")), ~h.inside("reader.beats.free")
    with h.m.If(fires(dut.r)):
        h.m.d.sync += came.eq(~came)
    h.assume(~(dut.r.valid & dut.r.p.last) | came)
    h.check(came == number ^ waiting ^ spare)
    h.check(number, unless=~(waiting & ahead.last))
    h.check(waiting & ~(number & axi_read(SPEC)(h.inside("reader.beats.spare")).last), unless=~spare)
    h.check(~number, unless=~h.inside("reader.late"))
    h.check(h.inside("reader.due.o__valid") == (h.inside("reader.due.queue.level") != 0))
    h.check(h.inside("reader.due.queue.level") <= SPEC.outstanding)
    h.check(place & (dut.write.p.address == h.inside("places.o__payload")), unless=~dut.write.valid)
    words = Mux(fill, 0, h.inside("reader.o__payload"))
    h.check(Cat(dut.write.p.words) == words, unless=~dut.write.valid)
    h.reach(fires(dut.write) & fill)
    return h
