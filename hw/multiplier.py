"""Signed multiplier with all its registers inside: a DSP primitive or its portable twin."""

from functools import partial

from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw import dsp
from spec.multiplier import Multiply, check_multiplier_target

# By family, the widest operands and what puts the primitive into a module.
PRIMITIVES = {
    "ecp5": (18, dsp.mult18x18d),
    "ice40": (16, dsp.sb_mac16),
    "nexus": (18, dsp.nexus_mult18x18),
    "gowin": (18, dsp.gowin_mult18x18),
    "xc7": (18, partial(dsp.dsp48, primitive="DSP48E1")),
    "xcup": (18, partial(dsp.dsp48, primitive="DSP48E2")),
}


class Multiplier(wiring.Component):
    """``p = a * b``, exact, ``LATENCY`` cycles late; free running, one product per cycle.

    Registers stand at the inputs and at the output, so no logic outside shares a clock
    cycle with the multiplication. There is no enable and no reset: a product leaves
    ``LATENCY`` cycles after its operands arrived, wanted or not, and the first ``LATENCY``
    words after power-up mean nothing.

    ``target`` None gives plain registers around a ``*`` that any tool accepts; the name of a family
    gives one of its primitives (:mod:`hw.dsp`), whose registers Yosys would leave empty by itself, where the
    words are no wider than it takes. All give equal words in every cycle.

    Members
    -------
    a : :py:`In(signed(width))`
    b : :py:`In(signed(width))`
    p : :py:`Out(signed(2 * width))`

    Raises :class:`spec.multiplier.MultiplierError` on a width or target it cannot build.
    """

    LATENCY = Multiply.LATENCY

    def __init__(self, width: int, target: str | None = None):
        self.spec = Multiply(width=width)
        check_multiplier_target(target)
        self.target = target
        super().__init__({
            "a": In(signed(width)),
            "b": In(signed(width)),
            "p": Out(signed(self.spec.product_width)),
        })

    def elaborate(self, platform):
        m = Module()
        widest, primitive = PRIMITIVES.get(self.target, (0, None))
        if self.spec.width <= widest:
            primitive(m, a=self.a, b=self.b, p=self.p)
            return m
        a_in = Signal(self.a.shape(), reset_less=True)
        b_in = Signal(self.b.shape(), reset_less=True)
        product = Signal(self.p.shape(), reset_less=True)
        m.d.sync += [a_in.eq(self.a), b_in.eq(self.b), product.eq(a_in * b_in)]
        m.d.comb += self.p.eq(product)
        return m
