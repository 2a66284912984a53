"""Commands of a product over positions."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from host.compiler.emit import Emitter, Span, pipeline, rounding_fields
from host.compiler.geometry import Tile
from host.compiler.product_plan import Plan, plan
from host.compiler.products import Block, Part, WindowedProduct
from host.compiler.tiling import choose
from host.program import Label, Value
from spec.chip import BRICK
from spec.isa import Kind, Opcode
from spec.product import ceil_div


def emit_product(e: Emitter, p: WindowedProduct) -> None:
    """From memory to memory. Raises :class:`host.compiler.errors.DoesNotFit`."""
    made = plan(e.chip, p)
    spans = e.layout(p.label, made.sizes)
    if p.one is not None:
        e.load(replace(p.label, what="one"), p.one, 0, spans["one"], bricks=1)
    across, channels = p.result.row_bricks, p.result.channels
    for first in range(0, across, made.bricks):
        bricks = min(made.bricks, across - first)
        block = Block(first, bricks, min(channels, (first + bricks) * BRICK) - first * BRICK)
        if not made.chained and p.held is None:
            p.load_b(block, p.whole, spans["b"], spans["a0"])
        pipeline(e, (job.emit() for job in _jobs(e, p, made, spans, block)), made.depth)


def _jobs(e: Emitter, p: WindowedProduct, made: Plan, spans: dict[str, Span], block: Block) -> Iterator["_Job"]:
    number = 0
    for tile in made.tiles:
        for part in made.parts:
            yield _Job(e, p, made, spans, block, tile, part, number)
            number += 1


@dataclass(frozen=True)
class _Job:
    """One product: a tile of rows, a block of columns, a part of the reduction."""

    e: Emitter
    p: WindowedProduct
    made: Plan
    spans: dict[str, Span]
    block: Block
    tile: Tile
    part: Part
    number: int

    @property
    def first(self) -> bool:
        return self.part is self.made.parts[0]

    @property
    def last(self) -> bool:
        return self.part is self.made.parts[-1]

    def of_tile(self, name: str) -> Span:
        return self.spans[f"{name}{self.tile.number % self.made.depth}"]

    def of_part(self, name: str) -> Span:
        return self.spans[f"{name}{self.number % self.made.depth}"]

    @property
    def b(self) -> Span:
        if self.p.held is not None:
            return self.p.held.span
        return self.of_part("b") if self.made.chained else self.spans["b"]

    @property
    def label(self) -> Label:
        part = f" part {self.part.brick}" if self.made.chained else ""
        columns = f"columns {self.block.brick * BRICK}+{self.block.columns}"
        return replace(self.p.label, tile=f"{self.tile} {columns}{part}")

    def emit(self) -> Iterator[None]:
        e, p, block, label = self.e, self.p, self.block, self.label
        rows, first_row, across = p.window.rows(self.tile), p.window.first_row(self.tile), p.result.row_bricks
        brick = first_row * across + block.brick
        of_result = {"bricks": block.bricks, "count_1": rows, "memory_1": across, "scratch_1": block.bricks}
        if self.first:
            start, shape = p.window.load_shape(self.tile)
            e.load(replace(label, what="operand"), p.window.operand, start, self.of_tile("a"), **shape)
            if p.mask is not None:
                e.load(replace(label, what="mask from"), p.mask, brick, self.of_tile("x"), **of_result)
        if self.made.chained:
            # No room for transposing where there is nothing to transpose.
            p.load_b(block, self.part, self.b, self.spans.get(f"raw{self.number % self.made.depth}", Span(0, 0)))
        yield
        if self.first and p.masked:
            self._mask(rows)
        if self.made.depth > 2:
            yield
        self._product(rows, first_row)
        yield
        if self.last:
            e.store(replace(label, what="result"), p.result, brick, self.of_tile("c"), **of_result)

    def _mask(self, rows: int) -> None:
        x, mask, bricks = self.of_tile("x"), self.of_tile("mask"), self.block.bricks
        fields = {
            "count": rows,
            "bricks": bricks,
            "u_base": x.base,
            "u_stride": bricks,
            "out_base": mask.base,
            "out_stride": ceil_div(bricks, BRICK),
        }
        self.e.vector(replace(self.label, what="mask"), Kind.MASK, fields, (x,), (mask,))

    def _product(self, rows: int, first_row: int) -> None:
        p, part, block, made = self.p, self.part, self.block, self.made
        operand, result, b = self.of_tile("a"), self.of_tile("c"), self.b
        first, across = (0, block.bricks) if p.held is None else (block.brick, p.held.across)
        reads = [operand, b]
        fields: dict[str, Value] = {}
        if p.masked:
            mask = self.of_tile("mask")
            reads.append(mask)
            fields |= {"masked": 1, "mask_base": mask.base, "mask_stride": ceil_div(block.bricks, BRICK)}
        if part.bias:
            reads.append(self.spans["one"])
            fields |= {"bias": 1, "one_base": self.spans["one"].base}
        tiling = choose(self.e.chip, p.label, rows, block.columns, p.reduction(part), p.masked, made.chained)
        a_base, window = p.window.fields(self.tile, operand.base)
        fields |= {
            "m": rows,
            "n": block.columns,
            "k": p.b_rows(part),
            **window,
            "a_base": a_base + part.brick,
            "a_bricks": part.bricks,
            "a_tail": part.a_tail,
            "tap_k": part.tap_k,
            "b_base": b.base + first,
            "b_stride": across,
            "b_tile": tiling.k_tile * across,
            "c_base": result.base,
            "c_stride": block.bricks,
            "index_base": (first_row * p.result.channels + block.brick * BRICK) % (1 << 32),
            "index_stride": p.result.channels,
            "skip": 1,
            "start": int(self.first),
            "finish": int(self.last),
            **rounding_fields(p.key, p.rounding, p.shift),
            **tiling.fields(),
        }
        writes = (result,) if self.last else ()
        self.e.issue(Opcode.PRODUCT, replace(self.label, what="product"), fields, tuple(reads), writes)
