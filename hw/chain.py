"""A short queue of registers between two streams."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class Chain(wiring.Component):
    """Words move one place a cycle toward the output and close up when it stalls; no word is selected
    by logic, so a place costs registers and next to no look-up tables.

    Latency: ``depth`` cycles. Stalls: ``i`` waits only when all ``depth`` places are taken and the last
    one stalls.

    Members
    -------
    i : :py:`In(stream.Signature(shape))`
    o : :py:`Out(stream.Signature(shape))`
    """

    def __init__(self, shape, depth: int):
        self.shape = shape
        self.depth = depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        valid, word, ready = self.i.valid, self.i.p, self.i.ready
        for n in range(self.depth):
            place_valid = Signal(name=f"valid_{n}")
            place = Signal(self.shape, name=f"place_{n}", reset_less=True)
            moves = Signal(name=f"moves_{n}")  # this place may be overwritten
            m.d.comb += ready.eq(moves)
            with m.If(moves):
                m.d.sync += [place_valid.eq(valid), place.eq(word)]
            onward = Signal(name=f"onward_{n}")
            m.d.comb += moves.eq(~place_valid | onward)
            valid, word, ready = place_valid, place, onward
        m.d.comb += [self.o.valid.eq(valid), self.o.p.eq(word), ready.eq(self.o.ready)]
        return m
