"""How a product over positions is cut: blocks of columns, tiles of rows, and where B is too large, parts of the reduction."""

from dataclasses import dataclass
from functools import cache
from itertools import product as pairs

from host.compiler.errors import DoesNotFit
from host.compiler.geometry import GROWTHS, Tile, cut
from host.compiler.products import Part, WindowedProduct
from host.compiler.tiling import choose, estimate, halved, memory_cycles, pipelined, row_limit
from spec.chip import BRICK, Chip
from spec.product import ceil_div

TILES = (1, 2, 3, 4, 6, 8, 16, 32)  # numbers of tiles that are tried


@dataclass(frozen=True)
class Plan:
    """bricks : of a block. depth : tiles that have buffers at once."""

    bricks: int
    depth: int
    tiles: list[Tile]
    parts: list[Part]
    sizes: dict[str, int]

    @property
    def chained(self) -> bool:
        return len(self.parts) > 1


def plan(chip: Chip, p: WindowedProduct) -> Plan:
    """The one with the fewest estimated cycles; in parts only if B does not fit otherwise. Raises :class:`DoesNotFit`."""
    for bricks in halved(p.window.bricks):
        parts = p.parts(bricks)
        plans = _plans(chip, p, parts)
        if plans:
            return min(plans, key=lambda one: _cost(chip, p, one))
    needed = sum(p.sizes(1, 1, 1, 1, parts).values())
    what = f"{p.label.phase} of one line with {p.b_rows(parts[0])} rows of weights"
    raise DoesNotFit(p.label.layer, what, needed, chip.scratch_bricks, "bricks of scratchpad", chip.name)


def _plans(chip: Chip, p: WindowedProduct, parts: list[Part]) -> list[Plan]:
    across, plans = p.result.row_bricks, []
    seen: list[tuple[int, int, list[Tile]]] = []  # several numbers of tiles may come to the same
    for blocks, depth, number, growth in pairs(range(1, across + 1), (3, 2, 1), TILES, GROWTHS):
        bricks = ceil_div(across, blocks)
        if ceil_div(across, bricks) != blocks:
            continue
        limit = row_limit(chip, _columns(p, bricks), 1) if len(parts) > 1 else None

        def fits(images: int, lines: int, bricks: int = bricks, depth: int = depth, limit: int | None = limit) -> bool:
            small = limit is None or images * lines * p.window.x.out <= limit
            return small and sum(p.sizes(bricks, images, lines, depth, parts).values()) <= chip.scratch_bricks

        tiles = cut(p.window, fits, number, growth)
        if tiles is not None and (bricks, depth, tiles) not in seen:
            seen.append((bricks, depth, tiles))
            images, lines = max(t.images for t in tiles), max(t.lines for t in tiles)
            held = min(depth, len(tiles) * len(parts))
            plans.append(Plan(bricks, held, tiles, parts, p.sizes(bricks, images, lines, held, parts)))
    return plans


def _columns(p: WindowedProduct, bricks: int) -> int:
    return min(bricks * BRICK, p.result.channels)


def _cost(chip: Chip, p: WindowedProduct, one: Plan) -> float:
    """Rough cycles at half of the operand nonzero; of the mask too, if there is one."""
    columns, blocks = _columns(p, one.bricks), ceil_div(p.result.row_bricks, one.bricks)
    weights = [memory_cycles(chip, p.b_rows(part) * one.bricks) if p.held is None else 0 for part in one.parts]

    @cache
    def work(rows: int, part: Part) -> float:
        reduction = p.reduction(part)
        tiling = choose(chip, p.label, rows, columns, reduction, p.masked, one.chained)
        tiles = ceil_div(p.b_rows(part), tiling.k_tile)
        return estimate(chip, rows, columns, tiling, tiles, p.masked, reduction.holes)

    jobs = []
    for tile in one.tiles:
        rows = p.window.rows(tile)
        store = memory_cycles(chip, rows * one.bricks)
        load = memory_cycles(chip, p.window.seen_bricks(tile.images, tile.lines))
        if p.masked:
            load += store
            if one.depth < 3:
                load += rows * one.bricks  # the mask from it; deeper, while the memory goes on
        for part, own in zip(one.parts, weights, strict=True):
            first, last = part is one.parts[0], part is one.parts[-1]
            jobs.append((load * first + own * one.chained, work(rows, part), store * last))
    return blocks * (pipelined(jobs, one.depth) + (0 if one.chained else weights[0]))
