"""What the vector unit does with whole bricks: largest words, masks, transposed blocks."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.layouts import brick
from hw.vector_layouts import vector_tag
from spec.chip import BRICK, Chip


class VectorMax(wiring.Component):
    """MAX: the largest word of a row's taps and the number of the first that holds it.

    A row's last step is shown for two cycles, ``second`` in the second.
    Latency: one cycle to the words, and in the next one their places.

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
        tag = self.tag
        places_turn = Signal()
        m.d.sync += [self.valid.eq(self.step & tag.last), places_turn.eq(self.second)]
        for n in range(BRICK):
            word = Signal(signed(self.chip.width), name=f"word_{n}")
            best = Signal(signed(self.chip.width), name=f"best_{n}", reset_less=True)
            place = Signal(self.chip.width, name=f"place_{n}", reset_less=True)
            m.d.comb += [word.eq(self.u[n]), self.o[n].eq(Mux(places_turn, place, best))]
            with m.If(self.step & ~self.second & (tag.first | (tag.read_u & (word > best)))):
                m.d.sync += [best.eq(word), place.eq(tag.place)]
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
    """TRANSPOSE: eight bricks in, eight bricks out, in an array of words that moves in turn downward and sideways.

    A block moves in as rows while the one before moves out, then out as columns while the next one moves in, and
    the other way round: so every word has one choice, and no place is empty in between. A block of steps that flush
    moves the last one out.

    Latency: eight steps. One step a cycle.

    Members
    -------
    step, u : a step
    clear : nothing is in the array
    valid, o : transposed bricks
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        super().__init__({
            "step": In(1),
            "u": In(brick(chip)),
            "clear": In(1),
            "valid": Out(1),
            "o": Out(brick(chip)),
        })

    def elaborate(self, platform):
        m = Module()
        last = BRICK - 1
        words = [
            [Signal(self.chip.width, name=f"word_{r}_{c}", reset_less=True) for c in range(BRICK)] for r in range(BRICK)
        ]
        number = Signal(range(BRICK))
        sideways = Signal()
        full = Signal()  # a block is on its way out
        with m.If(self.step):
            m.d.sync += number.eq(number + 1)
            for r in range(BRICK):
                for c in range(BRICK):
                    above = words[r - 1][c] if r else self.u[last - c]
                    beside = words[r][c - 1] if c else self.u[last - r]
                    m.d.sync += words[r][c].eq(Mux(sideways, beside, above))
            for n in range(BRICK):
                m.d.sync += self.o[n].eq(Mux(sideways, words[last - n][last], words[last][last - n]))
            with m.If(number == last):
                m.d.sync += [sideways.eq(~sideways), full.eq(1)]
        m.d.sync += self.valid.eq(self.step & full)
        with m.If(self.clear):
            m.d.sync += [number.eq(0), full.eq(0)]
        return m
