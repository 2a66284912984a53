"""What the vector unit does with whole bricks: largest words, masks, transposed blocks."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.layouts import brick
from hw.logic import delayed, recalled
from hw.vector_layouts import vector_tag
from spec.chip import BRICK, Chip

RECALLED = 3  # steps from which on a delay takes less as a memory in look-up tables


class VectorMax(wiring.Component):
    """MAX: the largest word of a row's taps and the number of the first that holds it.

    A row's last step is shown for two cycles, ``second`` in the second. A brick that is not read is zeros.
    Latency: two cycles to the words, and in the next one their places.

    Members
    -------
    step, second, tag, u : a step
    valid, o : words, then places
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        super().__init__({
            "step": In(1),
            "second": In(1),
            "tag": In(vector_tag(chip)),
            "u": In(brick(chip)),
            "valid": Out(1),
            "o": Out(brick(chip)),
        })

    def elaborate(self, platform):
        m = Module()
        tag, width = self.tag, self.chip.width
        places_turn, last = Signal(), Signal()
        takes = Signal()  # the first of a row
        compares = Signal()
        tap = Signal(width, reset_less=True)
        goes = self.step & ~self.second
        m.d.sync += [
            takes.eq(goes & tag.first),
            compares.eq(goes & tag.read_u),
            tap.eq(tag.place),
            last.eq(self.step & tag.last),
            self.valid.eq(last),
            places_turn.eq(delayed(m, self.second, 1, "second")),
        ]
        # With the sign's bit the other way round words are in the order of numbers without a sign.
        flip = 1 << width - 1
        for n in range(BRICK):
            word, best, place = (Signal(width, name=f"{name}_{n}", reset_less=True) for name in ("word", "best", "place"))
            less = Signal(signed(width + 1), name=f"less_{n}")  # negative where the word is larger
            m.d.comb += [self.o[n].eq(Mux(places_turn, place, best ^ flip)), less.eq(best - word)]
            with m.If(tag.read_u):
                m.d.sync += word.eq(self.u[n].as_unsigned() ^ flip)
            with m.Else():
                m.d.sync += word.eq(flip)
            with m.If(takes | (compares & less[-1])):
                m.d.sync += [best.eq(word), place.eq(tap)]
        return m


class VectorMask(wiring.Component):
    """MASK: bits of the positive words; eight bricks, or the last ones of a position, become one.

    Latency: two cycles. One step a cycle.

    Members
    -------
    step, tag, u : a step
    valid, o : bricks of bits
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        super().__init__({
            "step": In(1),
            "tag": In(vector_tag(chip)),
            "u": In(brick(chip)),
            "valid": Out(1),
            "o": Out(brick(chip)),
        })

    def elaborate(self, platform):
        m = Module()
        bits = Signal(BRICK)
        step, last = Signal(), Signal()
        m.d.sync += [
            bits.eq(Cat(~word[-1] & word.any() for word in self.u)),
            step.eq(self.step),
            last.eq(self.tag.last),
        ]
        here = Signal(BRICK, init=1)  # the word that is next
        with m.If(step):
            m.d.sync += here.eq(Mux(last, 1, here << 1))
        for n in range(BRICK):
            word = Signal(BRICK, name=f"bits_{n}", reset_less=True)
            with m.If(step & here[n]):
                m.d.sync += word.eq(bits)
            with m.Elif(step & here[0]):
                m.d.sync += word.eq(0)
            m.d.comb += self.o[n].eq(word)
        m.d.sync += self.valid.eq(step & last)
        return m


class VectorTranspose(wiring.Component):
    """TRANSPOSE: eight bricks in, eight bricks out, by delays and one rotation.

    Word w is delayed by w steps, so that the words that are here in one step belong to eight bricks; then all places are
    rotated so that brick r's words come to place r, one a step; and place r is delayed by the steps that others take longer. No
    word is held twice and nothing is selected but the rotation. A block of steps that flush moves the last one out.

    Latency: eight steps and two cycles. One step a cycle.

    Members
    -------
    step, u : a step
    absent : it is a brick of zeros, whatever ``u`` is
    clear : nothing is under way
    valid, o : transposed bricks
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        super().__init__({
            "step": In(1),
            "u": In(brick(chip)),
            "absent": In(1),
            "clear": In(1),
            "valid": Out(1),
            "o": Out(brick(chip)),
        })

    def elaborate(self, platform):
        m = Module()
        count, width = BRICK, self.chip.width
        step, valid = Signal(), Signal()
        number = Signal(range(count))  # of the step in its block
        u = [Signal(width, name=f"u_{n}", reset_less=True) for n in range(count)]
        with m.If(self.absent):
            m.d.sync += [word.eq(0) for word in u]
        with m.Else():
            m.d.sync += [word.eq(new) for word, new in zip(u, self.u, strict=True)]

        def late(word, steps, name, settled):
            """A word of some steps ago; ``settled`` as :func:`hw.logic.recalled` has it."""
            if not steps:
                return word
            if self.chip.compact and steps >= RECALLED:
                return recalled(m, word, steps, step, number, name, settled=settled)
            line = Signal(width * steps, name=name, reset_less=True)
            with m.If(step):
                m.d.sync += line.eq(Cat(word, line))
            return line[width * (steps - 1) :]

        full = Signal()  # a block is on its way out
        m.d.sync += step.eq(self.step)
        with m.If(step):
            m.d.sync += number.eq(number + 1)
            with m.If(number == count - 1):
                m.d.sync += full.eq(1)

        # Place r takes the word of place (number - r) mod 8.
        places = [late(word, n, f"early_{n}", True) for n, word in enumerate(u)]
        for bit in range(exact_log2(count)):
            places = [Mux(number[bit], places[(n + (1 << bit)) % count], place) for n, place in enumerate(places)]
        places = [places[-r % count] for r in range(count)]
        ends = [late(place, count - r, f"late_{r}", False) for r, place in enumerate(places)]
        m.d.sync += valid.eq(step & full)
        m.d.sync += [word.eq(end) for word, end in zip(self.o, ends, strict=True)]
        m.d.comb += self.valid.eq(valid)
        with m.If(self.clear):
            m.d.sync += [number.eq(0), full.eq(0), step.eq(0), valid.eq(0)]
        return m
