"""One lane: a bank of B, a multiplier and an exact sum."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.bram import Bram
from hw.layouts import item, pair, result
from hw.logic import delayed, select
from hw.mac import Mac
from hw.rowlist import BEHIND
from spec.chip import Chip
from spec.engine import Widths, results


class Lane(wiring.Component):
    """What words pass through in a lane; :class:`hw.lanes.Lanes` decides for all lanes of a group at once.

    All row lists circulate past the lane. It picks the pair of its column's list, reads its own word of
    B at the pair's offset plus the column's, multiplies and adds; the pair's word of A passes a cycle before that of B is there. Finished sums wait in ``spec.engine.results`` places, and so do
    the tags that name their elements; a tag begins to wait when its column starts.

    Latency: ``LATENCY`` cycles from a pair on ``pairs`` to the cycle in which its product is added.

    Members
    -------
    pairs : pairs of every row list
    push, item : the next column, to the head
    take : the head becomes the column that is computed; same : it is of the same list as the one before
    halves : bank half of every list
    tuning : the pair on ``pairs`` begins the column
    match : the pair that is picked began the column: all have passed
    coming, add, last : a product arrives in the next cycle, or now; it is its column's last one
    tag_moves, sum_moves : places take over what the place before holds
    o : oldest sum and its tag
    load_enable, load_address, load_word : writes the bank; the top address bit is the half
    """

    LATENCY = BEHIND + 1 + Mac.LATENCY

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        widths = Widths(chip)
        super().__init__(
            {
                "pairs": In(pair(chip)).array(chip.slots),
                "push": In(1),
                "item": In(item(chip)),
                "take": In(1),
                "same": Out(1),
                "halves": In(chip.slots),
                "tuning": In(1),
                "match": Out(1),
                "coming": In(1),
                "add": In(1),
                "last": In(1),
                "tag_moves": In(1).array(results(chip)),
                "sum_moves": In(1).array(results(chip)),
                "o": Out(result(chip)),
                "load_enable": In(1),
                "load_address": In(widths.half_address + 1),
                "load_word": In(chip.width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, widths = self.chip, Widths(self.chip)

        head = Signal(item(chip), reset_less=True)
        current = Signal(item(chip), reset_less=True)
        half = Signal(reset_less=True)
        m.d.comb += self.same.eq(head.slot == current.slot)
        with m.If(self.push):
            m.d.sync += head.eq(self.item)
        with m.If(self.take):
            m.d.sync += [current.eq(head), half.eq(select(head.slot, list(self.halves)))]

        # Pick a pair, and see whether it is the one that the column began with.
        coming_k, passing_k = Signal(widths.half_address), Signal(widths.half_address, reset_less=True)
        start = Signal(widths.half_address, reset_less=True)  # offsets in a list differ
        m.d.comb += coming_k.eq(select(current.slot, [pair.k for pair in self.pairs]))
        m.d.sync += [passing_k.eq(coming_k), self.match.eq((coming_k == start) & ~self.tuning)]
        with m.If(self.tuning):
            m.d.sync += start.eq(coming_k)

        # Address the bank; multiply.
        k = Signal(widths.half_address, reset_less=True)
        address = Signal(widths.half_address + 1, reset_less=True)
        m.d.sync += [k.eq(passing_k), address.eq(Cat((k + current.offset)[: widths.half_address], half))]
        word = Signal(chip.width, reset_less=True)  # of A; multipliers are far from where lists pass
        m.d.sync += word.eq(select(delayed(m, current.slot, BEHIND, "slot"), [pair.a for pair in self.pairs]))
        m.submodules.bank = bank = Bram(width=chip.width, depth=chip.bank_depth, target=self.target)
        m.submodules.mac = mac = Mac(chip.width, widths.lane_sum, target=self.target, compact=chip.compact)
        m.d.comb += [
            bank.w_en.eq(self.load_enable),
            bank.w_addr.eq(self.load_address),
            bank.w_data.eq(self.load_word),
            bank.r_addr.eq(address),
            mac.a.eq(word),
            mac.b.eq(bank.r_data),
            mac.coming.eq(self.coming),
            mac.add.eq(self.add),
            mac.last.eq(self.last),
        ]

        tag, finished = Cat(head.slot, head.column, head.twin), mac.sum
        for n in range(len(self.sum_moves)):
            tag_place = Signal(len(tag), name=f"tag_{n}", reset_less=True)
            sum_place = Signal(widths.lane_sum, name=f"sum_{n}", reset_less=True)
            with m.If(self.tag_moves[n]):
                m.d.sync += tag_place.eq(tag)
            with m.If(self.sum_moves[n]):
                m.d.sync += sum_place.eq(finished)
            tag, finished = tag_place, sum_place
        m.d.comb += [self.o.sum.eq(finished), Cat(self.o.slot, self.o.column, self.o.twin).eq(tag)]
        return m
