"""Convert: equal to its specification for every sum, shift, rounding and random bits."""

from unittest.mock import patch

from amaranth.asserts import AnySeq
from amaranth.hdl import Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.convert import Converter
from prove.harness import Harness
from spec.convert import Convert
from spec.keyed import KeyedBits
from spec.number import Rounding
from spec.product import MAX_SHIFT

SMALL = Convert(acc_width=12, width=8)
USUAL = Convert()


class AnyBits(wiring.Component):
    """In place of the hash: any bits at all, and ones when asked for, as the hash gives them."""

    en: In(KeyedBits.LATENCY)
    key: In(32)
    ones: In(1)
    index: In(32)
    bits: Out(32)

    def elaborate(self, platform):
        m = Module()
        ones = Signal()
        m.d.sync += ones.eq(self.ones)
        m.d.comb += self.bits.eq(AnySeq(32) | ones.replicate(32))
        return m


def specified(m, acc, bits, shift, rounding, spec: Convert):
    """Word and saturation as docs/units/convert.md has them: one sum, one division by a power of two, one clip."""
    low, high = -(1 << (spec.width - 1)), (1 << (spec.width - 1)) - 1
    r, exact = Signal(MAX_SHIFT), Signal(signed(spec.acc_width + 1 if spec.acc_width > MAX_SHIFT else MAX_SHIFT + 2))
    step = Signal(MAX_SHIFT + 1)
    m.d.comb += step.eq(Const(1) << shift)
    with m.If(rounding == Rounding.STOCHASTIC):
        m.d.comb += r.eq(bits & (step - 1))
    with m.Elif((rounding == Rounding.NEAREST) & (shift != 0)):
        m.d.comb += r.eq((step >> 1) - 1)
    m.d.comb += exact.eq((acc + r) >> shift)
    word = Signal(signed(spec.width))
    m.d.comb += word.eq(Mux(exact > high, high, Mux(exact < low, low, exact)))
    return word, exact != word


def convert(spec: Convert = SMALL) -> Harness:
    """While nothing stalls; that a stall changes nothing is `frozen`."""
    h = Harness()
    m = h.m
    with patch("hw.convert.Keyed", AnyBits):
        dut = h.add(Converter(spec))
    settings = dut.shift, dut.rounding
    h.free(*settings, dut.i.valid, dut.i.p)
    m.d.comb += dut.o.ready.eq(1)

    # Sums on their way, the youngest first; settings change only while there are none.
    valids, sums = [dut.i.valid], [dut.i.p.acc]
    for n in range(1, spec.LATENCY + 1):
        valid, acc = Signal(name=f"valid_{n}"), Signal(signed(spec.acc_width), name=f"acc_{n}")
        m.d.sync += [valid.eq(valids[-1]), acc.eq(sums[-1])]
        valids.append(valid)
        sums.append(acc)
    some = Signal()
    for valid in valids:
        with m.If(valid):
            m.d.comb += some.eq(1)
    held = [h.before(value, name=f"held_{n}") for n, value in enumerate(settings)]
    for before, value in zip(held, settings, strict=True):
        h.assume((before == value) | ~h.before(some, name="some"))
    h.assume((dut.shift <= MAX_SHIFT) & (dut.rounding < len(Rounding)))

    # The bits that a sum meets are those on offer when it has waited for the hash.
    late = h.before(h.inside("keyed.bits"), spec.LATENCY - KeyedBits.LATENCY, name="bits")
    word, saturated = specified(m, sums[-1], late, dut.shift, dut.rounding, spec)
    h.check(dut.o.valid == valids[-1])
    h.check((dut.o.p.word == word) & (dut.o.p.saturated == saturated), unless=~valids[-1])
    h.reach(valids[-1] & dut.o.p.saturated & (dut.shift == 3) & (dut.rounding == Rounding.STOCHASTIC))
    h.reach(valids[-1] & ~dut.o.p.saturated & (dut.shift == MAX_SHIFT) & (dut.o.p.word == 1))
    return h


def frozen(spec: Convert = SMALL) -> Harness:
    """A cycle in which the output stalls changes no register of the unit, hash included, and takes nothing."""
    h = Harness()
    dut = h.add(Converter(spec))
    h.free(dut.shift, dut.rounding, dut.key, dut.i.valid, dut.i.p, dut.o.ready)
    stalled = dut.o.valid & ~dut.o.ready
    h.check(~dut.i.ready, unless=~stalled)
    h.check(dut.i.ready, unless=stalled)
    was = h.before(stalled)
    h.assume(~dut.o.valid | (h.before(dut.rounding, name="rounding") == dut.rounding))
    for register in h.registers():
        h.check(h.before(register, name="register") == register, unless=~was)
    h.reach(was & ~stalled)
    return h
