"""Decides which row a group works on next and keeps the books of the rows in flight."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.bram import Bram
from hw.bricks import fetch_job
from hw.chain import Chain
from hw.lanes import Lanes
from hw.layouts import command, row, tile, visit
from hw.logic import balance, cleared, delayed, select
from hw.multiplier import Multiplier
from hw.rowlist import RowLists
from spec.chip import Chip
from spec.engine import DIMENSION_BITS, ROW_SLOTS, Widths

FACTOR_BITS = 18  # row numbers and strides are unsigned 16-bit numbers in a signed multiplier


def finish_job(chip: Chip):
    return data.StructLayout({"row": DIMENSION_BITS, "half": 1, "base": Widths(chip).column})


def leaving_row(chip: Chip):
    return data.StructLayout({"job": finish_job(chip), "last": 1})


class Visits(wiring.Component):
    """A visit is one row of A met by one tile of B; it occupies a slot from fetch to last sum.

    In a row's first tile the row is pulled from the queue all groups share, so rows with many zeros
    balance out. When a reduction takes several tiles the group keeps its rows, at most ``rows``, and
    visits them again in each. With ``twins``, where it has fewer rows than slots, only when all visits of the tile before
    have retired: two lanes may add to one sum. Slots are used in turn and retire in order, when every column handed
    to the lanes has reached the partial sums.

    Members
    -------
    command, tiles : what is computed; ``tiles[h].open`` invites the group, ``tile_done[h]`` answers
        when nothing of it is left here, and falls after ``open`` has fallen
    left : nothing more will be started in this half
    span : columns of all segments of a row, in one lane
    restart : a new reduction begins; rows kept from an earlier one are forgotten
    queue_* : asks for a row; the answer is a grant with a row or with ``queue_none``
    fetch : :py:`Out(stream.Signature(fetch_job))`; fetch_done, fetch_slot, fetch_last : its answer
    halves, ends, filled, visits, mask_address : state of every slot; unscanned : filled, and not handed to the lanes
    pushed, pushed_slot : columns handed to the lanes; scanned, scanned_slot : all of them were
    written, written_slot : a sum arrived
    finish : rows whose sums are complete; ``ready`` falls with a transfer only. finished, finished_half : one was written out
    idle : no row is in flight
    """

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        widths = Widths(chip)
        slot = ceil_log2(chip.slots)
        super().__init__(
            {
                "command": In(command(chip)),
                "span": In(widths.column + 1),
                "restart": In(1),
                "tiles": In(tile(chip)).array(2),
                "tile_done": Out(2),
                "left": Out(2),
                "queue_request": Out(1),
                "queue_half": Out(1),
                "queue_grant": In(1),
                "queue_none": In(1),
                "queue_row": In(row(chip)),
                "fetch": Out(stream.Signature(fetch_job(chip))),
                "fetch_done": In(1),
                "fetch_slot": In(slot),
                "fetch_last": In(widths.list_address),
                "halves": Out(chip.slots),
                "ends": Out(widths.list_address).array(chip.slots),
                "filled": Out(chip.slots),
                "unscanned": Out(chip.slots),
                "visits": Out(visit(chip)).array(chip.slots),
                "mask_address": Out(widths.brick_address).array(chip.slots),
                "pushed": In(range(chip.lanes + 1)),
                "pushed_slot": In(slot),
                "scanned": In(1),
                "scanned_slot": In(slot),
                "written": In(1),
                "written_slot": In(slot),
                "finish": Out(stream.Signature(finish_job(chip))),
                "finished": In(1),
                "finished_half": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, widths, command = self.chip, Widths(self.chip), self.command
        busy = Signal(chip.slots)
        half = Signal()
        past = Signal(2)
        now = Signal(tile(chip))
        m.d.sync += now.eq(select(half, self.tiles))
        hold = Signal()  # rows come back in later tiles, or came in earlier ones
        m.d.sync += hold.eq(~(now.first & now.last))

        # Partial-sum rows form a ring. A place is its number and its first address; the place behind it
        # is worked out ahead, for steps are several cycles apart.
        def place(name):
            number = Signal(range(ROW_SLOTS), name=f"{name}_number", reset_less=True)
            base = Signal(widths.column, name=f"{name}_base", reset_less=True)
            wraps = Signal(name=f"{name}_wraps")
            m.d.sync += wraps.eq(number + 1 == command.rows)
            after = cleared(m, wraps, Cat((number + 1)[: len(number)], (base + self.span)[: len(base)]), f"{name}_after")
            return number, base, after

        def step(pointer):
            number, base, after = pointer
            return [Cat(number, base).eq(after)]

        head, again = place("head"), place("again")
        begin = Signal.like(head[0], name="begin_number"), Signal.like(head[1], name="begin_base")
        kept = Signal(range(ROW_SLOTS + 1))
        coming = Signal(range(ROW_SLOTS + 1))
        used = Signal(range(ROW_SLOTS + 1), reset_less=True)  # ring places whose sums are not written out
        pulled = Signal()
        came = Signal()  # a row was pulled a cycle ago
        full, room, none = Signal(), Signal(), Signal()
        alloc = Signal(range(chip.slots))
        free = Signal()
        # What the next step depends on settles in the state before it, or may be late.
        quiet = Signal()  # a row's sums are written before the row comes again
        m.d.sync += [
            quiet.eq(~command.twins | (kept >= chip.slots) | ~busy.any()),
            came.eq(pulled),
            used.eq(used + balance(came, self.finished)),
            full.eq(hold & (kept == command.rows)),
            room.eq(used != command.rows),
            none.eq(coming == 0),
            free.eq(~busy.bit_select(alloc, 1)),
        ]

        # A row that comes from the queue is written into the table and read from there, like one that comes again: so the table's
        # output register is the only one that holds it.
        now_row = Signal(row(chip))
        base = Signal(widths.column)
        at = Signal(range(ROW_SLOTS), reset_less=True)
        m.submodules.rows = rows = Bram(width=len(Cat(now_row)), depth=ROW_SLOTS, target=self.target)
        m.d.comb += [rows.w_addr.eq(head[0]), rows.w_data.eq(self.queue_row), rows.r_addr.eq(at), Cat(now_row).eq(rows.r_data)]

        m.submodules.multiplier = multiplier = Multiplier(FACTOR_BITS, target=self.target)
        wait = Signal(range(Multiplier.LATENCY + 1))
        start = Signal(widths.brick_address)
        address = Signal(widths.brick_address)
        mask_address = Signal(widths.brick_address)
        came_address = Signal(widths.brick_address, reset_less=True)  # of a row from the queue, before the table gives it
        begins = Mux(now.first, came_address, now_row.address)
        m.d.comb += [multiplier.a.eq(now_row.row), multiplier.b.eq(command.mask_stride)]
        m.d.sync += [
            start.eq(now.mask_base),
            mask_address.eq(start + multiplier.p),
            address.eq(begins + now.a_base),
        ]

        with m.FSM():
            with m.State("TILE"):
                with m.If(now.open & ~past.bit_select(half, 1) & (now.first | quiet)):
                    m.next = "ENTER"
            with m.State("ENTER"):
                with m.If(now.first):
                    m.d.sync += [kept.eq(0), begin[0].eq(head[0]), begin[1].eq(head[1])]
                with m.Else():
                    m.d.sync += [coming.eq(kept), again[0].eq(begin[0]), again[1].eq(begin[1])]
                m.next = "SETTLE"
            with m.State("SETTLE"):  # of `hold`, of what depends on it and of `free`
                m.d.sync += at.eq(Mux(now.first, head[0], again[0]))
                m.next = "SETTLED"
            with m.State("SETTLED"):
                m.next = "NEXT"
            with m.State("NEXT"):
                with m.If(now.first):
                    with m.If(full):
                        m.next = "LEAVE"
                    with m.Elif(free & room):
                        m.next = "PULL"
                with m.Elif(none):
                    m.next = "LEAVE"
                with m.Elif(free):
                    m.next = "AGAIN"
            with m.State("AGAIN"):
                m.d.sync += [base.eq(again[1]), coming.eq(coming - 1), *step(again)]
                m.next = "ADDRESS"
            with m.State("PULL"):
                m.d.comb += [self.queue_request.eq(~self.queue_grant), self.queue_half.eq(half)]
                m.d.comb += rows.w_en.eq(self.queue_grant)  # without a row, what no kept row lies in is written
                m.d.sync += [base.eq(head[1]), came_address.eq(self.queue_row.address)]
                with m.If(self.queue_grant):
                    m.next = "PULLED"
                    with m.If(self.queue_none):
                        m.next = "LEAVE"
            with m.State("PULLED"):
                m.d.comb += pulled.eq(1)
                m.d.sync += [kept.eq(kept + 1), *step(head)]
                m.next = "ADDRESS"
            with m.State("ADDRESS"):  # they settle
                m.d.sync += wait.eq(wait + 1)
                with m.If(~command.masked | (wait == Multiplier.LATENCY)):
                    m.d.sync += wait.eq(0)
                    m.next = "FETCH"
            with m.State("FETCH"):
                m.d.comb += self.fetch.valid.eq(1)
                with m.If(self.fetch.ready):
                    m.d.sync += alloc.eq(Mux(alloc == chip.slots - 1, 0, alloc + 1))
                    m.next = "SETTLE"
            with m.State("LEAVE"):
                m.d.sync += [past.bit_select(half, 1).eq(1), half.eq(~half)]
                m.next = "TURN"
            with m.State("TURN"):  # of `now`
                m.next = "TILE"
        m.d.comb += [
            self.left.eq(past),
            self.fetch.p.slot.eq(alloc),
            self.fetch.p.skip.eq(now.a_skip),
            self.fetch.p.row.eq(now_row),
            self.fetch.p.row.address.eq(address),
        ]
        with m.If(self.restart):
            m.d.sync += [head[0].eq(0), head[1].eq(0), used.eq(0)]
        for h in range(2):
            with m.If(~self.tiles[h].open):
                m.d.sync += past[h].eq(0)

        # A list is scanned when it has come to the last lane: lanes need not ask whether a pair is there.
        reach = RowLists.LATENCY + Lanes.spread(chip.lanes)
        come = delayed(m, Cat(self.fetch_done, self.fetch_slot), reach, "come", control=True)

        # Books of the slots.
        oldest = Signal(range(chip.slots))
        scanned = Signal(chip.slots)
        empty = Signal(chip.slots)
        everywhere = Signal(chip.slots)  # the list passes every lane
        owed = [Signal(widths.psum_address + 1, name=f"owed_{s}") for s in range(chip.slots)]
        retire = Signal()
        pushed_less = Signal(signed(ceil_log2(chip.lanes) + 2))
        m.d.comb += [
            pushed_less.eq(self.pushed - 1),
            self.halves.eq(Cat(self.visits[s].half for s in range(chip.slots))),
        ]
        begun = []  # a row has gone to fetch, a cycle ago
        for s in range(chip.slots):
            started = Signal(name=f"started_{s}")
            m.d.sync += started.eq(self.fetch.valid & self.fetch.ready & (alloc == s))
            begun.append(started)
            kept_visit = Signal(visit(chip), name=f"visit_{s}", reset_less=True)
            kept_mask = Signal(widths.brick_address, name=f"mask_address_{s}", reset_less=True)
            kept_end = Signal(widths.list_address, name=f"end_{s}", reset_less=True)
            m.d.comb += [
                self.visits[s].eq(kept_visit),
                self.mask_address[s].eq(kept_mask),
                self.ends[s].eq(kept_end),
            ]
            with m.If(started):
                m.d.sync += [
                    busy[s].eq(1),
                    scanned[s].eq(0),
                    kept_visit.eq(Cat(now_row.row, half, base, now.first, now.last)),
                    kept_mask.eq(mask_address),
                ]
            with m.If(self.fetch_done & (self.fetch_slot == s)):
                m.d.sync += [self.filled[s].eq(1), kept_end.eq(self.fetch_last)]
            with m.If(come[0] & (come[1:] == s)):
                m.d.sync += everywhere[s].eq(1)
            with m.If(self.scanned & (self.scanned_slot == s)):
                m.d.sync += scanned[s].eq(1)
            change = Signal.like(pushed_less, name=f"change_{s}")
            here = self.pushed_slot == s
            arrived = self.written & (self.written_slot == s)
            m.d.sync += change.eq(Mux(arrived, Mux(here, pushed_less, -1), Mux(here, self.pushed, 0)))
            m.d.sync += owed[s].eq(owed[s] + change)
            m.d.sync += empty[s].eq(owed[s] == 0)
            with m.If(retire & (oldest == s)):
                m.d.sync += [busy[s].eq(0), self.filled[s].eq(0), everywhere[s].eq(0)]

        # `empty` is two cycles late; a slot is scanned at least a cycle after its last push.
        settled = Signal(chip.slots)
        done = Signal(chip.slots)
        m.d.sync += [settled.eq(scanned & busy), done.eq(settled & empty & scanned & busy)]

        # Rows leave in the order in which they came.
        m.submodules.leaving = leaving = Chain(leaving_row(chip), chip.slots)
        m.d.comb += [
            leaving.i.valid.eq(Cat(begun).any()),
            leaving.i.p.job.eq(Cat(now_row.row, half, base)),
            leaving.i.p.last.eq(now.last),
            leaving.o.ready.eq(retire),
            self.finish.valid.eq(retire & leaving.o.p.last),
            self.finish.p.eq(leaving.o.p.job),
            self.unscanned.eq(everywhere & ~scanned),
            self.idle.eq(~busy.any()),
        ]
        # Room for a row that leaves stays until one has come, so that it is known a cycle before.
        m.d.sync += retire.eq(~retire & leaving.o.valid & done.bit_select(oldest, 1) & (~leaving.o.p.last | self.finish.ready))
        with m.If(retire):
            m.d.sync += oldest.eq(Mux(oldest == chip.slots - 1, 0, oldest + 1))

        # A row that leaves is counted before its slot is seen to be free.
        unwritten = [Signal(range(ROW_SLOTS + 1), name=f"unwritten_{h}") for h in range(2)]
        for h in range(2):
            more, fewer, working = Signal(name=f"more_{h}"), Signal(name=f"fewer_{h}"), Signal(name=f"working_{h}")
            m.d.sync += [
                more.eq(retire & leaving.o.p.last & (leaving.o.p.job.half == h)),
                fewer.eq(self.finished & (self.finished_half == h)),
                working.eq((busy & (self.halves ^ (0 if h else -1))).any()),
                unwritten[h].eq(unwritten[h] + balance(more, fewer)),
                self.tile_done[h].eq(past[h] & ~working & (unwritten[h] == 0)),
            ]
        return m
