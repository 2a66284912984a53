"""Row queue: every row once and in order, to whoever asks, within its latency."""

import cocotb
from cocotb.triggers import RisingEdge

from tb.kit import cycles, generator, start
from tb.models import setting


async def ask(dut, group, groups, taken, halves, requests, rng, stall):
    """One group: asks again and again of a half it chooses; notes rows, or that there was none."""
    edge = RisingEdge(dut.clk)
    while True:
        while rng.random() < stall:
            await edge
        half = int(rng.integers(2))
        requests |= {group: half}
        show(dut, requests)
        waited = 0
        while True:
            await edge
            waited += 1
            if int(dut.grant.value) >> group & 1:
                break
            assert waited <= groups + 1, f"group {group} waited {waited} cycles"
        assert waited >= 1
        assert int(dut.grant.value) == 1 << group
        del requests[group]
        show(dut, requests)
        following, limit = halves[half]
        if following == limit:
            assert dut.none.value, "a row where there is none"
        else:
            assert not dut.none.value, f"row {following} of {limit} is missing"
            assert int(dut.row.value) == following
            taken.append((half, following, group))
            halves[half] = following + 1, limit


def show(dut, requests):
    dut.request.value = sum(1 << group for group in requests)
    dut.half.value = sum(half << group for group, half in requests.items())


async def open_tile(dut, half, following, limit, halves):
    dut.set.value, dut.set_half.value = 1, half
    dut.set_next.value, dut.set_limit.value = following, limit
    await RisingEdge(dut.clk)
    dut.set.value = 0
    halves[half] = following, limit


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5, 0.95])
async def hands_out_every_row_once(dut, stall):
    rng, groups = generator(), setting("groups")
    await start(dut)
    taken, halves = [], {}
    tiles = [(0, 0, 40), (1, 40, 40), (1, 65500, 65535), (0, 7, 30)]
    await open_tile(dut, *tiles[0], halves)
    await open_tile(dut, *tiles[1], halves)
    asking, requests = [], {}
    for group in range(groups):
        asking.append(cocotb.start_soon(ask(dut, group, groups, taken, halves, requests, rng, stall)))
    # A half is opened again when nobody asks for it, as the sequencer does.
    for tile in tiles[2:]:
        while any(following != limit for following, limit in halves.values()):
            await cycles(dut, 1)
        for task in asking:
            task.cancel()
        requests.clear()
        show(dut, requests)
        await cycles(dut, groups + 2)
        await open_tile(dut, *tile, halves)
        asking = [
            cocotb.start_soon(ask(dut, g, groups, taken, halves, requests, rng, stall)) for g in range(groups)
        ]
    while any(following != limit for following, limit in halves.values()):
        await cycles(dut, 1)
    await cycles(dut, 3 * groups)
    for half in range(2):
        rows = [row for h, row, _ in taken if h == half]
        assert rows == [row for h, first, limit in tiles if h == half for row in range(first, limit)]
    assert {group for *_, group in taken} == set(range(groups)), "a group got nothing"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    """Edges from the first that sees a request to the first that sees its grant."""
    groups = setting("groups")
    await start(dut)
    found = set()
    for _ in range(3 * groups + 1):
        dut.request.value = 1
        await RisingEdge(dut.clk)
        latency = 0
        while True:
            await RisingEdge(dut.clk)
            latency += 1
            if int(dut.grant.value) & 1:
                break
        found.add(latency)
        dut.request.value = 0
        await cycles(dut, 2 + latency % 3)
    assert min(found) >= 1
    assert max(found) <= groups
