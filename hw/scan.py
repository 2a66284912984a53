"""Hands the unmasked columns of a row to the lanes that hold them."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.layouts import brick, item, tile, visit
from hw.logic import popcount, select
from spec.chip import Chip
from spec.engine import Widths
from spec.product import MASK_COLUMNS


class Scan(wiring.Component):
    """Walks a filled slot's columns, one per lane and cycle, and queues those the mask keeps.

    Column ``c * lanes + n`` of a tile is column ``c`` of lane ``n``. A lane whose queue is full holds
    back the next step only. With a mask, each 64 columns first wait for their brick.

    Members
    -------
    masked, tiles, unscanned, visits, mask_address : what to walk
    request, brick_valid, brick : mask bricks
    o : one :py:`Out(stream.Signature(item))` per lane
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
                "masked": In(1),
                "tiles": In(tile(chip)).array(2),
                "unscanned": In(chip.slots),
                "visits": In(visit(chip)).array(chip.slots),
                "mask_address": In(address).array(chip.slots),
                "request": Out(stream.Signature(address)),
                "brick_valid": In(1),
                "brick": In(brick(chip)),
                "o": Out(stream.Signature(item(chip))).array(chip.lanes),
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
        chip, widths = self.chip, Widths(self.chip)
        slot = Signal(range(chip.slots))
        column = Signal(widths.column)
        left = Signal(widths.column + 1)  # columns of the lane that has most
        final = Signal()  # this is the last one
        bits = Signal(MASK_COLUMNS)
        bits_left = Signal(range(MASK_COLUMNS // chip.lanes + 1))
        address = Signal(widths.brick_address)
        here = Signal(visit(chip))
        half_tile = Signal(tile(chip))
        m.d.comb += [here.eq(select(slot, self.visits)), half_tile.eq(select(here.half, self.tiles))]

        pending = Signal(chip.lanes)
        pending_item = Signal(item(chip))
        accept = Signal()
        here_last = Signal()
        ready = Cat(lane.ready for lane in self.o)
        m.d.comb += accept.eq(~(pending & ~ready).any())
        for n, lane in enumerate(self.o):
            m.d.comb += [lane.valid.eq(pending[n]), lane.p.eq(pending_item)]

        inside = Signal(chip.lanes)
        wanted = Signal(chip.lanes)
        m.d.comb += [
            inside.eq(Mux(final, half_tile.n_tail, -1)),
            wanted.eq(inside & Mux(self.masked, bits[: chip.lanes], -1)),
        ]
        stepped = Signal()  # `pending` is new: count it
        count = Signal(range(chip.lanes + 1))
        m.d.comb += count.eq(popcount(pending))
        m.d.sync += [
            pending.eq(pending & ~ready),
            stepped.eq(0),
            self.pushed.eq(Mux(stepped, count, 0)),
            self.pushed_slot.eq(pending_item.slot),
            self.outputs.eq(Mux(stepped & here_last, count, 0)),
            self.scanned.eq(0),
        ]

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [
                    column.eq(0),
                    left.eq(half_tile.n_steps),
                    final.eq(half_tile.n_steps == 1),
                    address.eq(select(slot, self.mask_address)),
                ]
                with m.If(self.unscanned.bit_select(slot, 1)):
                    m.d.comb += self.load_wait.eq(~half_tile.loaded)
                    with m.If(half_tile.loaded):
                        m.next = "START"
            with m.State("START"):
                m.next = "RUN"
                with m.If(self.masked):
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += self.request.valid.eq(1)
                m.d.sync += bits_left.eq(MASK_COLUMNS // chip.lanes)
                with m.If(self.request.ready):
                    m.d.sync += address.eq(address + 1)
                    m.next = "MASK"
            with m.State("MASK"):
                m.d.sync += bits.eq(Cat(word[:8] for word in self.brick))
                with m.If(self.brick_valid):
                    m.next = "RUN"
            with m.State("RUN"):
                with m.If(accept):
                    m.d.sync += [
                        pending.eq(wanted),
                        pending_item.slot.eq(slot),
                        pending_item.column.eq(column),
                        stepped.eq(1),
                        here_last.eq(here.last),
                        column.eq(column + 1),
                        left.eq(left - 1),
                        final.eq(left == 2),
                        bits.eq(bits >> chip.lanes),
                        bits_left.eq(bits_left - 1),
                    ]
                    with m.If(final):
                        m.next = "DONE"
                    with m.Elif(self.masked & (bits_left == 1)):
                        m.next = "ASK"
            with m.State("DONE"):
                m.d.sync += [
                    self.scanned.eq(1),
                    self.scanned_slot.eq(slot),
                    slot.eq(Mux(slot == chip.slots - 1, 0, slot + 1)),
                ]
                m.next = "IDLE"
        m.d.comb += self.request.p.eq(address)
        return m
