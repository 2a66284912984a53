"""Weight gradient of a convolution: slabs of lines, taps of the kernel as segments."""

from dataclasses import dataclass, replace
from functools import cached_property

from host.compiler.emit import Emitter, Span
from host.compiler.geometry import ramp
from host.compiler.gradient import Channels, Gradient
from host.compiler.phases import Side
from host.compiler.tiling import row_slots
from host.program import Label, Value
from spec.chip import BRICK, Chip
from spec.isa import Kind
from spec.product import ceil_div


@dataclass(frozen=True)
class Kernel:
    """Taps along both sides, stride and padding; ``margin`` : padding along x."""

    y: int
    x: int
    stride: int
    padding: int
    margin: int


@dataclass(frozen=True)
class ConvParts:
    """:class:`host.compiler.gradient.Parts` of one phase: ``images`` whole images, or ``lines`` lines of one.

    growth : of the first parts, as :func:`host.compiler.geometry.ramp` has it. stride : bricks from row to row of B.
    columns : of a tile in a lane. slab : lines of a tile of the reduction.
    """

    chip: Chip
    g: Gradient
    kernel: Kernel
    y: Side
    x: Side
    images: int
    lines: int
    growth: int
    stride: int
    columns: int
    slab: int

    @property
    def segments(self) -> int:
        return self.y.taps * self.x.taps

    @property
    def row_taps(self) -> int:
        return 1

    @property
    def shares(self) -> list[float]:
        return [images * lines / (self.images * self.lines) for _, images, _, lines in self.extents]

    @property
    def positions(self) -> float:
        lines = (self.images - 1) * self.y.pitch + self.lines
        return self.slab * self.x.size * self.images * self.lines / lines

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
        return len(self.extents)

    def later(self) -> "ConvParts":
        return replace(self, growth=0)

    @cached_property
    def extents(self) -> list[tuple[int, int, int, int]]:
        """Of each part: first image, images, first line, lines."""
        batch, height = self.g.x.shape[0], self.y.size
        result: list[tuple[int, int, int, int]] = []
        image = 0
        for count in ramp(batch, self.images, self.growth):
            lines = self.lines
            result += [(image, count, line, min(lines, height - line)) for line in range(0, height, lines)]
            image += count
        return result

    def fresh(self, e: Emitter, label: Label, spans: dict[str, Span]) -> None:
        """Zeros where no load or transposition ever writes: between images, behind lines, around outputs."""
        a, b, line = spans["a"], spans["b"], self.line
        planes, used = a.bricks // self.channel, (self.images - 1) * self.y.pitch + self.lines
        for first, last, times in (
            (self.lines, self.y.pitch, self.images - 1),
            (used, self.slabs * self.slab, 1),
        ):
            if first < last and times:
                shape = {"bricks": (last - first) * line, "count_1": planes, "scratch_1": self.channel}
                e.fill_runs(label, a, first * line, **shape, count_2=times, scratch_2=self.y.pitch * line)
        (low_y, high_y), (low_x, high_x) = self.y.met(0, self.lines), self.x.met(0, self.x.size)
        data, pitch, line = (high_x - low_x) * self.stride, self.x.pitch * self.stride, self.x.border * self.stride
        if not data or low_y == high_y:
            e.fill(label, b)
            return
        # From the last output of a line to the first of the next.
        fill_inside(e, label, b, 0, line, 1, 0)
        fill_inside(e, label, b, line + data, pitch - data, ceil_div(b.bricks, pitch), pitch)
        if self.strips == 1:
            image, data = self.y.pitch * pitch, (high_y - low_y) * pitch
            fill_inside(e, label, b, 0, self.y.border * pitch, 1, 0)
            fill_inside(e, label, b, self.y.border * pitch + data, image - data, self.images - 1, image)
            last = (self.images - 1) * image + self.y.border * pitch + data
            fill_inside(e, label, b, last, b.bricks - last, 1, 0)

    def load(
        self, e: Emitter, label: Label, part: int, rows: Channels, columns: Channels, spans: dict[str, Span]
    ) -> None:
        self._load_x(e, replace(label, what="x"), part, rows, spans["raw"])
        self._load_delta(e, replace(label, what="delta"), part, columns, spans["b"])
        _, images, _, lines = self.extents[part]
        used = (images - 1) * self.y.pitch + lines
        rest = ceil_div(used, self.slab) * self.slab - used
        if rest and (images < self.images or lines < self.lines):
            shape = {"bricks": rest * self.line, "count_1": BRICK * rows.bricks, "scratch_1": self.channel}
            e.fill_runs(replace(label, what="zeros"), spans["a"], used * self.line, **shape)

    def _load_x(self, e: Emitter, label: Label, part: int, rows: Channels, raw: Span) -> None:
        """The phase's positions, image behind image."""
        image, images, line, lines = self.extents[part]
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
        image, images, line, lines = self.extents[part]
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
        _, images, _, lines = self.extents[part]
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
        _, images, _, lines = self.extents[part]
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


def fill_inside(e: Emitter, label: Label, span: Span, first: int, bricks: int, times: int, step: int) -> None:
    """Zeros to ``times`` runs, as far as they lie in the span."""
    while times and first + (times - 1) * step + bricks > span.bricks:
        times -= 1
        left = span.bricks - first - times * step
        if left > 0:
            e.fill_runs(label, span, first + times * step, bricks=min(left, bricks))
    if times and bricks > 0:
        e.fill_runs(label, span, first, bricks=bricks, count_1=times, scratch_1=step)


def slab_rows(y: Side, x: Side, lines: int) -> int:
    """Rows of B that a slab of ``lines`` lines meets."""
    return (lines - 1 + y.taps - 1) * x.pitch + x.size + x.taps - 1
