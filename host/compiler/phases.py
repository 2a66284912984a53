"""A weight gradient with a stride as several without: one for each phase of the input's positions."""

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
