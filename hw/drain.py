"""Takes finished sums from the lanes and adds them to the group's partial sums."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2, exact_log2

from hw.bram import Bram
from hw.layouts import result, visit
from hw.logic import delayed, remembered, select
from hw.turns import Turns
from spec.chip import BRICK, Chip
from spec.engine import SUM_LATENCY, Widths


class Drain(wiring.Component):
    """One partial sum a cycle: read, add, write back; a visit that is its row's first only writes.

    Lanes have their turns in a fixed round, long enough for a sum to be written before the same lane's
    next one reads: elements of different lanes lie at different addresses, so additions to one element never
    overlap. An element whose column two lanes may compute is summed again only when its
    visit before has retired (:class:`hw.visits.Visits`).

    Latency: ``LATENCY`` cycles from a lane's transfer to ``written``.
    Stalls: a lane waits for its turn; the other reader (``read_*``) gets the cycles the drain leaves.

    Members
    -------
    i : one :py:`In(stream.Signature(result))` per lane
    visits : what each slot is
    restart : a new reduction begins and no sum is on its way
    written, written_slot : a sum of this slot has reached the memory
    read_ready : in the next cycle the memory is free for a read by the finish unit
    read_address, read_data : such a read, and its answer ``SUM_LATENCY`` cycles later
    """

    LATENCY = Turns.LATENCY + 3 + Bram.LATENCY + 3
    PAUSE = Bram.LATENCY + 3  # cycles from one read of the memory to the first that sees its sum

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        widths = Widths(chip)
        super().__init__(
            {
                "i": In(stream.Signature(result(chip))).array(chip.lanes),
                "visits": In(visit(chip)).array(chip.slots),
                "restart": In(1),
                "written": Out(1),
                "written_slot": Out(ceil_log2(chip.slots)),
                "read_address": In(widths.psum_address),
                "read_ready": Out(1),
                "read_data": Out(signed(chip.acc_width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, widths = self.chip, Widths(self.chip)

        # Fetch a lane's sum, and what is known of its slot.
        # Each word's register has a reset signal of its own, and with many of those a placer finds few legal places.
        merged = chip.compact or chip.lanes > BRICK
        m.submodules.turns = turns = Turns(result(chip), chip.lanes, pause=self.PAUSE, compact=merged)
        for n in range(chip.lanes):
            connect(m, flipped(self.i[n]), turns.i[n])
        m.d.comb += turns.restart.eq(self.restart)
        taken = Signal(result(chip), reset_less=True)
        taken_valid = Signal()
        taken_lane = Signal.like(turns.source, reset_less=True)
        taken_visit = Signal(visit(chip), reset_less=True)
        m.d.sync += [
            taken_valid.eq(turns.valid),
            taken_lane.eq(turns.source),
            taken.eq(turns.value),
            taken_visit.eq(select(turns.value.slot, self.visits)),
        ]

        # Its address: of the lane that the column belongs to.
        ring = exact_log2(min(chip.lanes, BRICK))
        home = Cat((taken_lane[:ring] - taken.twin)[:ring], taken_lane[ring:])
        place_valid = Signal()
        place_first = Signal(reset_less=True)
        place_sum = Signal(signed(widths.lane_sum), reset_less=True)
        place = Signal(widths.psum_address, reset_less=True)
        reading = Signal()
        m.d.sync += [
            place_valid.eq(taken_valid),
            place_sum.eq(taken.sum),
            place_first.eq(taken_visit.first),
            place.eq(Cat(home, (taken_visit.base + taken.column)[: widths.column])),
            reading.eq(~self.read_ready),
        ]

        # Read; take the old sum, or nothing; add; write.
        m.submodules.memory = memory = Bram(width=chip.acc_width, depth=chip.psum_depth, target=self.target)
        address = Signal(widths.psum_address, reset_less=True)
        m.d.sync += address.eq(Mux(reading, place, self.read_address))
        old = Signal(signed(chip.acc_width), reset_less=True)
        with m.If(delayed(m, place_first, SUM_LATENCY, "first")):
            m.d.sync += old.eq(0)
        with m.Else():
            m.d.sync += old.eq(memory.r_data)
        total = Signal(signed(chip.acc_width), reset_less=True)
        m.d.sync += total.eq(old + remembered(m, place_sum, SUM_LATENCY + 1, "sum", small=chip.compact))
        m.d.comb += [
            self.read_ready.eq(~taken_valid | taken_visit.first),
            memory.r_addr.eq(address),
            self.read_data.eq(memory.r_data),
            memory.w_en.eq(delayed(m, place_valid, SUM_LATENCY + 2, "valid", control=True)),
            memory.w_addr.eq(remembered(m, place, SUM_LATENCY + 2, "place", small=chip.compact)),
            memory.w_data.eq(total),
        ]
        m.d.sync += [
            self.written.eq(memory.w_en),
            self.written_slot.eq(delayed(m, taken.slot, SUM_LATENCY + 3, "slot")),
        ]
        return m
