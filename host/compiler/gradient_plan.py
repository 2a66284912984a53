"""How a convolution's weight gradient is cut: phases of a stride, blocks of channels, parts and slabs of the positions."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import product as pairs

from host.compiler.emit import Emitter
from host.compiler.errors import DoesNotFit
from host.compiler.geometry import GROWTHS
from host.compiler.gradient import Blocks, Gradient, blocks, buffers, emit_gradient, refuse
from host.compiler.gradient_conv import ConvParts, Kernel, slab_rows
from host.compiler.phases import Side, parted, sides
from host.compiler.tiling import (
    COMMAND_CYCLES,
    column_choices,
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

# What groups that do not end together lose, in visits of a row: in each tile, and at the end.
TILE_VISITS, LAST_VISITS = 0.25, 0.5
SIMULATED = 64  # jobs whose overlap is estimated one by one


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
        parts = ConvParts(e.chip, g, kernel, y, x, 1, 1, 0, stride, ceil_div(BRICK, e.chip.lanes), 1)
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
                shape = (columns[0].bricks, in_lane, slab)
                growths = GROWTHS if chained and images > 1 else (0,)
                for growth, rows, depth in pairs(growths, halved(most), (2, 1)):
                    parts = ConvParts(chip, g, kernel, y, x, images, lines, growth, *shape)
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
    work = command = 0.0  # work : of all blocks, one part of each
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
            own = bank + LAST_VISITS * visit + COMMAND_CYCLES
            command += times * again * own
            work += times * again * (product + own)
    load = memory_cycles(chip, each["raw"] + each["b"]) + each["raw"]  # and transposed
    work, chains = work - command, len(cut.rows) * len(cut.columns)
    if chains * parts.count() > SIMULATED:
        return repeated(chains * parts.count(), (load, (work + command) / chains, 0.0), cut.depth)
    jobs = []
    for _, images, _, lines in parts.extents * chains:
        share = images * lines / (parts.images * parts.lines)
        jobs.append((load * share, (work * share + command) / chains, 0.0))
    return pipelined(jobs, cut.depth)
