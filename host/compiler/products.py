"""Forward and input-gradient products: rows are positions, the operand is seen through a window, B stays in place."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product as pairs

from host.compiler.emit import Emitter, Span, pipeline, rounding_fields
from host.compiler.errors import DoesNotFit
from host.compiler.geometry import Tile, Window, cut
from host.compiler.tiling import Reduction, choose, estimate, memory_cycles, pipelined, taps_reduction
from host.program import Label, Value
from host.tensor import Tensor
from spec.chip import BRICK, Chip
from spec.isa import Kind, Opcode
from spec.number import Rounding
from spec.product import ceil_div

PARTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)  # tiles that are tried


@dataclass(frozen=True)
class Block:
    """Columns of the result: whole bricks of its channels."""

    brick: int
    bricks: int
    columns: int


@dataclass(frozen=True)
class WindowedProduct:
    """``result = Convert(mask * (patches of window.operand @ B))``.

    result : (batch, lines, places, n). a_tail, tap_k : as in the command. one : a tensor of ones if there is a bias row.
    mask : a tensor of the result's shape whose positive words are computed; all if None. load_b : emits what brings a
    block's columns of B to the first span; the second, of ``spare(bricks)`` bricks, is free for it.
    """

    label: Label
    window: Window
    result: Tensor
    a_tail: int
    tap_k: int
    one: Tensor | None
    mask: Tensor | None
    key: Value
    shift: int
    rounding: Rounding
    load_b: Callable[[Block, Span, Span], None]
    spare: Callable[[int], int]

    @property
    def b_rows(self) -> int:
        return self.window.taps * self.tap_k + (self.one is not None)

    @property
    def reduction(self) -> Reduction:
        return taps_reduction(self.window.taps, self.window.bricks, self.a_tail, self.tap_k, self.one is not None)

    def sizes(self, bricks: int, images: int, lines: int, depth: int) -> dict[str, int]:
        """Buffers for blocks of ``bricks``, tiles of that size and so many tiles at once."""
        rows = images * lines * self.window.x.out
        sizes = {"b": self.b_rows * bricks}
        for i in range(depth):
            operand = self.window.seen_bricks(images, lines)
            sizes[f"a{i}"] = operand if i else max(operand, self.spare(bricks))
            sizes[f"c{i}"] = rows * bricks
            if self.mask is not None:
                sizes[f"mask{i}"] = rows * ceil_div(bricks, BRICK)
                sizes[f"x{i}"] = rows * bricks
        sizes["one"] = int(self.one is not None)
        return {name: size for name, size in sizes.items() if size}


@dataclass(frozen=True)
class _Plan:
    bricks: int  # of a block
    depth: int
    tiles: list[Tile]
    sizes: dict[str, int]


def emit_product(e: Emitter, p: WindowedProduct) -> None:
    """All commands of a product, from memory to memory. Raises :class:`DoesNotFit`."""
    plan = _plan(e, p)
    spans = e.layout(p.label, plan.sizes)
    if p.one is not None:
        e.load(replace(p.label, what="one"), p.one, 0, spans["one"], bricks=1)
    across, channels = p.result.row_bricks, p.result.channels
    for first in range(0, across, plan.bricks):
        bricks = min(plan.bricks, across - first)
        block = Block(first, bricks, min(channels, (first + bricks) * BRICK) - first * BRICK)
        p.load_b(block, spans["b"], spans["a0"])
        pipeline((_job(e, p, plan, spans, block, tile) for tile in plan.tiles), plan.depth)


def _plan(e: Emitter, p: WindowedProduct) -> _Plan:
    """Blocks, tiles and buffers with the fewest estimated cycles."""
    room, across = e.chip.scratch_bricks, p.result.row_bricks
    best, best_cost = None, 0.0
    for blocks in range(1, across + 1):
        bricks = ceil_div(across, blocks)
        if ceil_div(across, bricks) != blocks:
            continue
        for depth, parts in pairs((2, 1), PARTS):

            def fits(images: int, lines: int, bricks: int = bricks, depth: int = depth) -> bool:
                return sum(p.sizes(bricks, images, lines, depth).values()) <= room

            tiles = cut(p.window, fits, parts)
            if tiles is None:
                continue
            images, lines = max(t.images for t in tiles), max(t.lines for t in tiles)
            sizes = p.sizes(bricks, images, lines, min(depth, len(tiles)))
            plan = _Plan(bricks, min(depth, len(tiles)), tiles, sizes)
            cost = _cost(e.chip, p, plan, blocks)
            if best is None or cost < best_cost:
                best, best_cost = plan, cost
    if best is None:
        needed = sum(p.sizes(1, 1, 1, 1).values())
        what = f"{p.label.phase} of one line with {p.b_rows} rows of weights"
        raise DoesNotFit(p.label.layer, what, needed, room, "bricks of scratchpad", e.chip.name)
    return best


def _cost(chip: Chip, p: WindowedProduct, plan: _Plan, blocks: int) -> float:
    """Rough cycles at half of the operand nonzero; of the mask too, if there is one."""
    columns = min(plan.bricks * BRICK, p.result.channels)
    tile = max(plan.tiles, key=p.window.rows)
    rows = p.window.rows(tile)
    tiling = choose(chip, p.label, rows, columns, p.reduction, p.mask is not None)
    work = estimate(chip, rows, columns, tiling, ceil_div(p.b_rows, tiling.k_tile), p.mask is not None)
    store = memory_cycles(chip, rows * plan.bricks)
    load = memory_cycles(chip, p.window.seen_bricks(tile.images, tile.lines)) + (store if p.mask is not None else 0)
    weights = memory_cycles(chip, p.b_rows * plan.bricks)
    return blocks * (weights + pipelined(len(plan.tiles), load, work, store, plan.depth))


def _job(
    e: Emitter, p: WindowedProduct, plan: _Plan, spans: dict[str, Span], block: Block, tile: Tile
) -> Iterator[None]:
    parity = tile.number % plan.depth
    operand, result = spans[f"a{parity}"], spans[f"c{parity}"]
    label = replace(p.label, tile=f"{tile} columns {block.brick * BRICK}+{block.columns}")
    rows, first_row = p.window.rows(tile), p.window.first_row(tile)
    across = p.result.row_bricks
    of_result = {"bricks": block.bricks, "count_1": rows, "memory_1": across, "scratch_1": block.bricks}

    brick, shape = p.window.load_shape(tile)
    e.load(replace(label, what="operand"), p.window.operand, brick, operand, **shape)
    if p.mask is not None:
        x = spans[f"x{parity}"]
        e.load(replace(label, what="mask from"), p.mask, first_row * across + block.brick, x, **of_result)
    yield

    reads = [operand, spans["b"]]
    mask_fields = {}
    if p.mask is not None:
        mask, stride = spans[f"mask{parity}"], ceil_div(block.bricks, BRICK)
        fields = {
            "count": rows,
            "bricks": block.bricks,
            "u_base": x.base,
            "u_stride": block.bricks,
            "out_base": mask.base,
            "out_stride": stride,
        }
        e.vector(replace(label, what="mask"), Kind.MASK, fields, (x,), (mask,))
        mask_fields = {"masked": 1, "mask_base": mask.base, "mask_stride": stride}
        reads.append(mask)
    one_fields = {}
    if p.one is not None:
        one_fields = {"bias": 1, "one_base": spans["one"].base}
        reads.append(spans["one"])
    tiling = choose(e.chip, label, rows, block.columns, p.reduction, p.mask is not None)
    a_base, window = p.window.fields(tile, operand.base)
    e.issue(
        Opcode.PRODUCT,
        replace(label, what="product"),
        {
            "m": rows,
            "n": block.columns,
            "k": p.b_rows,
            **window,
            "a_base": a_base,
            "a_bricks": p.window.bricks,
            "a_tail": p.a_tail,
            "tap_k": p.tap_k,
            **one_fields,
            "b_base": spans["b"].base,
            "b_stride": block.bricks,
            "b_tile": tiling.k_tile * block.bricks,
            "c_base": result.base,
            "c_stride": block.bricks,
            "index_base": (first_row * p.result.channels + block.brick * BRICK) % (1 << 32),
            "index_stride": p.result.channels,
            **mask_fields,
            "skip": 1,
            "start": 1,
            "finish": 1,
            **rounding_fields(p.key, p.rounding, p.shift),
            **tiling.fields(),
        },
        tuple(reads),
        (result,),
    )
    yield

    e.store(replace(label, what="result"), p.result, first_row * across + block.brick, result, **of_result)
