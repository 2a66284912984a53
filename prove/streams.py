"""Queues: what goes in comes out, once, in order, and waits unchanged."""

from unittest.mock import patch

from amaranth.hdl import unsigned

from hw.chain import Chain
from hw.fifo import BlockFifo, Fifo, Skid
from prove.bram import PromisedBram
from prove.harness import Harness, fires

WORD = unsigned(3)


def queue(unit, depth: int, latency: int) -> Harness:
    """A queue of ``depth`` words, the oldest of which is offered within ``latency`` cycles of its place becoming free."""
    h = Harness()
    dut = h.add(unit)
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
    h = queue(Fifo(WORD, depth), depth, 1)
    level = h.inside("queue.level")
    h.check(h.inside("o__valid") == (level != 0))
    h.check(h.inside("i__ready") == (level != depth))
    return h


def chain(depth: int = 3) -> Harness:
    return queue(Chain(WORD, depth), depth, depth)


def block_fifo(depth: int = 4) -> Harness:
    with patch("hw.fifo.Bram", PromisedBram):
        return queue(BlockFifo(WORD, depth), depth, BlockFifo.LATENCY)


def skid() -> Harness:
    """Its second place is free a cycle after a word has left."""
    h = Harness()
    dut = h.add(Skid(WORD))
    h.source(dut.i)
    h.sink(dut.o)
    h.stable(dut.o)
    inside = h.passes(fires(dut.i), dut.i.p, fires(dut.o), dut.o.p, most=2)
    h.check(dut.i.ready == (inside != 2))
    h.check(dut.o.valid == (inside != 0))
    h.reach((inside == 2) & fires(dut.o))
    return h
