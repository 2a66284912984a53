"""Merges streams fairly."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.logic import select


class Arbiter(wiring.Component):
    """One transfer a cycle from ``count`` streams, in turn; the same stream every ``pause`` cycles at most.

    Latency: two cycles from an input's valid to ``o.valid``. A stalled output holds what it has.

    Members
    -------
    i : ``count`` streams of ``shape``
    o : stream of ``{value: shape, source: number of the input}``
    """

    LATENCY = 2

    def __init__(self, shape, count: int, pause: int = 2):
        self.pause = pause  # at least 2: the choice is made a cycle before the transfer
        self.count = count
        self.shape = shape
        self.output = data.StructLayout({"value": shape, "source": range(max(2, count))})
        super().__init__(
            {"i": In(stream.Signature(shape)).array(count), "o": Out(stream.Signature(self.output))}
        )

    def elaborate(self, platform):
        m = Module()
        advance = Signal()
        m.d.comb += advance.eq(~self.o.valid | self.o.ready)

        # Choose the next one after the last chosen. Those chosen a short while ago are left out.
        requests, after = Signal(self.count), Signal(self.count)
        chosen_valid, chosen = Signal(), Signal(ceil_log2(max(2, self.count)))
        recent = [Cat(chosen_valid & (chosen == n) for n in range(self.count))]
        for age in range(self.pause - 2):
            late = Signal(self.count, name=f"recent_{age}")
            with m.If(advance):
                m.d.sync += late.eq(recent[-1])
            recent.append(late)
        m.d.comb += requests.eq(Cat(i.valid for i in self.i) & ~reduce(or_, recent))
        later = Signal(self.count)
        m.d.comb += later.eq(requests & after)
        pick = Signal.like(chosen)
        for candidates in (requests, later):
            for n in reversed(range(self.count)):
                with m.If(candidates[n]):
                    m.d.comb += pick.eq(n)
        with m.If(advance):
            m.d.sync += [chosen_valid.eq(requests.any()), chosen.eq(pick)]
            with m.If(requests.any()):
                m.d.sync += after.eq(Cat(pick < n for n in range(self.count)))

        for n, i in enumerate(self.i):
            m.d.comb += i.ready.eq(chosen_valid & (chosen == n) & advance)
        out = Signal(self.output, reset_less=True)
        m.d.comb += self.o.p.eq(out)
        with m.If(advance):
            m.d.sync += [
                self.o.valid.eq(chosen_valid),
                out.source.eq(chosen),
                out.value.eq(select(chosen, [i.p for i in self.i])),
            ]
        return m
