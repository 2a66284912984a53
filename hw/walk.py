"""Addresses of a transfer's runs: rounds of runs, each a step further on."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

RUN_COUNT_BITS = 16


class Walk(wiring.Component):
    """``count_2`` rounds of ``count_1`` addresses, one a cycle: ``base + j * step_2 + i * step_1``, modulo 2 to the ``bits``.

    Members
    -------
    resting : drops what is left of a walk; base, steps and counts, both at least 1, are taken in every such cycle, so that little waits for ``start``
    start : in the last cycle of rest: a walk begins
    stop : drops what is left
    o : the addresses, from the cycle after ``start`` on; stalls freely
    """

    def __init__(self, bits: int):
        self.bits = bits
        super().__init__({
            "resting": In(1),
            "start": In(1),
            "stop": In(1),
            "base": In(bits),
            "step_1": In(bits),
            "step_2": In(bits),
            "count_1": In(RUN_COUNT_BITS),
            "count_2": In(RUN_COUNT_BITS),
            "o": Out(stream.Signature(bits)),
        })

    def elaborate(self, platform):
        m = Module()
        at, first, step_1, step_2 = (
            Signal(self.bits, name=n, reset_less=True) for n in ("at", "first", "by_1", "by_2")
        )
        runs, left_1, left_2 = (Signal(RUN_COUNT_BITS, name=n, reset_less=True) for n in ("runs", "left_1", "left_2"))
        single, last_1, last_2 = (Signal(name=n, reset_less=True) for n in ("single", "last_1", "last_2"))
        valid = Signal()
        following = Signal(self.bits)
        m.d.comb += [
            self.o.valid.eq(valid),
            self.o.p.eq(at),
            following.eq(Mux(last_1, first, at) + Mux(last_1, step_2, step_1)),
        ]
        with m.If(valid & self.o.ready):
            m.d.sync += [at.eq(following), left_1.eq(left_1 - 1), last_1.eq(left_1 == 2)]
            with m.If(last_1):
                m.d.sync += [
                    first.eq(following),
                    left_1.eq(runs),
                    last_1.eq(single),
                    left_2.eq(left_2 - 1),
                    last_2.eq(left_2 == 2),
                ]
                with m.If(last_2):
                    m.d.sync += valid.eq(0)
        with m.If(self.stop):
            m.d.sync += valid.eq(0)
        with m.If(self.resting):
            m.d.sync += [
                valid.eq(self.start),
                at.eq(self.base),
                first.eq(self.base),
                step_1.eq(self.step_1),
                step_2.eq(self.step_2),
                runs.eq(self.count_1),
                left_1.eq(self.count_1),
                left_2.eq(self.count_2),
                single.eq(self.count_1 == 1),
                last_1.eq(self.count_1 == 1),
                last_2.eq(self.count_2 == 1),
            ]
        return m
