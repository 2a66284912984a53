"""One lane: a queue of columns, a bank of B, a multiplier and an exact sum."""

from amaranth.hdl import Cat, Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.bram import Bram
from hw.fifo import Fifo
from hw.layouts import item, pair, pairs, result, slot_info, slot_infos
from hw.multiplier import Multiplier
from spec.chip import Chip
from spec.engine import RESULTS, Widths


class Lane(wiring.Component):
    """Computes columns of C one after another, each as one turn around a row list.

    All row lists circulate past the lane without end. The lane joins the list of its
    next column at whatever pair is passing and leaves after as many pairs as the list
    holds: an exact sum does not depend on where it starts. So columns follow each
    other without a lost cycle, and lanes need not keep step with one another.

    Golden twin: one column of :func:`golden.product.exact_product`.
    Latency: ``LATENCY`` cycles from a column's last pair on ``pairs_o`` to ``o.valid``.
    Stalls: ``i`` waits when the queue is full; a column starts only when at most
    ``RESULTS - 1`` earlier sums of this lane are still unread, so ``o`` may stall freely.

    Members
    -------
    pairs_i, pairs_o : pairs of every row list, handed on one cycle later
    info : length, generation and bank half of every list
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
                "pairs_i": In(pairs(chip)),
                "pairs_o": Out(pairs(chip)),
                "info": In(slot_infos(chip)),
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

        m.d.sync += self.pairs_o.eq(self.pairs_i)

        m.submodules.queue = queue = Fifo(item(chip), chip.queue_depth)
        connect(m, flipped(self.i), queue.i)
        head = queue.o.p

        # Issue: follow one list for as many pairs as it holds.
        active, first = Signal(), Signal()
        current = Signal(item(chip))
        remaining = Signal(widths.list_address)
        final = Signal()  # remaining == 0, kept in a register of its own
        generation, half = Signal(), Signal()
        unread = Signal(range(RESULTS + 1))  # columns started whose sums have not left

        passing = Signal(pair(chip))
        wanted = Signal(slot_info(chip))
        m.d.comb += [passing.eq(self.pairs_o[current.slot]), wanted.eq(self.info[head.slot])]

        fire, leave, take, room = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            # A list that was refilled in the same slot carries the other generation.
            fire.eq(active & passing.valid & (passing.generation == generation)),
            leave.eq(fire & final),
            room.eq(unread != RESULTS),
            take.eq(queue.o.valid & room & (~active | leave)),
            queue.o.ready.eq(take),
            self.busy.eq(fire),
            self.blocked.eq(queue.o.valid & ~room & ~active),
        ]
        with m.If(take):
            m.d.sync += [
                active.eq(1),
                first.eq(1),
                current.eq(head),
                remaining.eq(wanted.last),
                final.eq(wanted.last == 0),
                generation.eq(wanted.generation),
                half.eq(wanted.half),
            ]
        with m.Elif(fire):
            m.d.sync += [active.eq(~final), first.eq(0), remaining.eq(remaining - 1), final.eq(remaining == 1)]
        m.d.sync += unread.eq(unread + take - (self.o.valid & self.o.ready))

        # Select, then address the bank.
        k, a = Signal(widths.half_address), Signal(chip.width)
        selected = Signal(item(chip))
        selected_half = Signal()
        m.d.sync += [k.eq(passing.k), a.eq(passing.a), selected.eq(current), selected_half.eq(half)]
        address = Signal(widths.half_address + 1)
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

        # What goes with a pair through bank and multiplier.
        depth = 2 + Bram.LATENCY + Multiplier.LATENCY
        valid_at = delayed(m, fire, depth, "valid")
        first_at = delayed(m, first, depth, "first")
        last_at = delayed(m, leave, depth, "last")
        tag_at = delayed(m, selected.as_value(), depth - 1, "tag")

        total = Signal(signed(widths.lane_sum))
        with m.If(valid_at):
            m.d.sync += total.eq(Cat(bit & ~first_at for bit in total).as_signed() + multiplier.p)
        done = Signal()
        tag = Signal.like(tag_at)
        m.d.sync += [done.eq(last_at), tag.eq(tag_at)]

        # Finished sums move toward the drain; `unread` keeps the first place free.
        valids = [Signal(name=f"valid_{n}") for n in range(RESULTS)]
        places = [Signal(result(chip), name=f"place_{n}") for n in range(RESULTS)]
        moves = [Signal(name=f"moves_{n}") for n in range(RESULTS)]
        incoming = Signal(result(chip))
        m.d.comb += [incoming.sum.eq(total), Cat(incoming.slot, incoming.column).eq(tag)]
        for n in range(RESULTS):
            after = self.o.ready if n == RESULTS - 1 else moves[n + 1]
            m.d.comb += moves[n].eq(~valids[n] | after)
            with m.If(moves[n]):
                m.d.sync += [
                    valids[n].eq(done if n == 0 else valids[n - 1]),
                    places[n].eq(incoming if n == 0 else places[n - 1]),
                ]
        m.d.comb += [self.o.valid.eq(valids[-1]), self.o.p.eq(places[-1])]
        return m


def delayed(m: Module, signal, cycles: int, name: str):
    """``signal`` through ``cycles`` registers."""
    for n in range(cycles):
        late = Signal(signal.shape(), name=f"{name}_{n + 1}")
        m.d.sync += late.eq(signal)
        signal = late
    return signal
