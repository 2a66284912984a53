"""A memory with one write port and one read port, cut into block RAMs."""

from dataclasses import dataclass
from typing import ClassVar

# Families known to hw/bram.py; it instantiates the primitives of some and leaves the others to inference.
BRAM_TARGETS = ("ecp5", "ice40", "nexus", "gowin", "xc7", "xcup")
MAX_DEPTH = 1 << 20

# Words and bits of one 18 kbit block RAM of Lattice and Gowin with one port for writing and one for reading.
SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))


class BramError(ValueError):
    """A memory that cannot be built; names field, value and bound."""


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


@dataclass(frozen=True, kw_only=True)
class Storage:
    """``depth`` words of ``width`` bits, read ``LATENCY`` cycles after the address."""

    width: int
    depth: int

    LATENCY: ClassVar[int] = 2  # cycles: the array, then its output register

    def __post_init__(self) -> None:
        for field, value, high in (("width", self.width, 1024), ("depth", self.depth, MAX_DEPTH)):
            if not isinstance(value, int) or isinstance(value, bool):
                raise BramError(f"bram {field} must be an integer, not {value!r}")
            low = 1 if field == "width" else 2
            if not low <= value <= high:
                raise BramError(f"bram {field} must be {low} to {high}, not {value}")

    @property
    def address_width(self) -> int:
        return (self.depth - 1).bit_length()

    def block_shape(self) -> tuple[int, int]:
        """Shape of the block RAMs that hold it: fewest blocks, then fewest words to choose between."""
        return min(SHAPES, key=lambda shape: (self._blocks(shape), _ceil_div(self.depth, shape[0])))

    def blocks(self) -> int:
        """Block RAMs of that shape."""
        return self._blocks(self.block_shape())

    def _blocks(self, shape: tuple[int, int]) -> int:
        return _ceil_div(self.depth, shape[0]) * _ceil_div(self.width, shape[1])
