"""What a forward or an input-gradient product is: rows are positions, the operand is seen through a window."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from host.compiler.emit import Span
from host.compiler.geometry import Window
from host.compiler.tiling import Reduction, taps_reduction
from host.program import Label, Value
from host.tensor import Tensor
from spec.chip import BRICK
from spec.number import Rounding
from spec.product import ceil_div


@dataclass(frozen=True)
class Block:
    """Columns of the result: whole bricks of its channels."""

    brick: int
    bricks: int
    columns: int


@dataclass(frozen=True)
class Part:
    """Bricks of the operand's channels that one product reduces over, in all taps; ``words`` of them are channels.

    a_tail, tap_k, bias : as in the command.
    """

    brick: int
    bricks: int
    words: int
    a_tail: int
    tap_k: int
    bias: bool


@dataclass(frozen=True)
class Held:
    """B, in the scratchpad already: all its columns, ``across`` bricks a row, rows of taps behind one another."""

    span: Span
    across: int


@dataclass(frozen=True)
class WindowedProduct:
    """``result = Convert(mask * (patches of window.operand @ B))``.

    result : (batch, lines, places, n). one : a tensor of ones if there is a bias row. mask : a tensor of the result's shape
    whose positive words are computed; all if None. load_b : emits what brings a block's columns and a part's rows of B to
    the first span; the second, of ``spare(block's bricks, part)`` bricks, is free for it. padded : it brings whole bricks of
    rows for each tap, zeros behind the last channel. held : where B lies, if nothing is to bring it.
    """

    label: Label
    window: Window
    result: Tensor
    one: Tensor | None
    mask: Tensor | None
    key: Value
    shift: int
    rounding: Rounding
    load_b: Callable[[Block, Part, Span, Span], None]
    spare: Callable[[int, Part], int]
    padded: bool
    held: "Held | None" = None

    @property
    def masked(self) -> bool:
        return self.mask is not None

    @cached_property
    def whole(self) -> Part:
        """All channels. Parts of a tap can be tiles only if its rows of B are as many as its words of A."""
        channels, bricks, bias = self.window.operand.channels, self.window.bricks, self.one is not None
        if bricks == 1 and not self.padded:
            return Part(0, 1, channels, channels, channels, bias)
        return Part(0, bricks, channels, BRICK, bricks * BRICK, bias)

    def parts(self, bricks: int) -> list[Part]:
        """The reduction in parts of at most so many bricks; the bias is in the last."""
        total, channels = self.window.bricks, self.window.operand.channels
        if bricks >= total or self.held is not None:
            return [self.whole]
        result = []
        for first in range(0, total, bricks):
            own = min(bricks, total - first)
            words = min(channels, (first + own) * BRICK) - first * BRICK
            last = first + own == total
            result.append(Part(first, own, words, BRICK, own * BRICK, last and self.one is not None))
        return result

    def b_rows(self, part: Part) -> int:
        return self.window.taps * part.tap_k + part.bias

    def reduction(self, part: Part) -> Reduction:
        holes = self.window.y.dilation * self.window.x.dilation
        return taps_reduction(
            self.window.taps, part.bricks, part.a_tail, part.tap_k, part.bias, holes, self.window.x.taps * part.tap_k
        )

    def sizes(self, bricks: int, images: int, lines: int, depth: int, parts: list[Part]) -> dict[str, int]:
        """Buffers for blocks of ``bricks``, tiles of that size and so many at once; B stays if it is one part."""
        rows = images * lines * self.window.x.out
        spare = max(self.spare(bricks, part) for part in parts)
        b = max(self.b_rows(part) for part in parts) * bricks
        chained = len(parts) > 1
        sizes = {} if chained or self.held is not None else {"b": b}
        for i in range(depth):
            operand = self.window.seen_bricks(images, lines)
            if chained:
                sizes |= {f"b{i}": b, f"a{i}": operand, f"raw{i}": spare}
            else:
                sizes[f"a{i}"] = operand if i else max(operand, spare)
            sizes[f"c{i}"] = rows * bricks
            if self.masked:
                sizes[f"mask{i}"] = rows * ceil_div(bricks, BRICK)
                sizes[f"x{i}"] = rows * bricks
        sizes["one"] = int(self.one is not None)
        return {name: size for name, size in sizes.items() if size}
