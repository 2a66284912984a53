"""Merges streams fairly."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.logic import select

FOUR = 4  # words selected from at once


class Arbiter(wiring.Component):
    """One transfer a cycle from ``count`` streams, in turn; the same stream every ``PAUSE`` cycles at most.

    Latency: ``LATENCY`` cycles from an input's valid to ``o.valid`` when nobody else asks. A stalled output holds what it has.

    Members
    -------
    i : ``count`` streams of ``shape``
    o : stream of ``{value: shape, source: number of the input}``
    """

    LATENCY = 4
    PAUSE = 3  # the choice is made two cycles before the input's transfer

    def __init__(self, shape, count: int):
        self.count = count
        self.shape = shape
        self.output = data.StructLayout({"value": shape, "source": range(max(2, count))})
        super().__init__(
            {"i": In(stream.Signature(shape)).array(count), "o": Out(stream.Signature(self.output))}
        )

    def elaborate(self, platform):
        m = Module()
        if self.count == 1:
            m.d.comb += [self.o.valid.eq(self.i[0].valid), self.o.p.value.eq(self.i[0].p), self.i[0].ready.eq(self.o.ready)]
            return m
        advance = Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)

        # Requests are served in batches: who asks while a batch is served comes in the next one.
        batch = Signal(self.count)
        chosen_valid = Signal()
        chosen = Signal(ceil_log2(max(2, self.count)))
        grant = Signal(self.count)  # the choice, one bit for each input
        rest = Signal(self.count)
        asking = Signal(self.count)
        pick = Signal.like(chosen)
        m.d.comb += [
            rest.eq(Cat(batch[n] & batch[:n].any() for n in range(self.count))),
            asking.eq(Cat(i.valid for i in self.i) & ~(batch | grant)),
        ]
        for n in reversed(range(self.count)):
            with m.If(batch[n]):
                m.d.comb += pick.eq(n)
        with m.If(advance):
            m.d.sync += [
                chosen_valid.eq(batch.any()),
                chosen.eq(pick),
                grant.eq(batch & ~rest),
                batch.eq(Mux(rest.any(), rest, asking)),
            ]

        for n, i in enumerate(self.i):
            m.d.comb += i.ready.eq(grant[n] & advance)
        # Take its word, first among four neighbours, then among the fours.
        inputs = [i.p for i in self.i]
        fours = [inputs[n : n + FOUR] for n in range(0, self.count, FOUR)]
        near = [Signal(self.shape, name=f"near_{n}", reset_less=True) for n in range(len(fours))]
        near_valid = Signal()
        near_source = Signal.like(chosen, reset_less=True)
        out = Signal(self.output, reset_less=True)
        m.d.comb += self.o.p.eq(out)
        with m.If(advance):
            m.d.sync += [
                *(word.eq(select(chosen[:2], four)) for word, four in zip(near, fours, strict=True)),
                near_valid.eq(chosen_valid),
                near_source.eq(chosen),
                self.o.valid.eq(near_valid),
                out.source.eq(near_source),
                out.value.eq(select(near_source[2:], near)),
            ]
        return m
