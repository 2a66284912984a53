"""Cycles that ways of mapping a convolution's three products onto the lanes take: a model, for decision 0009.

usage: python bench/conv_mapping.py [BATCH]     (default 4)

The 3x3 convolutions of a ResNet-20 on 32x32 images, 64 lanes as 8 groups of 8, scratchpad and banks filled with one brick a
cycle. Inputs are zero with probability 1/2 as after ReLU; output gradients are dense as behind batch norm, or zero with
probability 3/4 as behind ReLU and max-pool. Compute, fetch of row lists and loads of B overlap; the longest counts.
"""

import sys
from dataclasses import dataclass

LANES, GROUPS, BRICK, TAPS = 64, 8, 8, 9
LAYERS = (  # channels in and out, side of the output
    ("16, 32x32", 16, 16, 32),
    ("16 to 32", 16, 32, 16),
    ("32, 16x16", 32, 32, 16),
    ("32 to 64", 32, 64, 8),
    ("64, 8x8", 64, 64, 8),
)


@dataclass(frozen=True)
class Cost:
    compute: float  # products over lanes
    fetch: float  # nonzeros into row lists, one a cycle and group
    load: float  # bricks of B

    @property
    def cycles(self) -> float:
        return max(self.compute, self.fetch, self.load)


def weight_gradient(kind: str, c_in: int, c_out: int, positions: int, x: float, dy: float) -> Cost:
    """Reduction over ``positions``; ``x`` and ``dy`` are densities.

    gradient rows : rows of C are output channels, A is dY by channel, B holds patches of X: nine times its words.
    patch rows : rows of C are (tap, input channel), A is X by channel, shifted by the tap, B holds dY.
    tap columns : rows of C are channels of the sparser tensor, A is that tensor by channel, B holds the other with its border of
        zeros, and columns of C are (tap, channel): a tap is an offset into the bank, a row list serves all nine.
    """
    if kind == "gradient rows":
        products = positions * c_out * dy * TAPS * c_in
        return Cost(products / LANES, positions * c_out * dy / GROUPS, positions * TAPS * c_in / BRICK)
    if kind == "tap columns" and dy < x:
        products = positions * c_out * dy * TAPS * c_in
        return Cost(products / LANES, positions * c_out * dy / GROUPS, positions * c_in / BRICK)
    products = positions * c_in * x * TAPS * c_out
    lists = positions * c_in * x * (TAPS if kind == "patch rows" else 1)
    return Cost(products / LANES, lists / GROUPS, positions * c_out / BRICK)


def main(batch: int) -> None:
    print(f"weight gradient, batch {batch}: cycles over those of nonzero products alone; the slowest part")
    for dy in (1.0, 0.25):
        print(f"\ndY {'dense' if dy == 1 else 'a quarter nonzero'}, X half nonzero")
        kinds = ("gradient rows", "patch rows", "tap columns")
        print(f"{'layer':<12}" + "".join(f"{kind:>26}" for kind in kinds))
        for name, c_in, c_out, size in LAYERS:
            positions = batch * size * size
            ideal = positions * c_in * c_out * TAPS * min(0.5, dy) / LANES
            line = f"{name:<12}"
            for kind in kinds:
                cost = weight_gradient(kind, c_in, c_out, positions, 0.5, dy)
                part = max(("compute", "fetch", "load"), key=lambda what: getattr(cost, what))
                line += f"{cost.cycles / ideal:>17.2f} {part:<8}"
            print(line)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4)
