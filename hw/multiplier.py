"""Signed multiplier with all its registers inside: a DSP primitive or its portable twin."""

from amaranth import ClockSignal, Const, Instance, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spec.multiplier import MULTIPLIER_TARGETS, MultiplierError, Multiply

PRIMITIVE_WIDTH = 18  # operand bits of MULT18X18D


class Multiplier(wiring.Component):
    """``p = a * b``, exact, ``LATENCY`` cycles late; free running, one product per cycle.

    Registers stand at the inputs and at the output, so no logic outside shares a clock
    cycle with the multiplication. There is no enable and no reset: a product leaves
    ``LATENCY`` cycles after its operands arrived, wanted or not, and the first ``LATENCY``
    words after power-up mean nothing.

    ``target`` None gives plain registers around a ``*`` that any tool accepts; ``"ecp5"``
    gives one MULT18X18D, whose registers Yosys would leave empty by itself. Both give
    equal words in every cycle.

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
        if target is not None and target not in MULTIPLIER_TARGETS:
            raise MultiplierError(
                f"multiplier target must be None or one of {', '.join(MULTIPLIER_TARGETS)}, not {target!r}"
            )
        self.target = target
        super().__init__({
            "a": In(signed(width)),
            "b": In(signed(width)),
            "p": Out(signed(self.spec.product_width)),
        })

    def elaborate(self, platform):
        m = Module()
        if self.target == "ecp5":
            self._ecp5(m)
        else:
            self._portable(m)
        return m

    def _portable(self, m):
        a_in = Signal(self.a.shape(), reset_less=True)
        b_in = Signal(self.b.shape(), reset_less=True)
        product = Signal(self.p.shape(), reset_less=True)
        m.d.sync += [a_in.eq(self.a), b_in.eq(self.b), product.eq(a_in * b_in)]
        m.d.comb += self.p.eq(product)

    def _ecp5(self, m):
        # Operands are extended with their sign at the top: SIGNEDA and SIGNEDB make bit 17
        # the sign, and the product then needs no shift. SOURCEA and SOURCEB at 0 take the
        # operands from A and B, not from the shift chain of the neighbouring multiplier.
        a_wide = Signal(signed(PRIMITIVE_WIDTH))
        b_wide = Signal(signed(PRIMITIVE_WIDTH))
        m.d.comb += [a_wide.eq(self.a), b_wide.eq(self.b)]

        ports = {"i_CLK0": ClockSignal(), "i_CE0": Const(1), "i_RST0": Const(0)}
        ports |= {"i_SIGNEDA": Const(1), "i_SIGNEDB": Const(1), "i_SOURCEA": Const(0), "i_SOURCEB": Const(0)}
        for bit in range(PRIMITIVE_WIDTH):
            ports |= {f"i_A{bit}": a_wide[bit], f"i_B{bit}": b_wide[bit], f"i_C{bit}": Const(0)}
        for bit in range(self.spec.product_width):
            ports[f"o_P{bit}"] = self.p[bit]

        # The pipeline register stays empty: docs/decisions/0004-multiplier-primitive.md.
        parameters = {"p_REG_PIPELINE_CLK": "NONE", "p_GSR": "DISABLED", "p_SOURCEB_MODE": "B_SHIFT"}
        for register in ("INPUTA", "INPUTB", "OUTPUT"):
            parameters |= {f"p_REG_{register}_CLK": "CLK0", f"p_REG_{register}_CE": "CE0"}
            parameters[f"p_REG_{register}_RST"] = "RST0"
        m.submodules.dsp = Instance("MULT18X18D", **parameters, **ports)
