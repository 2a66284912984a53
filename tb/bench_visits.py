"""Visits: the bench plays everything around it, at random, and keeps books of its own of every row."""

from dataclasses import dataclass, field

import cocotb
from cocotb.triggers import RisingEdge

from golden.sequencer import tiles
from spec.bram import Storage
from spec.chip import BRICK, Chip
from spec.engine import POSITION_BITS, Widths
from spec.product import MASK_COLUMNS, Product, ceil_div
from spec.tiling import planned
from tb.kit import Stream, cycles, generator, guard, load_spec, start
from tb.models import HOP, put

OTHERS = 0.3  # share of the rows that go to groups which are not there


@dataclass
class Visit:
    """One row met by one tile, from its fetch on."""

    tile: int
    row: int
    base: int
    pushed: int = 0
    written: int = 0
    scanned: bool = False

    @property
    def complete(self):
        return self.scanned and self.written == self.pushed


@dataclass
class Books:
    """What has happened, by tile: rows pulled, visits, rows finished."""

    plan: list
    rows: dict = field(default_factory=dict)  # tile: rows pulled or kept, in order, with their bases
    ended: set = field(default_factory=set)  # tiles whose queue has answered none
    visits: list = field(default_factory=list)
    finished: list = field(default_factory=list)  # (tile, row) handed to finish, in order
    read: int = 0  # of these, how many have been read
    pulled: int = 0
    closed: int = 0  # tiles that are over


