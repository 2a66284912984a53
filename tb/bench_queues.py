"""Queues: every column comes to its lane, or with twins to the next one, in order, whoever stalls."""

from itertools import pairwise

import cocotb
from cocotb.triggers import RisingEdge

from spec.chip import BRICK, Chip
from spec.engine import Widths, queue_round
from tb.kit import Stream, cycles, generator, guard, load_spec, reset, send, start
from tb.models import setting


class Heads:
    """The lanes: each takes a column when its head is free, and is free again after a while."""

    def __init__(self, dut, chip, rng):
        self.chip, self.rng = chip, rng
        self.busy = [0.0] * chip.lanes  # chance that a head is not free in a cycle
        self.got = [[] for _ in range(chip.lanes)]
        self.streams = [Stream(dut, f"o__{n}") for n in range(chip.lanes)]
        self.clk = dut.clk
        cocotb.start_soon(self._take())

    async def _take(self):
        edge, free = RisingEdge(self.clk), [False] * self.chip.lanes
        while True:
            for n, stream in enumerate(self.streams):
                free[n] = free[n] or self.rng.random() >= self.busy[n]
                stream.ready.value = int(free[n])
            await edge
            given = [n for n, stream in enumerate(self.streams) if stream.valid.value]
            assert len(given) <= 1, "columns come to several lanes at once"
            for n in given:
                assert free[n], f"lane {n} gets a column that it has no place for"
                item = {name: int(handle.value) for name, handle in self.streams[n].fields.items()}
                self.got[n].append(tuple(item[name] for name in ("slot", "column", "offset", "twin")))
                free[n] = False


def draw_steps(rng, stream, count, share):
    """Random items for random lanes."""
    steps = {field: rng.integers(0, 1 << width, count) for field, width in stream.widths.items() if field != "lanes"}
    steps["lanes"] = [
        sum(int(rng.random() < share) << n for n in range(stream.widths["lanes"])) for _ in range(count)
    ]
    steps["item__twin"][:] = 0
    return steps


def of_lane(steps, lane):
    """What the steps have for a lane."""
    fields = [steps[f"item__{name}"].tolist() for name in ("slot", "column", "offset", "twin")]
    return [item for mask, *item in zip(steps["lanes"], *fields, strict=True) if mask >> lane & 1]


def after(chip, lane):
    size = min(chip.lanes, BRICK)
    return lane // size * size + (lane + 1) % size


async def arrival(dut, i, step, lane, rng):
    """Cycles from the transfer of a step to its column at the lane."""
    await send(i, step, rng)
    waited = 0
    while not getattr(dut, f"o__{lane}__valid").value:
        await cycles(dut, 1)
        waited += 1
    return waited


