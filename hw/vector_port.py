"""A read port of the vector unit: asks ahead, and keeps the answers until they are wanted."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.fifo import Fifo
from hw.layouts import brick
from spec.chip import Chip
from spec.engine import Widths

READ_AHEAD = 16  # bricks asked for and not yet taken: enough for one a cycle


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
        spare_valid = Signal()
        word = Signal(self.shape, reset_less=True)
        m.d.comb += [self.i.ready.eq(~spare_valid), self.o.p.eq(word)]
        with m.If(~spare_valid):
            m.d.sync += spare.eq(self.i.p)
        with m.If(self.o.ready | ~self.o.valid):
            m.d.sync += [
                self.o.valid.eq(spare_valid | self.i.valid),
                word.eq(Mux(spare_valid, spare, self.i.p)),
                spare_valid.eq(0),
            ]
        with m.Elif(self.i.valid):
            m.d.sync += spare_valid.eq(1)
        return m


class VectorPort(wiring.Component):
    """Addresses in, bricks out, in order.

    Contract: at most ``READ_AHEAD`` bricks are asked for and not taken, so answers need no ready. Stalls: ``request``
    and ``o`` freely. Answers may be late by any number of cycles.

    Members
    -------
    i : addresses; ``ready`` comes from registers
    open : answers count; low for some cycles after a reset, when those of before it may come
    request, valid, brick : the scratchpad
    o : the bricks
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        address = Widths(chip).brick_address
        super().__init__({
            "i": In(stream.Signature(address)),
            "open": In(1),
            "request": Out(stream.Signature(address)),
            "valid": In(1),
            "brick": In(brick(chip)),
            "o": Out(stream.Signature(brick(chip))),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.skid = skid = Skid(Widths(self.chip).brick_address)
        m.submodules.answers = answers = Fifo(brick(self.chip), READ_AHEAD)
        connect(m, skid.o, flipped(self.request))
        connect(m, answers.o, flipped(self.o))
        connect(m, flipped(self.i), skid.i)
        m.d.comb += [
            answers.i.p.eq(self.brick),
            answers.i.valid.eq(self.valid & self.open),
        ]
        return m
