"""The columns that wait in front of the lanes of a group, all in one memory."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.bram import Bram
from hw.layouts import item, ring
from hw.logic import delayed
from spec.chip import BRICK, Chip
from spec.engine import queue_round
from spec.product import ceil_div


def column_step(chip: Chip):
    """One column for each of several lanes; all but the lane is common to them."""
    return data.StructLayout({"lanes": chip.lanes, "item": item(chip)})


class Queues(wiring.Component):
    """Every lane has a queue of ``queue_depth`` columns; lanes have their turns in a fixed round of ``queue_round`` cycles.

    In its turn a lane gets at most one column into its queue and one out of it to its head. The drain takes its sums no faster, so
    the round slows down nothing; but one memory holds all queues, and one adder steps all pointers.

    A step is taken when all of the step before are in their queues, once a round at most. With ``twins`` a column whose lane is
    fuller than the next one in the ring goes to that lane instead; the lane's own column comes first.

    Latency: a column that is put into its queue in one turn may leave it in the lane's next one, and is at ``o`` ``LATENCY`` cycles after
    that began.
    Stalls: ``i`` waits for the round, and for lanes whose queue is full; those do not hold back the step's other columns.
    Contract: ``o[n].ready`` falls with a transfer only.

    Members
    -------
    twins : see above; holds while columns wait
    restart : the round begins anew, so that what follows takes the same time whenever it comes; no column waits. It comes in the cycle after a reset too
    i : :py:`In(stream.Signature(column_step))`
    o : one :py:`Out(stream.Signature(item))` per lane; ``valid`` comes only to a lane that is ready, for one cycle
    """

    LATENCY = 2 + Bram.LATENCY
    STALE = 5  # turns, when a step is taken, since that of the last lane that has been compared

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        self.round = queue_round(chip)
        super().__init__(
            {
                "twins": In(1),
                "restart": In(1),
                "i": In(stream.Signature(column_step(chip))),
                "o": Out(stream.Signature(item(chip))).array(chip.lanes),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, count, turns = self.chip, self.chip.lanes, self.round
        places = exact_log2(chip.queue_depth)
        pointer = data.StructLayout({"write": places + 1, "read": places + 1})

        # Whose turn it is, as a number and as one bit; pointers count from zero in the first round.
        at = Signal(exact_log2(turns), reset_less=True)
        ahead = Signal(exact_log2(turns), init=1, reset_less=True)  # whose turn is next
        further = Signal(exact_log2(turns), init=2, reset_less=True)  # and after that
        turn = Signal(turns, init=1, reset_less=True)
        fresh = Signal(init=1)
        final = Signal(reset_less=True)  # the round's last turn
        m.d.sync += [at.eq(ahead), ahead.eq(further), further.eq(further + 1), turn.eq(turn.rotate_left(1)), final.eq(at == turns - 2)]
        with m.If(final & ~self.restart):
            m.d.sync += fresh.eq(0)
        with m.If(self.restart):
            m.d.sync += [at.eq(0), ahead.eq(1), further.eq(2), turn.eq(1), final.eq(0)]

        # What is left of the step, of the lane whose turn it is first. A lane in its second cycle is in `own_now` and `other_now`.
        own, other = Signal(turns - 1), Signal(turns - 1)
        own_now, other_now = Signal(), Signal()
        own_stays, other_stays = Signal(), Signal()
        rest = Signal()  # of lanes that are not in their second cycle
        step = Signal(item(chip), reset_less=True)
        fuller = Signal(turns)  # of the lane whose turn comes first: more columns wait for it than for the ring's next one
        leaves = self.i.p.lanes & Cat(fuller[(n + self.STALE) % turns] for n in range(count))
        stays = Signal(turns)
        arrives = Signal(turns)
        m.d.comb += stays.eq(self.i.p.lanes & ~leaves)
        m.d.comb += [arrives[to].eq(leaves[n]) for n, to in enumerate(ring(chip))]
        m.d.comb += self.i.ready.eq(final & ~rest & ~own_stays & ~other_stays)
        own_next, other_next = Signal(), Signal()
        m.d.comb += [own_next.eq(own[0]), other_next.eq(other[0])]
        m.d.sync += [
            Cat(own_now, own).eq(Cat(own, own_stays)),
            Cat(other_now, other).eq(Cat(other, other_stays)),
            rest.eq(own[1:].any() | other[1:].any() | own_stays | other_stays),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                Cat(own, own_now).eq(stays),
                Cat(other, other_now).eq(arrives),
                step.eq(self.i.p.item),
            ]
            m.d.comb += [own_next.eq(stays[-1]), other_next.eq(arrives[-1])]

        # First cycle: the lane's pointers, and whether its head is free.
        m.submodules.pointers = pointers = Memory(shape=pointer, depth=turns, init=[])
        w_pointers, r_pointers = pointers.write_port(), pointers.read_port(domain="comb")
        # Read two turns early; any lane's at a restart, when all queues are empty.
        coming, there, here = Signal(pointer, reset_less=True), Signal(pointer, reset_less=True), Signal(pointer)
        wanted = Signal()
        apart = Signal(places + 1)
        there_full, there_some = Signal(reset_less=True), Signal(reset_less=True)  # no place is left, some are taken; if not `fresh`
        full, waits = Signal(), Signal()  # of its queue: no place is left; a column waits
        m.d.comb += [r_pointers.addr.eq(further), apart.eq(coming.write ^ coming.read)]
        m.d.sync += [coming.eq(r_pointers.data), there.eq(coming)]
        m.d.sync += [there_full.eq(apart[-1] & ~apart[:-1].any()), there_some.eq(apart.any())]
        filled = Signal()
        m.d.comb += filled.eq(~fresh & there_full)
        m.d.sync += [
            full.eq(filled),
            waits.eq(~fresh & there_some),
            own_stays.eq(own_next & filled),
            other_stays.eq(other_next & (own_next | filled)),
        ]
        with m.If(fresh):
            m.d.sync += here.eq(0)
        with m.Else():
            m.d.sync += here.eq(there)
        # Lanes are asked before their turn, eight at a time, then four such: a head that is free stays so until then, and all are at a restart.
        # Eight lanes have their turns so soon that theirs must be asked late: a head is free two cycles after its column came, at the earliest.
        early = 1 if count <= 8 else 2
        asked = Signal(ceil_div(count, 8), init=-1, reset_less=True)
        some = asked if early == 1 else Signal(ceil_div(len(asked), 4), init=-1, reset_less=True)
        free = Cat(o.ready for o in self.o) & turn.rotate_left(early)[:count]
        m.d.sync += asked.eq(Cat(free[n : n + 8].any() for n in range(0, count, 8)))
        if early == 2:
            m.d.sync += some.eq(Cat(asked[n : n + 4].any() for n in range(0, len(asked), 4)))
        m.d.sync += wanted.eq(some.any())
        with m.If(self.restart):
            m.d.sync += [asked.eq(-1), some.eq(-1)]

        # Second: push and pop.
        push, pop = Signal(), Signal()
        m.d.comb += [
            push.eq((own_now | other_now) & ~full),
            pop.eq(wanted & waits),
        ]

        # Third: what has come of it is written.
        written, popped = Signal(), Signal()
        w_place, r_place = Signal(places, reset_less=True), Signal(places, reset_less=True)
        pushed = Signal(item(chip), reset_less=True)
        after = Signal(pointer)
        lane = delayed(m, at, 2, "lane", control=True)
        m.d.sync += [
            written.eq(push),
            popped.eq(pop),
            w_place.eq(here.write[:places]),
            r_place.eq(here.read[:places]),
            after.write.eq(here.write + push),
            after.read.eq(here.read + pop),
            pushed.eq(step),
            pushed.twin.eq(~own_now),
            # Second columns lie in the upper part of the bank's half.
            pushed.offset[-1].eq(step.offset[-1] | ~own_now),
        ]
        m.submodules.memory = memory = Bram(width=len(Cat(pushed)), depth=turns << places, target=self.target)
        m.d.comb += [
            w_pointers.en.eq(1),
            w_pointers.addr.eq(lane),
            w_pointers.data.eq(after),
            memory.w_en.eq(written),
            memory.w_addr.eq(Cat(w_place, lane)),
            memory.w_data.eq(pushed),
            memory.r_addr.eq(Cat(r_place, lane)),
        ]

        # To the heads.
        come = Signal(count)
        gone = delayed(m, popped, Bram.LATENCY - 1, "gone", control=True)
        late = self.LATENCY - 1  # cycles since the lane's turn
        m.d.sync += come.eq(Cat(gone & turn[(n + late) % turns] for n in range(count)))
        for n, o in enumerate(self.o):
            m.d.comb += [o.valid.eq(come[n]), Cat(o.p).eq(memory.r_data)]

        self._compare(m, Cat(after.write - after.read)[: places + 1], wanted, pop, lane, fuller)
        return m

    def _compare(self, m, level, wanted, pop, lane, fuller):
        """Whether more columns wait for a lane, in its queue and at its head, than for the ring's next one.

        That is known two cycles after the next one's pointers are.
        """
        size = min(self.chip.lanes, BRICK)
        headed = Signal()
        own, before, first = (Signal(len(level) + 1, name=name, reset_less=True) for name in ("level", "before", "first"))
        begins = Signal()  # the level is of a ring's first lane, so the one before is of another ring
        m.d.sync += [
            headed.eq(~wanted | pop),
            own.eq(level + headed),
            before.eq(own),
            begins.eq(lane[: exact_log2(size)] == 0),
            fuller.eq(Cat(fuller[1:], self.twins & (before > Mux(begins, first, own)))),
        ]
        with m.If(begins):
            m.d.sync += first.eq(own)