async def drained(dut, chip, heads):
    heads.busy = [0.0] * chip.lanes
    await cycles(dut, 2 * (chip.queue_depth + 4) * queue_round(chip))


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(source=[0.0, 0.9], sink=[0.0, 0.9, 0.99])
async def hands_columns_to_their_lanes_in_order(dut, source, sink):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    i, heads = Stream(dut, "i"), Heads(dut, chip, rng)
    cocotb.start_soon(guard(i))
    heads.busy = [sink if rng.random() < 0.5 else 0.0 for _ in range(chip.lanes)]
    due = [[] for _ in range(chip.lanes)]
    for share in (1.0, 0.5, 0.1):
        steps = draw_steps(rng, i, 30, share)
        await send(i, steps, rng, source)
        for lane in range(chip.lanes):
            due[lane] += map(tuple, of_lane(steps, lane))
    await drained(dut, chip, heads)
    assert heads.got == due


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def takes_a_step_every_round(dut):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    i, heads = Stream(dut, "i"), Heads(dut, chip, rng)
    turns, taken = queue_round(chip), []
    cocotb.start_soon(send(i, draw_steps(rng, i, 20, 1.0), rng))
    for cycle in range(21 * turns):
        await cycles(dut, 1)
        if i.valid.value and i.ready.value:
            taken.append(cycle)
    assert len(taken) == 20
    assert {b - a for a, b in pairwise(taken)} == {turns}
    await drained(dut, chip, heads)
    assert list(map(len, heads.got)) == [20] * chip.lanes


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def serves_every_lane_once_a_round(dut):
    """A lane takes a column from its head at once, and the head is free in the third cycle after the column came."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    i, turns = Stream(dut, "i"), queue_round(chip)
    cocotb.start_soon(send(i, draw_steps(rng, i, 20, 1.0), rng))
    heads = [Stream(dut, f"o__{n}") for n in range(chip.lanes)]
    came = [[-3] for _ in heads]
    for cycle in range(24 * turns):
        for head, since in zip(heads, came, strict=True):
            head.ready.value = int(cycle - since[-1] > 2)
        await cycles(dut, 1)
        for head, since in zip(heads, came, strict=True):
            if head.valid.value:
                since.append(cycle)
    for since in came:
        assert {b - a for a, b in pairwise(since[1:])} == {turns}
        assert len(since) == 21


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(late=[False, True])
async def a_full_queue_holds_back_one_step_only(dut, late):
    """The other lanes get what is due in that step, and nothing of the next. late : a lane that is asked last when a step can be taken."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    i, heads = Stream(dut, "i"), Heads(dut, chip, rng)
    stalled = chip.lanes - 2 if late else int(rng.integers(chip.lanes))
    heads.busy[stalled] = 1.0
    # One column more than the queue holds and the head, which nobody takes from.
    steps = draw_steps(rng, i, chip.queue_depth + 5, 1.0)
    sender = cocotb.start_soon(send(i, steps, rng))
    await cycles(dut, (chip.queue_depth + 8) * queue_round(chip))
    counts = list(map(len, heads.got))
    assert counts == [0 if n == stalled else chip.queue_depth + 1 for n in range(chip.lanes)]
    await drained(dut, chip, heads)
    assert sender.done()
    assert [list(map(tuple, of_lane(steps, n))) for n in range(chip.lanes)] == heads.got


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def hands_columns_of_fuller_lanes_to_the_next(dut):
    """Levels count the queue and the head; the lane's own column of a step comes before the other one's."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    i, heads, half = Stream(dut, "i"), Heads(dut, chip, rng), 1 << Widths(chip).half_address - 1
    moved = 0
    for turn in range(12):
        for got in heads.got:
            got.clear()
        heads.busy = [1.0] * chip.lanes
        await cycles(dut, 2)
        dut.twins.value = 0
        start_at = [len(got) for got in heads.got]
        before = draw_steps(rng, i, min(3, chip.queue_depth - 2), 0.5 if turn else 0.0)
        await send(i, before, rng)
        dut.twins.value = 1
        await cycles(dut, 4 * queue_round(chip))
        due = [list(map(tuple, of_lane(before, n))) for n in range(chip.lanes)]
        # A head that is free when its lane's column comes takes it at once, so all count alike.
        levels = [start_at[n] + len(due[n]) for n in range(chip.lanes)]
        step = draw_steps(rng, i, 1, 0.7)
        step["item__offset"] &= half - 1
        await send(i, step, rng)
        mine = [list(map(tuple, of_lane(step, n))) for n in range(chip.lanes)]
        leaves = [levels[n] > levels[after(chip, n)] for n in range(chip.lanes)]
        for n in range(chip.lanes):
            if not leaves[n]:
                due[n] += mine[n]
        for n in range(chip.lanes):
            if leaves[n]:
                due[after(chip, n)] += [(slot, column, offset + half, 1) for slot, column, offset, _ in mine[n]]
                moved += len(mine[n])
        await drained(dut, chip, heads)
        assert heads.got == due, f"levels {levels}"
    assert moved


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    """From the turn after the one in which the column was put into its queue."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    i, turns = Stream(dut, "i"), queue_round(chip)
    for n in range(chip.lanes):
        getattr(dut, f"o__{n}__ready").value = 1
    for lane in rng.permutation(chip.lanes).tolist():
        step = draw_steps(rng, i, 1, 0.0)
        step["lanes"] = [1 << lane]
        await cycles(dut, int(rng.integers(turns)))
        # The round's last lane comes first.
        assert await arrival(dut, i, step, lane, rng) == turns + (lane + 1) % turns + setting("latency")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def begins_the_round_anew(dut):
    """Whenever the restart comes, each lane's turn comes as many cycles later."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    i, turns = Stream(dut, "i"), queue_round(chip)
    for n in range(chip.lanes):
        getattr(dut, f"o__{n}__ready").value = 1
    lane = int(rng.integers(chip.lanes))
    waits = set()
    for spent in range(turns):
        step = draw_steps(rng, i, 1, 0.0)
        step["lanes"] = [1 << lane]
        await cycles(dut, 3 * turns + spent)
        dut.restart.value = 1
        await cycles(dut, 1)
        dut.restart.value = 0
        waits.add(await arrival(dut, i, step, lane, rng))
    assert len(waits) == 1, waits


@cocotb.test(timeout_time=4, timeout_unit="ms")
async def forgets_columns_that_reset_ends(dut):
    """Wherever it meets them, and however short it is."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    i, heads = Stream(dut, "i"), Heads(dut, chip, rng)
    for spent in rng.permutation(40).tolist():
        heads.busy = [1.0] * chip.lanes
        await send(i, draw_steps(rng, i, min(2, chip.queue_depth - 2), 1.0), rng)
        await cycles(dut, spent)
        await reset(dut, 1)
        heads.busy = [0.0] * chip.lanes
        for got in heads.got:
            got.clear()
        steps = draw_steps(rng, i, 2, 1.0)
        await send(i, steps, rng)
        await drained(dut, chip, heads)
        assert heads.got == [list(map(tuple, of_lane(steps, n))) for n in range(chip.lanes)]
