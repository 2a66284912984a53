"""One lane: a queue of columns, a bank of B, a multiplier and an exact sum."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.bram import Bram
from hw.layouts import item, pair, result
from hw.logic import delayed, select
from hw.mac import Mac
from spec.chip import Chip
from spec.engine import RESULTS, Widths


class Lane(wiring.Component):
    """What words pass through in a lane; :class:`hw.lanes.Lanes` decides for all lanes of a group at once.

    All row lists circulate past the lane. It picks the pair of its column's list, reads its own word of
    B at the pair's offset plus the column's, multiplies and adds. Finished sums wait in ``RESULTS`` places, and so do
    the tags that name their elements; a tag begins to wait when its column starts.

    Latency: ``LATENCY`` cycles from a pair on ``pairs`` to the cycle in which its product is added.

    Members
    -------
    pairs : pairs of every row list
    push, push_at, item, pop, pop_at : the queue of columns; ``pop`` brings the next one to its head
    take : the head becomes the column that is computed; same : it is of the same list as the one before
    halves : bank half of every list
    tuning : the pair on ``pairs`` begins the column
    match : the pair that is picked began the column: all have passed
    coming, add, last : a product arrives in the next cycle, or now; it is its column's last one
    tag_moves, sum_moves : places take over what the place before holds
    o : oldest sum and its tag
    load_enable, load_address, load_word : writes the bank; the top address bit is the half
    """

    LATENCY = 3 + Bram.LATENCY + Mac.LATENCY

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        widths = Widths(chip)
        places = exact_log2(chip.queue_depth)
        super().__init__(
            {
                "pairs": In(pair(chip)).array(chip.slots),
                "push": In(1),
                "item": In(item(chip)),
                "pop": In(1),
                "push_at": In(places),
                "pop_at": In(places),
                "take": In(1),
                "same": Out(1),
                "halves": In(chip.slots),
                "tuning": In(1),
                "match": Out(1),
                "coming": In(1),
                "add": In(1),
                "last": In(1),
                "tag_moves": In(1).array(RESULTS),
                "sum_moves": In(1).array(RESULTS),
                "o": Out(result(chip)),
                "load_enable": In(1),
                "load_address": In(widths.half_address + 1),
                "load_word": In(chip.width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, widths = self.chip, Widths(self.chip)

        # Columns wait in a small memory; the next one is in a register.
        m.submodules.items = items = Memory(shape=item(chip), depth=chip.queue_depth, init=[])
        write, read = items.write_port(), items.read_port(domain="comb")
        head = Signal(item(chip), reset_less=True)
        current = Signal(item(chip), reset_less=True)
        # The slot once more, in a form that synthesis does not merge: one register for all multiplexers is slow.
        inverted = Signal.like(current.slot, reset_less=True)
        half = Signal(reset_less=True)
        m.d.comb += [
            write.en.eq(self.push),
            write.addr.eq(self.push_at),
            write.data.eq(self.item),
            read.addr.eq(self.pop_at),
            self.same.eq(head.slot == current.slot),
        ]
        with m.If(self.pop):
            m.d.sync += head.eq(read.data)
        with m.If(self.take):
            m.d.sync += [current.eq(head), inverted.eq(~head.slot), half.eq(select(head.slot, list(self.halves)))]

        # Pick a pair, and see whether it is the one that the column began with.
        coming_k, coming_a = Signal(widths.half_address), Signal(chip.width)
        passing = Signal(pair(chip), reset_less=True)
        start = Signal(widths.half_address, reset_less=True)  # offsets in a list differ
        m.d.comb += [
            coming_k.eq(select(~inverted, [pair.k for pair in self.pairs])),
            coming_a.eq(select(current.slot, [pair.a for pair in self.pairs])),
        ]
        m.d.sync += [
            passing.k.eq(coming_k),
            passing.a.eq(coming_a),
            self.match.eq((coming_k == start) & ~self.tuning),
        ]
        with m.If(self.tuning):
            m.d.sync += start.eq(coming_k)

        # Address the bank; multiply.
        k = Signal(widths.half_address, reset_less=True)
        address = Signal(widths.half_address + 1, reset_less=True)
        m.d.sync += [k.eq(passing.k), address.eq(Cat((k + current.offset)[: widths.half_address], half))]
        m.submodules.bank = bank = Bram(width=chip.width, depth=chip.bank_depth, target=self.target)
        m.submodules.mac = mac = Mac(chip.width, widths.lane_sum, target=self.target)
        m.d.comb += [
            bank.w_en.eq(self.load_enable),
            bank.w_addr.eq(self.load_address),
            bank.w_data.eq(self.load_word),
            bank.r_addr.eq(address),
            mac.a.eq(delayed(m, passing.a, 2 + Bram.LATENCY, "a")),
            mac.b.eq(bank.r_data),
            mac.coming.eq(self.coming),
            mac.add.eq(self.add),
            mac.last.eq(self.last),
        ]

        tag, finished = Cat(head.slot, head.column, head.twin), mac.sum
        for n in range(RESULTS):
            tag_place = Signal(len(tag), name=f"tag_{n}", reset_less=True)
            sum_place = Signal(widths.lane_sum, name=f"sum_{n}", reset_less=True)
            with m.If(self.tag_moves[n]):
                m.d.sync += tag_place.eq(tag)
            with m.If(self.sum_moves[n]):
                m.d.sync += sum_place.eq(finished)
            tag, finished = tag_place, sum_place
        m.d.comb += [self.o.sum.eq(finished), Cat(self.o.slot, self.o.column, self.o.twin).eq(tag)]
        return m
