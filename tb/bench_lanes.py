"""Lanes against NumPy: columns of lists that circulate, are refilled and change rows; every stream stalled at random."""

from collections import deque
from dataclasses import dataclass, field

import cocotb
import numpy as np
from cocotb.triggers import Event, RisingEdge
from cocotb.utils import get_sim_time

from golden.product import exact_product
from spec.chip import BRICK, Chip
from spec.engine import Widths, results
from spec.product import ceil_div
from tb.kit import PERIOD_NS, Stream, collect, cycles, generator, guard, load_spec, send, start
from tb.models import BEHIND, HOP, pack, put, setting, to_signed

COLUMNS = 5
COUNTED = 2  # cycles from a pair at its lane to the busy bit of its product
ENTRY = 3  # cycles from an item's transfer to the pair it begins with, in a lane that has nothing to do


def shortest(chip):
    """A list of this many pairs keeps a lane busy; columns of a shorter one wait for room among the sums."""
    return {3: 6, 2: 10}[results(chip)]


def spread(chip):
    return ceil_div(chip.lanes, HOP)


def clock():
    return int(get_sim_time("ns")) // PERIOD_NS


class Lists:
    """Row lists that circulate on ``pairs``: noise, or the pairs of one row round and round."""

    def __init__(self, dut, chip, rng):
        self.dut, self.chip, self.rng = dut, chip, rng
        self.k = [np.zeros(0, int)] * chip.slots
        self.a = [np.zeros(0, int)] * chip.slots
        self.half = [0] * chip.slots
        self.shown = [None] * chip.slots  # pairs that pass now
        self.since = None  # pairs carry the number of cycles since then
        self.words = [deque([0] * BEHIND) for _ in range(chip.slots)]  # words come after their offsets
        cocotb.start_soon(self._circulate())

    async def _circulate(self):
        edge = RisingEdge(self.dut.clk)
        while True:
            await edge
            for slot in range(self.chip.slots):
                self.words[slot].append(self._pass(slot))
                getattr(self.dut, f"pairs__{slot}__a").value = self.words[slot].popleft()

    def _pass(self, slot):
        if (pairs := self.shown[slot]) is None:
            widths = Widths(self.chip)
            k, a = self.rng.integers(1 << widths.half_address), self.rng.integers(1 << self.chip.width)
        else:
            k, a = pairs[clock() % len(pairs)]
            a = a if self.since is None else clock() - self.since
        getattr(self.dut, f"pairs__{slot}__k").value = int(k)
        return int(a)

    async def fill(self, slot, length, gap=None):
        """A new row of ``length`` pairs takes the slot; returns in the cycle in which it has come to every lane."""
        rng, chip = self.rng, self.chip
        places = min((1 << Widths(chip).half_address) // COLUMNS, chip.list_depth)
        limit = 1 << chip.width - 1
        self.k[slot] = rng.permutation(places)[:length] * COLUMNS
        self.a[slot] = rng.choice([-limit, limit - 1, -1, *rng.integers(-limit, limit, 5)], len(self.k[slot]))
        self.half[slot] = int(rng.integers(2))
        self.dut.halves.value = pack(self.half, 1)
        self.shown[slot] = None
        await cycles(self.dut, int(rng.integers(0, 6)) if gap is None else gap)
        words = [int(a) & (1 << chip.width) - 1 for a in self.a[slot]]
        self.shown[slot] = list(zip(self.k[slot].tolist(), words, strict=True))
        self.words[slot][-1] = self._pass(slot)
        await cycles(self.dut, spread(chip))


async def load(dut, chip, bank):
    """Write ``bank``, (2, words of a half, lanes), into the banks."""
    for address, row in enumerate(bank.reshape(-1, chip.lanes)):
        for upper in range(ceil_div(chip.lanes, BRICK)):
            words = row[upper * BRICK : (upper + 1) * BRICK]
            put(dut, "load", enable=1, upper=upper, address=address, words=pack(words.tolist(), chip.width))
            await RisingEdge(dut.clk)
    # What is on the bus now is not written.
    put(dut, "load", enable=0, address=0, words=pack([1] * min(chip.lanes, BRICK), chip.width))


def draw_bank(chip, rng):
    """Random words, extremes among them, for both halves of every lane's bank."""
    limit, depth = 1 << chip.width - 1, 1 << Widths(chip).half_address
    bank = rng.integers(-limit, limit, (2, depth, chip.lanes))
    bank[:, ::7] = -limit
    return bank


def offset_of(column):
    """Where a column's words of B lie: not where its sum goes."""
    return (column + 2) % COLUMNS


def an_item(slot, column):
    return {"slot": [slot], "column": [column], "offset": [offset_of(column)], "twin": [column & 1]}


def expected(lists, bank, lane, slot, column):
    words = bank[lists.half[slot], (lists.k[slot] + offset_of(column)) % bank.shape[1], lane]
    return int(exact_product(lists.a[slot][None, :], words[:, None])[0, 0])


async def watch(dut, signal, seen):
    """The signal's value in every cycle."""
    edge, handle = RisingEdge(dut.clk), getattr(dut, signal)
    while True:
        await edge
        seen.append(int(handle.value))


def of_lane(seen, lane):
    return [bits >> lane & 1 for bits in seen]


async def prepare(dut, rng, chip, bank):
    await start(dut)
    for n in range(chip.lanes):
        cocotb.start_soon(guard(Stream(dut, f"o__{n}")))
    await load(dut, chip, bank)
    return Lists(dut, chip, rng)


@dataclass
class World:
    """What sends columns to the lanes and takes their sums, and the books of both."""

    dut: object
    chip: Chip
    rng: np.random.Generator
    source: float = 0.0
    sink: tuple | float = 0.0  # of all lanes, or one by one
    due: list = field(default_factory=list)  # by lane: (slot, column, sum) to come, in order
    todo: list = field(default_factory=list)  # by lane: what is still to be sent
    sent: list = field(default_factory=list)  # by lane: how many were
    outstanding: list = field(default_factory=list)  # by slot: sums to come
    drifted: bool = False  # lanes have worked on different rows at once

    def __post_init__(self):
        lanes = range(self.chip.lanes)
        self.due, self.todo, self.sent = [deque() for _ in lanes], [deque() for _ in lanes], [0 for _ in lanes]
        self.outstanding = [0] * self.chip.slots
        self.left = Event()
        self.sinks = [self.sink] * self.chip.lanes if isinstance(self.sink, float) else list(self.sink)
        for n in lanes:
            cocotb.start_soon(self._send(n))
        cocotb.start_soon(self._take())

    def compute(self, lists, bank, lane, slot, column):
        self.due[lane].append((slot, column, expected(lists, bank, lane, slot, column)))
        self.outstanding[slot] += 1
        self.todo[lane].append((slot, column))

    async def _send(self, lane):
        stream, edge = Stream(self.dut, f"i__{lane}"), RisingEdge(self.dut.clk)
        while True:
            while not self.todo[lane]:
                await edge
            slot, column = self.todo[lane].popleft()
            await send(stream, an_item(slot, column), self.rng, self.source)
            self.sent[lane] += 1

    async def _take(self):
        edge, width = RisingEdge(self.dut.clk), 2 * self.chip.width + Widths(self.chip).list_address
        streams = [Stream(self.dut, f"o__{n}") for n in range(self.chip.lanes)]
        ready = [0] * self.chip.lanes
        while True:
            for n, stream in enumerate(streams):
                ready[n] = int(self.rng.random() >= self.sinks[n])
                stream.ready.value = ready[n]
            await edge
            for n, stream in enumerate(streams):
                if not (stream.valid.value and ready[n]):
                    continue
                got = {name: int(handle.value) for name, handle in stream.fields.items()}
                assert self.due[n], f"lane {n} gives a sum that nobody asked for"
                slot, column, total = self.due[n].popleft()
                assert (got["slot"], got["column"], to_signed(got["sum"], width)) == (slot, column, total), f"lane {n}"
                assert got["twin"] == column & 1, f"lane {n}"
                self.outstanding[slot] -= 1
                if self.outstanding[slot] == 0:
                    self.left.set()
            self.drifted |= len({due[0][0] for due in self.due if due}) > 1

    async def free(self):
        """Slots of which no sum is to come; waits until there is one."""
        while True:
            if free := [slot for slot, count in enumerate(self.outstanding) if count == 0]:
                return free
            self.left.clear()
            await self.left.wait()

    async def rest(self):
        """Until every sum has left, and no other one follows."""
        while any(self.outstanding):
            self.left.clear()
            await self.left.wait()
        await cycles(self.dut, 30)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(source=[0.0, 0.5], sink=[0.0, 0.5, 0.95])
async def sums_columns_of_every_list(dut, source, sink):
    """A slot is refilled in the very cycle in which its last sum leaves, or later."""
    rng, chip = generator(), load_spec(Chip)
    bank, busy = draw_bank(chip, rng), []
    lists, world = await prepare(dut, rng, chip, bank), World(dut, chip, rng, source, sink)
    cocotb.start_soon(watch(dut, "busy", busy))
    needed = np.zeros(chip.lanes, int)
    for _ in range(50):
        slot = int(rng.choice(await world.free()))
        await lists.fill(slot, int(rng.choice([1, 1, 2, 3, 20])), int(rng.choice([0, 1, rng.integers(1, 12)])))
        share = rng.choice([0, 0.5, 1])
        for lane in range(chip.lanes):
            count = int(rng.integers(0, 5)) if rng.random() < share else 1
            for column in rng.integers(0, COLUMNS, count).tolist():
                world.compute(lists, bank, lane, slot, column)
            needed[lane] += count * len(lists.k[slot])
    await world.rest()
    issued = [sum(of_lane(busy, lane)) for lane in range(chip.lanes)]
    assert issued == needed.tolist(), "products were issued that nobody needs"
    assert world.drifted


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(length=[1, 2, 3, 4, 5, 6, 7, 8, 9])
async def loses_no_cycle_within_a_row(dut, length):
    """Unless lists are so short that finished sums are still on their way when the next column could start."""
    rng, chip = generator(), load_spec(Chip)
    bank, busy = draw_bank(chip, rng), []
    lists, world = await prepare(dut, rng, chip, bank), World(dut, chip, rng)
    await lists.fill(0, length)
    cocotb.start_soon(watch(dut, "busy", busy))
    for column in np.arange(30) % COLUMNS:
        for lane in range(chip.lanes):
            world.compute(lists, bank, lane, 0, int(column))
    await world.rest()
    for lane in range(chip.lanes):
        span = "".join(map(str, of_lane(busy, lane))).strip("0")
        assert span.count("1") == 30 * length
        dut._log.info(f"{length} pairs: {len(span) / 30:.2f} cycles a column")
        assert len(span) <= 30 * (length if length >= shortest(chip) else shortest(chip) + 1)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def loses_two_cycles_between_rows(dut):
    rng, chip = generator(), load_spec(Chip)
    bank, busy = draw_bank(chip, rng), []
    lists, world = await prepare(dut, rng, chip, bank), World(dut, chip, rng)
    lengths = [shortest(chip), shortest(chip) + 3]
    for slot, length in enumerate(lengths):
        await lists.fill(slot, length)
    cocotb.start_soon(watch(dut, "busy", busy))
    for turn in range(6):
        for column in range(3):
            for lane in range(chip.lanes):
                world.compute(lists, bank, lane, turn % 2, column)
    await world.rest()
    for lane in range(chip.lanes):
        span = "".join(map(str, of_lane(busy, lane))).strip("0")
        assert len(span) == 3 * 3 * sum(lengths) + 5 * 2


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def starts_nothing_that_it_could_not_keep(dut):
    """A lane whose output is stalled computes as many sums as it has places for and says that it is blocked; a column
    waits at its head and others in front of that. The other lanes go on."""
    rng, chip = generator(), load_spec(Chip)
    bank, busy, blocked = draw_bank(chip, rng), [], []
    lists = await prepare(dut, rng, chip, bank)
    stalled = rng.permutation(chip.lanes)[: chip.lanes // 2].tolist()
    world = World(dut, chip, rng, sink=tuple(1.0 if n in stalled else 0.0 for n in range(chip.lanes)))
    length, places = shortest(chip), results(chip)
    await lists.fill(0, length)
    for signal, seen in (("busy", busy), ("blocked", blocked)):
        cocotb.start_soon(watch(dut, signal, seen))
    count = places + 1 + 4
    for column in range(count):
        for lane in range(chip.lanes):
            world.compute(lists, bank, lane, 0, column % COLUMNS)
    await cycles(dut, (count + 4) * (length + 1))
    for lane in range(chip.lanes):
        held = lane in stalled
        assert sum(of_lane(busy, lane)) == length * (places if held else count)
        assert of_lane(blocked, lane)[-1] == held
        assert world.sent[lane] == (places + 1 if held else count)
        if not held:
            assert sum(of_lane(blocked, lane)) == 0, "says that it is blocked while it is not"
    world.sinks = [0.0] * chip.lanes
    await world.rest()
    assert [sum(of_lane(busy, lane)) for lane in range(chip.lanes)] == [count * length] * chip.lanes


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    """Pairs carry the cycle they are sent in, so a sum tells which pairs of the list it was made of."""
    rng, chip = generator(), load_spec(Chip)
    bank = np.ones((2, 1 << Widths(chip).half_address, chip.lanes), int)
    lists, length = await prepare(dut, rng, chip, bank), 6
    await lists.fill(0, length)
    for lane in rng.permutation(chip.lanes).tolist():
        i, o = Stream(dut, f"i__{lane}"), Stream(dut, f"o__{lane}")
        lists.since = clock()
        await cycles(dut, spread(chip) + int(rng.integers(0, length)))  # words of before have passed
        i.valid.value = 1
        i.drive(i.to_rows(an_item(0, 3))[0])
        o.ready.value = 1
        taken = clock() - lists.since
        await cycles(dut, 1)
        i.valid.value = 0
        while True:
            await cycles(dut, 1)
            now = clock() - 1 - lists.since  # an edge shows the cycle before it
            if int(dut.busy.value) >> lane & 1:
                counted = now
            if o.valid.value:
                break
        first, odd = divmod(int(o.fields["sum"].value) - length * (length - 1) // 2, length)
        assert odd == 0
        late = 1 + lane // HOP  # cycles until a pair comes to this lane
        assert first + late == taken + ENTRY
        last = first + length - 1 + late
        assert (counted, now) == (last + COUNTED, last + setting("latency"))
        await cycles(dut, 1)
        o.ready.value = 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def forgets_columns_that_reset_ends(dut):
    """Wherever in a column, at the head or among the sums it meets them."""
    rng, chip = generator(), load_spec(Chip)
    bank = draw_bank(chip, rng)
    await start(dut)
    await load(dut, chip, bank)
    lists = Lists(dut, chip, rng)
    for spent in rng.permutation(24).tolist():
        await lists.fill(0, 7)
        for lane in range(chip.lanes):
            stream = Stream(dut, f"i__{lane}")
            stream.drive(stream.to_rows(an_item(0, lane % COLUMNS))[0])
            stream.valid.value = 1
        await cycles(dut, spent)
        dut.rst.value = 1
        for lane in range(chip.lanes):
            getattr(dut, f"i__{lane}__valid").value = 0
        await cycles(dut, 1)
        dut.rst.value = 0
        await cycles(dut, 1)
        for lane in range(chip.lanes):
            i, o = Stream(dut, f"i__{lane}"), Stream(dut, f"o__{lane}")
            await send(i, an_item(0, 3), rng)
            got = await collect(o, 1, rng, after=10)
            assert to_signed(int(got["sum"][0]), o.widths["sum"]) == expected(lists, bank, lane, 0, 3), f"lane {lane}"
