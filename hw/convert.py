"""Convert: add the rounding offset, shift right, saturate, in short pipeline stages."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.keyed import Keyed
from hw.logic import recalled
from spec.convert import Convert
from spec.keyed import KeyedBits
from spec.number import Rounding
from spec.product import MAX_SHIFT

COARSE = 16  # the coarse stage shifts by 0, 16 or 32; the fine ones by 0 to 15


class Converter(wiring.Component):
    """``word = saturate((acc + r) >> shift)``.

    Golden twin: :func:`golden.convert.convert`, bit for bit.
    One sum per cycle, ``spec.LATENCY`` cycles late. A stalled output freezes the whole
    pipeline; nothing is lost or reordered.

    Members
    -------
    i : :py:`In(stream)` of acc, signed(acc_width), and index, 32 bits
    o : :py:`Out(stream)` of word, signed(width), and saturated, 1 bit
    shift : :py:`In(6)`; 0 to 32
    rounding : :py:`In(2)`; a :class:`spec.number.Rounding`
    key : :py:`In(32)`

    ``shift``, ``rounding`` and ``key`` hold from the first input transfer of a command
    until its last output transfer.
    """

    def __init__(self, spec: Convert, compact: bool = False):
        self.spec = spec
        self.compact = compact  # sums wait for their random bits in a small memory
        super().__init__({
            "i": In(stream.Signature(data.StructLayout({"acc": signed(spec.acc_width), "index": 32}))),
            "o": Out(stream.Signature(data.StructLayout({"word": signed(spec.width), "saturated": 1}))),
            "shift": In(6),
            "rounding": In(2),
            "key": In(32),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.keyed = keyed = Keyed()

        # All stages move together: no bubble is squeezed out, no skid buffer is needed. A stage
        # loads only what is valid, which spares toggles, and work for a simulator.
        en = Signal()
        m.d.comb += en.eq(self.o.ready | ~self.o.valid)
        m.d.comb += self.i.ready.eq(en)
        flags = Signal(self.spec.LATENCY)
        with m.If(en):
            m.d.sync += flags.eq(Cat(self.i.valid, flags))
        loads = Signal(self.spec.LATENCY)
        m.d.comb += [
            self.o.valid.eq(flags[-1]),
            loads.eq(Cat(self.i.valid, flags[:-1]) & en.replicate(len(loads))),
        ]
        stages = iter(loads)

        m.d.comb += [
            keyed.en.eq(loads),
            keyed.key.eq(self.key),
            keyed.ones.eq(self.rounding != Rounding.STOCHASTIC),
            keyed.index.eq(self.i.payload.index),
        ]
        acc = self.i.payload.acc
        waits = [next(stages) for _ in range(KeyedBits.LATENCY)]
        if self.compact:
            number = Signal(range(KeyedBits.LATENCY + 1))
            m.d.sync += number.eq(number + en)
            acc = recalled(m, acc, KeyedBits.LATENCY, en, number, "accs").as_signed()
        else:
            for stage, load in enumerate(waits):
                acc = self._hold(m, load, f"acc{stage}", acc)[0]
        load = next(stages)
        acc = self._hold(m, load, f"acc{KeyedBits.LATENCY}", acc)[0]
        offset = self._offset(m, loads, load, keyed.bits)
        exact = Signal(signed(max(self.spec.acc_width, MAX_SHIFT + 1) + 1), reset_less=True)
        with m.If(next(stages)):
            m.d.sync += exact.eq(acc + offset)

        self._shift_and_saturate(m, loads, stages, exact)
        return m

    def _offset(self, m, loads, load, bits):
        """What is added: masked random bits, all ones below half a step, or zero."""
        # One mask serves every mode: ones in its low `count` bits. It has settled long before
        # the first sum needs it.
        count = Signal(range(MAX_SHIFT + 1))
        with m.If(loads[0]):
            with m.If(self.rounding == Rounding.STOCHASTIC):
                m.d.sync += count.eq(self.shift)
            with m.Elif((self.rounding == Rounding.NEAREST) & self.shift.any()):
                m.d.sync += count.eq(self.shift - 1)
            with m.Else():
                m.d.sync += count.eq(0)
        mask = Signal(MAX_SHIFT)
        octet, rest = count[3:], count[:3]
        below = Signal(8)  # ones in the low `rest` bits
        with m.Switch(rest):
            for ones in range(8):
                with m.Case(ones):
                    m.d.comb += below.eq((1 << ones) - 1)
        with m.If(loads[1]):
            for number in range(MAX_SHIFT // 8):
                with m.If(octet > number):
                    m.d.sync += mask[8 * number : 8 * number + 8].eq(~0)
                with m.Elif(octet == number):
                    m.d.sync += mask[8 * number : 8 * number + 8].eq(below)
                with m.Else():
                    m.d.sync += mask[8 * number : 8 * number + 8].eq(0)

        offset = Signal(MAX_SHIFT, reset_less=True)
        with m.If(load):
            m.d.sync += offset.eq(mask & bits)
        return offset

    def _shift_and_saturate(self, m, loads, stages, exact):
        """Shift by 16s, then by 8 and 4, then by 2 and 1, dropping top bits that equal the sign on the way.

        A top bit dropped that differs from the sign is an overflow. Every test sees the
        few bits its own stage drops, so none is a wide comparison.
        """
        width = self.spec.width
        coarse, fine = Signal(range(MAX_SHIFT // COARSE + 1)), Signal(range(COARSE))
        whole = Signal()  # shift by 32: nothing is left for the fine stages, whose tests are off
        with m.If(loads[0]):
            m.d.sync += [coarse.eq(self.shift // COARSE), fine.eq(self.shift), whole.eq(self.shift == MAX_SHIFT)]

        sign = exact[-1]
        kept = width + COARSE - 1

        def differs(bits):
            """Some of these bits of ``exact`` differ from its sign."""
            return Cat(exact[bit] ^ sign for bit in bits if bit < len(exact)).any()

        # Bits above the word are wrong after a shift by 32, where no test sees them.
        near = Mux(coarse[0], exact >> COARSE, exact)
        far = Cat(exact[bit] if bit < len(exact) else sign for bit in range(MAX_SHIFT, MAX_SHIFT + width))
        chosen = Cat(Mux(whole, far, near[:width]), near[width:kept])
        lost = differs(range(kept, COARSE + kept)) & (coarse == 0) | differs(range(COARSE + kept, len(exact)))
        value, overflow, negative = self._hold(m, next(stages), "coarse", chosen, lost, sign)

        for steps in ((8, 4), (2, 1)):
            for step in steps:
                left = len(value) - step
                taken = fine[step.bit_length() - 1]
                dropped = Cat(bit ^ negative for bit in value[left:]).any() & ~taken & ~whole
                value = Mux(taken, value[step:], value[:left])
                overflow = overflow | dropped
            value, overflow, negative = self._hold(m, next(stages), f"fine{steps[-1]}", value, overflow, negative)

        word = self.o.payload
        saturated = overflow | (value[-1] ^ negative)
        extreme = Cat((~negative).replicate(width - 1), negative)
        with m.If(next(stages)):
            m.d.sync += [word.word.eq(Mux(saturated, extreme, value)), word.saturated.eq(saturated)]

    @staticmethod
    def _hold(m, load, name, *values):
        held = [Signal(Value.cast(value).shape(), name=f"{name}_{n}", reset_less=True) for n, value in enumerate(values)]
        with m.If(load):
            m.d.sync += [register.eq(value) for register, value in zip(held, values, strict=True)]
        return held
