"""How a product's reduction, columns and rows are cut for the banks, row lists and partial sums of a chip."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from host.compiler.errors import DoesNotFit
from host.program import Label
from spec.chip import BRICK, Chip
from spec.engine import ROW_SLOTS, load_cycles_per_brick
from spec.isa import brick_bytes
from spec.product import ceil_div
from spec.tiling import column_choices

BUS_BYTES = 8  # that memory moves in a cycle
COMMAND_CYCLES = 150  # that a product takes besides its tiles
MASKED_SHARE = 0.65  # of the cycles that half a mask leaves: lanes wait for each other


Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Reduction:
    """The reduction as bricks of A and rows of B: ``units`` that may stand in a tile alone, then perhaps the bias."""

    units: int
    bricks: int  # of one unit
    rows: int
    bias: bool

    @property
    def all_bricks(self) -> int:
        return self.units * self.bricks + self.bias

    @property
    def all_rows(self) -> int:
        return self.units * self.rows + self.bias


@dataclass(frozen=True)
class Tiling:
    """Fields of a product."""

    k_tile: int
    a_tile: int
    columns: int
    rows: int
    row_tile: int

    def fields(self) -> dict[str, int]:
        return vars(self).copy()


def taps_reduction(taps: int, a_bricks: int, a_tail: int, tap_k: int, bias: bool) -> Reduction:
    """Of a product whose taps have ``a_bricks`` bricks each; whole bricks can be parted, others only whole taps."""
    if a_tail == BRICK and tap_k == a_bricks * BRICK:
        return Reduction(taps * a_bricks, 1, BRICK, bias)
    return Reduction(taps, a_bricks, tap_k, bias)


def choose(
    chip: Chip, label: Label, m: int, n: int, reduction: Reduction, masked: bool = False, chained: bool = False
) -> Tiling:
    """The tiling with the fewest estimated cycles at half of A nonzero. Raises :class:`DoesNotFit`."""
    best = _best(chip, m, n, reduction, masked, chained)
    if best is not None:
        return best
    if chained:
        room = chip.groups * chip.psum_depth
        raise DoesNotFit(label.layer, f"{label.phase}: sums of {m} x {n}", m * n, room, "partial sums", chip.name)
    raise DoesNotFit(
        label.layer,
        f"{label.phase}: a tile of {reduction.rows} rows and {min(n, BRICK)} columns of B",
        reduction.rows,
        min(chip.list_depth, chip.bank_depth // 2),
        "words of a row list or bank",
        chip.name,
    )


def cheapest(choices: Iterable[Choice], cost: Callable[[Choice], float | None]) -> tuple[Choice, float] | None:
    """The first of those with the least cost, and that; None where none has one: what does not fit has none."""
    best: tuple[Choice, float] | None = None
    for choice in choices:
        here = cost(choice)
        if here is not None and (best is None or here < best[1]):
            best = choice, here
    return best


@lru_cache(maxsize=1 << 14)
def _best(chip: Chip, m: int, n: int, reduction: Reduction, masked: bool, chained: bool) -> Tiling | None:
    found = cheapest(_tilings(chip, m, n, reduction, masked, chained), lambda t: estimate(chip, m, n, *t, masked))
    return found[0][0] if found else None


def _tilings(
    chip: Chip, m: int, n: int, reduction: Reduction, masked: bool, chained: bool
) -> Iterator[tuple[Tiling, int]]:
    """Tilings, each with its tiles of the reduction."""
    for columns in column_choices(chip, n, 1, masked, whole=chained):
        k_room = min(chip.bank_depth // 2 // columns, chip.list_depth)
        units = k_room // reduction.rows
        if reduction.all_rows <= k_room:
            k_tile, a_tile, tiles = reduction.all_rows, reduction.all_bricks, 1
        elif units:
            tiles = ceil_div(reduction.units + reduction.bias, units)
            units = ceil_div(reduction.units + reduction.bias, tiles)
            k_tile, a_tile = units * reduction.rows, units * reduction.bricks
            tiles = ceil_div(reduction.all_rows, k_tile)
        else:
            continue
        rows = row_slots(chip, m, columns, dynamic=tiles == 1 and not chained)
        if chained and m > rows * chip.groups:
            continue
        row_tile = m if tiles == 1 and not chained else min(m, rows * chip.groups)
        yield Tiling(k_tile, a_tile, columns, rows, row_tile), tiles


def row_slots(chip: Chip, m: int, columns: int, dynamic: bool) -> int:
    """Rows a group keeps sums of, each of ``columns`` words in a lane.

    dynamic : a row leaves as soon as it is done. Otherwise rows stay with their group for the whole reduction, and no
    group may take more than its share of them.
    """
    most = min(ROW_SLOTS, chip.psum_depth // chip.lanes // columns)
    return most if dynamic else ceil_div(m, ceil_div(m, most * chip.groups) * chip.groups)


def estimate(chip: Chip, m: int, n: int, tiling: Tiling, tiles: int, masked: bool = False) -> float:
    """Rough cycles of a product of ``tiles`` tiles of the reduction, half of A nonzero, half of the mask ones.

    As :mod:`spec.tiling` has them, and what bench/conv_engine.py shows besides: at the end rows leave all slots of a group
    empty, under a mask in each tile, since lanes do not end together.
    """
    n_tiles = ceil_div(n, tiling.columns * chip.lanes)
    row_tile = min(m, tiling.row_tile)
    used = max(1.0, min(tiling.k_tile, tiling.a_tile * BRICK) / 2)
    visit = max(
        used * tiling.columns * (MASKED_SHARE if masked else 1.0),
        max(used, 1.4 * tiling.a_tile) + 14,
        tiling.a_tile * chip.groups * 1.1,
        tiling.columns * chip.lanes * (1.1 if tiles == 1 else 1.0),
    )
    rows = ceil_div(row_tile, chip.groups) * visit
    load = tiling.k_tile * ceil_div(tiling.columns * chip.lanes, BRICK) * load_cycles_per_brick(chip) + 12
    all_tiles = n_tiles * ceil_div(m, row_tile) * tiles
    return all_tiles * max(rows, load) + load + COMMAND_CYCLES + chip.slots * visit * (all_tiles if masked else 1)


def pipelined(jobs: Sequence[tuple[float, float, float]], depth: int) -> float:
    """Rough cycles of jobs, each its load, work and store, in the order of :func:`host.compiler.emit.pipeline`.

    While one works, the store of the one before and the load of the next share the memory.
    """
    if depth == 1:
        return sum(map(sum, jobs))
    moved, worked = jobs[0][0], 0.0
    stores = [0.0, *(store for _, _, store in jobs)]
    loads = [*(load for load, _, _ in jobs[1:]), 0.0]
    for (_, work, _), store, load in zip(jobs, stores, loads, strict=False):
        begun = max(moved, worked)
        worked, moved = begun + work, begun + store + load
    return max(worked, moved) + stores[-1]


def repeated(count: int, job: tuple[float, float, float], depth: int) -> float:
    """:func:`pipelined` of so many equal jobs, about."""
    load, work, store = job
    return count * sum(job) if depth == 1 else load + count * max(work, load + store) + store


def memory_cycles(chip: Chip, bricks: float) -> float:
    """Of a transfer, on the usual bus."""
    return bricks * brick_bytes(chip) / BUS_BYTES


def row_limit(chip: Chip, n: int, segments: int) -> int:
    """Rows of C that a chain of products can have."""
    return chip.groups * min(ROW_SLOTS, chip.psum_depth // chip.lanes // (ceil_div(n, chip.lanes) * segments))


def halved(most: int) -> list[int]:
    """most, its half, and so on to one."""
    result = []
    while most:
        result.append(most)
        most = ceil_div(most, 2) if most > 1 else 0
    return result
