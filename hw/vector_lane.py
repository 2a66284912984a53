"""One word of the vector unit: two multipliers, the scalars and sums of its channels, one Convert."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.convert import Converter
from hw.logic import delayed, recalled
from hw.multiplier import Multiplier
from hw.vector_layouts import vector_modes
from spec.chip import Chip
from spec.engine import Widths
from spec.isa import SCALAR_WIDTH
from spec.vector import beats

# A beat's stages: words in registers, operands, two of the multipliers, the first sum, the second.
WORDS, OPERANDS, PRODUCTS, SUM, RESULT = 1, 2, 4, 5, 6


class VectorLane(wiring.Component):
    """``s0*u + s1*v + s2``, or a sum over many beats of ``s0*u`` or ``u*v``, and of ``u``; then Convert.

    Each of the lane's ``beats`` channels has its scalars and sums in rings: at every beat they turn by one, so that the head is
    the channel's own and nothing selects. The first ring of sums holds s2 in AFFINE.

    Latency: ``Convert.LATENCY + 7`` cycles from a beat's words to ``word``. One beat a cycle; nothing stalls.

    Members
    -------
    modes : what the command does; holds while anything is under way
    u, v, place : a beat's words, in the beat's cycle
    turn_1, load_1, s0, s1 : a cycle later: scalars turn; the one that enters is new
    turn_4, load_4, clear_4, sum_uv : four cycles later, of the sums of products and s2; cleared is what enters
    turn_5, load_5, clear_5, sum_u : five cycles later, of the sums of u
    head_4, head_5 : sums at their heads
    emit_6, index : six cycles later: the result goes to Convert, under this index
    valid, word, saturated : the word
    """

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        acc = signed(chip.acc_width)
        super().__init__({
            "modes": In(vector_modes()),
            "u": In(signed(chip.width)),
            "v": In(signed(chip.width)),
            "place": In(chip.width),
            **{f"turn_{n}": In(1) for n in (1, 4, 5)},
            **{f"load_{n}": In(1) for n in (1, 4, 5)},
            **{f"clear_{n}": In(1) for n in (4, 5)},
            "s0": In(signed(SCALAR_WIDTH)),
            "s1": In(signed(SCALAR_WIDTH)),
            "sum_uv": In(acc),
            "sum_u": In(acc),
            "head_4": Out(acc),
            "head_5": Out(acc),
            "emit_6": In(1),
            "index": In(32),
            "valid": Out(1),
            "word": Out(signed(chip.width)),
            "saturated": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        chip, modes = self.chip, self.modes
        acc = signed(chip.acc_width)

        def ring(name, shape, turn, entering, instead=()):
            """Places that words move through toward the head, ``places[0]``.

            instead : pairs of a condition and what enters if it holds, the first that does. Where there is a place between, they are
            looked at behind it, so that no choice follows an adder.
            """
            if chip.compact or beats(chip) == 1:
                for condition, other in reversed(instead):
                    entering = Mux(condition, other, entering)
            if chip.compact:
                # The head alone is a register; the others stand still, and a number goes round.
                number = Signal(range(beats(chip)), name=f"{name}_number")
                head = Signal(shape, name=f"{name}_head", reset_less=True)
                following = recalled(m, entering, beats(chip) - 1, turn, number, f"{name}_places", settled=False)
                with m.If(turn):
                    m.d.sync += [number.eq(number + 1), head.eq(following)]
                return head
            places = [Signal(shape, name=f"{name}_{n}", reset_less=True) for n in range(beats(chip))]
            last = places[-1]
            if instead and beats(chip) > 1:
                for n, (condition, other) in reversed(list(enumerate(instead))):
                    was, kept = Signal(name=f"{name}_instead_{n}", reset_less=True), other
                    if not isinstance(other, int):
                        kept = Signal(shape, name=f"{name}_other_{n}", reset_less=True)
                        with m.If(turn):
                            m.d.sync += kept.eq(other)
                    with m.If(turn):
                        m.d.sync += was.eq(condition)
                    last = Mux(was, kept, last)
            following = [*places[1:-1], last, entering][-len(places) :]
            with m.If(turn):
                m.d.sync += [place.eq(next_) for place, next_ in zip(places, following, strict=True)]
            return places[0]

        # Words, and what of v decides about them.
        u, v = Signal(signed(chip.width), reset_less=True), Signal(signed(chip.width), reset_less=True)
        match, positive = Signal(), Signal()
        m.d.sync += [
            u.eq(self.u),
            v.eq(self.v),
            match.eq(self.v.as_unsigned() == self.place),
            positive.eq(~self.v[-1] & self.v.any()),
        ]
        s0, s1 = Signal(signed(SCALAR_WIDTH)), Signal(signed(SCALAR_WIDTH))
        m.d.comb += [
            s0.eq(ring("s0", s0.shape(), self.turn_1, Mux(self.load_1, self.s0, s0))),
            s1.eq(ring("s1", s1.shape(), self.turn_1, Mux(self.load_1, self.s1, s1))),
        ]

        # by_v: u*v; both: u, times the one that was loaded as s1. A word of the wrong place is a zero. Operands are registers, since
        # multipliers are far away.
        products = [Multiplier(SCALAR_WIDTH, target=self.target) for _ in range(2)]
        m.submodules.product_0, m.submodules.product_1 = products
        first, second = products
        chosen = (
            (first.a, Mux(modes.by_v, v, s0)),
            (first.b, Mux(modes.back & ~match, 0, u)),
            (second.a, s1),
            (second.b, Mux(modes.both, u, Mux(modes.scale & ~modes.gate, v, 0))),
        )
        for n, (into, word) in enumerate(chosen):
            operand = Signal(signed(SCALAR_WIDTH), name=f"operand_{n}", reset_less=True)
            m.d.sync += operand.eq(word)
            m.d.comb += into.eq(operand)

        # The first sum: of products with s2, or with what there is.
        head_4 = Signal(acc)
        sum_4, sum_5 = Signal(acc), Signal(acc)
        total, late = Signal(acc, reset_less=True), Signal(second.p.shape(), reset_less=True)
        instead = (self.load_4, self.sum_uv), (modes.scale, head_4), (self.clear_4, 0)
        m.d.comb += [
            head_4.eq(ring("sum_uv", acc, self.turn_4, sum_4, instead)),
            sum_4.eq(head_4 + first.p),
            self.head_4.eq(head_4),
        ]
        m.d.sync += [total.eq(sum_4), late.eq(second.p)]

        # The second one: with the other product, or of u with what there is.
        head_5 = Signal(acc)
        both = delayed(m, modes.both, 1, "both")  # a register at the sum; a command's mode is known long before
        m.d.comb += [
            head_5.eq(ring("sum_u", acc, self.turn_5, sum_5, ((self.load_5, self.sum_u), (self.clear_5, 0)))),
            sum_5.eq(Mux(both, head_5, total) + late),
            self.head_5.eq(head_5),
        ]
        result = Signal(acc, reset_less=True)
        drop = delayed(m, modes.gate & ~positive, RESULT - WORDS - 1, "drop")
        with m.If(drop):
            m.d.sync += result.eq(0)
        with m.Else():
            m.d.sync += result.eq(sum_5)

        m.submodules.converter = converter = Converter(Widths(chip).convert, chip.compact)
        m.d.comb += [
            converter.shift.eq(modes.shift),
            converter.rounding.eq(modes.rounding),
            converter.key.eq(modes.key),
            converter.i.valid.eq(self.emit_6),
            converter.i.p.acc.eq(result),
            converter.i.p.index.eq(self.index),
            converter.o.ready.eq(1),
        ]
        # A negative word under `relu` becomes zero.
        m.d.sync += [self.valid.eq(converter.o.valid), self.saturated.eq(converter.o.valid & converter.o.p.saturated)]
        with m.If(modes.relu & converter.o.p.word[-1]):
            m.d.sync += self.word.eq(0)
        with m.Else():
            m.d.sync += self.word.eq(converter.o.p.word)
        return m
