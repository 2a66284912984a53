"""Takes finished sums from the lanes and adds them to the group's partial sums."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from hw.arbiter import Arbiter
from hw.bram import Bram
from hw.layouts import result, visit
from hw.logic import select
from spec.chip import Chip
from spec.engine import Widths


class Drain(wiring.Component):
    """One partial sum a cycle: read, add, write back; a visit that is its row's first only writes.

    Lanes are served in turn, none twice in a row. A sum whose address is still on its way to the
    memory waits until the write is done, so additions to one element never overlap.

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

    LATENCY = 4 + Bram.LATENCY

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        widths = Widths(chip)
        super().__init__(
            {
                "i": In(stream.Signature(result(chip))).array(chip.lanes),
                "visits": In(data.ArrayLayout(visit(chip), chip.slots)),
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
        advance = Signal()  # low while an address waits for an earlier write to it

        # Fetch a lane's sum.
        m.submodules.arbiter = arbiter = Arbiter(result(chip), chip.lanes)
        for n in range(chip.lanes):
            connect(m, flipped(self.i[n]), arbiter.i[n])
        m.d.comb += arbiter.o.ready.eq(advance)
        taken_visit = Signal(visit(chip))
        taken, taken_lane = arbiter.o.p.value, arbiter.o.p.source

        m.d.comb += taken_visit.eq(select(taken.slot, self.visits))

        # Its address.
        place_valid, place_first = Signal(), Signal()
        place_sum = Signal(signed(widths.lane_sum))
        place = Signal(widths.psum_address)
        place_slot = Signal(ceil_log2(chip.slots))
        with m.If(advance):
            m.d.sync += [
                place_valid.eq(arbiter.o.valid),
                place_sum.eq(taken.sum),
                place_slot.eq(taken.slot),
                place_first.eq(taken_visit.first),
                place.eq(Cat(taken_lane, (taken_visit.base + taken.column)[: widths.column])),
            ]

        # Read, add, write. A step is (valid, address, sum, first, slot).
        m.submodules.memory = memory = Bram(width=chip.acc_width, depth=chip.psum_depth, target=self.target)
        steps = []
        valid, previous = place_valid & advance, (place, place_sum, place_first, place_slot)
        for n in range(Bram.LATENCY):
            step_valid = Signal(name=f"step_{n}_valid")
            step = tuple(Signal(s.shape(), name=f"step_{n}_{i}") for i, s in enumerate(previous))
            m.d.sync += [step_valid.eq(valid), *(late.eq(early) for late, early in zip(step, previous, strict=True))]
            steps.append((step_valid, step[0]))
            valid, previous = step_valid, step
        address, addend, first, slot = previous
        write_valid, write_address = Signal(), Signal(widths.psum_address)
        write_sum, write_slot = Signal(signed(chip.acc_width)), Signal(ceil_log2(chip.slots))
        old = Cat(bit & ~first for bit in memory.r_data).as_signed()
        m.d.sync += [
            write_valid.eq(valid),
            write_address.eq(address),
            write_slot.eq(slot),
            write_sum.eq(old + addend),
        ]
        steps.append((write_valid, write_address))
        clash = Cat(busy & (earlier == place) for busy, earlier in steps).any()
        m.d.comb += advance.eq(~(place_valid & ~place_first & clash))

        reads = Signal()
        m.d.comb += [
            reads.eq(place_valid & ~place_first & advance),
            self.read_ready.eq(~reads),
            memory.r_addr.eq(Mux(reads, place, self.read_address)),
            self.read_data.eq(memory.r_data),
            memory.w_en.eq(write_valid),
            memory.w_addr.eq(write_address),
            memory.w_data.eq(write_sum),
        ]
        m.d.sync += [self.written.eq(write_valid), self.written_slot.eq(write_slot)]
        return m
