"""Scan against its golden twin: masks of every density, lanes that stall, tiles that are not loaded yet."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from golden.scan import lane_columns
from spec.chip import Chip
from spec.engine import Widths
from spec.product import MASK_COLUMNS, ceil_div
from tb.kit import Stream, cycles, generator, guard, load_spec, start
from tb.models import pack, put, serve

STEP = 3  # cycles from one step to the next where nobody waits


class Rows:
    """Slots handed over in turn, and what comes of them."""

    def __init__(self, dut, chip, rng, masked, stall, memory):
        self.dut, self.chip, self.rng, self.masked, self.stall, self.memory = dut, chip, rng, masked, stall, memory
        self.slot = 0
        self.unscanned = 0
        self.pushed = [0] * chip.slots
        self.scanned = []
        self.outputs = 0
        cocotb.start_soon(self._watch())

    async def _watch(self):
        dut, edge = self.dut, RisingEdge(self.dut.clk)
        while True:
            await edge
            self.pushed[int(dut.pushed_slot.value)] += int(dut.pushed.value)
            self.outputs += int(dut.outputs.value)
            if dut.scanned.value:
                slot = int(dut.scanned_slot.value)
                self.scanned.append((slot, self.pushed[slot]))
                self.pushed[slot] = 0
                self.unscanned &= ~(1 << slot)
            dut.unscanned.value = self.unscanned

    def offer(self, lengths, density):
        """A row in the next slot; return its slot and the columns of every lane."""
        rng, chip, slot = self.rng, self.chip, self.slot
        half, last = int(rng.integers(2)), int(rng.integers(2))
        length = lengths[half]
        mask = (rng.random(length) < density).astype(int) if self.masked else None
        address = max(self.memory, default=-1) + 1 + int(rng.integers(4))
        if self.masked:
            bits = rng.integers(0, 2, ceil_div(length, MASK_COLUMNS) * MASK_COLUMNS)  # past the end lie other rows
            bits[:length] = mask
            for n, part in enumerate(bits.reshape(-1, 8, 8)):
                # Only the low eight bits of a word are mask.
                noise = rng.integers(0, 1 << chip.width - 8, 8) << 8
                self.memory[address + n] = pack((part << np.arange(8)).sum(axis=1) + noise, chip.width)
        put(self.dut, f"visits__{slot}", half=half, last=last)
        getattr(self.dut, f"mask_address__{slot}").value = address % chip.scratch_bricks
        self.unscanned |= 1 << slot
        self.slot = (slot + 1) % chip.slots
        return slot, last, lane_columns(length, chip.lanes, mask)


def steps(length, lanes):
    """A tile of ``length`` columns as the sequencer describes it to the scan."""
    spare = length % lanes
    return {"n_steps": -(-length // lanes), "n_tail": (1 << (spare or lanes)) - 1}


class Segments:
    """The segments of a row: where the sums of each go and where its words of B begin."""

    def __init__(self, rng, chip, count_y=1, count_x=1, columns=1):
        half = 1 << Widths(chip).half_address
        start, x, y = (int(step) for step in rng.integers(half, size=3))
        self.fields = {"columns": columns, "seg_x": count_x, "seg_y": count_y}
        self.fields |= {"seg_start": start, "seg_bank_x": x, "seg_bank_y": y}
        self.places = [
            (number * columns, (start + line * ((count_x - 1) * x + y) + place * x) % half)
            for number, (line, place) in enumerate((line, place) for line in range(count_y) for place in range(count_x))
        ]
        self.half = half

    def items(self, slot, columns):
        """What a lane gets that holds ``columns`` of every segment."""
        return [(slot, first + c, (offset + c) % self.half, 0) for first, offset in self.places for c in map(int, columns)]


async def scan(dut, rng, chip, masked, density, stall, lengths, count, segments=None):
    """Scan ``count`` rows; compare every lane's items and the books."""
    segments = segments or Segments(rng, chip)
    memory = {}
    put(dut, "command", masked=masked, **segments.fields)
    for half in range(2):
        put(dut, f"tiles__{half}", **steps(lengths[half], chip.lanes), loaded=1)
    servant = cocotb.start_soon(serve(Stream(dut, "request"), dut.brick_valid, dut.brick, memory, rng, stall))
    rows = Rows(dut, chip, rng, masked, stall, memory)
    plan = []
    expected = [[] for _ in range(chip.lanes)]
    sinks = []

    async def offer_all():
        for _ in range(count):
            while rows.unscanned >> rows.slot & 1 or rng.random() < stall / 2:
                await cycles(dut, 1)
            slot, last, columns = rows.offer(lengths, density)
            plan.append((slot, last, len(segments.places) * sum(map(len, columns))))
            for lane, mine in enumerate(columns):
                expected[lane] += segments.items(slot, mine)

    got = [[] for _ in range(chip.lanes)]

    async def sink():
        o, edge = Stream(dut, "o"), RisingEdge(dut.clk)
        while True:
            o.ready.value = int(rng.random() >= stall)
            await edge
            if o.valid.value and o.ready.value:
                item = tuple(int(o.fields[f"item__{name}"].value) for name in ("slot", "column", "offset", "twin"))
                for lane in range(chip.lanes):
                    if int(o.fields["lanes"].value) >> lane & 1:
                        got[lane].append(item)

    sinks.append(cocotb.start_soon(sink()))
    await offer_all()
    for _ in range(20_000):
        if len(rows.scanned) == count and sum(map(len, got)) == sum(map(len, expected)):
            break
        await cycles(dut, 1)
    await cycles(dut, 10)
    for task in (servant, *sinks):
        task.cancel()
    assert got == expected
    assert rows.scanned == [(slot, pushed) for slot, _, pushed in plan]
    assert rows.outputs == sum(pushed for _, last, pushed in plan if last)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5], masked=[False, True])
