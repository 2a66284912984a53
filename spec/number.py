"""Number formats and rounding modes: what a word means."""

from dataclasses import dataclass
from enum import IntEnum

MIN_WIDTH, MAX_WIDTH = 8, 18  # one FPGA multiplier takes at most 18 bits


class Rounding(IntEnum):
    """How Convert drops bits; the values are the machine's encoding."""

    FLOOR = 0  # toward minus infinity
    NEAREST = 1  # ties toward minus infinity (Gupta et al. 2015, section 3)
    STOCHASTIC = 2  # up with probability equal to the dropped fraction


@dataclass(frozen=True)
class Fixed:
    """Two's complement words of ``width`` bits with value ``raw * 2**-frac``.

    Gupta et al. 2015 write this format <IL, FL> with FL = frac and
    IL = width - frac, the sign bit included.
    """

    width: int = 16
    frac: int = 10

    def __post_init__(self) -> None:
        if not MIN_WIDTH <= self.width <= MAX_WIDTH:
            raise ValueError(f"width must be {MIN_WIDTH} to {MAX_WIDTH}, not {self.width}")
        if not 0 <= self.frac <= self.width:
            raise ValueError(f"frac must be 0 to {self.width} at width {self.width}, not {self.frac}")

    @property
    def lo(self) -> int:
        """Smallest raw word."""
        return -(1 << (self.width - 1))

    @property
    def hi(self) -> int:
        """Largest raw word."""
        return (1 << (self.width - 1)) - 1

    @property
    def step(self) -> float:
        """Distance between neighbouring values."""
        return 2.0**-self.frac

    def __str__(self) -> str:
        return f"<{self.width - self.frac},{self.frac}>"
