"""Merges streams by the clock: each one has its turn, asked or not."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.logic import cleared, delayed

FOUR = 4  # words merged in one look-up table


class Turns(wiring.Component):
    """One of ``count`` streams may transfer in each cycle, in a fixed round; so the same one every ``pause`` cycles at most.

    Nothing is decided, so no path leads from one stream to another: ``ready`` is a register that ignores ``valid``.
    Where a round costs too much, use :class:`hw.arbiter.Arbiter`.

    ``compact`` merges four words on their way into the first register, and saves the registers of single words and their reset signals:
    an eighth of the flip-flops for about twice the look-up tables.

    Latency: ``LATENCY`` cycles from a transfer to ``valid``. Stalls: a stream waits for its turn, one cycle of each
    round of ``max(count, pause)``; the output cannot stall.

    Members
    -------
    i : ``count`` streams of ``shape``
    restart : the round begins anew, so that what follows takes the same time whenever it comes; nothing is on its way. A reset alone does not begin it
    valid, value, source : an item and the number of the stream it came from
    """

    LATENCY = 3

    def __init__(self, shape, count: int, pause: int = 1, compact: bool = False):
        self.shape = shape
        self.count = count
        self.compact = compact
        self.round = max(2, count, pause)
        super().__init__(
            {
                "i": In(stream.Signature(shape)).array(count),
                "restart": In(1),
                "valid": Out(1),
                "value": Out(shape),
                "source": Out(range(max(2, count))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        turn = Signal(self.round, init=1, reset_less=True)
        waits = Signal(self.round, init=(1 << self.round) - 2, reset_less=True)  # the opposite, in registers too: it clears many bits
        m.d.sync += [turn.eq(turn.rotate_left(1)), waits.eq(waits.rotate_left(1))]

        # Words of streams whose turn it is not are zero; the rest is an or.
        words, valids = [], []
        for n, i in enumerate(self.i):
            valid = Signal(name=f"valid_{n}")
            m.d.comb += i.ready.eq(turn[n])
            domain = m.d.comb if self.compact else m.d.sync
            domain += valid.eq(i.valid & turn[n])
            word = Value.cast(i.p)
            words.append(word & turn[n].replicate(len(word)) if self.compact else cleared(m, waits[n], word, f"word_{n}"))
            valids.append(valid)
        near = []
        for n in range(0, self.count, FOUR):
            four = Signal(1 + len(words[0]), name=f"near_{n}")
            m.d.sync += four.eq(Cat(reduce(or_, valids[n : n + FOUR]), reduce(or_, words[n : n + FOUR])))
            near.append(four)
        merged = Signal.like(near[0])
        m.d.sync += merged.eq(reduce(or_, near))
        valid, value = merged[0], merged[1:]
        if self.compact:  # both forms take equally long
            valid, value = delayed(m, valid, 1, "valid", control=True), delayed(m, value, 1, "value")
        m.d.comb += [self.valid.eq(valid), Cat(self.value).eq(value)]

        # The round is as old at the output as an item is, so no number travels with it.
        source = Signal(range(self.round), init=self.round - self.LATENCY % self.round, reset_less=True)
        m.d.sync += source.eq(Mux(source == self.round - 1, 0, source + 1))
        m.d.comb += self.source.eq(source)
        with m.If(self.restart):
            m.d.sync += [register.eq(register.init) for register in (turn, waits, source)]
        return m
