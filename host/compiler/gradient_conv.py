"""Weight gradient of a convolution: slabs of lines, taps of the kernel as segments."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product as pairs

from host.compiler.emit import Emitter, Span
from host.compiler.errors import DoesNotFit
from host.compiler.gradient import Blocks, Channels, Gradient, blocks, buffers, emit_gradient, refuse
from host.compiler.phases import Side, parted, sides
from host.compiler.tiling import (
    COMMAND_CYCLES,
    column_choices,
    halved,
    memory_cycles,
    repeated,
    row_limit,
    row_slots,
)
from host.program import Label, Value
from spec.chip import BRICK, Chip
from spec.engine import load_cycles_per_brick
from spec.isa import Kind
from spec.product import ceil_div

# What groups that do not end together lose, in visits of a row: in each tile, and at the end.
TILE_VISITS, LAST_VISITS = 0.25, 0.5


@dataclass(frozen=True)
class Kernel:
    """Taps along both sides, stride and padding."""

    y: int
    x: int
    stride: int
    padding: int


@dataclass(frozen=True)
class ConvParts:
    """:class:`host.compiler.gradient.Parts` of one phase: ``images`` whole images, or ``lines`` lines of one.

    stride : bricks from row to row of B. columns : of a tile in a lane. slab : lines of a tile of the reduction.
    """

    chip: Chip
    g: Gradient
    kernel: Kernel
    y: Side
    x: Side
    images: int
    lines: int
    stride: int
    columns: int
    slab: int

    @property
    def segments(self) -> int:
        return self.y.taps * self.x.taps

    @property
    def strips(self) -> int:
        """Of an image."""
        return ceil_div(self.y.size, self.lines)

    @property
    def line(self) -> int:
        """Bricks of a line of A."""
        return ceil_div(self.x.size, BRICK)

    @property
    def slabs(self) -> int:
        return ceil_div((self.images - 1) * self.y.pitch + self.lines, self.slab)

    @property
    def channel(self) -> int:
        """Bricks of A from channel to channel."""
        return self.slabs * self.slab * self.line

    @property
    def tile_rows(self) -> int:
        """Rows of B that one slab meets."""
        return slab_rows(self.y, self.x, self.slab)

    def sizes(self, rows: int, columns: int) -> dict[str, int]:
        b_rows = (self.slabs - 1) * self.slab * self.x.pitch + self.tile_rows
        raw = self.images * self.lines * self.x.size * rows
        return {"raw": raw, "a": BRICK * rows * self.channel, "b": b_rows * self.stride}

    def count(self) -> int:
        return ceil_div(self.g.x.shape[0], self.images) * self.strips

    def where(self, part: int) -> tuple[int, int, int, int]:
        """First image, images, first line, lines."""
        group, strip = divmod(part, self.strips)
        image, line = group * self.images, strip * self.lines
        return image, min(self.images, self.g.x.shape[0] - image), line, min(self.lines, self.y.size - line)

    def fresh(self, e: Emitter, label: Label, spans: dict[str, Span]) -> None:
        e.fill(label, spans["a"])
        e.fill(label, spans["b"])

    def load(
        self, e: Emitter, label: Label, part: int, rows: Channels, columns: Channels, spans: dict[str, Span]
    ) -> None:
        self._load_x(e, replace(label, what="x"), part, rows, spans["raw"])
        self._load_delta(e, replace(label, what="delta"), part, columns, spans["b"])
        _, images, _, lines = self.where(part)
        used = (images - 1) * self.y.pitch + lines
        rest = ceil_div(used, self.slab) * self.slab - used
        if rest and (images < self.images or lines < self.lines):
            shape = {"bricks": rest * self.line, "count_1": BRICK * rows.bricks, "scratch_1": self.channel}
            e.fill_runs(replace(label, what="zeros"), spans["a"], used * self.line, **shape)

    def _load_x(self, e: Emitter, label: Label, part: int, rows: Channels, raw: Span) -> None:
        """The phase's positions, image behind image."""
        image, images, line, lines = self.where(part)
        x, across, step = self.g.x, self.g.x.row_bricks, self.x.stride
        width, height = x.shape[2], x.shape[1]
        for i in range(images):
            at = ((image + i) * height + self.y.offset + step * line) * width + self.x.offset
            shape = {
                "bricks": rows.bricks,
                "count_1": self.x.size,
                "memory_1": step * across,
                "scratch_1": rows.bricks,
                "count_2": lines,
                "memory_2": step * width * across,
                "scratch_2": self.x.size * rows.bricks,
            }
            offset = i * lines * self.x.size * rows.bricks
            if step == 1 and rows.bricks == across and lines == height:
                e.load(label, x, at * across, raw, bricks=images * height * width * across)
                return
            e.load(label, x, at * across + rows.brick, raw, offset, **shape)

    def _load_delta(self, e: Emitter, label: Label, part: int, columns: Channels, b: Span) -> None:
        """Outputs that the part's positions meet, to the inside of the border; zeros above and below a strip."""
        image, images, line, lines = self.where(part)
        delta, across = self.g.delta, self.g.delta.row_bricks
        height, width = delta.shape[1:3]
        low_y, high_y = self.y.met(line, line + lines)
        low_x, high_x = self.x.met(0, self.x.size)
        pitch = self.x.pitch * self.stride
        top = low_y - line - self.y.lowest
        if self.strips > 1:
            bottom = top + high_y - low_y
            for first, last in ((0, top), (bottom, lines + self.y.taps - 1)):
                if first < last:
                    end = min(last * pitch, b.bricks)
                    e.fill_runs(replace(label, what="zeros"), b, first * pitch, bricks=end - first * pitch)
        if low_y >= high_y or low_x >= high_x:
            return
        whole = columns.bricks == across == self.stride
        for i in range(images):
            brick = (((image + i) * height + low_y) * width + low_x) * across + columns.brick
            offset = (i * self.y.pitch + top) * pitch + self.x.border * self.stride
            if whole:
                shape = {
                    "bricks": (high_x - low_x) * across,
                    "count_1": high_y - low_y,
                    "memory_1": width * across,
                    "scratch_1": pitch,
                    "count_2": images,
                    "memory_2": height * width * across,
                    "scratch_2": self.y.pitch * pitch,
                }
                e.load(label, delta, brick, b, offset, **shape)
                return
            shape = {
                "bricks": columns.bricks,
                "count_1": high_x - low_x,
                "memory_1": across,
                "scratch_1": self.stride,
                "count_2": high_y - low_y,
                "memory_2": width * across,
                "scratch_2": pitch,
            }
            e.load(label, delta, brick, b, offset, **shape)

    def work(self, e: Emitter, label: Label, part: int, rows: Channels, spans: dict[str, Span]) -> None:
        _, images, _, lines = self.where(part)
        raw, a = spans["raw"], spans["a"]
        of_line = self.x.size * rows.bricks
        by_image = (lines * of_line, self.y.pitch * self.line)  # from image to image: in x, in A
        by_brick = (1, BRICK * self.channel)
        planes, plane, times, time = images, by_image, rows.bricks, by_brick
        if times > planes:
            planes, plane, times, time = times, time, planes, plane
        for i in range(times):
            fields = {
                "count": self.x.size,
                "lines": lines,
                "bricks": planes,
                "u_base": raw.base + i * time[0],
                "u_stride": rows.bricks,
                "u_line": of_line,
                "u_plane": plane[0],
                "out_base": a.base + i * time[1],
                "out_stride": self.channel,
                "out_block": 1,
                "out_line": self.line,
                "out_plane": plane[1],
            }
            e.vector(label, Kind.TRANSPOSE, fields, (raw,), (a,))

    def product(self, part: int, rows: Channels, columns: Channels, spans: dict[str, Span]) -> dict[str, Value]:
        _, images, _, lines = self.where(part)
        slabs = ceil_div((images - 1) * self.y.pitch + lines, self.slab)
        in_lane = min(self.columns, ceil_div(columns.count, self.chip.lanes))
        alone = slabs == self.count() == 1
        slots = row_slots(self.chip, rows.count, in_lane * self.segments, alone)
        pitch = self.x.pitch
        return {
            "k": slabs * self.tile_rows,
            "out_x": rows.count,
            "out_y": 1,
            "in_x": rows.count,
            "in_y": self.slab,
            "dilation": 1,
            "stride": 1,
            "taps_x": 1,
            "taps_y": self.slab,
            "step_x": self.channel,
            "step_y": self.line,
            "a_base": spans["a"].base + rows.first % BRICK * self.channel,
            "a_bricks": self.line,
            "a_tail": (self.x.size - 1) % BRICK + 1,
            "tap_k": pitch,
            "slabs": 1,
            "a_slab": self.slab * self.line,
            "b_base": spans["b"].base,
            "b_stride": self.stride,
            "b_tile": self.slab * pitch * self.stride,
            "k_tile": self.tile_rows,
            "a_tile": self.slab * self.line,
            "columns": in_lane,
            "rows": slots,
            "row_tile": rows.count if alone else min(rows.count, slots * self.chip.groups),
            "seg_start": ((self.y.taps - 1) * pitch + self.x.taps - 1) * in_lane,
            "seg_bank_x": -in_lane,
            "seg_bank_y": (self.x.taps - 1 - pitch) * in_lane,
        }

    def result(self, rows: Channels, columns: Channels) -> dict[str, Value]:
        channels, words = self.g.dw.channels, self.g.x.channels
        tap = self.y.first * self.kernel.x + self.x.first
        step = self.x.stride
        return {
            "c_stride": columns.bricks,
            "index_base": (tap * words + rows.first) * channels + columns.first,
            "index_stride": channels,
            "seg_x": self.x.taps,
            "seg_y": self.y.taps,
            "seg_c_x": rows.count * columns.bricks,
            "seg_c_y": rows.count * columns.bricks,
            "seg_index_x": step * words * channels,
            "seg_index_y": step * (self.kernel.x - self.x.taps + 1) * words * channels,
        }

    def store(self, e: Emitter, label: Label, rows: Channels, columns: Channels, span: Span) -> None:
        dw, words = self.g.dw, self.g.x.channels
        across, bricks, step = dw.row_bricks, columns.bricks, self.x.stride
        for q in range(self.y.taps):
            tap = (self.y.first + step * q) * self.kernel.x + self.x.first
            shape = {
                "bricks": bricks,
                "count_1": rows.count,
                "memory_1": across,
                "scratch_1": bricks,
                "count_2": self.x.taps,
                "memory_2": step * words * across,
                "scratch_2": rows.count * bricks,
            }
            offset = q * self.x.taps * rows.count * bricks
            e.store(label, dw, (tap * words + rows.first) * across + columns.brick, span, offset, **shape)


