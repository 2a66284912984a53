"""Hands the unmasked columns of a row to the queues of the lanes that hold them."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.layouts import brick, command, tile, visit
from hw.logic import cleared, delayed, paired, popcount, select, total
from hw.queues import column_step
from spec.chip import Chip
from spec.engine import Widths
from spec.product import MASK_COLUMNS


class Scan(wiring.Component):
    """Walks a filled slot's columns, one per lane in each step, and queues those the mask keeps.

    Column ``c * lanes + n`` of a segment is column ``c`` of lane ``n``; the partial sums of a segment lie behind those of
    the segments before, and its words of B as far from those of the first as its offset says. With a mask, each 64 columns first wait for
    their brick.

    Stalls: a step is offered until it is taken, and the next one at least three cycles after it. A step that the mask leaves no column of is offered too.

    Members
    -------
    command, tiles, unscanned, visits, mask_address : what to walk
    request, brick_valid, brick : mask bricks; one comes for each request, after that was taken
    o : :py:`Out(stream.Signature(column_step))`, for the queues
    pushed, pushed_slot : columns that are on their way to the lanes, to be counted
    scanned, scanned_slot : this slot has no more
    load_wait : a filled slot waits for its tile of B
    outputs : columns pushed in a row's last tile, for the counters
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        slot = ceil_log2(chip.slots)
        address = Widths(chip).brick_address
        super().__init__(
            {
                "command": In(command(chip)),
                "tiles": In(tile(chip)).array(2),
                "unscanned": In(chip.slots),
                "visits": In(visit(chip)).array(chip.slots),
                "mask_address": In(address).array(chip.slots),
                "request": Out(stream.Signature(address)),
                "brick_valid": In(1),
                "brick": In(brick(chip)),
                "o": Out(stream.Signature(column_step(chip))),
                "pushed": Out(range(chip.lanes + 1)),
                "pushed_slot": Out(slot),
                "scanned": Out(1),
                "scanned_slot": Out(slot),
                "load_wait": Out(1),
                "outputs": Out(range(chip.lanes + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, widths, command = self.chip, Widths(self.chip), self.command
        slot = Signal(range(chip.slots))
        column = Signal(widths.column)
        offset = Signal(widths.half_address)
        left = Signal(widths.column + 1)  # columns of the lane that has most
        length = Signal.like(left)  # of a segment
        final = Signal()  # this is the segment's last one

        # Where the next segment begins settles while this one is walked.
        segment_column, segment_offset = Signal.like(column), Signal.like(offset)
        next_column, next_offset = Signal.like(column), Signal.like(offset)
        x_left, y_left = Signal.like(command.seg_x), Signal.like(command.seg_y)
        last_x, last_segment = Signal(), Signal()
        one_x = Signal()  # all segments are in one column
        m.d.sync += [
            one_x.eq(command.seg_x == 1),
            last_segment.eq(last_x & (y_left == 1)),
            next_column.eq(segment_column + command.columns),
            next_offset.eq(segment_offset + Mux(last_x, command.seg_bank_y, command.seg_bank_x)),
        ]
        bits = Signal(MASK_COLUMNS, reset_less=True)
        steps = MASK_COLUMNS // chip.lanes  # of one brick
        away = Signal(steps, init=(1 << steps) - 2)  # all ones but for this step's `bits`
        address = Signal(widths.brick_address)
        half = Signal()
        last = Signal()
        asking = Signal()  # for a brick of the mask
        waiting = Signal()  # until it comes; a register of its own, as it loads many

        # A step follows the one before when that has been taken, at the earliest every third cycle.
        pending = Signal(column_step(chip), reset_less=True)
        pending_valid = Signal()
        pending_last = Signal()
        accept = Signal()
        step = Signal()
        stepped = Signal()  # `pending` is new: count it
        m.d.comb += [self.o.valid.eq(pending_valid), self.o.p.eq(pending)]
        m.d.sync += [
            stepped.eq(step),
            accept.eq(~step & ~pending_valid),
            pending_valid.eq(step | (pending_valid & ~self.o.ready)),
        ]

        # What is wanted has settled when a step comes.
        parts = [
            cleared(m, away[n], bits[n * chip.lanes : (n + 1) * chip.lanes], f"part_{n}") for n in range(steps)
        ]
        tails = [cleared(m, half if h == 0 else ~half, self.tiles[h].n_tail, f"tail_{h}") for h in range(2)]
        wanted = Signal(chip.lanes)
        every = (~command.masked).replicate(chip.lanes)
        inside = tails[0] | tails[1] | (~final).replicate(chip.lanes)
        m.d.comb += wanted.eq((reduce(or_, parts) | every) & inside)
        with m.If(step):
            m.d.sync += [
                pending.lanes.eq(wanted),
                pending.item.slot.eq(slot),
                pending.item.column.eq(column),
                pending.item.offset.eq(offset),
                pending.item.twin.eq(0),
                pending_last.eq(last),
            ]

        # Count them: of few lanes four by four. A slot may come again before more cycles than these have passed.
        some = 4 if chip.lanes <= 32 else 8
        counts = [
            cleared(m, ~stepped, popcount(pending.lanes[n : n + some]), f"count_{n}") for n in range(0, chip.lanes, some)
        ]
        halves = paired(m, counts, 2 * some, "count")
        # With many lanes there are more halves than one cycle adds.
        late = 1 if len(halves) > 2 else 0
        if late:
            halves = paired(m, halves, 4 * some, "count")
        count = Signal(range(chip.lanes + 1))
        counted_last = Signal()
        counted_slot = Signal.like(slot)
        through = Signal()
        m.d.comb += count.eq(total(halves))
        m.d.sync += [
            Cat(counted_last, counted_slot).eq(delayed(m, Cat(pending_last, pending.item.slot), 1 + late, "counted")),
            self.pushed.eq(count),
            self.pushed_slot.eq(counted_slot),
            self.outputs.eq(Mux(counted_last, count, 0)),
        ]
        m.d.comb += [
            self.scanned.eq(delayed(m, through, 4 + late, "scanned", control=True)),
            self.scanned_slot.eq(self.pushed_slot),
        ]

        addresses = [
            cleared(m, slot != s, address, f"mask_address_{s}") for s, address in enumerate(self.mask_address)
        ]
        with m.FSM():
            with m.State("IDLE"):
                here = select(slot, [Cat(visit.half, visit.last) for visit in self.visits])
                m.d.sync += Cat(half, last).eq(here)
                with m.If(self.unscanned.bit_select(slot, 1)):
                    m.next = "TILE"
            with m.State("TILE"):
                loaded = Mux(half, self.tiles[1].loaded, self.tiles[0].loaded)
                steps_here = Mux(half, self.tiles[1].n_steps, self.tiles[0].n_steps)
                m.d.comb += self.load_wait.eq(~loaded)
                m.d.sync += [
                    column.eq(0),
                    segment_column.eq(0),
                    offset.eq(command.seg_start),
                    segment_offset.eq(command.seg_start),
                    x_left.eq(command.seg_x),
                    last_x.eq(one_x),
                    y_left.eq(command.seg_y),
                    left.eq(steps_here),
                    length.eq(steps_here),
                    final.eq(steps_here == 1),
                    address.eq(reduce(or_, addresses)),
                    away.eq(away.init),
                ]
                with m.If(loaded):
                    m.next = "SETTLE"
                    with m.If(command.masked):
                        m.d.sync += [asking.eq(1), waiting.eq(1)]
                        m.next = "MASK"
            with m.State("MASK"):
                with m.If(self.brick_valid):
                    m.d.sync += waiting.eq(0)
                    m.next = "SETTLE"
            with m.State("SETTLE"):
                m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += step.eq(accept)
                with m.If(accept):
                    m.d.sync += [
                        column.eq(column + 1),
                        offset.eq(offset + 1),
                        left.eq(left - 1),
                        final.eq(left == 2),
                        away.eq(away.rotate_left(1)),
                    ]
                    with m.If(final):
                        m.d.sync += [
                            column.eq(next_column),
                            segment_column.eq(next_column),
                            offset.eq(next_offset),
                            segment_offset.eq(next_offset),
                            x_left.eq(Mux(last_x, command.seg_x, x_left - 1)),
                            last_x.eq(Mux(last_x, one_x, x_left == 2)),
                            y_left.eq(y_left - last_x),
                            left.eq(length),
                            final.eq(length == 1),
                        ]
                        with m.If(last_segment):
                            m.next = "DONE"
                    with m.Elif(command.masked & ~away[-1]):
                        m.d.sync += [asking.eq(1), waiting.eq(1)]
                        m.next = "MASK"
            with m.State("DONE"):
                m.d.comb += through.eq(1)
                m.d.sync += slot.eq(Mux(slot == chip.slots - 1, 0, slot + 1))
                m.next = "IDLE"
        with m.If(waiting):
            m.d.sync += bits.eq(Cat(word[:8] for word in self.brick))
        with m.If(asking & self.request.ready):
            m.d.sync += [asking.eq(0), address.eq(address + 1)]
        m.d.comb += [self.request.valid.eq(asking), self.request.p.eq(address)]
        return m
