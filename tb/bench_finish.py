"""Finish against golden Convert: rows to bricks, with masks, with stalls on sums, mask bricks and C."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge, gather

from golden.convert import convert
from spec.chip import BRICK, Chip
from spec.engine import SUM_LATENCY, Widths
from spec.number import Rounding
from spec.product import MASK_COLUMNS, ceil_div
from tb.kit import Stream, collect, cycles, generator, guard, load_spec, send, start
from tb.models import pack, put, serve, setting, unpack

SOURCES = setting("sources")


class Sums:
    """Partial sums of each group behind its read port: ready at random, an answer ``SUM_LATENCY`` edges after its address."""

    def __init__(self, dut, chip, rng, stall):
        self.words = rng.integers(-(1 << chip.acc_width - 1), 1 << chip.acc_width - 1, (SOURCES, chip.psum_depth))
        # Half of them small, so that not every word is clipped.
        small = rng.integers(-(1 << chip.width), 1 << chip.width, self.words.shape)
        self.words = np.where(rng.random(self.words.shape) < 0.5, small, self.words)
        self.read = []  # of which groups the memory was free, of each read of the row
        self.tasks = [cocotb.start_soon(self._answer(dut, chip, rng, stall))]

    async def _answer(self, dut, chip, rng, stall):
        edge, due = RisingEdge(dut.clk), [None] * (SUM_LATENCY - 1)  # addresses on their way
        mask, free = (1 << chip.acc_width) - 1, 0
        while True:
            await edge
            address = due.pop(0)
            for n in range(SOURCES):
                word = int(rng.integers(1 << 31)) if address is None else int(self.words[n, address])
                getattr(dut, f"read_data__{n}").value = word & mask
            taken = bool(dut.read_enable.value)
            if taken:
                self.read.append(free)
            due.append(int(dut.read_address.value) if taken else None)
            free = int(dut.read_ready.value)  # in the next cycle
            dut.read_ready.value = sum(int(rng.random() >= stall) << n for n in range(SOURCES))
            if done := int(dut.finished.value):
                assert all(bits & done for bits in self.read), "a read while the memory is not free"
                self.read.clear()


class Notes:
    """Counts what finish reports."""

    def __init__(self, dut):
        self.finished, self.saturated = [], 0
        self.task = cocotb.start_soon(self._watch(dut))

    async def _watch(self, dut):
        edge = RisingEdge(dut.clk)
        while True:
            await edge
            self.saturated += int(dut.saturated.value)
            if dut.finished.value:
                self.finished.append((int(dut.finished.value).bit_length() - 1, int(dut.finished_half.value)))
                assert int(dut.finished.value).bit_count() == 1


def draw_mask(rng, chip, memory, address, length, density):
    """Mask bits of a row, in memory from brick ``address`` on; past its end lie ones."""
    bits = np.ones(ceil_div(length, MASK_COLUMNS) * MASK_COLUMNS, int)
    bits[:length] = rng.random(length) < density
    for n, part in enumerate(bits.reshape(-1, 8, 8)):
        memory[address + n] = pack((part << np.arange(8)).sum(axis=1), chip.width)
    return bits[:length]


def walk(count_y, count_x, start, x, y):
    """A value for each segment: ``x`` more from one to the next, ``y`` at the end of a line."""
    return [start + line * ((count_x - 1) * x + y) + place * x for line in range(count_y) for place in range(count_x)]


async def check(dut, chip, rng, masked, rounding, stall, sink, segments=(1, 1)):
    """Finish a dozen rows of two tiles under one command."""
    widths = Widths(chip)
    wrap = (1 << widths.brick_address) - 1
    sums, notes, memory = Sums(dut, chip, rng, stall), Notes(dut), {}
    servant = cocotb.start_soon(serve(Stream(dut, "request"), dut.brick_valid, dut.brick, memory, rng, stall))
    shift, key = int(rng.integers(0, chip.acc_width - chip.width)) % 33, int(rng.integers(1 << 32))
    strides = {name: int(rng.integers(1, 20)) for name in ("c_stride", "mask_stride")}
    index_stride = int(rng.integers(1 << 16))
    put(dut, "command", masked=masked, shift=shift, rounding=rounding, key=key, index_stride=index_stride, **strides)
    count_y, count_x = segments
    room = chip.psum_depth // 2 // (count_y * count_x)
    lengths = [int(rng.integers(1, room)), min(room, int(rng.choice([1, BRICK, BRICK + 1, MASK_COLUMNS])))]
    columns = ceil_div(max(lengths), chip.lanes)
    bases = chip.psum_depth // chip.lanes - count_y * count_x * columns + 1  # from which all segments are in the memory
    steps = {f"seg_{name}": int(rng.integers(1 << 32)) for name in ("index_x", "index_y")}
    steps |= {f"seg_{name}": int(rng.integers(wrap)) for name in ("c_x", "c_y")}
    put(dut, "command", columns=columns, seg_x=count_x, seg_y=count_y, **steps)
    told = []
    for half, length in enumerate(lengths):
        fields = {"c_base": int(rng.integers(wrap)), "mask_base": 0, "index_base": int(rng.integers(1 << 32))}
        told.append(fields)
        put(dut, f"tiles__{half}", n_length=length, **fields)
    strides["mask_stride"] = ceil_div(max(lengths), MASK_COLUMNS)  # rows of the mask follow each other
    dut.command__mask_stride.value = strides["mask_stride"]

    jobs = [{"row": [], "half": [], "base": []} for _ in range(SOURCES)]
    rows, clipped = [[] for _ in range(SOURCES)], 0
    density = float(rng.choice([0.0, 0.5, 1.0]))
    for row in rng.permutation(12).tolist():
        half, source, bricks = int(rng.integers(2)), int(rng.integers(SOURCES)), []
        length, base = lengths[half], int(rng.integers(0, bases))
        for field, value in (("row", row), ("half", half), ("base", base)):
            jobs[source][field].append(value)
        starts = walk(count_y, count_x, told[half]["index_base"], steps["seg_index_x"], steps["seg_index_y"])
        places = walk(count_y, count_x, told[half]["c_base"], steps["seg_c_x"], steps["seg_c_y"])
        for segment, (first, place) in enumerate(zip(starts, places, strict=True)):
            acc = sums.words[source, (base + segment * columns) * chip.lanes :][:length].copy()
            if masked:
                acc[draw_mask(rng, chip, memory, row * strides["mask_stride"], length, density) == 0] = 0
            index = (first + row * index_stride + np.arange(length)) % (1 << 32)
            words, saturations = convert(acc, shift, rounding, key, index, chip.width, chip.acc_width)
            clipped += saturations
            padded = np.zeros(ceil_div(length, BRICK) * BRICK, int)
            padded[:length] = words
            address = place + row * strides["c_stride"]
            bricks += [((address + n) & wrap, brick.tolist()) for n, brick in enumerate(padded.reshape(-1, BRICK))]
        rows[source].append((half, bricks))
    total = sum(len(bricks) for mine in rows for _, bricks in mine)
    *_, got = await gather(
        *(send(Stream(dut, f"i__{n}"), mine, rng, stall) for n, mine in enumerate(jobs)),
        collect(Stream(dut, "o"), total, rng, sink, after=40),
    )
    # Groups take turns as they come; each group's rows are in order.
    assert len(notes.finished) == sum(map(len, rows))
    expected = []
    for source, half in notes.finished:
        wanted, bricks = rows[source].pop(0)
        assert half == wanted
        expected += bricks
    assert [(int(a), unpack(int(w), chip.width)) for a, w in zip(got["address"], got["words"], strict=True)] == expected
    assert notes.saturated == clipped
    assert dut.idle.value
    for task in (servant, *sums.tasks, notes.task):
        task.cancel()


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(masked=[0, 1], stall=[0.0, 0.5], sink=[0.0, 0.5, 0.9])
async def writes_rows_as_golden(dut, masked, stall, sink):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    cocotb.start_soon(guard(Stream(dut, "o")))
    cocotb.start_soon(guard(Stream(dut, "request")))
    for rounding in Rounding:
        await check(dut, chip, rng, masked, rounding, stall, sink)


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5], sink=[0.0, 0.5])
async def writes_every_segment_of_a_row(dut, stall, sink):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    cocotb.start_soon(guard(Stream(dut, "o")))
    for segments in ((1, 2), (3, 1), (2, 3)):
        await check(dut, chip, rng, 0, Rounding.STOCHASTIC, stall, sink, segments)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reads_a_sum_in_every_cycle(dut):
    """Between a row's first and last read lies no other cycle while C does not stall."""
    chip = load_spec(Chip)
    await start(dut)
    length = min(chip.psum_depth, 128)
    put(dut, "tiles__0", n_length=length)
    put(dut, "command", seg_x=1, seg_y=1)
    source = int(generator().integers(SOURCES))
    dut.read_ready.value = 1 << source
    dut.o__ready.value = 1
    getattr(dut, f"i__{source}__valid").value = 1
    await cycles(dut, 1)
    getattr(dut, f"i__{source}__valid").value = 0
    reads = []
    while not dut.finished.value:
        await cycles(dut, 1)
        reads.append(int(dut.read_enable.value))
    assert "".join(map(str, reads)).strip("0") == "1" * length
    await cycles(dut, 100)
    assert dut.idle.value


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def begins_with_the_first_group_anew(dut):
    """Whenever the restart comes, a row is finished as many cycles later."""
    rng = generator()
    await start(dut)
    put(dut, "tiles__0", n_length=1)
    put(dut, "command", seg_x=1, seg_y=1)
    source, waits = int(rng.integers(SOURCES)), []
    dut.read_ready.value = 1 << source
    dut.o__ready.value = 1
    for spent in range(2 * SOURCES):
        await cycles(dut, 60 + spent)
        dut.restart.value = 1
        await cycles(dut, 1)
        dut.restart.value = 0
        getattr(dut, f"i__{source}__valid").value = 1
        await cycles(dut, 1)
        getattr(dut, f"i__{source}__valid").value = 0
        waits.append(0)
        while not dut.finished.value:
            await cycles(dut, 1)
            waits[-1] += 1
    assert len(set(waits)) == 1, waits
