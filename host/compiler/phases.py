"""A weight gradient's positions along one side: with a stride as several without, one for each phase, or with all taps as rows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from spec.product import ceil_div


@dataclass(frozen=True)
class Side:
    """One side of a phase: decimated input position i meets output ``i + edge - q`` under kernel tap ``first + stride*q``.

    size : input positions of the phase, ``offset + stride*i``. taps : q is below. outputs : of the whole output.
    """

    size: int
    offset: int
    stride: int
    taps: int
    first: int
    edge: int
    outputs: int

    @property
    def lowest(self) -> int:
        """Output position at place 0 of B when i begins at 0: the one that i = 0 meets under the last tap."""
        return self.edge - self.taps + 1

    @property
    def border(self) -> int:
        """Places of zeros before the first output."""
        return max(0, -self.lowest)

    def met(self, begin: int, end: int) -> tuple[int, int]:
        """Outputs that positions from ``begin`` to ``end`` meet: first, one behind the last."""
        low = max(0, begin + self.lowest)
        return low, max(low, min(self.outputs, end + self.edge))

    @property
    def pitch(self) -> int:
        """From a line (or image) to the next, so that zeros before one are zeros behind the other."""
        low, high = self.met(0, self.size)
        return max(self.size, self.size + self.taps - 1 - self.border, self.border + high - low, 1)


@dataclass(frozen=True)
class Lines:
    """Lines of an image in A and in B: line l of B meets lines ``hop * l`` and, of rows of C that are taps, those behind.

    source, step : lines of x that are loaded begin here, so far apart. size : so many. first : of them in A.
    walked : lines of B that a product goes through. b_source, b_size, b_first : the same of the output's gradient in B.
    pitch : from image to image in B, ``hop * pitch`` in A; zeros behind one image are those before the next.
    """

    source: int
    step: int
    size: int
    first: int
    hop: int
    walked: int
    b_source: int
    b_size: int
    b_first: int
    pitch: int
    row_taps: int
    segments: int
    first_tap: int

    @classmethod
    def as_rows(cls, size: int, outputs: int, taps: int, stride: int, padding: int) -> "Lines":
        """All taps as rows."""
        size = min(size, stride * (outputs - 1) + taps - padding)
        behind = max(0, stride * (outputs - 1) + taps - padding - size)
        pitch = max(outputs, ceil_div(size + max(padding, behind), stride))
        return cls(0, 1, size, padding, stride, outputs, 0, outputs, 0, pitch, taps, 1, 0)

    @classmethod
    def as_segments(cls, y: Side) -> "Lines":
        """Those of one phase, as segments."""
        low, high = y.met(0, y.size)
        first = low - y.lowest
        return cls(y.offset, y.stride, y.size, 0, 1, y.size, low, high - low, first, y.pitch, 1, y.taps, y.first)

    def total(self, images: int) -> int:
        """Lines of B that a product on so many images goes through."""
        return (images - 1) * self.pitch + self.walked

    def can_be_parted(self, slab: int) -> bool:
        """An image, between slabs, so that each strip begins behind the padding."""
        alike = self.segments == 1 and not self.b_first and self.b_size == self.walked
        return alike and slab < self.walked and slab * self.hop >= self.first


def sides(size: int, outputs: int, kernel: int, stride: int, padding: int) -> list[Side]:
    """Phases along one side; those without a tap are left out."""
    result = []
    for offset in range(stride):
        first, edge = (offset + padding) % stride, (offset + padding) // stride
        if first < kernel:
            positions = max(0, ceil_div(size - offset, stride))
            result.append(Side(positions, offset, stride, ceil_div(kernel - first, stride), first, edge, outputs))
    return result


def parted(side: Side, taps: int) -> Iterator[Side]:
    """The same with at most ``taps`` taps in each."""
    for q in range(0, side.taps, taps):
        count = min(taps, side.taps - q)
        yield replace(side, taps=count, first=side.first + side.stride * q, edge=side.edge - q)
