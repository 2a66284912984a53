"""Takes finished sums from the lanes and adds them to the group's partial sums."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from hw.arbiter import Arbiter
from hw.bram import Bram
from hw.layouts import result, visit
from hw.logic import delayed, select
from spec.chip import Chip
from spec.engine import Widths


class Drain(wiring.Component):
    """One partial sum a cycle: read, add, write back; a visit that is its row's first only writes.

    Lanes are served in turn. A lane that was served waits until its sum has been written: elements of
    different lanes lie at different addresses, so additions to one element never overlap.

    Latency: ``LATENCY`` cycles from a lane's transfer to ``written``.
    Stalls: never on the memory; the other reader (``read_*``) gets the cycles the drain leaves.

    Members
    -------
    i : one :py:`In(stream.Signature(result))` per lane
    visits : what each slot is
    written, written_slot : a sum of this slot has reached the memory
    read_enable, read_address, read_ready : a read by the finish unit
    read_data : its answer, ``Bram.LATENCY`` cycles after enable and ready
    """

    LATENCY = Arbiter.LATENCY + 1 + Bram.LATENCY + 3
    PAUSE = Bram.LATENCY + 3  # cycles from one read of the memory to the first that sees its sum

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        widths = Widths(chip)
        super().__init__(
            {
                "i": In(stream.Signature(result(chip))).array(chip.lanes),
                "visits": In(visit(chip)).array(chip.slots),
                "written": Out(1),
                "written_slot": Out(ceil_log2(chip.slots)),
                "read_enable": In(1),
                "read_address": In(widths.psum_address),
                "read_ready": Out(1),
                "read_data": Out(signed(chip.acc_width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, widths = self.chip, Widths(self.chip)

        # Fetch a lane's sum.
        m.submodules.arbiter = arbiter = Arbiter(result(chip), chip.lanes, pause=self.PAUSE)
        for n in range(chip.lanes):
            connect(m, flipped(self.i[n]), arbiter.i[n])
        m.d.comb += arbiter.o.ready.eq(1)
        taken, taken_lane = arbiter.o.p.value, arbiter.o.p.source
        taken_visit = Signal(visit(chip))
        m.d.comb += taken_visit.eq(select(taken.slot, self.visits))

        # Its address.
        slot_bits = ceil_log2(chip.slots)
        place_valid = Signal()
        place_first = Signal(reset_less=True)
        place_sum = Signal(signed(widths.lane_sum), reset_less=True)
        place = Signal(widths.psum_address, reset_less=True)
        place_slot = Signal(slot_bits, reset_less=True)
        m.d.sync += [
            place_valid.eq(arbiter.o.valid),
            place_sum.eq(taken.sum),
            place_slot.eq(taken.slot),
            place_first.eq(taken_visit.first),
            place.eq(Cat(taken_lane, (taken_visit.base + taken.column)[: widths.column])),
        ]

        # Read; take the old sum, or nothing; add; write.
        m.submodules.memory = memory = Bram(width=chip.acc_width, depth=chip.psum_depth, target=self.target)
        reading = place_valid & ~place_first
        first = delayed(m, place_first, Bram.LATENCY, "first")
        old = Signal(signed(chip.acc_width), reset_less=True)
        with m.If(first):
            m.d.sync += old.eq(0)
        with m.Else():
            m.d.sync += old.eq(memory.r_data)
        total = Signal(signed(chip.acc_width), reset_less=True)
        m.d.sync += total.eq(old + delayed(m, place_sum, Bram.LATENCY + 1, "sum"))
        m.d.comb += [
            self.read_ready.eq(~reading),
            memory.r_addr.eq(Mux(reading, place, self.read_address)),
            self.read_data.eq(memory.r_data),
            memory.w_en.eq(delayed(m, place_valid, Bram.LATENCY + 2, "valid", control=True)),
            memory.w_addr.eq(delayed(m, place, Bram.LATENCY + 2, "place")),
            memory.w_data.eq(total),
        ]
        m.d.sync += [
            self.written.eq(memory.w_en),
            self.written_slot.eq(delayed(m, place_slot, Bram.LATENCY + 2, "slot")),
        ]
        return m