class World:
    """The neighbours of a group's visits while one product runs."""

    def __init__(self, dut, chip, rng, product, stall, half):
        self.dut, self.chip, self.rng, self.product, self.stall = dut, chip, rng, product, stall
        self.first_half = half  # the halves alternate from command to command
        self.books = Books(list(tiles(chip, product)))
        self.slots = [None] * chip.slots
        self.everywhere = [False] * chip.slots  # the slot's list has come to every lane
        self.reach = 1 + Storage.LATENCY + ceil_div(chip.lanes, HOP)  # row lists and lanes
        self.tasks = [
            cocotb.start_soon(process) for process in (self.open_tiles(), self.queue(), self.fetch(), self.lanes(), self.finish())
        ]  # fmt: skip
        self.turn = None  # slot of the next visit; whatever it was at the last product's end

    def idles(self):
        return self.rng.random() < self.stall

    def over(self, number):
        """Every row of this tile is through, and no more can come."""
        books, tile = self.books, self.books.plan[number]
        rows = books.rows.get(number, [])
        started = [visit for visit in books.visits if visit.tile == number]
        if tile.first:
            held = not (tile.first and tile.last) and len(rows) == self.product.rows
            more = not held and number not in books.ended
        else:
            more = False
        read = sum(1 for n, _ in books.finished[: books.read] if n == number)
        return not more and len(started) == len(rows) and all(v.complete for v in started) and (
            not tile.last or read == len(rows)
        )  # fmt: skip

    async def open_tiles(self):
        """Two halves; a tile opens when the one two before it is closed and every sign of it is gone."""
        dut, edge, books = self.dut, RisingEdge(self.dut.clk), self.books
        following, current, wait = 0, [None, None], [0, 0]
        self.current = current
        while True:
            await edge
            for half in range(2):
                number, done = current[half], int(dut.tile_done.value) >> half & 1
                if number is not None:
                    if done:
                        assert self.over(number), f"tile {number} is left too early"
                    wait[half] -= 1
                    if wait[half] == 0:
                        put(dut, f"tiles__{half}", loaded=1)
                    if wait[half] < -1 and done:
                        put(dut, f"tiles__{half}", open=0)
                        current[half] = None
                        books.closed += 1
                elif following < len(books.plan) and self._half(following) == half and not done and not self.idles():
                    tile = books.plan[following]
                    if not tile.first:  # rows come back in the order they were pulled
                        books.rows[following] = books.rows.setdefault(following - 1, [])
                    put(
                        dut, f"tiles__{half}", a_base=tile.a_base, a_skip=tile.a_skip, mask_base=tile.mask_base, first=tile.first,
                        last=tile.last, open=1, loaded=0,
                    )  # fmt: skip
                    current[half] = following
                    wait[half] = int(self.rng.integers(1, 40))
                    following += 1

    async def queue(self):
        dut, edge, books = self.dut, RisingEdge(self.dut.clk), self.books
        following = {}
        while True:
            await edge
            dut.queue_grant.value = 0
            if not dut.queue_request.value or self.idles():
                continue
            number = self.current[int(dut.queue_half.value)]
            assert number is not None, "asks for a row of a tile that is not open"
            tile = books.plan[number]
            assert tile.first, "asks for a row in the middle of a reduction"
            assert number not in books.ended, "asks again after there was none"
            row = following.get(number, tile.rows.start)
            while row < tile.rows.stop and self.rng.random() < OTHERS:
                row += 1
            following[number] = row + 1
            dut.queue_grant.value = 1
            dut.queue_none.value = int(row >= tile.rows.stop)
            put(dut, "queue_row", **self.place_of(min(row, tile.rows.stop)))
            if row >= tile.rows.stop:
                books.ended.add(number)
            else:
                p = self.product
                assert books.pulled - books.read < p.rows, "a row without a place for its sums"
                base = books.pulled % p.rows * p.columns * p.segments
                books.rows.setdefault(number, []).append((row, base))
                books.pulled += 1
            await edge
            dut.queue_grant.value = 0

    def place_of(self, row):
        """Where a row's window begins: numbers that no two rows share."""
        wrap = (1 << Widths(self.chip).brick_address) - 1
        mask = (1 << POSITION_BITS) - 1
        return {"row": row, "address": 7 * row & wrap, "y": (row - 3) & mask, "x": (5 - 2 * row) & mask, "phase_y": row & 3, "phase_x": ~row & 3}

    async def fetch(self):
        """Takes a job, checks it, and answers some time later."""
        dut, edge, books, p = self.dut, RisingEdge(self.dut.clk), self.books, self.product
        wrap = (1 << Widths(self.chip).brick_address) - 1
        ready = dut.fetch__ready
        while True:
            ready.value = int(not self.idles())
            await edge
            if not (dut.fetch__valid.value and ready.value):
                continue
            ready.value = 0
            slot, skip = (int(getattr(dut, f"fetch__payload__{name}").value) for name in ("slot", "skip"))
            number = next(n for n in range(len(books.plan)) if self._pending(n))
            tile = books.plan[number]
            row, base = books.rows[number][sum(visit.tile == number for visit in books.visits)]
            place = self.place_of(row)
            wanted = place | {"address": (tile.a_base + place["address"]) & wrap}
            assert {name: int(getattr(dut, f"fetch__payload__row__{name}").value) for name in place} == wanted
            assert skip == tile.a_skip
            assert self.turn in {None, slot}, f"slot {slot} out of turn"
            self.turn = (slot + 1) % self.chip.slots
            assert self.slots[slot] is None or self.slots[slot].complete, "a slot is used again too early"
            visit = Visit(number, row, base)
            books.visits.append(visit)
            await cycles(dut, 2)
            told = {n: int(getattr(dut, f"visits__{slot}__{n}").value) for n in ("row", "half", "base", "first", "last")}
            assert told == {"row": row, "half": self._half(number), "base": base, "first": tile.first, "last": tile.last}
            if p.masked:
                mask_address = int(getattr(dut, f"mask_address__{slot}").value)
                assert mask_address == (tile.mask_base + row * p.mask_stride) & wrap
            assert int(dut.halves.value) >> slot & 1 == self._half(number)
            await cycles(dut, int(self.rng.integers(1, 30)))
            assert not int(dut.filled.value) >> slot & 1
            last = int(self.rng.integers(self.chip.list_depth))
            dut.fetch_done.value, dut.fetch_slot.value, dut.fetch_last.value = 1, slot, last
            self.slots[slot] = visit
            self.everywhere[slot] = False
            cocotb.start_soon(self._come(slot))
            await edge
            dut.fetch_done.value = 0
            await edge
            assert int(dut.filled.value) >> slot & 1
            assert int(getattr(dut, f"ends__{slot}").value) == last

    async def _come(self, slot):
        """A slot is to be scanned from the very cycle on in which its first pair is at the last lane."""
        edge = RisingEdge(self.dut.clk)
        for _ in range(1 + self.reach):
            await edge
            assert not int(self.dut.unscanned.value) >> slot & 1, f"slot {slot}: list is scanned before all lanes see it"
        self.everywhere[slot] = True
        await edge
        assert int(self.dut.unscanned.value) >> slot & 1

    def _pending(self, number):
        started = sum(visit.tile == number for visit in self.books.visits)
        return started < len(self.books.rows.get(number, []))

    def _half(self, number):
        return (self.first_half + number) % 2

    async def lanes(self):
        """Scan, lanes and drain: columns go out in slot order and come back in any."""
        dut, edge, rng = self.dut, RisingEdge(self.dut.clk), self.rng
        left, slot, written = None, None, None
        while True:
            await edge
            pushed = scanned = 0
            unscanned, halves = int(dut.unscanned.value), int(dut.halves.value)
            for s, visit in enumerate(self.slots):
                assert self.everywhere[s] or not unscanned >> s & 1, f"slot {s}: nothing is there to be scanned"
                if visit is not None and not visit.complete:
                    assert halves >> s & 1 == self._half(visit.tile), f"slot {s}: half changes while it is in use"
            if slot is None or left is None:
                ready = [s for s in range(self.chip.slots) if unscanned >> s & 1 and self._fresh(s)]
                if ready and not self.idles():
                    slot = min(ready, key=lambda s: self.books.visits.index(self.slots[s]))
                    left = int(rng.integers(0, 4 * self.chip.lanes))
            elif left == 0:
                if not self.idles():
                    scanned = 1
                    self.slots[slot].scanned = True
                    left = None
            else:
                pushed = int(rng.integers(0, min(left, self.chip.lanes) + 1))
                left -= pushed
            owing = [s for s, visit in enumerate(self.slots) if visit is not None and visit.written < visit.pushed]
            written = int(rng.choice(owing)) if owing and not self.idles() else None
            if pushed:
                self.slots[slot].pushed += pushed
            if written is not None:
                self.slots[written].written += 1
            dut.pushed.value, dut.pushed_slot.value = pushed, slot or 0
            dut.scanned.value, dut.scanned_slot.value = scanned, slot or 0
            dut.written.value, dut.written_slot.value = int(written is not None), written or 0

    def _fresh(self, slot):
        visit = self.slots[slot]
        return visit is not None and not visit.scanned and visit.pushed == 0

    async def finish(self):
        """Takes rows whose sums are complete; they are read in order, some time later."""
        dut, edge, books = self.dut, RisingEdge(self.dut.clk), self.books
        valid, ready = dut.finish__valid, dut.finish__ready
        takes = False  # until a row has come
        while True:
            waiting = len(books.finished) - books.read
            takes = waiting < 3 and (takes or not self.idles())
            ready.value = int(takes)
            reads = waiting > 0 and self.rng.random() < 0.1
            if reads:
                dut.finished_half.value = self._half(books.finished[books.read][0])
            dut.finished.value = int(reads)
            await edge
            books.read += int(reads)
            if valid.value:
                assert takes, "a row leaves when there is no room for it"
                takes = False
                row, half, base = (int(getattr(dut, f"finish__payload__{n}").value) for n in ("row", "half", "base"))
                last = [visit for visit in books.visits if books.plan[visit.tile].last]
                visit = last[len(books.finished)]
                assert (row, half, base) == (visit.row, self._half(visit.tile), visit.base)
                met = [other for other in books.visits if other.row == row and books.plan[other.tile].n == books.plan[visit.tile].n]
                assert all(other.complete for other in met), "a row is finished before its last sum has arrived"
                books.finished.append((visit.tile, row))


