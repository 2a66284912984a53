"""Where the operands of a product lie in the scratchpad, and how one that does not fit is cut."""

from collections.abc import Iterator
from dataclasses import dataclass

from spec.chip import BRICK, Chip
from spec.engine import ROW_SLOTS
from spec.product import MASK_COLUMNS, ProductError, ceil_div
from spec.tiling import MAX_DIMENSION


@dataclass(frozen=True)
class Placement:
    """First bricks of A, B, C and the mask."""

    a: int
    b: int
    c: int
    mask: int


@dataclass(frozen=True)
class Block:
    """Rows ``row`` to ``row + rows`` and columns ``column`` to ``column + columns`` of C."""

    row: int
    rows: int
    column: int
    columns: int


def bricks_needed(m: int, k: int, n: int, masked: bool) -> tuple[int, int, int, int]:
    """Bricks of A, B, C and the mask."""
    across = ceil_div(n, BRICK)
    return m * ceil_div(k, BRICK), k * across, m * across, m * ceil_div(n, MASK_COLUMNS) if masked else 0


def place(chip: Chip, m: int, k: int, n: int, masked: bool) -> Placement:
    """Every operand in banks of its own where the scratchpad has them, else one behind the other.

    Raises :class:`spec.product.ProductError` where they do not fit.
    """
    sizes = bricks_needed(m, k, n, masked)
    if sum(sizes) > chip.scratch_bricks:
        raise ProductError(
            f"product {m}x{k}x{n} needs {sum(sizes)} bricks, but the scratchpad of chip {chip.name} holds "
            f"{chip.scratch_bricks}"
        )
    for unit in (chip.scratch_depth, 1):
        starts, end = [], 0
        for size in sizes:
            starts.append(end if size else 0)
            end += ceil_div(size, unit) * unit
        if end <= chip.scratch_bricks:
            break
    return Placement(*starts)


def blocks(chip: Chip, m: int, k: int, n: int, masked: bool) -> Iterator[Block]:
    """C in as few blocks as the scratchpad allows, each a product of its own with the whole reduction.

    Raises :class:`spec.product.ProductError` when not even one row and one brick of columns fit.
    """
    rows, columns = _block_size(chip, m, k, n, masked)
    for row in range(0, m, rows):
        for column in range(0, n, columns):
            yield Block(row, min(rows, m - row), column, min(columns, n - column))


def _block_size(chip: Chip, m: int, k: int, n: int, masked: bool) -> tuple[int, int]:
    best = None
    for columns in [n, *range((n - 1) // BRICK * BRICK, 0, -BRICK)]:
        if columns > MAX_DIMENSION:
            continue
        of_a, tile, of_c, of_mask = bricks_needed(1, k, columns, masked)
        rows = min(m, MAX_DIMENSION, (chip.scratch_bricks - tile) // (of_a + of_c + of_mask))
        if rows < 1:
            continue
        count = ceil_div(m, rows) * ceil_div(n, columns)
        if best is None or count < best[0]:
            best = count, rows, columns
        if count == 1:
            break
    if best is None:
        columns = min(n, BRICK)
        raise ProductError(
            f"product {m}x{k}x{n} cannot be cut to fit chip {chip.name}: one row and {columns} columns need "
            f"{sum(bricks_needed(1, k, columns, masked))} bricks, the scratchpad holds {chip.scratch_bricks}"
        )
    return best[1], best[2]


def chain_size(chip: Chip, m: int, k: int, n: int) -> tuple[int, int, int]:
    """Rows and columns of the blocks of C, and words of the reduction, for products in a chain.

    All sums of a block stay in the groups, and the operands of one piece in the scratchpad. Of what
    fits the one that moves the fewest bricks. Raises :class:`spec.product.ProductError` where
    nothing fits.
    """
    best = None
    for columns in [n, *range((n - 1) // BRICK * BRICK, 0, -BRICK)]:
        per_lane, room = ceil_div(columns, chip.lanes), chip.psum_depth // chip.lanes
        if per_lane > room or min(chip.bank_depth // 2 // per_lane, chip.list_depth) < BRICK:
            continue
        across = ceil_div(columns, BRICK)
        most = min(m, chip.groups * min(ROW_SLOTS, room // per_lane))
        for rows in {most, ceil_div(most, 2), ceil_div(most, 4), 1}:
            bricks = (chip.scratch_bricks - rows * across) // (rows + BRICK * across)
            if bricks < 1:
                continue
            moved = ceil_div(m, rows) * ceil_div(n, columns) * (rows + BRICK * across)
            if best is None or moved < best[0]:
                best = moved, rows, columns, min(k, bricks * BRICK, MAX_DIMENSION // BRICK * BRICK)
    if best is None:
        raise ProductError(
            f"product {m}x{k}x{n} in a chain does not fit chip {chip.name}: {chip.scratch_bricks} bricks"
        )
    return best[1:]
