"""How a convolution's weight gradient is cut: taps as segments or as rows, blocks of channels, parts and slabs of the positions."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product as pairs
from math import sqrt
from typing import Protocol

from host.compiler.emit import Emitter
from host.compiler.errors import DoesNotFit
from host.compiler.geometry import GROWTHS
from host.compiler.gradient import Blocks, Gradient, Parts, blocks, buffers, emit_gradient, refuse
from host.compiler.gradient_conv import ConvParts, Kernel, slab_rows
from host.compiler.gradient_rows import RowParts
from host.compiler.phases import Lines, Side, parted, sides
from host.compiler.tiling import (
    COMMAND_CYCLES,
    cheapest,
    halved,
    memory_cycles,
    pipelined,
    repeated,
    row_limit,
    row_slots,
)
from spec.chip import BRICK, Chip
from spec.engine import load_cycles_per_brick
from spec.product import ceil_div
from spec.tiling import column_choices

# What groups that do not end together lose in each tile and at the end, in roots of the cycles of a row's visit.
TILE_ROOTS, LAST_ROOTS = 6.0, 50.0
A_READERS = 2  # that all groups share, a brick a cycle each
COLUMN_CYCLES = 1.2  # that a column takes besides its pairs
SWEEP_CYCLES = 5000  # that the sweep before goes on for; buffers that spread over all banks are in its way
SIMULATED = 64  # jobs whose overlap is estimated one by one


class SlabParts(Parts, Protocol):
    """Parts whose tiles of the reduction are slabs of lines."""

    @property
    def columns(self) -> int:
        """Of a tile in a lane."""

    @property
    def slab(self) -> int:
        """Lines of a tile."""

    @property
    def slabs(self) -> int:
        """Of the largest part."""

    @property
    def line(self) -> int:
        """Bricks of a line of A."""

    @property
    def tile_rows(self) -> int:
        """Rows of B that one slab meets."""

    @property
    def positions(self) -> float:
        """Of a channel in a slab, on average."""

    @property
    def shares(self) -> list[float]:
        """The parts, in largest ones."""

    def later(self) -> "SlabParts": ...


@dataclass(frozen=True)
class _Chain:
    """A chain of products for each block of C under some of the taps, or zeros under those that no position ever meets."""

    g: Gradient
    chosen: tuple[SlabParts, Blocks] | tuple[Side, Side]
    cost: float


def emit_conv_gradient(e: Emitter, g: Gradient, kernel: Kernel) -> None:
    """All commands, in the cheaper of two ways. Raises :class:`DoesNotFit`."""
    best = _with_rows(e.chip, g, kernel)
    try:
        segments = _with_segments(e.chip, g, kernel)
        if best is None or _sum(segments) < _sum(best):
            best = segments
    except DoesNotFit:
        if best is None:
            raise
    for chain in best:
        first, second = chain.chosen
        if isinstance(second, Side):
            assert isinstance(first, Side)
            _emit_zeros(e, chain.g, kernel, first, second)
        else:
            assert not isinstance(first, Side)
            emit_gradient(e, chain.g, first, second)


def _sum(chains: list[_Chain]) -> float:
    return sum(chain.cost for chain in chains)


def _with_segments(chip: Chip, g: Gradient, kernel: Kernel) -> list[_Chain]:
    """All taps of a phase as segments. Raises :class:`DoesNotFit`."""
    (_, height, width, _), (_, out_y, out_x, columns) = g.x.shape, g.delta.shape
    room = chip.psum_depth // chip.lanes // ceil_div(min(columns, BRICK), chip.lanes)
    return [
        _segments_chain(chip, g, kernel, some_y, some_x)
        for y in sides(height, out_y, kernel.y, kernel.stride, kernel.padding)
        for x in sides(width, out_x, kernel.x, kernel.stride, kernel.margin)
        for some_x in parted(x, max(1, room))
        for some_y in parted(y, max(1, min(room // some_x.taps, _lines_held(chip, y, some_x))))
    ]


def _lines_held(chip: Chip, y: Side, x: Side) -> int:
    """Lines of taps whose rows of B a bank holds, for one line of A and the fewest columns."""
    rows = chip.bank_depth // 2 // ceil_div(BRICK, chip.lanes)
    return (rows - x.size - x.taps + 1) // x.pitch + 1


def _segments_chain(chip: Chip, g: Gradient, kernel: Kernel, y: Side, x: Side) -> _Chain:
    label = replace(g.label, what=f"taps {y.first},{x.first}")
    g = replace(g, label=label)
    if not (y.size and x.size):
        return _Chain(g, (y, x), 0.0)
    found = cheapest(_segments_choices(chip, g, kernel, y, x), _cost_if_it_fits)
    if found is not None:
        return _Chain(g, *found)
    stride = 1
    parts = ConvParts(chip, g, kernel, y, x, 1, 1, 0, stride, ceil_div(BRICK, chip.lanes), 1)
    needed, bank = parts.tile_rows * parts.columns, chip.bank_depth // 2
    if needed > bank:
        raise DoesNotFit(label.layer, "WG of one line: B's tile", needed, bank, "words of a bank", chip.name)
    if parts.line * BRICK > chip.list_depth:
        needed, room = parts.line * BRICK, chip.list_depth
        raise DoesNotFit(label.layer, "WG of one line", needed, room, "words of a row list", chip.name)
    raise refuse(chip, g, parts, Blocks(blocks(g.x.channels, 1), blocks(g.delta.channels, BRICK), 1))


def _with_rows(chip: Chip, g: Gradient, kernel: Kernel) -> list[_Chain] | None:
    """Taps as rows, those along y too or as segments; None where rows of all channels do not fit."""
    (_, height, _, _), (_, out_y, _, _) = g.x.shape, g.delta.shape
    phases = sides(height, out_y, kernel.y, kernel.stride, kernel.padding)
    rows = Lines.as_rows(height, out_y, kernel.y, kernel.stride, kernel.padding)
    best: list[_Chain] | None = None
    for way in [rows], [Lines.as_segments(y) for y in phases]:
        chains = []
        for lines in way:
            here = replace(g, label=replace(g.label, what=f"taps {lines.first_tap},0"))
            found = cheapest(_rows_choices(chip, here, kernel, lines), _cost_if_it_fits) if lines.size else None
            chains += [_Chain(here, *found)] if found else []
        if len(chains) == len(way) and (best is None or _sum(chains) < _sum(best)):
            best = chains
    return best


def _emit_zeros(e: Emitter, g: Gradient, kernel: Kernel, y: Side, x: Side) -> None:
    """Taps that no position of the input ever meets."""
    row = g.x.channels * g.dw.row_bricks
    span = e.layout(g.label, {"zeros": row})["zeros"]
    e.fill(g.label, span)
    for q_y, q_x in pairs(range(y.taps), range(x.taps)):
        tap = (y.first + y.stride * q_y) * kernel.x + x.first + x.stride * q_x
        e.store(g.label, g.dw, tap * row, span, bricks=row)


def _segments_choices(chip: Chip, g: Gradient, kernel: Kernel, y: Side, x: Side) -> Iterator[tuple[SlabParts, Blocks]]:
    batch = g.x.shape[0]
    cuts = [(images, y.size) for images in halved(batch)] + [(1, lines) for lines in halved(y.size)[1:]]
    for (images, lines), bricks in pairs(cuts, halved(g.delta.row_bricks)):
        columns = blocks(g.delta.channels, bricks * BRICK)
        chained = images < batch or lines < y.size
        for in_lane in column_choices(chip, columns[0].count, y.taps * x.taps, False, whole=chained):
            most = g.x.channels
            if chained:
                most = min(most, row_limit(chip, columns[0].count, y.taps * x.taps))
            for slab in _slabs(chip, y, x, (images - 1) * y.pitch + lines, in_lane):
                shape = (columns[0].bricks, in_lane, slab)
                growths = GROWTHS if chained and images > 1 else (0,)
                for growth, rows, depth in pairs(growths, halved(most), (2, 1)):
                    parts = ConvParts(chip, g, kernel, y, x, images, lines, growth, *shape)
                    yield parts, Blocks(blocks(g.x.channels, rows), columns, depth)


def _rows_choices(chip: Chip, g: Gradient, kernel: Kernel, y: Lines) -> Iterator[tuple[SlabParts, Blocks]]:
    batch, channels = g.x.shape[0], g.x.channels
    some = {images for half in halved(batch) for images in (half, half * 5 // 4) if images <= batch}
    for images, bricks in pairs(sorted(some), halved(g.delta.row_bricks)):
        columns = blocks(g.delta.channels, bricks * BRICK)
        chained = images < batch
        if chained and y.row_taps * kernel.x * channels > row_limit(chip, columns[0].count, y.segments):
            continue
        for in_lane in column_choices(chip, columns[0].count, y.segments, False, whole=chained):
            width = g.delta.shape[2]
            rows = min(chip.bank_depth // 2 // in_lane, chip.list_depth)
            most = min(rows // width - y.segments + 1, chip.list_depth // BRICK // ceil_div(width, BRICK))
            whole = {some for some in _whole(y.pitch) if some <= most}
            for slab in whole or _evenly(y.total(images), most):
                for growth, strips, depth in _ramps(y, slab, chained, images):
                    parts = RowParts(chip, g, kernel, y, images, growth, strips, columns[0].bricks, in_lane, slab)
                    yield parts, Blocks(blocks(channels, channels), columns, depth)


def _ramps(y: Lines, slab: int, chained: bool, images: int) -> Iterator[tuple[int, int, int]]:
    """Growth, strips and depth."""
    yield 0, 1, 1
    for growth in GROWTHS if chained and images > 1 else (0,):
        yield growth, 1, 2
    if chained and y.can_be_parted(slab):
        for strips, growth in pairs((2, 3), GROWTHS if images > 1 else (0,)):
            yield growth, strips, 2


def _slabs(chip: Chip, y: Side, x: Side, lines: int, in_lane: int) -> set[int]:
    """Lines of a tile that banks and row lists hold."""
    most = chip.list_depth // BRICK // ceil_div(x.size, BRICK)
    while most and slab_rows(y, x, most) * in_lane > chip.bank_depth // 2:
        most -= 1
    return _evenly(lines, most)


def _whole(pitch: int) -> set[int]:
    """Lines of a tile of which some go into an image, or into which some images go."""
    return {ceil_div(pitch, tiles) for tiles in (1, 2, 3, 4, 6, 8)} | {pitch * images for images in (2, 4, 8)}


def _evenly(lines: int, most: int) -> set[int]:
    """Lines of a tile, all evenly: at most so many, and fewer, so that loads of B hide."""
    return {ceil_div(lines, ceil_div(lines, some)) for some in halved(max(0, most))[:4]}


def _cost_if_it_fits(choice: tuple[SlabParts, Blocks]) -> float | None:
    parts, cut = choice
    return _cost(parts, cut) if sum(buffers(parts, cut).values()) <= parts.chip.scratch_bricks else None


def _cost(parts: SlabParts, cut: Blocks) -> float:
    """Rough cycles at half of x nonzero."""
    chip = parts.chip
    each = parts.sizes(cut.row_bricks, cut.column_bricks)
    work = command = 0.0  # work : of all blocks, one part of each
    for columns, times in Counter(block.count for block in cut.columns).items():
        in_lane = min(parts.columns, ceil_div(columns, chip.lanes))
        tiles = ceil_div(columns, in_lane * chip.lanes)
        visit = max(
            (parts.positions / 2 + COLUMN_CYCLES) * in_lane * parts.segments,
            1.4 * parts.slab * parts.line + 14,
            1.1 * parts.slab * parts.line * ceil_div(chip.groups, A_READERS),
            in_lane * chip.lanes * parts.segments,
        )
        bank = parts.tile_rows * ceil_div(in_lane * chip.lanes, BRICK) * load_cycles_per_brick(chip)
        for channels, again in Counter(block.count for block in cut.rows).items():
            rows = parts.row_taps * channels
            slots = row_slots(chip, rows, in_lane * parts.segments, False)
            row_tiles = ceil_div(rows, slots * chip.groups)
            visits = ceil_div(min(rows, slots * chip.groups), chip.groups)
            product = parts.slabs * tiles * row_tiles * max(visits * visit + TILE_ROOTS * sqrt(visit), bank)
            own = bank + LAST_ROOTS * sqrt(visit) + COMMAND_CYCLES
            command += times * again * own
            work += times * again * (product + own)
    # x is transposed while the output's gradient is loaded.
    load = memory_cycles(chip, each["raw"]) + max(memory_cycles(chip, each["b"]), each["a"])
    work, chains = work - command, len(cut.rows) * len(cut.columns)
    shares = parts.shares
    if chains * len(shares) > SIMULATED:
        return repeated(chains * len(shares), (load, (work + command) / chains, 0.0), cut.depth)
    every = shares + (chains - 1) * parts.later().shares
    jobs = [(load * share, (work * share + command) / chains, 0.0) for share in every]
    spread = cut.depth * max(each.values()) > chip.scratch_depth
    return pipelined(jobs, cut.depth) + spread * SWEEP_CYCLES
