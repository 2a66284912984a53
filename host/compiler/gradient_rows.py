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
from host.compiler.phases import Side
from host.compiler.tiling import row_slots
from host.program import Label, Value
from spec.chip import BRICK, Chip
from spec.isa import Kind
from spec.product import ceil_div


@dataclass(frozen=True)
class Lines:
    """Lines of an image in A and in B: line l of B meets lines ``hop * l`` and, of rows of C that are taps, those behind.

    source, step : lines of x that are loaded begin here, so far apart. size : so many. first : of them in A.
    walked : lines of B that a product goes through. b_source, b_size, b_first : the same of the output's gradient in B.
    pitch : from image to image in B, ``hop * pitch`` in A; zeros behind one image are those before the next.
    """

    source: int
    step: int
    size: int
    first: int
    hop: int
    walked: int
    b_source: int
    b_size: int
    b_first: int
    pitch: int
    row_taps: int
    segments: int
    first_tap: int

    @classmethod
    def as_rows(cls, size: int, outputs: int, taps: int, stride: int, padding: int) -> "Lines":
        """All taps as rows."""
        size = min(size, stride * (outputs - 1) + taps - padding)
        behind = max(0, stride * (outputs - 1) + taps - padding - size)
        pitch = max(outputs, ceil_div(size + max(padding, behind), stride))
        return cls(0, 1, size, padding, stride, outputs, 0, outputs, 0, pitch, taps, 1, 0)

    @classmethod
    def as_segments(cls, y: Side) -> "Lines":
        """Those of one phase, as segments."""
        low, high = y.met(0, y.size)
        first = low - y.lowest
        return cls(y.offset, y.stride, y.size, 0, 1, y.size, low, high - low, first, y.pitch, 1, y.taps, y.first)

    def total(self, images: int) -> int:
        """Lines of B that a product on so many images goes through."""
        return (images - 1) * self.pitch + self.walked


@dataclass(frozen=True)
class RowParts:
    """:class:`host.compiler.gradient.Parts` of ``images`` whole images.

    growth : of the first parts, as :func:`host.compiler.geometry.ramp` has it. stride : bricks from row to row of B.
    columns : of a tile in a lane. slab : lines of B in a tile of the reduction. Rows of C are all channels of x.
    """

    chip: Chip
    g: Gradient
    kernel: Kernel
    y: Lines
    images: int
    growth: int
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
        return self.kernel.stride * (self.width - 1) + self.kernel.x - self.kernel.padding

    @property
    def loaded(self) -> int:
        """Positions of x of a line that are loaded."""
        return min(self.g.x.shape[2], self.reach)

    @property
    def lead(self) -> int:
        """Zeros before each line of x, and behind the last."""
        return max(self.kernel.padding, self.reach - self.loaded)

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
        return self._slabs(self.images)

    def _slabs(self, images: int) -> int:
        return ceil_div(self.y.total(images), self.slab)

    def _seen(self, images: int) -> int:
        """Lines of A that a product on so many images goes through."""
        return (self._slabs(images) * self.slab - 1) * self.y.hop + self.y.row_taps

    def _used(self, images: int) -> int:
        """Lines of A to the end of the last image."""
        return (images - 1) * self.y.hop * self.y.pitch + self.y.first + self.y.size

    @property
    def channel(self) -> int:
        """Bricks of A from channel to channel."""
        return max(self._used(self.images), self._seen(self.images)) * self.lines

    @property
    def tile_rows(self) -> int:
        """Rows of B that one slab meets."""
        return (self.slab + self.segments - 1) * self.width

    def sizes(self, rows: int, columns: int) -> dict[str, int]:
        b_rows = (self.slabs - 1) * self.slab * self.width + self.tile_rows
        raw = self.images * self.y.size * self.raw_line + self.lead
        return {"raw": raw * rows, "a": BRICK * rows * self.channel, "b": b_rows * self.stride}

    def count(self) -> int:
        return len(self.extents)

    @cached_property
    def extents(self) -> list[tuple[int, int]]:
        """Of each part: first image, images."""
        counts = ramp(self.g.x.shape[0], self.images, self.growth)
        return [(sum(counts[:n]), count) for n, count in enumerate(counts)]

    @property
    def shares(self) -> list[float]:
        return [self._slabs(images) / self.slabs for _, images in self.extents]

    @property
    def positions(self) -> float:
        """That a row sees of a channel in a slab of the largest part."""
        lines = min(self.y.pitch, ceil_div(self.y.size, self.y.hop))
        return self.images * lines * self.width / self.slabs

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
            (self._used(self.images), self.channel // self.lines, 1),
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
        image, images = self.extents[part]
        x, y, across = self.g.x, self.y, self.g.x.row_bricks
        height, width = x.shape[1:3]
        used, seen = self._used(images), self._seen(images)
        if images < self.images and used < seen:
            shape = {"bricks": (seen - used) * self.lines, "count_1": BRICK * across, "scratch_1": self.channel}
            e.fill_runs(replace(label, what="zeros"), spans["a"], used * self.lines, **shape)
        shape = {
            "bricks": self.loaded * across,
            "count_1": y.size,
            "memory_1": y.step * width * across,
            "scratch_1": self.raw_line * across,
            "count_2": images,
            "memory_2": height * width * across,
            "scratch_2": y.size * self.raw_line * across,
        }
        first = (image * height + y.source) * width * across
        e.load(replace(label, what="x"), x, first, spans["raw"], self.lead * across, **shape)
        self._load_delta(e, replace(label, what="delta"), part, columns, spans["b"])

    def _load_delta(self, e: Emitter, label: Label, part: int, columns: Channels, b: Span) -> None:
        image, images = self.extents[part]
        delta, y, across = self.g.delta, self.y, self.g.delta.row_bricks
        if not y.b_size:
            return
        height, positions = delta.shape[1], y.b_size * self.width
        shape = {
            "bricks": columns.bricks,
            "count_1": positions,
            "memory_1": across,
            "scratch_1": self.stride,
            "count_2": images,
            "memory_2": height * self.width * across,
            "scratch_2": y.pitch * self.width * self.stride,
        }
        brick = (image * height + y.b_source) * self.width * across + columns.brick
        e.load(label, delta, brick, b, y.b_first * self.width * self.stride, **shape)

    def work(self, e: Emitter, label: Label, part: int, rows: Channels, spans: dict[str, Span]) -> None:
        _, images = self.extents[part]
        raw, a, y, k = spans["raw"], spans["a"], self.y, self.kernel
        by_image = (y.size * self.raw_line * rows.bricks, y.hop * y.pitch * self.lines)  # in x, in A
        by_brick = (1, BRICK * self.channel)
        planes, plane, times, time = images, by_image, rows.bricks, by_brick
        if times > planes:
            planes, plane, times, time = times, time, planes, plane
        for i in range(times):
            for tap in range(k.x):
                fields = {
                    "count": self.width,
                    "lines": y.size,
                    "bricks": planes,
                    "u_base": raw.base + (self.lead + tap - k.padding) * rows.bricks + i * time[0],
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
        slabs = self._slabs(self.extents[part][1])
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
            "a_base": spans["a"].base,
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
