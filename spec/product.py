"""One masked, sparse, exact matrix product: the engine's command."""

from dataclasses import dataclass, replace

from spec.chip import BRICK
from spec.number import Rounding

MAX_SHIFT = 32  # bits Convert can drop
MASK_COLUMNS = 64  # columns whose mask bits share a brick: eight in the low bits of each word


class ProductError(ValueError):
    """A product this chip cannot run; names field, value and bound."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """``C = Convert(mask * (A @ B))`` with A (m, k), B (k, n) and C (m, n); the fields are those of :data:`spec.isa.PRODUCT`.

    Addresses and strides count bricks of eight words. A row of A, B or C starts on a
    brick boundary; words past its end are ignored in A and B, and zero in C. The mask
    holds one bit per element of C, column j in bit ``j % 8`` of word ``j // 8``.

    A is seen through a window (docs/machine.md). Fields of the window that are not given are those of a plain matrix:
    one tap of k words, rows ``a_stride`` apart.

    ``start`` clears the sums first, ``finish`` converts and writes them at the end: a
    reduction longer than the scratchpad is a chain of products of which the first
    starts, the last finishes and all have the same m, n and tiling.
    """

    m: int
    k: int  # rows of B, all tiles together
    n: int  # of one segment
    a_base: int = 0  # where the origin's position of the first image lies, or would lie
    a_stride: int = 0  # `step_x` of a plain matrix
    out_x: int = 0  # 0: m, a plain matrix
    out_y: int = 1
    in_x: int = 0  # 0: out_x
    in_y: int = 1
    origin_x: int = 0
    origin_y: int = 0
    phase_x: int = 0
    phase_y: int = 0
    dilation: int = 1
    stride: int = 1
    taps_x: int = 1
    taps_y: int = 1
    step_x: int = 0  # 0: a_stride
    step_y: int = 0
    step_b: int = 0
    a_bricks: int = 0  # of a tap; 0: as many as k needs
    a_tail: int = 0  # words of its last brick; 0: those of k
    tap_k: int = 0  # rows of B from tap to tap; 0: k, without that of the bias
    bias: bool = False  # one more word behind the last tap, the first of the brick at `one_base`
    one_base: int = 0
    slabs: bool = False  # every tile of the reduction walks all taps, from `a_slab` further on
    a_slab: int = 0
    b_base: int = 0
    b_stride: int = 0
    b_tile: int = 0  # from tile to tile; 0: k_tile rows
    c_base: int = 0
    c_stride: int = 0
    seg_x: int = 1  # segments of a row of C
    seg_y: int = 1
    seg_start: int = 0  # in words of a bank: rows of B times columns
    seg_bank_x: int = 0
    seg_bank_y: int = 0
    seg_c_x: int = 0
    seg_c_y: int = 0
    seg_index_x: int = 0
    seg_index_y: int = 0
    mask_base: int = 0
    mask_stride: int = 0
    masked: bool = False  # compute only where the mask holds a one
    twins: bool = False  # masked only: each column of B lies in two lanes, and the one that is ahead computes it
    skip: bool = True  # drop zeros of A; off, every word of A costs a cycle
    start: bool = True
    finish: bool = True
    shift: int = 0
    rounding: Rounding = Rounding.STOCHASTIC
    key: int = 0
    index_base: int = 0  # index of C[0, 0] in its logical tensor
    index_stride: int = 0  # index of C[1, 0] less that of C[0, 0]
    k_tile: int = 0  # rows of B in a tile; with slabs it must be given
    a_tile: int = 0  # bricks of A that meet them; 0: as many as agree
    columns: int = 0  # columns of a bank tile in one lane, in each segment
    rows: int = 0  # partial-sum rows one group keeps
    row_tile: int = 0  # rows of C between two changes of the reduction's first tile; 0: as many as fit

    @property
    def taps(self) -> int:
        return self.taps_x * self.taps_y

    @property
    def segments(self) -> int:
        return self.seg_x * self.seg_y

    @property
    def tap_words(self) -> int:
        """Words of one tap; of a complete product."""
        return BRICK * (self.a_bricks - 1) + self.a_tail

    @property
    def bricks(self) -> int:
        """Bricks of a row of A, those outside the operand and the bias included; of a complete product."""
        return self.taps * self.a_bricks + self.bias

    @property
    def any_brick(self) -> bool:
        """The reduction may be cut at any brick, not only between taps; of a complete product."""
        return self.tap_k == BRICK * self.a_bricks or (self.taps == 1 and not self.bias)

    def complete(self) -> "Product":
        """With the window's fields filled in that were left to their defaults."""
        out_x, tap_k = self.out_x or self.m, self.tap_k or max(1, self.k - self.bias)
        a_bricks = self.a_bricks or ceil_div(tap_k, BRICK)
        return replace(
            self,
            out_x=out_x,
            in_x=self.in_x or out_x,
            step_x=self.step_x or self.a_stride,
            tap_k=tap_k,
            a_bricks=a_bricks,
            a_tail=self.a_tail or min(BRICK, max(1, tap_k - BRICK * (a_bricks - 1))),
        )


@dataclass(frozen=True)
class Tiling:
    """How a product is cut: ``k_tile`` by ``columns * lanes`` of B at a time, ``rows`` of C per group."""

    k_tile: int
    columns: int
    rows: int


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)
