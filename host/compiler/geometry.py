"""Windows of tiles: which rows a tile computes, which lines of the operand it sees, what the command is told."""

from collections.abc import Callable
from dataclasses import dataclass

from host.tensor import Tensor
from spec.product import ceil_div


@dataclass(frozen=True)
class Axis:
    """One side of a windowed operation; the fields of :data:`spec.isa.WINDOW` before it is cut."""

    out: int  # rows along this side
    size: int  # positions of the operand
    taps: int
    start: int  # grid place of the first row's first tap
    stride: int = 1
    dilation: int = 1

    def needed(self, first: int, count: int) -> tuple[int, int]:
        """Positions that ``count`` rows from ``first`` on see: first, one behind the last; at least one."""
        low = self.start + self.stride * first
        high = self.start + self.stride * (first + count - 1) + self.taps - 1
        begin, last = max(0, ceil_div(low, self.dilation)), min(self.size - 1, high // self.dilation)
        if last < begin:
            begin = last = min(begin, self.size - 1)
        return begin, last + 1

    def most(self, count: int) -> int:
        """Bound of the positions that any ``count`` rows need."""
        return min(self.size, ((count - 1) * self.stride + self.taps - 1) // self.dilation + 1)


def forward_axis(size: int, out: int, kernel: int, stride: int, padding: int) -> Axis:
    return Axis(out, size, kernel, -padding, stride)


def backward_axis(size: int, out: int, kernel: int, stride: int, padding: int) -> Axis:
    """Rows are positions of the input, the operand is the output's gradient under the mirrored kernel."""
    return Axis(size, out, kernel, padding - kernel + 1, 1, stride)


@dataclass(frozen=True)
class Tile:
    """Rows of ``images`` images, ``lines`` lines of each; several images only with all their lines."""

    number: int
    image: int
    images: int
    line: int
    lines: int
    low: int  # lines of the operand: first, one behind the last
    high: int

    @property
    def seen(self) -> int:
        return self.high - self.low

    def __str__(self) -> str:
        return f"image {self.image}+{self.images} line {self.line}+{self.lines}"


@dataclass(frozen=True)
class Window:
    """A windowed operation on ``operand`` (batch, lines, places, channels)."""

    y: Axis
    x: Axis
    operand: Tensor

    @property
    def batch(self) -> int:
        return self.operand.shape[0]

    @property
    def taps(self) -> int:
        return self.y.taps * self.x.taps

    @property
    def bricks(self) -> int:
        """Of a position."""
        return self.operand.row_bricks

    def rows(self, tile: Tile) -> int:
        return tile.images * tile.lines * self.x.out

    def first_row(self, tile: Tile) -> int:
        return (tile.image * self.y.out + tile.line) * self.x.out

    def seen_bricks(self, images: int, lines: int) -> int:
        """Bound of a tile's operand."""
        return images * self.y.most(lines) * self.x.size * self.bricks

    def load_shape(self, tile: Tile) -> tuple[int, dict[str, int]]:
        """First brick and shape of the transfer that brings a tile's operand, image behind image."""
        line = self.x.size * self.bricks
        image = self.y.size * line
        shape = {"bricks": tile.seen * line, "count_1": tile.images, "memory_1": image, "scratch_1": tile.seen * line}
        return tile.image * image + tile.low * line, shape

    def fields(self, tile: Tile, base: int) -> tuple[int, dict[str, int]]:
        """Where the origin lies, and the window's fields, for a tile whose operand begins at ``base``."""
        y, x = self.y, self.x
        start = y.start + y.stride * tile.line - y.dilation * tile.low
        origin_y, phase_y = divmod(start, y.dilation)
        origin_x, phase_x = divmod(x.start, x.dilation)
        step_y = x.size * self.bricks
        fields = {
            "out_x": x.out,
            "out_y": tile.lines,
            "in_x": x.size,
            "in_y": tile.seen,
            "origin_x": origin_x,
            "origin_y": origin_y,
            "phase_x": phase_x,
            "phase_y": phase_y,
            "dilation": y.dilation,
            "stride": y.stride,
            "taps_x": x.taps,
            "taps_y": y.taps,
            "step_x": self.bricks,
            "step_y": step_y,
            "step_b": tile.seen * step_y,
        }
        return base + origin_y * step_y + origin_x * self.bricks, fields


MAX_ROWS = 65535  # of one command
GROWTHS = (0, 1, 2, 3)  # that are tried: a product takes some times as long as its loads
TAPER = 4  # the part of a single image's lines that a small tile has


def cut(window: Window, fits: Callable[[int, int], bool], wanted: int = 1, growth: int = 0) -> list[Tile] | None:
    """Tiles, as large as ``fits(images, lines)`` allows and about ``wanted`` at least; None if not one line fits.

    growth : the first tiles are small and grow by this factor, the last likewise, so that what must be loaded before the
    first product and stored behind the last is little; 0 for equal tiles.
    """
    out_y, batch = window.y.out, window.batch

    def allowed(images: int, lines: int) -> bool:
        return images * lines * window.x.out <= MAX_ROWS and fits(images, lines)

    if allowed(1, out_y) and batch >= wanted:
        images, lines = _largest(ceil_div(batch, wanted), lambda n: allowed(n, out_y)), out_y
        images = ceil_div(batch, ceil_div(batch, images))
    else:
        lines = _largest(max(1, ceil_div(out_y, ceil_div(wanted, batch))), lambda n: allowed(1, n))
        if not lines:
            return None
        images, lines = 1, ceil_div(out_y, ceil_div(out_y, lines))
    extents, image = [], 0
    for count in ramp(batch, images, growth, bool(growth)):
        extents += [(image, count, line, min(lines, out_y - line)) for line in range(0, out_y, lines)]
        image += count
    if growth:
        extents = [*_small_first(extents[0]), *extents[1:]]
        extents = [*extents[:-1], *_small_last(extents[-1])]
    return [
        Tile(number, image, count, line, height, *window.y.needed(line, height))
        for number, (image, count, line, height) in enumerate(extents)
    ]


_Extent = tuple[int, int, int, int]  # image, images, line, lines


def _small_first(extent: _Extent) -> list[_Extent]:
    image, images, line, lines = extent
    few = lines // TAPER
    return [extent] if images > 1 or not few else [(image, 1, line, few), (image, 1, line + few, lines - few)]


def _small_last(extent: _Extent) -> list[_Extent]:
    image, images, line, lines = extent
    many = lines - lines // TAPER
    return [extent] if images > 1 or many == lines else [(image, 1, line, many), (image, 1, line + many, lines - many)]


def ramp(count: int, most: int, growth: int, down: bool = False) -> list[int]:
    """``count`` in pieces of at most ``most``, as equal as can be.

    growth : pieces grow by this factor from one on, 1 for 1, 1, 2, 3, 4, ..., and if ``down`` shrink to one at the end; 0 for neither.
    """
    steps: list[int] = []
    size = 1
    while growth and size < most and (1 + down) * (sum(steps) + size) <= count - most:
        steps.append(size)
        size = size * growth if growth > 1 else len(steps)
    head, tail = steps, steps[::-1] * down
    rest = count - sum(head) - sum(tail)
    pieces = ceil_div(rest, most)
    middle = [rest // pieces + (i < rest % pieces) for i in range(pieces)]
    return [*head, *middle, *tail]


def _largest(bound: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to ``bound`` that fits, if all smaller ones do; 0 if none."""
    low, high = 0, bound
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
