"""Weight gradient of a dense layer, or of a 1x1 convolution without stride: positions are one long line."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product as pairs

from host.compiler.emit import Emitter, Span
from host.compiler.gradient import Blocks, Channels, Gradient, blocks, buffers, emit_gradient, refuse
from host.compiler.tiling import COMMAND_CYCLES, Reduction, cheapest, choose, halved, memory_cycles, repeated, row_limit
from host.program import Label, Value
from spec.chip import BRICK, Chip
from spec.isa import Kind
from spec.product import ceil_div

MAX_PART = 65535 // BRICK * BRICK  # positions: k of one product


@dataclass(frozen=True)
class MatrixParts:
    """:class:`host.compiler.gradient.Parts` of ``part`` positions each."""

    chip: Chip
    g: Gradient
    part: int
    segments: int = 1
    row_taps: int = 1

    def sizes(self, rows: int, columns: int) -> dict[str, int]:
        return {"raw": self.part * rows, "a": BRICK * rows * self.line, "b": self.part * columns}

    def count(self) -> int:
        return ceil_div(self.g.x.rows, self.part)

    def later(self) -> "MatrixParts":
        return self

    def positions(self, part: int) -> int:
        return min(self.part, self.g.x.rows - part * self.part)

    @property
    def line(self) -> int:
        """Bricks of A from channel to channel, in all parts: rows of a chain's products lie alike."""
        return ceil_div(self.part, BRICK)

    def fresh(self, e: Emitter, label: Label, spans: dict[str, Span]) -> None:
        pass

    def load(
        self, e: Emitter, label: Label, part: int, rows: Channels, columns: Channels, spans: dict[str, Span]
    ) -> None:
        first, count = part * self.part, self.positions(part)
        for tensor, chosen, name in ((self.g.x, rows, "raw"), (self.g.delta, columns, "b")):
            across, bricks = tensor.row_bricks, chosen.bricks
            shape = {"bricks": bricks, "count_1": count, "memory_1": across, "scratch_1": bricks}
            e.load(label, tensor, first * across + chosen.brick, spans[name], **shape)

    def work(self, e: Emitter, label: Label, part: int, rows: Channels, spans: dict[str, Span]) -> None:
        fields = {
            "count": self.positions(part),
            "bricks": rows.bricks,
            "lines": 1,
            "u_base": spans["raw"].base,
            "u_stride": rows.bricks,
            "u_plane": 1,
            "out_base": spans["a"].base,
            "out_stride": self.line,
            "out_block": 1,
            "out_plane": BRICK * self.line,
        }
        e.vector(label, Kind.TRANSPOSE, fields, (spans["raw"],), (spans["a"],))

    def product(self, part: int, rows: Channels, columns: Channels, spans: dict[str, Span]) -> dict[str, Value]:
        count = self.positions(part)
        line = ceil_div(count, BRICK)
        reduction = Reduction(line, 1, BRICK, False)
        tiling = choose(self.chip, self.g.label, rows.count, columns.count, reduction, chained=self.count() > 1)
        k_tile = min(tiling.k_tile, count)
        return {
            "k": count,
            "out_x": rows.count,
            "out_y": 1,
            "in_x": rows.count,
            "in_y": 1,
            "dilation": 1,
            "stride": 1,
            "taps_x": 1,
            "taps_y": 1,
            "step_x": self.line,
            "a_base": spans["a"].base + rows.first % BRICK * self.line,
            "a_bricks": line,
            "a_tail": (count - 1) % BRICK + 1,
            "tap_k": count,
            "b_base": spans["b"].base,
            "b_stride": columns.bricks,
            "b_tile": k_tile * columns.bricks,
            **tiling.fields(),
            "k_tile": k_tile,
        }

    def result(self, rows: Channels, columns: Channels) -> dict[str, Value]:
        channels = self.g.dw.channels
        return {
            "c_stride": columns.bricks,
            "index_base": rows.first * channels + columns.first,
            "index_stride": channels,
            "seg_x": 1,
            "seg_y": 1,
        }

    def store(self, e: Emitter, label: Label, rows: Channels, columns: Channels, span: Span) -> None:
        across, bricks = self.g.dw.row_bricks, columns.bricks
        shape = {"bricks": bricks, "count_1": rows.count, "memory_1": across, "scratch_1": bricks}
        e.store(label, self.g.dw, rows.first * across + columns.brick, span, **shape)


def emit_matrix_gradient(e: Emitter, g: Gradient) -> None:
    """All commands. Raises :class:`host.compiler.errors.DoesNotFit`."""
    found = cheapest(_choices(e.chip, g), _cost_if_it_fits)
    if found is None:
        smallest = Blocks(blocks(g.x.channels, 1), blocks(g.delta.channels, BRICK), 1)
        raise refuse(e.chip, g, MatrixParts(e.chip, g, min(BRICK, g.x.rows)), smallest)
    emit_gradient(e, g, *found[0])


def _choices(chip: Chip, g: Gradient) -> Iterator[tuple[MatrixParts, Blocks]]:
    for halvings, bricks, depth in pairs(range(17), halved(g.delta.row_bricks), (2, 1)):
        part = ceil_div(ceil_div(g.x.rows, 1 << halvings), BRICK) * BRICK
        if part > MAX_PART:
            continue
        parts = MatrixParts(chip, g, min(part, g.x.rows))
        columns = blocks(g.delta.channels, bricks * BRICK)
        most = g.x.channels
        if parts.count() > 1:
            most = min(most, row_limit(chip, columns[0].count, 1))
        for rows in halved(most):
            yield parts, Blocks(blocks(g.x.channels, rows), columns, depth)
        if part == BRICK:
            return


def _cost_if_it_fits(choice: tuple[MatrixParts, Blocks]) -> float | None:
    parts, cut = choice
    return _cost(parts, cut) if sum(buffers(parts, cut).values()) <= parts.chip.scratch_bricks else None


def _cost(parts: MatrixParts, cut: Blocks) -> float:
    """Rough cycles at half of x nonzero."""
    chip, count = parts.chip, parts.count()
    each = parts.sizes(cut.row_bricks, cut.column_bricks)
    visits = sum(ceil_div(rows.count, chip.groups) for rows in cut.rows)
    work = 0.0  # of all blocks, one part of each
    for columns in cut.columns:
        work += visits * max(parts.part / 2, 20.0) * ceil_div(columns.count, chip.lanes)
    chains = len(cut.rows) * len(cut.columns)
    load = memory_cycles(chip, each["raw"] + each["b"])
    store = memory_cycles(chip, max(block.count for block in cut.rows) * cut.column_bricks) / count
    job = (load, work / chains + each["b"] + COMMAND_CYCLES, store)
    return repeated(chains * count, job, cut.depth)
