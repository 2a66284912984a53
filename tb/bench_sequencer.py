"""Sequencer against its golden twin: order and books of the tiles, the banks they leave, and its handshakes."""

import cocotb
from cocotb.triggers import RisingEdge

from golden.sequencer import tiles
from spec.chip import BRICK, Chip
from spec.engine import Widths
from spec.product import MASK_COLUMNS, Product, ceil_div
from spec.tiling import command_words, planned
from tb.kit import Stream, cycles, generator, guard, load_spec, send, start
from tb.models import pack, serve, unpack

TOLD = ("a_base", "a_skip", "c_base", "mask_base", "index_base", "k_length", "n_length", "first", "last")


class Groups:
    """Groups that work on every open tile for a while; the banks of lane 0 to ``lanes - 1``."""

    def __init__(self, dut, chip, rng, pause):
        self.dut, self.chip, self.rng, self.pause = dut, chip, rng, pause
        self.half_words = 1 << Widths(chip).half_address
        self.bank = {}
        self.opened, self.loaded, self.rows = [], [], []  # halves, in order
        self.told = []
        self.spans = set()
        self.restarts = self.final = 0
        self.task = cocotb.start_soon(self._watch())

    def tile(self, half, field):
        return int(getattr(self.dut, f"tiles__{half}__{field}").value)

    async def _watch(self):
        dut, edge, rng, groups = self.dut, RisingEdge(self.dut.clk), self.rng, self.chip.groups
        remaining = [None, None]  # cycles each group still works in this half
        was_open, was_loaded = [0, 0], [0, 0]
        while True:
            await edge
            self._write(was_loaded)
            if dut.queue_set.value:
                self.rows.append(tuple(int(getattr(dut, f"queue_{n}").value) for n in ("half", "next", "limit", "over")))
            self.restarts += int(dut.restart.value)
            self.final += int(dut.final_left.value)
            for half in range(2):
                is_open, is_loaded = self.tile(half, "open"), self.tile(half, "loaded")
                if is_open and not was_open[half]:
                    assert remaining[half] is None, f"half {half} opens again before its groups have left"
                    remaining[half] = [int(time) for time in rng.integers(0, 1 + self.pause, groups)]
                    self.opened.append(half)
                    self.spans.add(int(dut.span.value))
                    self.told.append({field: self.tile(half, field) for field in TOLD})
                if is_open and is_loaded and not was_loaded[half]:
                    self.loaded.append((half, self._words(half)))
                if was_open[half] and not is_open:
                    assert not any(remaining[half]), f"half {half} closes while a group works on it"
                    remaining[half] = None
                was_open[half], was_loaded[half] = is_open, is_open & is_loaded
                if remaining[half] is not None:
                    # A group may run out of rows before the tile is loaded, but most wait for it.
                    waits = 0 if is_loaded or rng.random() < 0.1 else 1
                    remaining[half] = [max(0, time - 1 + waits) for time in remaining[half]]
            done = [
                int(remaining[half] is not None and remaining[half][g] == 0) for g in range(groups) for half in range(2)
            ]
            dut.tile_done.value = dut.left.value = sum(bit << n for n, bit in enumerate(done))
            dut.idle.value = 0 if any(r is not None and any(r) for r in remaining) else (1 << groups) - 1

    def _write(self, loaded):
        dut, chip = self.dut, self.chip
        if not dut.load__enable.value:
            return
        address = int(dut.load__address.value)
        assert not loaded[address // self.half_words], "a word is written into a tile in use"
        count = min(chip.lanes, BRICK)
        first = BRICK * int(dut.load__upper.value) if chip.lanes > BRICK else 0
        for lane, word in enumerate(unpack(int(dut.load__words.value), chip.width, count), first):
            self.bank[lane, address] = word

    def _words(self, half):
        return {key: word for key, word in self.bank.items() if key[1] // self.half_words == half}


def draw(rng, chip, kind):
    """A product and its tiling: any, one with tiles in all directions, masked, a part of a chain, or with slabs and segments."""
    fields = {
        name: int(rng.integers(0, 100)) for name in ("a_base", "b_base", "c_base", "mask_base", "key", "index_stride")
    }
    fields |= {"index_base": int(rng.integers(1 << 32)), "masked": kind == "masked"}
    step = max(1, (MASK_COLUMNS if kind == "masked" else BRICK) // chip.lanes)
    m, k, n = (int(size) for size in rng.integers(1, 30, 3))
    if kind in {"tiles", "masked"}:
        fields["twins"] = kind == "masked" and chip.bank_depth // 4 >= step
        k_tile = min(8, chip.bank_depth // (4 if fields["twins"] else 2) // step)
        n = 2 * step * chip.lanes + int(rng.integers(1, 9))
        fields |= {"k_tile": k_tile, "columns": step, "rows": 1}
        k = int(rng.integers(1, 25)) if k_tile == 8 else k_tile
    if kind == "chain":
        m = min(m, chip.groups)
        fields |= {"start": bool(rng.integers(2)), "finish": False}
    if kind == "slabs":
        # Of A and C nothing is read or written here; so they may lie anywhere.
        k_tile, n = int(rng.integers(2, 20)), int(rng.integers(1, BRICK * 2))
        fields |= {"slabs": True, "k_tile": k_tile, "b_tile": int(rng.integers(1, 40)), "a_slab": int(rng.integers(1, 20)), "seg_x": 2, "seg_y": 3}
        fields |= {"tap_k": k_tile, "a_bricks": 1, "a_tail": 2}
        m, k = int(rng.integers(1, 6)), 3 * k_tile
    m = min(m, (chip.scratch_bricks - 100) // ceil_div(n, BRICK))  # C ends inside the scratchpad
    strides = {"a_stride": ceil_div(k, BRICK), "c_stride": ceil_div(n, BRICK), "mask_stride": ceil_div(n, MASK_COLUMNS)}
    b_stride = ceil_div(n, BRICK) + int(rng.integers(2))
    return planned(chip, Product(m=m, k=k, n=n, b_stride=b_stride, **strides, **fields))


async def run(dut, chip, rng, product, b, stall, pause):
    """One command to its end; return what the groups saw."""
    memory = {address: pack(brick, chip.width) for address, brick in enumerate(b)}
    servant = cocotb.start_soon(
        serve(Stream(dut, "request"), dut.brick_valid, dut.brick, memory, rng, stall, late=False)
    )
    groups = Groups(dut, chip, rng, pause)
    words = command_words(chip, product)
    names = [name for name, _ in Widths(chip).command_fields()]
    await send(Stream(dut, "i"), {n: [w] for n, w in zip(names, words, strict=True)}, rng)
    tiles = ceil_div(product.m, product.row_tile) * ceil_div(product.k, product.k_tile)
    tiles *= ceil_div(product.n, product.columns * chip.lanes)
    loading = 8 * product.k_tile * ceil_div(product.columns * chip.lanes, BRICK)  # a brick twice, its requests stalled
    for _ in range(20_000 + (2 * pause + loading) * tiles):
        await cycles(dut, 1)
        if dut.done.value:
            break
    else:
        raise AssertionError(f"no end of {product}")
    await cycles(dut, 2)
    servant.cancel()
    groups.task.cancel()
    assert dut.i__ready.value
    for name, word in zip(names, words, strict=True):
        assert int(getattr(dut, f"command__{name}").value) == word
    return groups


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5], pause=[0, 300])
async def opens_tiles_as_golden(dut, stall, pause):
    rng, chip = generator(), load_spec(Chip)
    widths = Widths(chip)
    await start(dut)
    cocotb.start_soon(guard(Stream(dut, "request")))
    half = 0
    for kind in ("any", "tiles", "masked", "chain", "slabs"):
        product = draw(rng, chip, kind)
        limit = 1 << chip.width - 1
        b = rng.integers(-limit, limit, (chip.scratch_bricks, BRICK))
        groups = await run(dut, chip, rng, product, b, stall, pause)

        expected = list(tiles(chip, product))
        halves = [(half + n) % 2 for n in range(len(expected))]
        half = (half + len(expected)) % 2
        assert groups.opened == halves
        for told, tile in zip(groups.told, expected, strict=True):
            assert {field: told[field] for field in TOLD} == {field: int(getattr(tile, field)) for field in TOLD}
        assert groups.rows == [
            (h, tile.rows.start, tile.rows.stop, int(tile.rows.start == 0))
            for h, tile in zip(halves, expected, strict=True)
            if tile.k == 0
        ]
        assert groups.spans == {product.columns * product.segments}
        assert groups.restarts == int(product.start)
        assert groups.final or pause == 0
        for (where, bank), wanted, tile in zip(groups.loaded, halves, expected, strict=True):
            assert where == wanted
            base = where << widths.half_address
            for k in range(tile.k_length):
                got = [
                    bank[column % chip.lanes, base + k * product.columns + column // chip.lanes]
                    for column in range(tile.n_length)
                ]
                row = tile.b_base + k * product.b_stride
                assert got == b[row:].ravel()[: tile.n_length].tolist(), f"{tile}, row {k}"
                if product.twins:
                    upper = base + (1 << widths.half_address) // 2
                    again = [
                        bank[following(column % chip.lanes, chip), upper + k * product.columns + column // chip.lanes]
                        for column in range(tile.n_length)
                    ]
                    assert again == got, f"{tile}, row {k}, in the next lanes"


def following(lane, chip):
    """The next lane in the ring of those loaded at once."""
    size = min(chip.lanes, BRICK)
    return lane // size * size + (lane + 1) % size


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def loads_the_next_tile_while_groups_work(dut):
    """Groups that are slow to leave: the second tile is loaded long before the first is left."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    product = draw(rng, chip, "tiles")
    groups = Groups(dut, chip, rng, 10**6)
    names = [name for name, _ in Widths(chip).command_fields()]
    memory = {address: 0 for address in range(chip.scratch_bricks)}
    cocotb.start_soon(serve(Stream(dut, "request"), dut.brick_valid, dut.brick, memory, rng, late=False))
    command = dict(zip(names, ([word] for word in command_words(chip, product)), strict=True))
    await send(Stream(dut, "i"), command, rng)
    await cycles(dut, 1000)
    assert [half for half, _ in groups.loaded] == [0, 1]
    assert groups.opened == [0, 1], "a third tile has no bank"
    assert not dut.done.value
