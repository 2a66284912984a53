"""The lanes: every column that goes in comes out as one sum under its own tag, in order."""

from amaranth.hdl import Cat

from hw.lanes import Lanes
from prove.chip import CHIP
from prove.harness import Harness, fires
from spec.engine import results


def _lanes():
    """Pairs pass with any offsets, so that a column may take any time; what is summed is no part of this."""
    h = Harness()
    dut = h.add(Lanes(CHIP))
    h.free(dut.halves, *(Cat(pair.k, pair.a) for pair in dut.pairs), dut.load)
    h.source(*dut.i)
    h.sink(*dut.o)
    return h, dut, CHIP.lanes - 1


def head() -> Harness:
    """From the lane's stream to the column that it begins."""
    h, dut, me = _lanes()
    i, begins, head = dut.i[me], h.inside("take", bits=CHIP.lanes)[me], h.inside(f"lane_{me}.head")
    bits = len(i.p.slot) + len(i.p.column)
    h.passes(fires(i), Cat(i.p)[:bits], begins, head[:bits], most=1)
    h.reach(begins)
    return h


def sums() -> Harness:
    """From the column that begins to its sum."""
    h, dut, me = _lanes()
    o, begins, head = dut.o[me], h.inside("take", bits=CHIP.lanes)[me], h.inside(f"lane_{me}.head")
    tag = Cat(o.p.slot, o.p.column)
    inside = h.passes(begins, head[: len(tag)], fires(o), tag, most=results(CHIP))
    waited, held = h.before(o.valid & ~o.ready, name="waited"), h.before(tag, name="tag")
    h.check(o.valid & (tag == held), unless=~waited)
    h.reach(o.valid & (inside == results(CHIP)))
    return h
