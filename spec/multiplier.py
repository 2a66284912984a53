"""A signed multiplier with all its registers inside."""

from dataclasses import dataclass
from typing import ClassVar

from spec.number import MAX_WIDTH, MIN_WIDTH

MAX_SUM_WIDTH = 48  # the accumulator of the DSP primitives that have one
# Families whose DSP primitives hw/dsp.py instantiates.
MULTIPLIER_TARGETS = ("ecp5", "ice40", "nexus", "gowin", "xc7", "xcup")


class MultiplierError(ValueError):
    """A multiplier that cannot be built; names field, value and bound."""


def check_multiplier_target(target: str | None) -> None:
    """Raises :class:`MultiplierError` on a family that is not known."""
    if target is not None and target not in MULTIPLIER_TARGETS:
        raise MultiplierError(
            f"multiplier target must be None or one of {', '.join(MULTIPLIER_TARGETS)}, not {target!r}"
        )


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


@dataclass(frozen=True, kw_only=True)
class Accumulate:
    """Exact sum of products of two signed ``width``-bit words in ``sum_width`` bits."""

    width: int = 16
    sum_width: int = 48

    def __post_init__(self) -> None:
        product = Multiply(width=self.width).product_width
        if not product <= self.sum_width <= MAX_SUM_WIDTH:
            raise MultiplierError(f"sum_width must be {product} to {MAX_SUM_WIDTH}, not {self.sum_width}")