async def run(dut, chip, rng, product, stall, half):
    put(
        dut, "command", masked=product.masked, mask_stride=product.mask_stride, rows=product.rows, columns=product.columns,
    )  # fmt: skip
    dut.span.value = product.columns * product.segments
    dut.restart.value = 1
    await RisingEdge(dut.clk)
    dut.restart.value = 0
    world = World(dut, chip, rng, product, stall, half)
    for _ in range(60_000):
        await cycles(dut, 1)
        if world.books.closed == len(world.books.plan):
            break
    else:
        raise AssertionError(f"{world.books.closed} of {len(world.books.plan)} tiles are over")
    await cycles(dut, 10)
    assert dut.idle.value
    for task in world.tasks:
        task.cancel()
    for port in ("queue_grant", "fetch_done", "pushed", "scanned", "written", "finished", "fetch__ready", "finish__ready"):
        getattr(dut, port).value = 0
    await cycles(dut, 2)
    return world.books


def draw(rng, chip, masked, columns_tiles, k_tiles):
    """A product of this many tiles; small enough to be through soon."""
    columns = (MASK_COLUMNS if masked else BRICK) // min(chip.lanes, BRICK)
    k = BRICK * (k_tiles - 1) + int(rng.integers(1, BRICK + 1))
    n = columns * chip.lanes * (columns_tiles - 1) + int(rng.integers(1, 9))
    room = min(3, chip.psum_depth // (columns * chip.lanes))
    return planned(
        chip,
        Product(
            m=int(rng.integers(1, 20)), k=k, n=n, k_tile=min(k, BRICK), columns=columns, rows=int(rng.integers(1, room + 1)),
            a_base=int(rng.integers(100)), a_stride=ceil_div(k, BRICK), b_stride=ceil_div(n, BRICK),
            c_stride=ceil_div(n, BRICK), mask_base=int(rng.integers(100)), mask_stride=ceil_div(n, MASK_COLUMNS), masked=masked,
        ),
    )  # fmt: skip


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5], masked=[False, True])
async def visits_every_row_and_keeps_its_books(dut, stall, masked):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    cocotb.start_soon(guard(Stream(dut, "fetch")))
    half = 0
    for columns_tiles, k_tiles in ((1, 1), (3, 1), (1, 3), (2, 2)):
        product = draw(rng, chip, masked, columns_tiles, k_tiles)
        books = await run(dut, chip, rng, product, stall, half)
        half = (half + len(books.plan)) % 2
        assert len(books.visits) == sum(map(len, books.rows.values()))
        assert books.read == len(books.finished) == books.pulled
