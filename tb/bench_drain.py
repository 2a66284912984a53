"""Drain against a plain dictionary of sums: lanes at any pace, one lane back to back, reads in between."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, gather

from spec.chip import BRICK, Chip
from spec.engine import SUM_LATENCY, Widths
from tb.kit import Stream, cycles, generator, load_spec, send, start
from tb.models import put, setting, to_signed

# Columns of a lane from FINISHED on belong to rows that are complete: only the finish unit reads them.
FINISHED = 8


class Sums:
    """What the partial sums must be. ``visits[s]`` is (base, first) of slot ``s``."""

    def __init__(self, dut, chip, rng):
        self.dut, self.chip, self.rng = dut, chip, rng
        self.memory = {}
        self.written = []  # slots in the order of `written`
        self.twins = False
        size = min(chip.lanes, BRICK)
        self.before = [lane // size * size + (lane - 1) % size for lane in range(chip.lanes)]  # in the ring
        cocotb.start_soon(self._watch())

    async def _watch(self):
        edge = RisingEdge(self.dut.clk)
        while True:
            await edge
            if self.dut.written.value:
                self.written.append(int(self.dut.written_slot.value))

    async def add(self, visits, items, stall):
        """Give every lane its ``items``, (slot, column) in order; wait until all have been written."""
        chip, rng = self.chip, self.rng
        for slot, (base, first) in enumerate(visits):
            put(self.dut, f"visits__{slot}", base=base, first=first)
        width = Widths(chip).lane_sum
        senders, before = [], len(self.written)
        for lane, mine in enumerate(items):
            words = rng.integers(-(1 << width - 1), 1 << width - 1, len(mine))
            # Further sums go to elements of the lane's own columns: two lanes never add to one at a time.
            twins = rng.integers(0, 2, len(mine)) if self.twins else np.zeros(len(mine), int)
            for (slot, column), word, twin in zip(mine, words.tolist(), twins.tolist(), strict=True):
                base, first = visits[slot]
                place = column + base, self.before[lane] if twin else lane
                self.memory[place] = word + (0 if first else self.memory[place])
            payload = {
                "sum": words & (1 << width) - 1,
                "slot": [slot for slot, _ in mine],
                "column": [column for _, column in mine],
                "twin": twins,
            }
            senders.append(send(Stream(self.dut, f"i__{lane}"), payload, rng, stall))
        await gather(*senders)
        await cycles(self.dut, 20)
        expected = sorted(slot for mine in items for slot, _ in mine)
        assert sorted(self.written[before:]) == expected

    async def read(self, places, stall):
        """Read by the finish unit's port; compare with the model."""
        dut, rng, got = self.dut, self.rng, []
        edge, due = RisingEdge(dut.clk), [False] * SUM_LATENCY
        pending = [(column * self.chip.lanes + lane) for column, lane in places]
        position, free = 0, False
        while len(got) < len(pending):
            asks = position < len(pending) and rng.random() >= stall
            dut.read_address.value = pending[position] if asks else int(rng.integers(self.chip.psum_depth))
            await edge
            if due.pop(0):
                got.append(to_signed(int(dut.read_data.value), self.chip.acc_width))
            taken, free = asks and free, bool(dut.read_ready.value)  # of the next cycle
            due.append(taken)
            position += taken
        assert got == [self.memory[place] for place in places]


def places_of(chip, columns):
    return [(int(column), lane) for column in columns for lane in range(chip.lanes)]


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5, 0.9])
async def adds_what_the_lanes_give(dut, stall):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    sums = Sums(dut, chip, rng)
    columns = list(range(FINISHED + 8))
    # A first visit sets every sum, whatever the memory held.
    first = [(0, 1)] * chip.slots
    await sums.add(first, [[(0, int(c)) for c in rng.permutation(columns)] for _ in range(chip.lanes)], stall)
    # Then additions, half of them to the element just added to; rows that are complete are read meanwhile.
    for _ in range(4):
        visits = [(int(rng.integers(0, 4)), 0) for _ in range(chip.slots)]
        items = []
        for _ in range(chip.lanes):
            slots = rng.integers(0, chip.slots, 30)
            targets = rng.integers(4, FINISHED, 30)
            targets[1:] = np.where(rng.random(29) < 0.5, targets[:-1], targets[1:])
            items.append([(int(s), int(t - visits[s][0])) for s, t in zip(slots, targets, strict=True)])
        complete = places_of(chip, rng.integers(FINISHED, FINISHED + 8, 12))
        await gather(sums.add(visits, items, stall), sums.read(complete, stall))
    await sums.read(places_of(chip, columns), 0.0)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_first_visit_forgets_the_row_before(dut):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    sums = Sums(dut, chip, rng)
    visits = [(0, 1), (0, 0)] + [(0, 1)] * (chip.slots - 2)
    # First, further, first, further of one element, without a pause, in every lane.
    await sums.add(visits, [[(0, 3), (1, 3), (0, 3), (1, 3)] for _ in range(chip.lanes)], 0.0)
    await sums.read(places_of(chip, [3]), 0.0)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def a_twin_goes_to_the_lane_that_its_column_belongs_to(dut, stall):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    sums = Sums(dut, chip, rng)
    sums.twins = True
    # Columns of the lanes differ, so that no element is written twice.
    mine = [[(0, int(c) * chip.lanes + lane) for c in rng.permutation(2)] for lane in range(chip.lanes)]
    room = chip.psum_depth // chip.lanes
    mine = [[(0, column % room) for _, column in items] for items in mine]
    await sums.add([(0, 1)] * chip.slots, mine, stall)
    await sums.read([place for place in sums.memory], 0.0)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def takes_a_sum_in_every_cycle(dut):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    sums = Sums(dut, chip, rng)
    spent = 0
    adding = cocotb.start_soon(sums.add([(0, 1)] * chip.slots, [[(0, 1)] * 20] * chip.lanes, 0.0))
    while len(sums.written) < 20 * chip.lanes:
        await cycles(dut, 1)
        spent += 1
    await adding
    pace = max(chip.lanes, setting("pause"))
    assert spent <= 20 * pace + setting("latency") + 4


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    """Edges from the one that takes a lane's sum to the first that sees ``written``; every lane's is the same."""
    chip = load_spec(Chip)
    await start(dut)
    lane = int(generator().integers(chip.lanes))
    valid, ready = getattr(dut, f"i__{lane}__valid"), getattr(dut, f"i__{lane}__ready")
    valid.value = 1
    await RisingEdge(dut.clk)
    while not ready.value:
        await RisingEdge(dut.clk)
    latency = 0
    while not dut.written.value:
        await RisingEdge(dut.clk)
        latency += 1
    assert latency == setting("latency")
