"""One lane: a queue of columns, a bank of B, a multiplier and an exact sum."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.bram import Bram
from hw.chain import Chain
from hw.fifo import Fifo
from hw.layouts import item, pair, result, slot_info
from hw.logic import delayed, select
from hw.multiplier import Multiplier
from spec.chip import Chip
from spec.engine import RESULTS, Widths


class Lane(wiring.Component):
    """Computes columns of C one after another, each as one turn around a row list.

    All row lists circulate past the lane without end. The lane joins the list of its
    next column at whatever pair is passing and leaves when that pair passes again: an exact
    sum does not depend on where it starts. So columns of one row follow each other without
    a lost cycle (a change of row costs two), and lanes need not keep step with one another.

    Golden twin: one column of :func:`golden.product.exact_product`.
    Latency: 10 cycles from a column's last pair on ``pairs_o`` to ``o.valid``.
    Stalls: ``i`` waits when the queue is full; a column starts only when at most
    ``RESULTS - 1`` earlier sums of this lane are still unread, so ``o`` may stall freely.

    Members
    -------
    pairs_i, pairs_o : pairs of every row list, handed on one cycle later
    info : generation and bank half of every list
    i : :py:`In(stream.Signature(item))`, columns to compute, in order
    o : :py:`Out(stream.Signature(result))`
    load_enable, load_address, load_word : writes the bank; the top address bit is the half
    busy : a product was issued; blocked : a column waited for room behind an idle lane
    """

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        widths = Widths(chip)
        super().__init__(
            {
                "pairs_i": In(pair(chip)).array(chip.slots),
                "pairs_o": Out(pair(chip)).array(chip.slots),
                "info": In(slot_info(chip)).array(chip.slots),
                "i": In(stream.Signature(item(chip))),
                "o": Out(stream.Signature(result(chip))),
                "load_enable": In(1),
                "load_address": In(widths.half_address + 1),
                "load_word": In(chip.width),
                "busy": Out(1),
                "blocked": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, widths = self.chip, Widths(self.chip)

        for early, late in zip(self.pairs_i, self.pairs_o, strict=True):
            m.d.comb += late.eq(delayed(m, early, 1, "pair"))

        m.submodules.queue = queue = Fifo(item(chip), chip.queue_depth)
        connect(m, flipped(self.i), queue.i)
        m.submodules.next = following = Chain(item(chip), 1)
        connect(m, queue.o, following.i)
        head = following.o.p

        # Issue: follow one list until the pair passes that the column began with.
        active = Signal()
        fresh = Signal()
        current = Signal(item(chip))
        generation = Signal()
        half = Signal()
        start = Signal(widths.half_address)  # offset of the column's first pair; offsets in a list differ
        unread = Signal(range(RESULTS + 1))  # columns started whose sums have not left

        passing = Signal(pair(chip), reset_less=True)
        tuned = Signal()  # `passing` is of the current list
        wanted = Signal(slot_info(chip))
        m.d.sync += passing.eq(select(current.slot, self.pairs_o))
        m.d.comb += wanted.eq(select(head.slot, self.info))

        here = Signal()
        closed = Signal()
        waits = Signal()
        again = Signal()
        fire = Signal()
        first = Signal()
        take = Signal()
        m.d.comb += [
            # A list that was refilled in the same slot carries the other generation.
            here.eq(active & tuned & passing.valid & (passing.generation == generation)),
            closed.eq(here & ~fresh & (passing.k == start)),
            waits.eq(following.o.valid & (unread != RESULTS)),
            # The next column of the same list begins with the very pair that closed the last one.
            again.eq(closed & waits & (head.slot == current.slot)),
            fire.eq(here & (~closed | again)),
            first.eq(fresh | again),
            take.eq(waits & (~active | closed)),
            following.o.ready.eq(take),
        ]
        m.d.sync += [self.busy.eq(fire), self.blocked.eq(following.o.valid & ~waits & ~active)]
        with m.If(take):
            m.d.sync += [active.eq(1), current.eq(head), generation.eq(wanted.generation), half.eq(wanted.half)]
        with m.Elif(closed):
            m.d.sync += active.eq(0)
        m.d.sync += tuned.eq(~take | again)
        with m.If(take & ~again):
            m.d.sync += fresh.eq(1)
        with m.Elif(fire):
            m.d.sync += fresh.eq(0)
        with m.If(fire & first):
            m.d.sync += start.eq(passing.k)
        m.d.sync += unread.eq(unread + take - (self.o.valid & self.o.ready))

        # Select, then address the bank.
        k = Signal(widths.half_address, reset_less=True)
        a = Signal(chip.width, reset_less=True)
        selected = Signal(item(chip), reset_less=True)
        selected_half = Signal(reset_less=True)
        m.d.sync += [
            k.eq(passing.k),
            a.eq(passing.a),
            selected.slot.eq(current.slot),
            selected.column.eq(Mux(again, head.column, current.column)),
            selected_half.eq(half),
        ]
        address = Signal(widths.half_address + 1, reset_less=True)
        m.d.sync += address.eq(Cat((k + selected.column)[: widths.half_address], selected_half))

        m.submodules.bank = bank = Bram(width=chip.width, depth=chip.bank_depth, target=self.target)
        m.d.comb += [
            bank.w_en.eq(self.load_enable),
            bank.w_addr.eq(self.load_address),
            bank.w_data.eq(self.load_word),
            bank.r_addr.eq(address),
        ]
        m.submodules.multiplier = multiplier = Multiplier(chip.width, target=self.target)
        a = delayed(m, a, 1 + Bram.LATENCY, "a")
        m.d.comb += [multiplier.a.eq(a), multiplier.b.eq(bank.r_data)]

        # What goes with a pair through bank and multiplier. That a pair was its column's last
        # shows when the next one passes.
        depth = 2 + Bram.LATENCY + Multiplier.LATENCY
        valid_at = delayed(m, fire, depth, "valid", control=True)
        last_at = delayed(m, closed, depth - 1, "last", control=True)
        tag_at = delayed(m, selected.as_value(), depth - 1, "tag")

        # The sum leaves as its last product is added, so its register can be cleared for the next.
        total = Signal(signed(widths.lane_sum))
        added = Signal(signed(widths.lane_sum))
        m.d.comb += added.eq(total + multiplier.p)
        with m.If(last_at):
            m.d.sync += total.eq(0)
        with m.Elif(valid_at):
            m.d.sync += total.eq(added)

        m.submodules.results = results = Chain(result(chip), RESULTS)
        connect(m, results.o, flipped(self.o))
        m.d.comb += [
            results.i.valid.eq(last_at),  # `unread` keeps the first place free
            results.i.p.sum.eq(added),
            Cat(results.i.p.slot, results.i.p.column).eq(tag_at),
        ]
        return m
