"""Convert: drop fraction bits of an exact sum, round, saturate to a word."""

from dataclasses import dataclass

from spec.keyed import KeyedBits
from spec.number import MAX_WIDTH, MIN_WIDTH


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Narrow ``acc_width``-bit sums to ``width``-bit words: ``saturate((acc + r) >> shift)``."""

    acc_width: int = 48
    width: int = 16

    def __post_init__(self) -> None:
        if not MIN_WIDTH <= self.width <= MAX_WIDTH:
            raise ValueError(f"convert: width must be {MIN_WIDTH} to {MAX_WIDTH}, not {self.width}")
        if not self.width + 4 <= self.acc_width <= 56:
            raise ValueError(f"convert: acc_width must be {self.width + 4} to 56, not {self.acc_width}")

    @property
    def LATENCY(self) -> int:
        """Cycles from an input transfer to its output valid, when nothing stalls."""
        # Hash; masked offset; sum; coarse shift; two fine shifts; saturation.
        return KeyedBits.LATENCY + 6
