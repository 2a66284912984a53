"""A signed multiplier with all its registers inside."""

from dataclasses import dataclass
from typing import ClassVar

from spec.number import MAX_WIDTH, MIN_WIDTH

MULTIPLIER_TARGETS = ("ecp5",)  # parts whose DSP primitive hw/multiplier.py instantiates


class MultiplierError(ValueError):
    """A multiplier that cannot be built; names field, value and bound."""


@dataclass(frozen=True, kw_only=True)
class Multiply:
    """Exact product of two signed ``width``-bit words, ``LATENCY`` cycles late."""

    width: int = 16

    LATENCY: ClassVar[int] = 2  # cycles: input and output register

    def __post_init__(self) -> None:
        if not isinstance(self.width, int) or isinstance(self.width, bool):
            raise MultiplierError(f"multiplier width must be an integer, not {self.width!r}")
        if not MIN_WIDTH <= self.width <= MAX_WIDTH:
            raise MultiplierError(f"multiplier width must be {MIN_WIDTH} to {MAX_WIDTH}, not {self.width}")

    @property
    def product_width(self) -> int:
        """Bits of the product; the most negative word squared needs them all."""
        return 2 * self.width
