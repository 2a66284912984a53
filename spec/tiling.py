"""Cuts a product into the tiles a chip can hold, and checks that it can hold them."""

from dataclasses import replace

from spec.chip import BRICK, Chip
from spec.engine import ROW_SLOTS, Widths, load_cycles_per_brick
from spec.product import MASK_COLUMNS, MAX_SHIFT, Product, ProductError, Tiling, ceil_div

MAX_DIMENSION = 65535  # 16-bit counters


def choose_tiling(chip: Chip, product: Product) -> Tiling:
    """The tiling with the fewest estimated cycles, dense and at one nonzero in eight together.

    A chain of products (one that does not both start and finish) must keep all its sums in the
    groups: one column tile and at most ``groups * rows`` rows. Raises :class:`ProductError`, naming
    the bound, where no tiling exists.
    """
    m, k, n = product.m, product.k, product.n
    chained = not (product.start and product.finish)
    half = chip.bank_depth // 2
    columns_room = chip.psum_depth // chip.lanes
    columns_all = ceil_div(n, chip.lanes)
    step = ceil_div(MASK_COLUMNS if product.masked else BRICK, chip.lanes)
    choices = {c for c in range(step, min(columns_all, columns_room) + 1, step)}
    if columns_all <= columns_room:
        choices.add(columns_all)
    best, best_cost = None, None
    for columns in sorted(choices):
        if chained and columns < columns_all:
            continue
        k_room = min(half // columns, chip.list_depth)
        if k_room < min(k, BRICK):
            continue
        tiles = ceil_div(k, k_room)
        k_tile = min(k, ceil_div(ceil_div(k, tiles), BRICK) * BRICK)
        if k_tile > k_room:
            k_tile = k_room // BRICK * BRICK
        rows = min(ROW_SLOTS, columns_room // columns)
        tiling = Tiling(k_tile, columns, rows)
        if chained and m > rows * chip.groups:
            continue
        cost = _cycles(chip, product, tiling, 1.0) + 8 * _cycles(chip, product, tiling, 0.125)
        if best_cost is None or cost < best_cost:
            best, best_cost = tiling, cost
    if best is None:
        if chained:
            raise ProductError(
                f"a reduction in several products keeps all sums on the chip: {m} x {n} does not fit the "
                f"{chip.groups} x {chip.psum_depth} partial sums of chip {chip.name}"
            )
        raise ProductError(f"no tile of {k} x {n} fits the banks of chip {chip.name}: {half} words a lane")
    return best


def _cycles(chip: Chip, product: Product, tiling: Tiling, density: float) -> float:
    """Rough cycles of a product whose A has this share of nonzeros."""
    k_tiles = ceil_div(product.k, tiling.k_tile)
    n_tiles = ceil_div(product.n, tiling.columns * chip.lanes)
    row_tile = product.m if k_tiles == 1 else min(product.m, tiling.rows * chip.groups)
    row_tiles = ceil_div(product.m, row_tile)
    used = max(1.0, tiling.k_tile * density)
    bricks = ceil_div(tiling.k_tile, BRICK)
    visit = max(
        used * tiling.columns,  # lanes
        max(used, 1.4 * bricks) + 14,  # one nonzero a cycle, and the start of a job
        bricks * chip.groups * 1.1,  # all groups share one brick a cycle
        tiling.columns * chip.lanes * (1.1 if k_tiles == 1 else 1.0),  # one sum a cycle
    )
    tile = ceil_div(row_tile, chip.groups) * visit
    load = tiling.k_tile * ceil_div(tiling.columns * chip.lanes, BRICK) * load_cycles_per_brick(chip) + 12
    return n_tiles * row_tiles * k_tiles * max(tile, load) + load


def planned(chip: Chip, product: Product) -> Product:
    """``product`` with a tiling filled in, every field checked against what the chip holds."""
    _check(chip, product)
    if product.columns:
        tiling = Tiling(product.k_tile, product.columns, product.rows)
        _check_tiling(chip, product, tiling)
    else:
        tiling = choose_tiling(chip, product)
    return replace(product, k_tile=tiling.k_tile, columns=tiling.columns, rows=tiling.rows)


def row_tile(chip: Chip, product: Product) -> int:
    """Rows of C between two changes of the reduction's first tile; all, when the reduction is one tile."""
    if product.start and product.finish and product.k <= product.k_tile:
        return product.m
    return min(product.m, product.rows * chip.groups)


def _check(chip: Chip, product: Product) -> None:
    for field in ("m", "k", "n"):
        value = getattr(product, field)
        if not 1 <= value <= MAX_DIMENSION:
            raise ProductError(f"product: {field} must be 1 to {MAX_DIMENSION}, not {value}")
    if not 0 <= product.shift <= MAX_SHIFT:
        raise ProductError(f"product: shift must be 0 to {MAX_SHIFT}, not {product.shift}")
    for field in ("key", "index_base"):
        value = getattr(product, field)
        if not 0 <= value < 1 << 32:
            raise ProductError(f"product: {field} must be 0 to {(1 << 32) - 1}, not {value}")
    for field in ("a_stride", "b_stride", "c_stride", "mask_stride", "index_stride"):
        value = getattr(product, field)
        if not 0 <= value <= MAX_DIMENSION:
            raise ProductError(f"product: {field} must be 0 to {MAX_DIMENSION}, not {value}")
    longest = 1 << (chip.acc_width - 2 * chip.width)
    if product.k > longest:
        raise ProductError(f"product: k must be at most {longest} for {chip.acc_width}-bit sums, not {product.k}")
    for name, rows, length in (
        ("a", product.m, ceil_div(product.k, BRICK)),
        ("b", product.k, ceil_div(product.n, BRICK)),
        ("c", product.m if product.finish else 0, ceil_div(product.n, BRICK)),
        ("mask", product.m if product.masked else 0, ceil_div(product.n, MASK_COLUMNS)),
    ):
        if not rows:
            continue
        base, stride = getattr(product, f"{name}_base"), getattr(product, f"{name}_stride")
        last = base + (rows - 1) * stride + length - 1
        if base < 0 or last >= chip.scratch_bricks:
            raise ProductError(
                f"product: {name} ends at brick {last}, but the scratchpad of chip {chip.name} holds "
                f"{chip.scratch_bricks} bricks"
            )


def _check_tiling(chip: Chip, product: Product, tiling: Tiling) -> None:
    width = tiling.columns * chip.lanes
    whole = width >= product.n
    if not 1 <= tiling.columns <= chip.psum_depth // chip.lanes:
        bound = chip.psum_depth // chip.lanes
        raise ProductError(f"product: columns must be 1 to {bound} on chip {chip.name}, not {tiling.columns}")
    if not whole and width % (MASK_COLUMNS if product.masked else BRICK):
        raise ProductError(
            f"product: columns * lanes must be a multiple of {MASK_COLUMNS if product.masked else BRICK}, not {width}"
        )
    k_room = min(chip.list_depth, chip.bank_depth // 2 // tiling.columns)
    if not 1 <= tiling.k_tile <= k_room:
        raise ProductError(f"product: k_tile must be 1 to {k_room} at {tiling.columns} columns, not {tiling.k_tile}")
    if tiling.k_tile < product.k and tiling.k_tile % BRICK:
        raise ProductError(f"product: k_tile must be a multiple of {BRICK}, not {tiling.k_tile}")
    rows_room = min(ROW_SLOTS, chip.psum_depth // chip.lanes // tiling.columns)
    if not 1 <= tiling.rows <= rows_room:
        raise ProductError(f"product: rows must be 1 to {rows_room} at {tiling.columns} columns, not {tiling.rows}")
    if not (product.start and product.finish) and (not whole or product.m > tiling.rows * chip.groups):
        raise ProductError("product: a reduction in several products needs all its columns and rows in one tile")


def command_words(chip: Chip, product: Product) -> list[int]:
    """Field values in the order of :meth:`spec.engine.Widths.command_fields`."""
    extra = {"row_tile": row_tile(chip, product)}
    return [int(extra.get(name, getattr(product, name, 0))) for name, _ in Widths(chip).command_fields()]
