"""Fetch against its golden twin: windows, tiles, densities and tails of every kind, bricks at once or late."""

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from golden.fetch import row_list
from golden.window import seen
from spec.chip import BRICK, Chip
from spec.engine import Widths
from spec.isa import WINDOW
from spec.product import ceil_div
from tb.kit import Stream, cycles, generator, guard, load_spec, send, start
from tb.models import pack, put, serve, to_signed, unpack

BUFFERS = 4  # bricks asked for ahead
LATENCY = 8  # cycles: four places for bricks, the words being read, their rows of B, the two registers of the multiplier
FIRST = 8  # cycles from a job to its first request


def plain(length):
    """One tap of ``length`` words."""
    tap = {"a_bricks": ceil_div(length, BRICK), "a_tail": (length - 1) % BRICK + 1, "tap_k": length, "bias": 0}
    window = dict.fromkeys((field.name for field in WINDOW), 0)
    window |= dict.fromkeys(("out_x", "out_y", "in_x", "in_y", "dilation", "stride", "taps_x", "taps_y"), 1)
    return window | tap | {"a_tile": tap["a_bricks"], "one_base": 0}


def draw_window(rng, chip):
    """A window in tiles of whole taps, or of bricks wherever taps begin; a tap may be longer than a list."""
    words = int(rng.integers(1, 21))
    bricks, taps_y, taps_x = ceil_div(words, BRICK), int(rng.integers(1, 6)), int(rng.integers(1, 6))
    dilation, bias = int(rng.choice([1, 1, 2, 4])), int(rng.integers(2))
    most = chip.list_depth // (BRICK * bricks)  # taps of a tile
    in_taps = most and rng.random() < 0.7
    a_tile = bricks * int(rng.integers(1, most + 1)) if in_taps else int(rng.integers(1, chip.list_depth // BRICK + 1))
    whole = a_tile % bricks == 0 and rng.random() < 0.5
    step = bricks + int(rng.integers(3))
    return {
        "out_x": 1, "out_y": 1, "in_x": int(rng.integers(1, 7)), "in_y": int(rng.integers(1, 7)), "origin_x": int(rng.integers(-5, 5)),
        "origin_y": int(rng.integers(-5, 5)), "phase_x": int(rng.integers(dilation)), "phase_y": int(rng.integers(dilation)),
        "dilation": dilation, "stride": 1, "taps_x": taps_x, "taps_y": taps_y, "step_x": step, "step_y": 7 * step, "step_b": 0,
        "a_bricks": bricks, "a_tail": words - BRICK * (bricks - 1), "tap_k": words + int(rng.integers(3)) if whole else BRICK * bricks,
        "bias": bias, "one_base": int(rng.integers(chip.scratch_bricks)), "a_tile": a_tile,
    }  # fmt: skip


def draw_place(rng, f):
    """Where another row's window begins: some lie outside the operand, and rows of several kinds follow each other."""
    if rng.random() < 0.5:
        return {}
    return {"origin_x": int(rng.integers(-5, 5)) if f["taps_x"] > 1 else f["origin_x"], "origin_y": int(rng.choice([-9, f["origin_y"]]))}


def words_of(chip, f, base, skip, memory):
    """Words of one row in one tile and the rows of B that they meet, counted in the tile."""
    inside, address = seen(f, np.zeros(1, int), base)
    bricks = [(tap, n) for tap in range(f["taps_x"] * f["taps_y"]) for n in range(f["a_bricks"])]
    bricks += [(f["taps_x"] * f["taps_y"], 0)] * f["bias"]
    part = bricks[skip : skip + f["a_tile"]]
    start = part[0][0] * f["tap_k"] + BRICK * part[0][1]
    words, rows = [], []
    for tap, n in part:
        if tap == f["taps_x"] * f["taps_y"]:
            count, at = 1, f["one_base"]
        elif inside[0, tap]:
            count, at = f["a_tail"] if n == f["a_bricks"] - 1 else BRICK, int(address[0, tap]) + n
        else:
            continue
        words += unpack(memory[at % chip.scratch_bricks], chip.width)[:count]
        rows += range(tap * f["tap_k"] + BRICK * n - start, tap * f["tap_k"] + BRICK * n - start + count)
    return np.array(words, int), np.array(rows, int)


def command(dut, chip, f, **others):
    bits = dict(Widths(chip).command_fields())
    put(dut, "command", **{name: int(value) & (1 << bits[name]) - 1 for name, value in (f | others).items()})


def job(f, slot=0, skip=0, base=0):
    place = {"row": 0, "address": base, "y": f["origin_y"], "x": f["origin_x"], "phase_y": f["phase_y"], "phase_x": f["phase_x"]}
    return {"slot": [slot], "skip": [skip]} | {f"row__{name}": [value] for name, value in place.items()}


def draw_memory(rng, chip, density):
    limit = 1 << chip.width - 1
    words = rng.integers(-limit, limit, (chip.scratch_bricks, BRICK))
    return [pack(brick, chip.width) for brick in words * (rng.random(words.shape) < density)]


async def record(dut, chip, lists):
    """Lists as they are completed: slot, pairs, and the cycles from their first to their last write."""
    edge, pairs, slot, now, times = RisingEdge(dut.clk), None, None, 0, []
    while True:
        await edge
        now += 1
        if dut.done.value:
            assert int(dut.done_slot.value) == slot
            assert int(dut.done_last.value) == len(pairs) - 1
            lists.append((slot, pairs, times[-1] - times[0] + 1))
            pairs = None
        if dut.w_enable.value:
            if pairs is None:
                pairs, times, slot = [], [], int(dut.w_slot.value)
            assert int(dut.w_address.value) == len(pairs), "a pair was stored out of turn"
            assert int(dut.w_slot.value) == slot, "the slot changed within a list"
            pairs.append((int(dut.w_k.value), to_signed(int(dut.w_a.value), chip.width)))
            times.append(now)


async def check(dut, rng, chip, f, rows, columns, skip, memory, stall, latency):
    """Fetch ``rows``, (bricks before the tile, address of the window's first position, what else differs from ``f``).

    Return the cycles each took to write.
    """
    lists = []
    command(dut, chip, f, columns=columns, skip=skip)
    await cycles(dut, 2)
    servant = cocotb.start_soon(
        serve(Stream(dut, "request"), dut.brick_valid, dut.brick, memory, rng, stall, latency, outstanding=BUFFERS)
    )
    watcher = cocotb.start_soon(record(dut, chip, lists))
    slots = [int(slot) for slot in rng.integers(0, chip.slots, len(rows))]
    for slot, (before, base, place) in zip(slots, rows, strict=True):
        await send(Stream(dut, "i"), job(f | place, slot, before, base), rng, stall)
    for _ in range(5000):
        if len(lists) == len(rows):
            break
        await cycles(dut, 1)
    await cycles(dut, 20)
    servant.cancel()
    watcher.cancel()

    assert len(lists) == len(rows), f"{len(lists)} lists of {len(rows)} rows"
    wrap = (1 << Widths(chip).half_address) - 1
    for (before, base, place), slot, (got_slot, pairs, _) in zip(rows, slots, lists, strict=True):
        words, k = words_of(chip, f | place, base, before, memory)
        kept, a = row_list(words, 1, skip)
        assert got_slot == slot
        if len(words) and (words.any() or not skip):
            np.testing.assert_array_equal(pairs, np.stack([k[kept] * columns & wrap, a], axis=1))
        else:
            assert [a for _, a in pairs] == [0], "an empty row is one zero, wherever in the tile"
    return [span for _, _, span in lists]


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5, 0.9], density=[0.0, 0.1, 0.5, 1.0])
async def matches_golden(dut, stall, density):
    """Rows of a plain matrix of any length, then windows of any kind and any tile of them."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    cocotb.start_soon(guard(Stream(dut, "request")))
    memory = draw_memory(rng, chip, density)
    for skip in (1, 0):
        windows = [plain(int(length)) for length in (1, 7, 8, 9, chip.list_depth, *rng.integers(1, chip.list_depth + 1, 3))]
        windows += [draw_window(rng, chip) for _ in range(12)]
        for f in windows:
            columns, latency = int(rng.integers(1, 1 << Widths(chip).column, endpoint=True)), int(rng.integers(1, 12))
            total = f["taps_x"] * f["taps_y"] * f["a_bricks"] + f["bias"]
            tiles = range(0, total, f["a_tile"])
            rows = [(int(rng.choice(tiles)), int(rng.integers(chip.scratch_bricks)), draw_place(rng, f)) for _ in range(4)]
            await check(dut, rng, chip, f, rows, columns, skip, memory, stall, latency)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def stores_a_nonzero_in_every_cycle(dut):
    """Also from one row to the next: lists of full bricks follow each other without a pause."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    memory = draw_memory(rng, chip, 1.0)
    rows = [(0, int(address), {}) for address in rng.integers(0, chip.scratch_bricks // 2, 3)]
    spans = await check(dut, rng, chip, plain(chip.list_depth), rows, 1, 0, memory, 0.0, 6)
    assert max(spans) == chip.list_depth, f"{max(spans)} cycles for {chip.list_depth} words"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def spends_a_cycle_on_a_brick_of_zeros(dut):
    """Bricks come four cycles after they are asked for, four at a time: sixteen take about that many."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    count = chip.list_depth // BRICK
    command(dut, chip, plain(chip.list_depth), columns=1, skip=1)
    cocotb.start_soon(serve(Stream(dut, "request"), dut.brick_valid, dut.brick, [0] * chip.scratch_bricks, rng))
    await send(Stream(dut, "i"), job(plain(chip.list_depth)), rng)
    spent = 0
    while not dut.done.value:
        await cycles(dut, 1)
        spent += 1
    assert spent <= 2 * count + FIRST + LATENCY + 8


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def spends_a_cycle_on_a_tap_outside(dut):
    """A window of which only the last tap lies in the operand, and one without any."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    memory = [1] * chip.scratch_bricks
    cocotb.start_soon(serve(Stream(dut, "request"), dut.brick_valid, dut.brick, memory, rng))
    for taps, inside in ((3, 1), (11, 1), (11, 0)):
        f = plain(1) | {"taps_x": taps, "taps_y": taps, "origin_x": 1 - taps, "origin_y": 1 - taps, "in_x": inside, "a_tile": taps * taps}
        command(dut, chip, f, columns=1, skip=1)
        await cycles(dut, 2)
        await send(Stream(dut, "i"), job(f), rng)
        spent = 0
        while not dut.done.value:
            await cycles(dut, 1)
            spent += 1
        assert taps * taps <= spent <= taps * taps + FIRST + LATENCY + 8
        await cycles(dut, 5)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    """Edges from a job's transfer to its first request, and from the first that sees a brick to the first that sees its pair."""
    chip = load_spec(Chip)
    await start(dut)
    command(dut, chip, plain(BRICK), columns=1, skip=1)
    await cycles(dut, 2)
    await send(Stream(dut, "i"), job(plain(BRICK)), generator())
    latency = 0
    while not dut.request__valid.value:
        await RisingEdge(dut.clk)
        latency += 1
    assert latency == FIRST
    dut.request__ready.value = 1
    await cycles(dut, 5)
    dut.brick.value, dut.brick_valid.value = pack([1] * BRICK, chip.width), 1
    await RisingEdge(dut.clk)
    dut.brick_valid.value = 0
    latency = 0
    while not dut.w_enable.value:
        await RisingEdge(dut.clk)
        latency += 1
    assert latency == LATENCY
