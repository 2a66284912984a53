"""A short queue of registers between two streams."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class Chain(wiring.Component):
    """Words move one place a cycle toward the output and close up when it stalls; no word is selected
    by logic, so a place costs registers and next to no look-up tables. No path leads from ``o.ready``
    to the other places: a word that leaves is followed by the next one a cycle later.

    Latency: ``depth`` cycles; one word every second cycle. Stalls: ``i`` waits only when all ``depth``
    places are taken.

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
        valids = [Signal(name=f"valid_{n}") for n in range(self.depth)]
        valid, word = self.i.valid, self.i.p
        for n in range(self.depth):
            place = Signal(self.shape, name=f"place_{n}", reset_less=True)
            room = Signal(name=f"room_{n}")  # from here on, one place at least is free
            m.d.comb += room.eq(~Cat(valids[n:]).all())
            if n == 0:
                m.d.comb += self.i.ready.eq(room)
            with m.If(room):
                m.d.sync += [valids[n].eq(valid), place.eq(word)]
            if n == self.depth - 1:
                with m.Elif(self.o.ready):
                    m.d.sync += valids[n].eq(0)
            valid, word = valids[n], place
        m.d.comb += [self.o.valid.eq(valid), self.o.p.eq(word)]
        return m
