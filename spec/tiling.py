"""Cuts a product into the tiles a chip can hold, and checks that it can hold them."""

from collections.abc import Iterator
from dataclasses import replace

from spec.chip import BRICK, Chip
from spec.engine import ROW_SLOTS, Widths, load_cycles_per_brick
from spec.isa import PRODUCT
from spec.product import MASK_COLUMNS, Product, ProductError, Tiling, ceil_div

MAX_DIMENSION = 65535  # 16-bit counters
TILING = ("k_tile", "a_tile", "b_tile", "columns", "rows", "row_tile")


def choose_tiling(chip: Chip, product: Product) -> Tiling:
    """The tiling with the fewest estimated cycles, dense and at one nonzero in eight together.

    A chain of products (one that does not both start and finish) must keep all its sums in the
    groups: one column tile and at most ``groups * rows`` rows. Raises :class:`ProductError`, naming
    the bound, where no tiling exists.
    """
    p = product.complete()
    chained = not (p.start and p.finish)
    half = _bank_room(chip, p)
    columns_room = chip.psum_depth // chip.lanes // p.segments
    best, best_cost = None, None
    for columns in column_choices(chip, p.n, p.segments, p.masked, whole=chained):
        k_tile = _k_tile(chip, p, half // columns)
        if not k_tile:
            continue
        rows = min(ROW_SLOTS, columns_room // columns)
        tiling = Tiling(k_tile, columns, rows)
        if chained and p.m > rows * chip.groups:
            continue
        cost = _cycles(chip, p, tiling, 1.0) + 8 * _cycles(chip, p, tiling, 0.125)
        if best_cost is None or cost < best_cost:
            best, best_cost = tiling, cost
    if best is None:
        if chained:
            raise ProductError(
                f"a reduction in several products keeps all sums on the chip: {p.m} x {p.n * p.segments} does not fit "
                f"the {chip.groups} x {chip.psum_depth} partial sums of chip {chip.name}"
            )
        raise ProductError(f"no tile of {p.k} x {p.n} fits the banks of chip {chip.name}: {half} words a lane")
    return best


def column_choices(chip: Chip, n: int, segments: int, masked: bool, whole: bool) -> list[int]:
    """Columns that a tile may have in a lane, in each segment: whole bricks of B or of the mask, or all; ``whole``: all only."""
    everything, room = ceil_div(n, chip.lanes), chip.psum_depth // chip.lanes // segments
    if everything <= room:
        room = everything
    elif whole:
        return []
    step = ceil_div(MASK_COLUMNS if masked else BRICK, chip.lanes)
    some = set() if whole else set(range(step, room + 1, step))
    return sorted(some | ({everything} if everything == room else set()))


def _bank_room(chip: Chip, p: Product) -> int:
    """Words of a tile of B in one lane."""
    return chip.bank_depth // (4 if p.twins else 2)


def _k_tile(chip: Chip, p: Product, bank_rows: int) -> int:
    """Rows of B in a tile, of equal tiles as few as ``bank_rows`` allow; 0 where none fits."""
    if p.slabs:
        return p.k_tile if p.k_tile <= bank_rows else 0
    room = min(bank_rows, chip.list_depth)
    if p.k <= room:
        return p.k
    if not p.any_brick:
        taps = room // p.tap_k
        return ceil_div(p.taps, ceil_div(p.taps, taps)) * p.tap_k if taps else 0
    if room < BRICK:
        return 0
    k_tile = ceil_div(ceil_div(p.k, ceil_div(p.k, room)), BRICK) * BRICK
    return k_tile if k_tile <= room else room // BRICK * BRICK


def _cycles(chip: Chip, p: Product, tiling: Tiling, density: float) -> float:
    """Rough cycles of a product whose A has this share of nonzeros."""
    k_tiles = ceil_div(p.k, tiling.k_tile)
    n_tiles = ceil_div(p.n, tiling.columns * chip.lanes)
    row_tile = p.m if k_tiles == 1 else min(p.m, tiling.rows * chip.groups)
    row_tiles = ceil_div(p.m, row_tile)
    bricks = ceil_div(p.bricks, 1 if p.slabs else k_tiles)
    used = max(1.0, min(tiling.k_tile, BRICK * bricks) * density)
    visit = max(
        used * tiling.columns * p.segments,  # lanes
        max(used, 1.4 * bricks) + 14,  # one nonzero a cycle, and the start of a job
        bricks * chip.groups * 1.1,  # all groups share one brick a cycle
        tiling.columns * p.segments * chip.lanes * (1.1 if k_tiles == 1 else 1.0),  # one sum a cycle
    )
    tile = ceil_div(row_tile, chip.groups) * visit
    load = tiling.k_tile * ceil_div(tiling.columns * chip.lanes, BRICK) * load_cycles_per_brick(chip)
    load = load * (1 + p.twins) + 12
    return n_tiles * row_tiles * k_tiles * max(tile, load) + load


def planned(chip: Chip, product: Product) -> Product:
    """``product`` complete and with a tiling filled in, every field checked against what the chip holds."""
    _check_plain(product)
    p = product.complete()
    _check_fields(chip, p, (field.name for field in PRODUCT if field.name not in TILING))
    _check_window(p)
    if p.columns:
        tiling = Tiling(p.k_tile, p.columns, p.rows)
    else:
        tiling = choose_tiling(chip, p)
    p = replace(p, k_tile=tiling.k_tile, columns=tiling.columns, rows=tiling.rows)
    _check_tiling(chip, p)
    p = replace(
        p,
        a_tile=p.a_tile or _a_tile(p),
        b_tile=p.b_tile or p.k_tile * p.b_stride,
        row_tile=p.row_tile or row_tile(chip, p),
    )
    _check_fields(chip, p, TILING)
    _check_agreement(chip, p)
    _check_places(chip, p)
    return p


def row_tile(chip: Chip, product: Product) -> int:
    """Rows of C between two changes of the reduction's first tile; all, when the reduction is one tile."""
    if product.start and product.finish and product.k <= product.k_tile:
        return product.m
    return min(product.m, product.rows * chip.groups)


def _a_tile(p: Product) -> int:
    """Bricks of A that meet ``k_tile`` rows of B."""
    if p.slabs or p.k_tile >= p.k:
        return p.bricks
    return p.k_tile // BRICK if p.any_brick else p.k_tile // p.tap_k * p.a_bricks


def _check_plain(p: Product) -> None:
    for field in ("m", "k", "n"):
        _within(field, getattr(p, field), 1, MAX_DIMENSION)
    _within("a_stride", p.a_stride, 0, MAX_DIMENSION)


def _check_fields(chip: Chip, p: Product, names: Iterator[str] | tuple[str, ...]) -> None:
    """Every field within what a descriptor may hold."""
    wanted = set(names)
    for field in PRODUCT:
        # Where operands lie is checked as a whole.
        if field.name in wanted and field.name not in {"b_base", "c_base", "mask_base"}:
            _within(field.name, int(getattr(p, field.name)), *field.bounds(chip))


def _within(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ProductError(f"product: {field} must be {low} to {high}, not {value}")


def _check_window(p: Product) -> None:
    if p.dilation > 1 and p.stride > 1:
        raise ProductError(f"product: stride must be 1 where dilation is {p.dilation}, not {p.stride}")
    for field in ("phase_x", "phase_y"):
        _within(field, getattr(p, field), 0, p.dilation - 1)
    if p.masked and p.segments > 1:
        raise ProductError(f"product: a masked product must have one segment, not {p.segments}")
    if p.twins and not p.masked:
        raise ProductError("product: twins must be 0 without a mask, not 1")
    if p.twins and p.seg_start:
        raise ProductError(f"product: seg_start must be 0 with twins, not {p.seg_start}")
    if p.slabs:
        if p.bias:
            raise ProductError("product: a product with slabs has no bias")
        if p.k_tile < 1 or p.k % p.k_tile:
            raise ProductError(
                f"product: k must be a multiple of k_tile where there are slabs, not {p.k} of {p.k_tile}"
            )
        return
    if p.tap_words > p.tap_k:
        raise ProductError(f"product: tap_k must be at least the {p.tap_words} words of a tap, not {p.tap_k}")
    least, most = (p.taps - 1) * p.tap_k + (p.tap_k if p.bias else p.tap_words) + p.bias, p.taps * p.tap_k + p.bias
    if p.taps == 1 and not p.bias:
        most = min(most, BRICK * p.a_bricks)  # a tile may begin at any brick, and behind the last one has nothing to fetch
    if not least <= p.k <= most:
        raise ProductError(f"product: k must be {least} to {most} for {p.taps} taps, not {p.k}")


def _check_tiling(chip: Chip, p: Product) -> None:
    width = p.columns * chip.lanes
    whole = width >= p.n
    room = chip.psum_depth // chip.lanes // p.segments
    if not 1 <= p.columns <= room:
        raise ProductError(f"product: columns must be 1 to {room} on chip {chip.name}, not {p.columns}")
    if not whole and width % (MASK_COLUMNS if p.masked else BRICK):
        raise ProductError(
            f"product: columns * lanes must be a multiple of {MASK_COLUMNS if p.masked else BRICK}, not {width}"
        )
    k_room = _bank_room(chip, p) // p.columns
    if not p.slabs:
        k_room = min(chip.list_depth, k_room)
    if not 1 <= p.k_tile <= k_room:
        raise ProductError(f"product: k_tile must be 1 to {k_room} at {p.columns} columns, not {p.k_tile}")
    if p.slabs and p.taps * p.tap_words > chip.list_depth:
        raise ProductError(f"product: a slab must have at most {chip.list_depth} words, not {p.taps * p.tap_words}")
    unit = BRICK if p.any_brick else p.tap_k
    if not p.slabs and p.k_tile < p.k and p.k_tile % unit:
        raise ProductError(f"product: k_tile must be a multiple of {unit}, not {p.k_tile}")
    rows_room = min(ROW_SLOTS, room // p.columns)
    if not 1 <= p.rows <= rows_room:
        raise ProductError(f"product: rows must be 1 to {rows_room} at {p.columns} columns, not {p.rows}")
    if not (p.start and p.finish) and (not whole or p.m > p.rows * chip.groups):
        raise ProductError("product: a reduction in several products needs all its columns and rows in one tile")


def _check_agreement(chip: Chip, p: Product) -> None:
    if p.a_tile != _a_tile(p):
        raise ProductError(f"product: a_tile must be {_a_tile(p)} at k_tile {p.k_tile}, not {p.a_tile}")
    if not p.slabs and p.b_tile != p.k_tile * p.b_stride:
        raise ProductError(f"product: b_tile must be {p.k_tile * p.b_stride} without slabs, not {p.b_tile}")
    if p.row_tile != row_tile(chip, p):
        raise ProductError(f"product: row_tile must be {row_tile(chip, p)}, not {p.row_tile}")


def _check_places(chip: Chip, p: Product) -> None:
    """What is read and written lies in the scratchpad, and no sum can pass the accumulator."""
    tiles = ceil_div(p.k, p.k_tile)
    words = tiles * p.taps * p.tap_words if p.slabs else p.k
    longest = 1 << (chip.acc_width - 2 * chip.width)
    if words > longest:
        raise ProductError(f"product: k must be at most {longest} for {chip.acc_width}-bit sums, not {words}")
    across, line = ceil_div(p.n, BRICK), ceil_div(p.n, MASK_COLUMNS)
    last_rows = (p.k_tile if p.slabs else p.k - (tiles - 1) * p.k_tile) - 1
    b = [
        t * p.b_tile + r * p.b_stride
        for t, r in ((0, 0), (0, min(p.k, p.k_tile) - 1), (tiles - 1, 0), (tiles - 1, last_rows))
    ]
    c = [r * p.c_stride + s for r in (0, p.m - 1) for s in _steps(p.seg_x, p.seg_y, p.seg_c_x, p.seg_c_y)]
    spans = [("a", p.a_base, _seen(p, tiles), p.a_bricks), ("b", p.b_base, b, across)]
    if p.finish:
        spans.append(("c", p.c_base, c, across))
    if p.masked:
        spans.append(("mask", p.mask_base, [0, (p.m - 1) * p.mask_stride], line))
    if p.bias:
        spans.append(("one", p.one_base, [0], 1))
    for name, base, offsets, length in spans:
        if not offsets:
            continue
        first, last = base + min(offsets), base + max(offsets) + length - 1
        if first < 0 or last >= chip.scratch_bricks:
            where = f"ends at brick {last}" if first >= 0 else f"begins at brick {first}"
            raise ProductError(
                f"product: {name} {where}, but the scratchpad of chip {chip.name} holds {chip.scratch_bricks} bricks"
            )


def _steps(count_x: int, count_y: int, step_x: int, step_y: int) -> list[int]:
    """Sums of the steps taken before each of ``count_x * count_y`` places."""
    return [y * ((count_x - 1) * step_x + step_y) + x * step_x for y in range(count_y) for x in range(count_x)]


def _seen(p: Product, tiles: int) -> list[int]:
    """Offsets from ``a_base`` of the outermost bricks that the window sees; none where it sees nothing."""
    lines = ceil_div(p.m, p.out_x)
    sums = [0]
    for axis, rows in (("x", min(p.m, p.out_x)), ("y", min(lines, p.out_y))):
        origin = getattr(p, f"origin_{axis}")
        grid = origin * p.dilation + getattr(p, f"phase_{axis}")
        end = grid + p.stride * (rows - 1) + getattr(p, f"taps_{axis}") - 1
        first, last = max(0, ceil_div(grid, p.dilation)), min(getattr(p, f"in_{axis}") - 1, end // p.dilation)
        if first > last:
            return []
        sums = [s + getattr(p, f"step_{axis}") * (at - origin) for s in sums for at in (first, last)]
    sums = [s + image * p.step_b for s in sums for image in (0, ceil_div(lines, p.out_y) - 1)]
    return [s + t * p.a_slab for s in sums for t in ((0, tiles - 1) if p.slabs else (0,))]


def command_words(chip: Chip, product: Product) -> list[int]:
    """Field values of a planned product in the order of :meth:`spec.engine.Widths.command_fields`, as unsigned bits."""
    return [int(getattr(product, name)) & (1 << bits) - 1 for name, bits in Widths(chip).command_fields()]