async def walks_columns_as_golden(dut, stall, masked):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    cocotb.start_soon(guard(Stream(dut, "o")))
    longest = min(chip.psum_depth, 3 * MASK_COLUMNS)
    for density in (0.0, 0.1, 0.5, 1.0) if masked else (1.0,):
        # A unit keeps its turn among the slots, so every run starts where the last one stopped.
        count = chip.slots * 2
        for lengths in ((1, longest), tuple(map(int, rng.integers(1, longest, 2))), (MASK_COLUMNS, chip.lanes)):
            await scan(dut, rng, chip, masked, density, stall, lengths, count)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def walks_every_segment_of_a_row(dut, stall):
    """Segments of one step and of more, with a last step that not all lanes take part in."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    room = chip.psum_depth // chip.lanes
    for count_y, count_x in ((1, 2), (3, 1), (2, 3)):
        for columns in (1, min(5, room // (count_y * count_x))):
            lengths = tuple(int(length) for length in rng.integers(1, columns * chip.lanes + 1, 2))
            segments = Segments(rng, chip, count_y, count_x, columns)
            await scan(dut, rng, chip, False, 1.0, stall, lengths, chip.slots * 2, segments)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def waits_for_its_tile(dut):
    chip = load_spec(Chip)
    await start(dut)
    put(dut, "command", **Segments(generator(), chip).fields)
    put(dut, "visits__0", half=1)
    put(dut, "tiles__1", **steps(1, chip.lanes))
    dut.unscanned.value = 1
    await cycles(dut, 2)
    for _ in range(20):
        await cycles(dut, 1)
        assert dut.load_wait.value
        assert not dut.o__valid.value
    dut.tiles__1__loaded.value = 1
    await cycles(dut, 5)
    assert dut.o__valid.value
    assert not dut.load_wait.value


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def hands_out_a_column_per_lane_every_third_cycle(dut):
    chip = load_spec(Chip)
    await start(dut)
    put(dut, "command", **Segments(generator(), chip).fields)
    most = chip.psum_depth // chip.lanes
    put(dut, "tiles__0", **steps(most * chip.lanes, chip.lanes), loaded=1)
    dut.o__ready.value = 1
    dut.unscanned.value = 1
    while not dut.o__valid.value:
        await cycles(dut, 1)
    for step in range(min(most, 40)):
        assert dut.o__valid.value
        assert int(dut.o__payload__lanes.value) == (1 << chip.lanes) - 1
        assert int(dut.o__payload__item__column.value) == step
        await cycles(dut, STEP)
