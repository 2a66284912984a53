"""Multiply and add: a multiplier with an exact sum behind it, in one primitive where the part has such."""

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.dsp import dsp48, mult18x18d
from hw.multiplier import Multiplier
from spec.multiplier import Accumulate, check_multiplier_target

# Families whose multiplier sums up by itself.
PRIMITIVES = {"xc7": "DSP48E1", "xcup": "DSP48E2"}


class Mac(wiring.Component):
    """``sum`` is what products have been added up to, the one of the operands ``LATENCY`` cycles ago included.

    Free running, a product a cycle. ``add`` says that this cycle's product counts, and ``coming`` said so a cycle
    before: both are given because a group keeps them for all of its lanes at once. ``last`` comes with ``add`` and makes the next sum begin
    at zero, in the next cycle if need be; it comes in the cycle after a reset too, which need not clear the sum. ``sum`` means something only in a cycle with ``add``.

    ``target`` None, or a family without such a primitive, gives :class:`hw.multiplier.Multiplier`, a register and an adder;
    ``"xc7"`` gives one DSP48E1 and ``"xcup"`` one DSP48E2, with no logic around it but the inverse of ``last``.
    ``compact`` saves the register on ``"ecp5"``: one inside the MULT18X18D is in use instead.
    All give equal words whenever ``add`` is high, also across a reset.

    Members
    -------
    a, b : :py:`In(signed(width))`
    coming, add, last : :py:`In(1)`
    sum : :py:`Out(sum_width)`, two's complement

    Raises :class:`spec.multiplier.MultiplierError` on a width or target it cannot build.
    """

    LATENCY = Multiplier.LATENCY + 1

    def __init__(self, width: int, sum_width: int, target: str | None = None, compact: bool = False):
        self.spec = Accumulate(width=width, sum_width=sum_width)
        check_multiplier_target(target)
        self.target = target
        self.compact = compact
        super().__init__({
            "a": In(signed(width)),
            "b": In(signed(width)),
            "coming": In(1),
            "add": In(1),
            "last": In(1),
            "sum": Out(sum_width),
        })

    def elaborate(self, platform):
        m = Module()
        if self.target in PRIMITIVES:
            dsp48(
                m, primitive=PRIMITIVES[self.target], a=self.a, b=self.b, p=self.sum, coming=self.coming, last=self.last
            )
            return m
        # The sum leaves as its last product is added, so its register can be cleared for the next.
        total = Signal(self.spec.sum_width, reset_less=True)
        product = Signal(signed(2 * self.spec.width), reset_less=True)
        if self.compact and self.target == "ecp5":
            mult18x18d(m, a=self.a, b=self.b, p=product, pipeline=True)
        else:
            # Close to the adder, where a DSP block's own register is not.
            m.submodules.multiplier = multiplier = Multiplier(self.spec.width, self.target)
            m.d.comb += [multiplier.a.eq(self.a), multiplier.b.eq(self.b)]
            m.d.sync += product.eq(multiplier.p)
        m.d.comb += self.sum.eq(total + product)
        with m.If(self.last):
            m.d.sync += total.eq(0)
        with m.Elif(self.add):
            m.d.sync += total.eq(self.sum)
        return m
