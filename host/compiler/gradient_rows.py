"""Weight gradient of a convolution with taps of the kernel as rows of C: more and smaller rows for the groups to share.

A has a copy of each line for each tap along x, shifted to where the outputs lie: row ``(ky, kx, c)`` of C is then channel c, copy
kx, from line ky on, and B needs no border along x. Taps along y are rows too, or segments.
"""

from dataclasses import dataclass, replace
from functools import cached_property

from host.compiler.emit import Emitter, Span
from host.compiler.geometry import ramp
from host.compiler.gradient import Channels, Gradient
from host.compiler.gradient_conv import Kernel, fill_inside
from host.compiler.phases import Lines
from host.compiler.tiling import row_slots
from host.program import Label, Value
from spec.chip import BRICK, Chip
from spec.isa import Kind
from spec.product import ceil_div


@dataclass(frozen=True)
class Extent:
    """A part: ``images`` whole images, or ``lines`` of B of one image from ``line`` on. source : lines of x, one behind the last."""

    image: int
    images: int
    line: int
    lines: int
    source: tuple[int, int]


@dataclass(frozen=True)
class RowParts:
    """:class:`host.compiler.gradient.Parts` of ``images`` whole images.

    growth : of the first parts, as :func:`host.compiler.geometry.ramp` has it. strips : of the first image, or more if they grow too, all of whole
    slabs. stride : bricks from
    row to row of B. columns : of a tile in a lane. slab : lines of B in a tile of the reduction. Rows of C are all channels of x.
    """

    chip: Chip
    g: Gradient
    kernel: Kernel
    y: Lines
    images: int
    growth: int
    strips: int
    stride: int
    columns: int
    slab: int

    @property
    def segments(self) -> int:
        return self.y.segments

    @property
    def row_taps(self) -> int:
        return self.y.row_taps * self.kernel.x

    @property
    def width(self) -> int:
        """Positions of a line of A and of B: outputs."""
        return self.g.delta.shape[2]

    @property
    def reach(self) -> int:
        """Of x: positions of a line that outputs see, without the padding before."""
        return self.kernel.stride * (self.width - 1) + self.kernel.x - self.kernel.margin

    @property
    def loaded(self) -> int:
        """Positions of x of a line that are loaded."""
        return min(self.g.x.shape[2], self.reach)

    @property
    def lead(self) -> int:
        """Zeros before each line of x, and behind the last."""
        return max(self.kernel.margin, self.reach - self.loaded)

    @property
    def raw_line(self) -> int:
        return self.lead + self.loaded

    @property
    def line(self) -> int:
        """Bricks of a line of A."""
        return ceil_div(self.width, BRICK)

    @property
    def lines(self) -> int:
        """Bricks from line to line in A: all copies of one."""
        return self.kernel.x * self.line

    @property
    def slabs(self) -> int:
        return ceil_div(self.y.total(self.images), self.slab)

    def _slabs(self, extent: Extent) -> int:
        return ceil_div(extent.lines if extent.images == 1 else self.y.total(extent.images), self.slab)

    @property
    def channel(self) -> int:
        """Bricks of A from channel to channel."""
        y = self.y
        seen = (self.slabs * self.slab - 1) * y.hop + y.row_taps
        return max((self.images - 1) * y.hop * y.pitch + y.first + y.size, seen) * self.lines

    @property
    def tile_rows(self) -> int:
        """Rows of B that one slab meets."""
        return (self.slab + self.segments - 1) * self.width

    def sizes(self, rows: int, columns: int) -> dict[str, int]:
        b_rows = (self.slabs - 1) * self.slab * self.width + self.tile_rows
        raw = self.images * self.y.size * self.raw_line + self.lead
        # The first is in the bank that sweeps leave free, see :meth:`host.compiler.emit.Emitter.layout`.
        return {"a": BRICK * rows * self.channel, "raw": raw * rows, "b": b_rows * self.stride}

    def count(self) -> int:
        return len(self.extents)

    def later(self) -> "RowParts":
        return replace(self, growth=0, strips=1)

    @cached_property
    def extents(self) -> list[Extent]:
        y, batch = self.y, self.g.x.shape[0]
        result, image, line = [], 0, 0
        if self.strips > 1:
            tiles = ceil_div(y.walked, self.slab)
            for some in sorted(ramp(tiles, ceil_div(tiles, self.strips), self.growth)):
                lines = min(some * self.slab, y.walked - line)
                first = max(0, y.hop * line - y.first)
                last = min(y.size, y.hop * (line + lines - 1) + y.row_taps - y.first)
                result.append(Extent(0, 1, line, lines, (first, last)))
                line += lines
            image = 1
        for images in sorted(ramp(batch - image, self.images, self.growth) if image < batch else ()):
            result.append(Extent(image, images, 0, y.walked, (0, y.size)))
            image += images
        return result

    @property
    def shares(self) -> list[float]:
        return [self._slabs(extent) / self.slabs for extent in self.extents]

    @property
    def positions(self) -> float:
        """That a row sees of a channel in a slab."""
        return self.slab * self.width * min(1.0, self.y.size / self.y.hop / self.y.pitch)

    def fresh(self, e: Emitter, label: Label, spans: dict[str, Span]) -> None:
        """Zeros where no load or transposition ever writes: between lines of x, between images and behind them."""
        y, a, b, raw = self.y, spans["a"], spans["b"], spans["raw"]
        if self.lead:
            bricks = raw.bricks // (self.images * y.size * self.raw_line + self.lead)
            count, step = self.images * y.size + 1, self.raw_line * bricks
            e.fill_runs(label, raw, 0, bricks=self.lead * bricks, count_1=count, scratch_1=step)
        planes, image, end = a.bricks // self.channel, y.hop * y.pitch, y.first + y.size
        for first, last, times in (
            (0, y.first, 1),
            (end, image + y.first, self.images - 1),
            ((self.images - 1) * image + end, self.channel // self.lines, 1),
        ):
            if first < last and times:
                shape = {"bricks": (last - first) * self.lines, "count_1": planes, "scratch_1": self.channel}
                e.fill_runs(label, a, first * self.lines, **shape, count_2=times, scratch_2=image * self.lines)
        pitch = self.width * self.stride
        image, begin, data = y.pitch * pitch, y.b_first * pitch, y.b_size * pitch
        fill_inside(e, label, b, 0, begin, 1, 0)
        fill_inside(e, label, b, begin + data, image - data, self.images - 1, image)
        last = (self.images - 1) * image + begin + data
        fill_inside(e, label, b, last, b.bricks - last, 1, 0)

    def load(
        self, e: Emitter, label: Label, part: int, rows: Channels, columns: Channels, spans: dict[str, Span]
    ) -> None:
        extent = self.extents[part]
        x, y, across = self.g.x, self.y, self.g.x.row_bricks
        height, width = x.shape[1:3]
        first, last = extent.source
        self._clear(e, replace(label, what="zeros"), extent, spans)
        shape = {
            "bricks": self.loaded * across,
            "count_1": last - first,
            "memory_1": y.step * width * across,
            "scratch_1": self.raw_line * across,
            "count_2": extent.images,
            "memory_2": height * width * across,
            "scratch_2": y.size * self.raw_line * across,
        }
        line = extent.image * height + y.source + y.step * first
        e.load(replace(label, what="x"), x, line * width * across, spans["raw"], self.lead * across, **shape)
        self._load_delta(e, replace(label, what="delta"), extent, columns, spans["b"])

    def _clear(self, e: Emitter, label: Label, extent: Extent, spans: dict[str, Span]) -> None:
        """Zeros in place of what larger parts left: in B behind the part, in A under the lines of a strip."""
        y, a, b, strip = self.y, spans["a"], spans["b"], extent.lines < self.y.walked
        pitch = self.width * self.stride
        used = (extent.lines if strip else extent.images * y.pitch) * pitch
        end = min((self._slabs(extent) * self.slab + self.segments - 1) * pitch, b.bricks)
        if used < end and (strip or extent.images < self.images):
            e.fill_runs(label, b, used, bricks=end - used)
        first, last = extent.source
        used, end = y.first + last - first, self._begin(extent) + y.hop * (extent.lines - 1) + y.row_taps
        if strip and used < end:
            shape = {"count_1": a.bricks // self.channel, "scratch_1": self.channel}
            e.fill_runs(label, a, used * self.lines, bricks=(end - used) * self.lines, **shape)

    def _begin(self, extent: Extent) -> int:
        """Line of A where a part's first line of B begins: a strip that is not an image's first has no padding before it."""
        return self.y.first if extent.line else 0

    def _load_delta(self, e: Emitter, label: Label, extent: Extent, columns: Channels, b: Span) -> None:
        delta, y, across = self.g.delta, self.y, self.g.delta.row_bricks
        lines = extent.lines if extent.lines < y.walked else y.b_size
        if not lines:
            return
        height = delta.shape[1]
        shape = {
            "bricks": columns.bricks,
            "count_1": lines * self.width,
            "memory_1": across,
            "scratch_1": self.stride,
            "count_2": extent.images,
            "memory_2": height * self.width * across,
            "scratch_2": y.pitch * self.width * self.stride,
        }
        brick = (extent.image * height + y.b_source + extent.line) * self.width * across + columns.brick
        e.load(label, delta, brick, b, y.b_first * self.width * self.stride, **shape)

    def work(self, e: Emitter, label: Label, part: int, rows: Channels, spans: dict[str, Span]) -> None:
        extent = self.extents[part]
        raw, a, y, k = spans["raw"], spans["a"], self.y, self.kernel
        by_image = (y.size * self.raw_line * rows.bricks, y.hop * y.pitch * self.lines)  # in x, in A
        by_brick = (1, BRICK * self.channel)
        planes, plane, times, time = extent.images, by_image, rows.bricks, by_brick
        if times > planes:
            planes, plane, times, time = times, time, planes, plane
        for i in range(times):
            for tap in range(k.x):
                fields = {
                    "count": self.width,
                    "lines": extent.source[1] - extent.source[0],
                    "bricks": planes,
                    "u_base": raw.base + (self.lead + tap - k.margin) * rows.bricks + i * time[0],
                    "u_stride": k.stride * rows.bricks,
                    "u_line": self.raw_line * rows.bricks,
                    "u_plane": plane[0],
                    "out_base": a.base + y.first * self.lines + tap * self.line + i * time[1],
                    "out_stride": self.channel,
                    "out_block": 1,
                    "out_line": self.lines,
                    "out_plane": plane[1],
                }
                e.vector(label, Kind.TRANSPOSE, fields, (raw,), (a,))

    def product(self, part: int, rows: Channels, columns: Channels, spans: dict[str, Span]) -> dict[str, Value]:
        extent = self.extents[part]
        slabs = self._slabs(extent)
        in_lane = min(self.columns, ceil_div(columns.count, self.chip.lanes))
        alone = slabs == self.count() == 1
        m = self.row_taps * rows.count
        slots = row_slots(self.chip, m, in_lane * self.segments, alone)
        hop = self.y.hop * self.lines
        return {
            "m": m,
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
            "step_y": hop,
            "step_b": self.line,
            "a_base": spans["a"].base + self._begin(extent) * self.lines,
            "a_bricks": self.line,
            "a_tail": (self.width - 1) % BRICK + 1,
            "tap_k": self.width,
            "slabs": 1,
            "a_slab": self.slab * hop,
            "b_base": spans["b"].base,
            "b_stride": self.stride,
            "b_tile": self.slab * self.width * self.stride,
            "k_tile": self.tile_rows,
            "a_tile": self.slab * self.line,
            "columns": in_lane,
            "rows": slots,
            "row_tile": m if alone else min(m, slots * self.chip.groups),
            "seg_start": (self.segments - 1) * self.width * in_lane,
            "seg_bank_x": -self.width * in_lane,
        }

    def result(self, rows: Channels, columns: Channels) -> dict[str, Value]:
        channels, words = self.g.dw.channels, self.g.x.channels
        return {
            "c_stride": columns.bricks,
            "index_base": self.y.first_tap * self.kernel.x * words * channels + columns.first,
            "index_stride": channels,
            "seg_x": self.segments,
            "seg_y": 1,
            "seg_c_x": self.row_taps * rows.count * columns.bricks,
            "seg_index_x": self.kernel.stride * self.kernel.x * words * channels,
        }

    def store(self, e: Emitter, label: Label, rows: Channels, columns: Channels, span: Span) -> None:
        dw, line = self.g.dw, self.kernel.x * self.g.x.channels
        across, bricks, count = dw.row_bricks, columns.bricks, self.row_taps * rows.count
        shape = {
            "bricks": bricks,
            "count_1": count,
            "memory_1": across,
            "scratch_1": bricks,
            "count_2": self.segments,
            "memory_2": self.kernel.stride * line * across,
            "scratch_2": count * bricks,
        }
        e.store(label, dw, self.y.first_tap * line * across + columns.brick, span, **shape)
