"""One masked, sparse, exact matrix product: the engine's command."""

from dataclasses import dataclass

from spec.number import Rounding

MAX_SHIFT = 32  # bits Convert can drop
MASK_COLUMNS = 64  # columns whose mask bits share a brick: eight in the low bits of each word


class ProductError(ValueError):
    """A product this chip cannot run; names field, value and bound."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """``C = Convert(mask * (A @ B))`` with A (m, k), B (k, n) and C (m, n).

    Addresses and strides count bricks of eight words. A row of A, B or C starts on a
    brick boundary; words past its end are ignored in A and B, and zero in C. The mask
    holds one bit per element of C, column j in bit ``j % 8`` of word ``j // 8``.

    ``start`` clears the sums first, ``finish`` converts and writes them at the end: a
    reduction longer than the scratchpad is a chain of products of which the first
    starts, the last finishes and all have the same m, n and tiling.
    """

    m: int
    k: int
    n: int
    a_base: int = 0
    a_stride: int = 0
    b_base: int = 0
    b_stride: int = 0
    c_base: int = 0
    c_stride: int = 0
    mask_base: int = 0
    mask_stride: int = 0
    masked: bool = False  # compute only where the mask holds a one
    skip: bool = True  # drop zeros of A; off, every word of A costs a cycle
    start: bool = True
    finish: bool = True
    shift: int = 0
    rounding: Rounding = Rounding.STOCHASTIC
    key: int = 0
    index_base: int = 0  # index of C[0, 0] in its logical tensor
    index_stride: int = 0  # index of C[1, 0] less that of C[0, 0]
    k_tile: int = 0  # words of a row reduced per bank tile
    columns: int = 0  # columns of a bank tile in one lane
    rows: int = 0  # partial-sum rows one group keeps


@dataclass(frozen=True)
class Tiling:
    """How a product is cut: ``k_tile`` by ``columns * lanes`` of B at a time, ``rows`` of C per group."""

    k_tile: int
    columns: int
    rows: int


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)
