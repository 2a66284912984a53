"""Queues: what goes in comes out, once, in order, and waits unchanged."""

from amaranth.hdl import unsigned

from hw.chain import Chain
from hw.fifo import Fifo
from prove.harness import Harness, fires

WORD = unsigned(3)


def queue(unit, depth: int, latency: int) -> Harness:
    """A queue of ``depth`` words, the oldest of which is offered within ``latency`` cycles of its place becoming free."""
    h = Harness()
    dut = h.add(unit(WORD, depth))
    h.source(dut.i)
    h.sink(dut.o)
    h.stable(dut.o)
    inside = h.passes(fires(dut.i), dut.i.p, fires(dut.o), dut.o.p, most=depth)
    h.check(~dut.i.ready, unless=inside != depth)
    h.check(dut.i.ready, unless=inside == depth)
    h.within(latency, (inside != 0) & ~dut.o.valid, name="hidden")
    h.reach((inside == depth) & fires(dut.o))
    return h


def fifo(depth: int = 5) -> Harness:
    return queue(Fifo, depth, 1)


def chain(depth: int = 3) -> Harness:
    return queue(Chain, depth, depth)
