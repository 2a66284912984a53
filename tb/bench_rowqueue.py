"""Row queue: every row once and in order, with the place where its window begins, to whoever asks, within its latency."""

import cocotb
from cocotb.triggers import RisingEdge

from spec.chip import Chip
from spec.engine import POSITION_BITS, Widths
from tb.kit import cycles, generator, load_spec, start
from tb.models import put, to_signed

POSITIONS = ("address", "y", "x", "phase_y", "phase_x")
WINDOW = ("out_x", "out_y", "origin_x", "origin_y", "phase_x", "phase_y", "dilation", "stride", "step_x", "step_y", "step_b")


def draw_window(rng, chip):
    """A stride or holes; steps of any length and direction."""
    wide = 1 << Widths(chip).brick_address
    dilation = int(rng.choice([1, 1, 2, 3, 4]))
    window = {
        "out_x": int(rng.integers(1, 9)), "out_y": int(rng.integers(1, 5)), "dilation": dilation,
        "origin_x": int(rng.integers(-2048, 2048)), "origin_y": int(rng.integers(-4, 4)),
        "phase_x": int(rng.integers(dilation)), "phase_y": int(rng.integers(dilation)),
        "stride": int(rng.integers(1, 5)) if dilation == 1 else 1,
    }  # fmt: skip
    return window | {f"step_{axis}": int(rng.integers(-wide // 2, wide // 2)) for axis in "xyb"}


def place_of(window, row, chip):
    """Where the window of a row begins: address, positions and holes."""
    f = window
    image, line, x = row // (f["out_x"] * f["out_y"]), row // f["out_x"] % f["out_y"], row % f["out_x"]
    y, hole_y = divmod(f["origin_y"] * f["dilation"] + f["phase_y"] + f["stride"] * line, f["dilation"])
    x, hole_x = divmod(f["origin_x"] * f["dilation"] + f["phase_x"] + f["stride"] * x, f["dilation"])
    address = image * f["step_b"] + (y - f["origin_y"]) * f["step_y"] + (x - f["origin_x"]) * f["step_x"]
    return {"address": address % (1 << Widths(chip).brick_address), "y": y, "x": x, "phase_y": hole_y, "phase_x": hole_x}


def longest_wait(groups):
    """Two cycles for each grant, and for a tile that begins."""
    return 2 * groups + 4


class Queue:
    """Tiles that are set, groups that ask, and what they got."""

    def __init__(self, dut, chip, rng, stall):
        self.dut, self.chip, self.rng, self.stall = dut, chip, rng, stall
        self.groups = chip.groups
        self.halves, self.taken, self.requests, self.tasks = {}, [], {}, []
        self.window = None

    async def new_command(self):
        self.window = draw_window(self.rng, self.chip)
        bits = {name: port for name, port in Widths(self.chip).command_fields()}
        put(self.dut, "command", **{name: self.window[name] & (1 << bits[name]) - 1 for name in WINDOW})
        await cycles(self.dut, 2)

    async def open_tile(self, half, following, limit):
        dut = self.dut
        dut.set.value, dut.set_half.value, dut.set_over.value = 1, half, int(following == 0)
        dut.set_next.value, dut.set_limit.value = following, limit
        await RisingEdge(dut.clk)
        dut.set.value = 0
        self.halves[half] = following, limit

    def ask_for(self, half):
        """Every group, until it has been told that there is none."""
        self.tasks = [cocotb.start_soon(self._ask(group, half)) for group in range(self.groups)]

    async def _ask(self, group, half):
        dut, edge = self.dut, RisingEdge(self.dut.clk)
        while True:
            while self.rng.random() < self.stall:
                await edge
            self.requests[group] = half
            self._show()
            waited = 0
            while True:
                await edge
                waited += 1
                if int(dut.grant.value) >> group & 1:
                    break
                assert waited <= longest_wait(self.groups), f"group {group} waited {waited} cycles"
            assert int(dut.grant.value) == 1 << group
            del self.requests[group]
            self._show()
            following, limit = self.halves[half]
            if following == limit:
                assert dut.none.value, "a row where there is none"
                return
            assert not dut.none.value, f"row {following} of {limit} is missing"
            got = {name: int(getattr(dut, f"row__{name}").value) for name in ("row", *POSITIONS)}
            got |= {name: to_signed(got[name], POSITION_BITS) for name in ("y", "x")}
            assert got == {"row": following} | place_of(self.window, following, self.chip)
            self.taken.append((half, following, group))
            self.halves[half] = following + 1, limit

    def _show(self):
        self.dut.request.value = sum(1 << group for group in self.requests)
        self.dut.half.value = sum(half << group for group, half in self.requests.items())

    async def all_told(self):
        for task in self.tasks:
            await task


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5, 0.95])
async def hands_out_every_row_once(dut, stall):
    """Column tiles of all rows in one half after the other; then row tiles, two halves or one half apart."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    queue = Queue(dut, chip, rng, stall)
    for tiles in (
        [(0, 0, 40), (1, 0, 40), (0, 0, 40)],
        [(1, 0, 13), (1, 13, 26), (1, 26, 30), (1, 0, 13)],
        [(0, 0, 13), (1, 13, 26), (0, 26, 30)],
        [(1, 0, 1)],
    ):
        await queue.new_command()
        queue.taken.clear()
        for number, tile in enumerate(tiles):
            if number == 0:
                await queue.open_tile(*tile)
            queue.ask_for(tile[0])
            # The next tile may be set while rows of this one are left.
            follower = tiles[number + 1] if number + 1 < len(tiles) else None
            if follower and follower[0] != tile[0]:
                await cycles(dut, int(rng.integers(1, 30)))
                await queue.open_tile(*follower)
                follower = None
            await queue.all_told()
            if follower:
                await queue.open_tile(*follower)
        assert [row for _, row, _ in queue.taken] == [row for _, first, limit in tiles for row in range(first, limit)]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def answers_none_when_the_next_tile_has_begun(dut):
    """A group that comes late to a half gets nothing of it, though rows of the other half are handed out."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    queue = Queue(dut, chip, rng, 0.0)
    await queue.new_command()
    await queue.open_tile(0, 0, 3)
    queue.ask_for(0)
    await queue.all_told()
    await queue.open_tile(1, 0, 5)
    dut.request.value = dut.half.value = 1
    while not dut.grant.value:
        await cycles(dut, 1)
    assert int(dut.row__row.value) == 0
    dut.request.value = 0
    await cycles(dut, 3)
    dut.request.value, dut.half.value = 1, 0
    await cycles(dut, 1)
    while not dut.grant.value:
        await cycles(dut, 1)
    assert dut.none.value


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def every_group_gets_rows(dut):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    queue = Queue(dut, chip, rng, 0.5)
    await queue.new_command()
    await queue.open_tile(0, 0, 40 * chip.groups)
    queue.ask_for(0)
    await queue.all_told()
    assert {group for *_, group in queue.taken} == set(range(chip.groups))
