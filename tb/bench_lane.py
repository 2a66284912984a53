"""Lane against NumPy: columns of lists that circulate, are refilled and change rows; sums stalled at random."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from golden.product import exact_product
from spec.bram import Storage
from spec.chip import Chip
from spec.engine import RESULTS, Widths
from spec.multiplier import Multiply
from tb.kit import Stream, collect, cycles, generator, guard, load_spec, send, start
from tb.models import put, to_signed

# A list of this many pairs keeps a lane busy; columns of a shorter one wait for room among the sums.
SHORTEST = 5
# Address; bank; multiplier; then the places that finished sums wait in.
LATENCY = 1 + Storage.LATENCY + Multiply.LATENCY + RESULTS


class Lists:
    """Row lists that circulate on ``pairs_i``: nothing, or the pairs of one row round and round."""

    def __init__(self, dut, chip, rng):
        self.dut, self.chip, self.rng = dut, chip, rng
        self.k = [np.zeros(0, int)] * chip.slots
        self.a = [np.zeros(0, int)] * chip.slots
        self.half = [0] * chip.slots
        self.generation = [0] * chip.slots
        self.shown = [None] * chip.slots  # generation and pairs that pass now
        cocotb.start_soon(self._circulate())

    async def _circulate(self):
        edge, position = RisingEdge(self.dut.clk), 0
        while True:
            await edge
            position += 1
            for s, shown in enumerate(self.shown):
                if shown is None:
                    noise = {"generation": self.rng.integers(2), "k": self.rng.integers(8), "a": self.rng.integers(8)}
                    put(self.dut, f"pairs_i__{s}", valid=0, **noise)
                else:
                    generation, pairs = shown
                    k, a = pairs[position % len(pairs)]
                    put(self.dut, f"pairs_i__{s}", valid=1, generation=generation, k=k, a=a)

    def fill(self, slot, columns, length):
        """A new row of ``length`` pairs takes the slot: its books change now, its pairs come later."""
        rng, chip = self.rng, self.chip
        places = min((1 << Widths(chip).half_address) // columns, chip.list_depth)
        limit = 1 << chip.width - 1
        self.k[slot] = rng.permutation(places)[:length] * columns
        self.a[slot] = rng.choice([-limit, limit - 1, -1, *rng.integers(-limit, limit, 5)], len(self.k[slot]))
        self.half[slot] = int(rng.integers(2))
        self.generation[slot] ^= 1
        put(self.dut, f"info__{slot}", generation=self.generation[slot], half=self.half[slot])
        cocotb.start_soon(self._show(slot))

    async def _show(self, slot):
        await cycles(self.dut, int(self.rng.integers(0, 12)))  # the old pairs still pass
        self.shown[slot] = None
        await cycles(self.dut, int(self.rng.integers(0, 6)))
        words = [int(a) & (1 << self.chip.width) - 1 for a in self.a[slot]]
        pairs = list(zip(self.k[slot].tolist(), words, strict=True))
        self.shown[slot] = self.generation[slot], pairs


async def load(dut, chip, rng):
    """Random words, extremes among them, in both halves of the bank; return them as (2, words of a half)."""
    limit, depth = 1 << chip.width - 1, 1 << Widths(chip).half_address
    bank = rng.integers(-limit, limit, (2, depth))
    bank[:, ::7] = -limit
    for address, word in enumerate(bank.ravel().tolist()):
        dut.load_enable.value, dut.load_address.value = 1, address
        dut.load_word.value = word & (1 << chip.width) - 1
        await RisingEdge(dut.clk)
    dut.load_enable.value = 0
    return bank


def expected(lists, bank, slot, column):
    words = bank[lists.half[slot]][(lists.k[slot] + column) % bank.shape[1]]
    return int(exact_product(lists.a[slot][None, :], words[:, None])[0, 0])


async def compute(dut, lists, bank, slots, columns, rng, source, sink):
    """Send columns and compare their sums; return how many products they need."""
    i, o = Stream(dut, "i"), Stream(dut, "o")
    sender = cocotb.start_soon(send(i, {"slot": slots, "column": columns}, rng, source))
    got = await collect(o, len(slots), rng, sink, after=30)
    await sender
    sums = [to_signed(int(word), o.widths["sum"]) for word in got["sum"]]
    np.testing.assert_array_equal(got["slot"], slots)
    np.testing.assert_array_equal(got["column"], columns)
    assert sums == [expected(lists, bank, s, c) for s, c in zip(slots, columns, strict=True)]
    return sum(len(lists.k[s]) for s in slots)


async def count_busy(dut, counts):
    edge = RisingEdge(dut.clk)
    while True:
        await edge
        counts.append(int(dut.busy.value))


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(source=[0.0, 0.5], sink=[0.0, 0.5, 0.95])
async def sums_columns_of_every_list(dut, source, sink):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    cocotb.start_soon(guard(Stream(dut, "o")))
    bank, lists, busy = await load(dut, chip, rng), Lists(dut, chip, rng), []
    cocotb.start_soon(count_busy(dut, busy))
    columns, needed = 5, 0
    for turn in range(12):
        for slot in range(chip.slots):
            if turn == 0 or rng.random() < 0.6:
                lists.fill(slot, columns, int(rng.choice([1, 1, 2, 3, 20])))
        slots = np.repeat(rng.integers(0, chip.slots, 6), rng.integers(1, 4, 6))
        needed += await compute(
            dut, lists, bank, slots, rng.integers(0, columns, len(slots)), rng, source, sink
        )
    assert sum(busy) == needed, "products were issued that nobody needs"


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(length=[1, 2, 3, 4, 5, 6, 9])
async def loses_no_cycle_within_a_row(dut, length):
    """Unless lists are so short that finished sums are still on their way when the next column could start."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    bank, lists, busy = await load(dut, chip, rng), Lists(dut, chip, rng), []
    lists.fill(0, 4, length)
    await cycles(dut, 25)
    cocotb.start_soon(count_busy(dut, busy))
    needed = await compute(dut, lists, bank, np.zeros(30, int), np.arange(30) % 4, rng, 0.0, 0.0)
    span = "".join(map(str, busy)).strip("0")
    assert span.count("1") == needed
    assert len(span) <= 30 * max(length, SHORTEST)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def starts_nothing_that_it_could_not_keep(dut):
    """With its output stalled a lane computes as many sums as it has places for, and says that it is blocked."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    bank, lists, busy = await load(dut, chip, rng), Lists(dut, chip, rng), []
    lists.fill(0, 4, 5)
    await cycles(dut, 25)
    cocotb.start_soon(count_busy(dut, busy))
    slots, columns = np.zeros(RESULTS + 2, int), np.arange(RESULTS + 2) % 4
    sender = cocotb.start_soon(send(Stream(dut, "i"), {"slot": slots, "column": columns}, rng))
    await cycles(dut, 100)
    assert sum(busy) == RESULTS * 5
    assert dut.blocked.value
    got = await collect(Stream(dut, "o"), len(slots), rng)
    await sender
    width = Stream(dut, "o").widths["sum"]
    assert [to_signed(int(word), width) for word in got["sum"]] == [expected(lists, bank, 0, c) for c in columns]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    """From the cycle that counts a column's last product to its sum."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    await load(dut, chip, rng)
    lists, busy = Lists(dut, chip, rng), []
    lists.fill(0, 4, 6)
    await cycles(dut, 25)
    dut.o__ready.value = 1
    cocotb.start_soon(count_busy(dut, busy))
    cocotb.start_soon(send(Stream(dut, "i"), {"slot": [0], "column": [3]}, rng))
    valid = []
    while not any(valid):
        await cycles(dut, 1)
        valid.append(int(dut.o__valid.value))
    last = max(n for n, issued in enumerate(busy) if issued)
    assert valid.index(1) - last == LATENCY