def slab_rows(y: Side, x: Side, lines: int) -> int:
    """Rows of B that a slab of ``lines`` lines meets."""
    return (lines - 1 + y.taps - 1) * x.pitch + x.size + x.taps - 1


def emit_conv_gradient(e: Emitter, g: Gradient, kernel: Kernel) -> None:
    """All commands, phase by phase. Raises :class:`DoesNotFit`."""
    (_, height, width, _), (_, out_y, out_x, columns) = g.x.shape, g.delta.shape
    room = e.chip.psum_depth // e.chip.lanes // ceil_div(min(columns, BRICK), e.chip.lanes)
    for y in sides(height, out_y, kernel.y, kernel.stride, kernel.padding):
        for x in sides(width, out_x, kernel.x, kernel.stride, kernel.padding):
            for some_x in parted(x, max(1, room)):
                for some_y in parted(y, max(1, min(room // some_x.taps, _lines_held(e.chip, y, some_x)))):
                    _emit_phase(e, g, kernel, some_y, some_x)


def _lines_held(chip: Chip, y: Side, x: Side) -> int:
    """Lines of taps whose rows of B a bank holds, for one line of A and the fewest columns."""
    rows = chip.bank_depth // 2 // ceil_div(BRICK, chip.lanes)
    return (rows - x.size - x.taps + 1) // x.pitch + 1


def _emit_phase(e: Emitter, g: Gradient, kernel: Kernel, y: Side, x: Side) -> None:
    label = replace(g.label, what=f"taps {y.first},{x.first}")
    g = replace(g, label=label)
    if not (y.size and x.size):
        _emit_zeros(e, g, kernel, y, x)
        return
    best: tuple[ConvParts, Blocks] | None = None
    best_cost = 0.0
    for parts, cut in _choices(e.chip, g, kernel, y, x):
        if sum(buffers(parts, cut).values()) > e.chip.scratch_bricks:
            continue
        cost = _cost(parts, cut)
        if best is None or cost < best_cost:
            best, best_cost = (parts, cut), cost
    if best is None:
        stride = 1
        parts = ConvParts(e.chip, g, kernel, y, x, 1, 1, stride, ceil_div(BRICK, e.chip.lanes), 1)
        needed, bank = parts.tile_rows * parts.columns, e.chip.bank_depth // 2
        if needed > bank:
            raise DoesNotFit(label.layer, "WG of one line: B's tile", needed, bank, "words of a bank", e.chip.name)
        if parts.line * BRICK > e.chip.list_depth:
            needed, room = parts.line * BRICK, e.chip.list_depth
            raise DoesNotFit(label.layer, "WG of one line", needed, room, "words of a row list", e.chip.name)
        raise refuse(e.chip, g, parts, Blocks(blocks(g.x.channels, 1), blocks(g.delta.channels, BRICK), 1))
    emit_gradient(e, g, *best)


def _emit_zeros(e: Emitter, g: Gradient, kernel: Kernel, y: Side, x: Side) -> None:
    """Taps that no position of the input ever meets."""
    row = g.x.channels * g.dw.row_bricks
    span = e.layout(g.label, {"zeros": row})["zeros"]
    e.fill(g.label, span)
    for q_y, q_x in pairs(range(y.taps), range(x.taps)):
        tap = (y.first + y.stride * q_y) * kernel.x + x.first + x.stride * q_x
        e.store(g.label, g.dw, tap * row, span, bricks=row)


def _choices(chip: Chip, g: Gradient, kernel: Kernel, y: Side, x: Side) -> Iterator[tuple[ConvParts, Blocks]]:
    batch = g.x.shape[0]
    cuts = [(images, y.size) for images in halved(batch)] + [(1, lines) for lines in halved(y.size)[1:]]
    for (images, lines), bricks in pairs(cuts, halved(g.delta.row_bricks)):
        columns = blocks(g.delta.channels, bricks * BRICK)
        chained = images < batch or lines < y.size
        for in_lane in column_choices(chip, columns[0].count, y.taps * x.taps, whole=chained):
            most = g.x.channels
            if chained:
                most = min(most, row_limit(chip, columns[0].count, y.taps * x.taps))
            for slab in _slabs(chip, y, x, (images - 1) * y.pitch + lines, in_lane):
                parts = ConvParts(chip, g, kernel, y, x, images, lines, columns[0].bricks, in_lane, slab)
                for rows, depth in pairs(halved(most), (2, 1)):
                    yield parts, Blocks(blocks(g.x.channels, rows), columns, depth)


def _slabs(chip: Chip, y: Side, x: Side, lines: int, in_lane: int) -> set[int]:
    """Lines of a tile, all evenly: as many as banks and row lists hold, and fewer, so that loads of B hide."""
    most = chip.list_depth // BRICK // ceil_div(x.size, BRICK)
    while most and slab_rows(y, x, most) * in_lane > chip.bank_depth // 2:
        most -= 1
    return {ceil_div(lines, ceil_div(lines, some)) for some in halved(most)[:4]}


def _cost(parts: ConvParts, cut: Blocks) -> float:
    """Rough cycles at half of x nonzero."""
    chip = parts.chip
    each = parts.sizes(cut.row_bricks, cut.column_bricks)
    nonzero = parts.images * parts.lines * parts.x.size / 2 / parts.slabs
    work = 0.0  # of all blocks, one part of each
    for columns, times in Counter(block.count for block in cut.columns).items():
        in_lane = min(parts.columns, ceil_div(columns, chip.lanes))
        tiles = ceil_div(columns, in_lane * chip.lanes)
        visit = max(
            nonzero * in_lane * parts.segments,
            1.4 * parts.slab * parts.line + 14,
            in_lane * chip.lanes * parts.segments,
        )
        bank = parts.tile_rows * ceil_div(in_lane * chip.lanes, BRICK) * load_cycles_per_brick(chip)
        for rows, again in Counter(block.count for block in cut.rows).items():
            slots = row_slots(chip, rows, in_lane * parts.segments, False)
            row_tiles = ceil_div(rows, slots * chip.groups)
            visits = ceil_div(min(rows, slots * chip.groups), chip.groups)
            product = parts.slabs * tiles * row_tiles * max((visits + TILE_VISITS) * visit, bank)
            product += bank + LAST_VISITS * visit + COMMAND_CYCLES
            work += times * again * product
    chains = len(cut.rows) * len(cut.columns)
    load = memory_cycles(chip, each["raw"] + each["b"])
    return repeated(chains * parts.count(), (load, work / chains, 0.0), cut.depth)
