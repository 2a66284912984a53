"""Pooling forward and backward: vector commands that walk windows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from host.compiler.emit import Emitter, pipeline, rounding_fields
from host.compiler.errors import DoesNotFit
from host.compiler.geometry import Tile, Window, cut
from host.program import Label, Value
from host.tensor import Tensor
from spec.isa import Kind
from spec.number import Rounding

PARTS = 4  # tiles that are enough for loads and stores to overlap with the work
LEAST = 64  # rows of a tile that is not parted further


@dataclass(frozen=True)
class Pool:
    """MAX, MAX_BACK or MEAN of ``window`` to ``out``.

    places : MAX writes them there, or nowhere in memory if None; MAX_BACK reads them. table : scalars of MEAN.
    """

    label: Label
    kind: Kind
    window: Window
    out: Tensor
    places: Tensor | None = None
    table: Tensor | None = None
    key: Value = 0
    shift: int = 0
    rounding: Rounding = Rounding.FLOOR

    def sizes(self, images: int, lines: int, depth: int) -> dict[str, int]:
        rows = images * lines * self.window.x.out * self.out.row_bricks
        operand = self.window.seen_bricks(images, lines)
        sizes = {"table": self.table.bricks if self.table else 0}
        for i in range(depth):
            sizes |= {f"u{i}": operand, f"out{i}": rows}
            if self.kind != Kind.MEAN:
                sizes[f"places{i}"] = operand if self.kind == Kind.MAX_BACK else rows
        return sizes


def emit_pool(e: Emitter, p: Pool) -> None:
    """All commands. Raises :class:`DoesNotFit`."""
    rows = p.window.batch * p.window.y.out * p.window.x.out
    wanted = max(1, min(PARTS, rows // LEAST))
    for depth in (2, 1):

        def fits(images: int, lines: int, depth: int = depth) -> bool:
            return sum(p.sizes(images, lines, depth).values()) <= e.chip.scratch_bricks

        tiles = cut(p.window, fits, wanted)
        if tiles is not None:
            break
    else:
        needed = sum(p.sizes(1, 1, 1).values())
        what = f"{p.label.phase} of one line"
        raise DoesNotFit(p.label.layer, what, needed, e.chip.scratch_bricks, "bricks of scratchpad", e.chip.name)
    spans = e.layout(p.label, p.sizes(max(t.images for t in tiles), max(t.lines for t in tiles), depth))
    if p.table is not None:
        e.load(replace(p.label, what="scalars"), p.table, 0, spans["table"], bricks=p.table.bricks)

    def job(tile: Tile) -> Iterator[None]:
        parity = tile.number % depth
        u, out, places = spans[f"u{parity}"], spans[f"out{parity}"], spans.get(f"places{parity}")
        label = replace(p.label, tile=str(tile))
        brick, shape = p.window.load_shape(tile)
        e.load(replace(label, what="operand"), p.window.operand, brick, u, **shape)
        if p.kind == Kind.MAX_BACK:
            assert p.places is not None
            assert places is not None
            e.load(replace(label, what="places"), p.places, brick, places, **shape)
        yield

        across, first = p.out.row_bricks, p.window.first_row(tile)
        base, window = p.window.fields(tile, u.base)
        fields: dict[str, Value] = {
            "count": p.window.rows(tile),
            "bricks": across,
            "u_base": base,
            "out_base": out.base,
            "out_stride": across,
            **window,
        }
        reads, writes = [u], [out]
        if p.kind == Kind.MEAN:
            fields |= {
                "table_base": spans["table"].base,
                "uniform": 1,
                "index_base": first * p.out.channels % (1 << 32),
                "index_stride": p.out.channels,
                **rounding_fields(p.key, p.rounding, p.shift),
            }
            reads.append(spans["table"])
        else:
            assert places is not None
            back = p.kind == Kind.MAX_BACK
            fields |= {"has_v": 1, "v_base": places.base - u.base + base if back else places.base, "v_stride": across}
            (reads if back else writes).append(places)
        e.vector(replace(label, what=p.kind.name.lower()), p.kind, fields, tuple(reads), tuple(writes))
        yield

        bricks = p.window.rows(tile) * across
        e.store(replace(label, what="result"), p.out, first * across, out, bricks=bricks)
        if p.kind == Kind.MAX and p.places is not None:
            assert places is not None
            e.store(replace(label, what="places"), p.places, first * across, places, bricks=bricks)

    pipeline(e, (job(tile) for tile in tiles), depth)
