"""Golden twin of the sequencer: the tiles of a product, in the order the machine works on them."""

from collections.abc import Iterator
from dataclasses import dataclass

from spec.chip import BRICK, Chip
from spec.product import MASK_COLUMNS, Product
from spec.tiling import row_tile


@dataclass(frozen=True)
class Tile:
    """A tile of B at row ``k`` and column ``n``, met by rows ``rows`` of A; and what the groups are told of it."""

    k: int
    b_base: int  # its first brick of B
    n: int
    k_length: int
    n_length: int
    rows: range
    first: bool  # the sums of these rows begin here
    last: bool  # and end here
    a_base: int
    a_skip: int  # bricks of a row of A before the tile
    c_base: int
    mask_base: int
    index_base: int


def tiles(chip: Chip, product: Product) -> Iterator[Tile]:
    """Column tiles outermost, then row tiles, then tiles of the reduction."""
    p, width, height = product, product.columns * chip.lanes, row_tile(chip, product)
    for n in range(0, p.n, width):
        for row in range(0, p.m, height):
            for number, k in enumerate(range(0, p.k, p.k_tile)):
                yield Tile(
                    k=k,
                    b_base=p.b_base + number * p.b_tile + n // BRICK,
                    n=n,
                    k_length=min(p.k_tile, p.k - k),
                    n_length=min(width, p.n - n),
                    rows=range(row, min(row + height, p.m)),
                    first=p.start and k == 0,
                    last=p.finish and k + p.k_tile >= p.k,
                    a_base=p.a_base + (number * p.a_slab if p.slabs else 0),
                    a_skip=0 if p.slabs else number * p.a_tile,
                    c_base=p.c_base + n // BRICK,
                    mask_base=p.mask_base + n // MASK_COLUMNS,
                    index_base=(p.index_base + n) % (1 << 32),
                )
