"""Weight gradients: rows of C are input channels, the reduction runs along positions, kernel taps are segments or rows.

What both kinds share: blocks of rows and columns of C, and for each a chain of products over parts of the positions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product as pairs
from typing import Protocol

from host.compiler.emit import Emitter, Span, pipeline, rounding_fields
from host.compiler.errors import DoesNotFit
from host.program import Label, Value
from host.tensor import Tensor
from spec.chip import BRICK, Chip
from spec.isa import Opcode
from spec.number import Rounding
from spec.product import ceil_div


@dataclass(frozen=True)
class Channels:
    """Neighbouring channels of x or of the output's gradient."""

    first: int
    count: int

    @property
    def brick(self) -> int:
        return self.first // BRICK

    @property
    def bricks(self) -> int:
        return ceil_div(self.first % BRICK + self.count, BRICK)


@dataclass(frozen=True)
class Gradient:
    """Where a gradient comes from and goes to; ``dw`` has a row for each word of x that a tap sees, by tap."""

    label: Label
    x: Tensor
    delta: Tensor
    dw: Tensor
    key: Value
    shift: int
    rounding: Rounding


class Parts(Protocol):
    """The positions of a reduction in parts; buffers are "raw" (x as it lies), "a" (by channel) and "b"."""

    @property
    def chip(self) -> Chip: ...

    @property
    def segments(self) -> int: ...

    @property
    def row_taps(self) -> int:
        """Rows of C for each channel of x: taps of the kernel that are not segments."""

    def sizes(self, rows: int, columns: int) -> dict[str, int]:
        """Bricks of the buffers of the largest part, for blocks of so many bricks of channels."""

    def count(self) -> int: ...

    def later(self) -> "Parts":
        """For chains behind the first: in the same buffers, but no small parts first, as loads hide behind products."""

    def fresh(self, e: Emitter, label: Label, spans: dict[str, Span]) -> None:
        """Commands that prepare buffers once."""

    def load(
        self, e: Emitter, label: Label, part: int, rows: Channels, columns: Channels, spans: dict[str, Span]
    ) -> None:
        """Commands that bring a part."""

    def work(self, e: Emitter, label: Label, part: int, rows: Channels, spans: dict[str, Span]) -> None:
        """Vector commands before the product."""

    def product(self, part: int, rows: Channels, columns: Channels, spans: dict[str, Span]) -> dict[str, Value]:
        """Fields of the product but those of C, of rounding and of the chain."""

    def store(self, e: Emitter, label: Label, rows: Channels, columns: Channels, span: Span) -> None:
        """Commands that bring a finished block of C to memory."""

    def result(self, rows: Channels, columns: Channels) -> dict[str, Value]:
        """Fields that say where elements of C lie, counted from its buffer's base, and their rounding indices."""


@dataclass(frozen=True)
class Blocks:
    """How C is cut, and how many parts are held at once."""

    rows: Sequence[Channels]
    columns: Sequence[Channels]
    depth: int

    @cached_property
    def row_bricks(self) -> int:
        return max(block.bricks for block in self.rows)

    @cached_property
    def column_bricks(self) -> int:
        return max(block.bricks for block in self.columns)


def blocks(channels: int, most: int) -> list[Channels]:
    """Blocks of at most ``most`` channels: whole bricks, or equal pieces of one."""
    if most >= channels:
        return [Channels(0, channels)]
    if most >= BRICK:
        step = ceil_div(ceil_div(channels, ceil_div(channels, most // BRICK * BRICK)), BRICK) * BRICK
    else:
        step = 1 << (most.bit_length() - 1)
    return [Channels(first, min(step, channels - first)) for first in range(0, channels, step)]


def buffers(parts: Parts, cut: Blocks) -> dict[str, int]:
    """Sizes of all buffers."""
    each = parts.sizes(cut.row_bricks, cut.column_bricks)
    sizes = {f"{name}{i}": size for i in range(cut.depth) for name, size in each.items()}
    rows = max(block.count for block in cut.rows)
    return sizes | {f"c{i}": parts.segments * parts.row_taps * rows * cut.column_bricks for i in range(cut.depth)}


def emit_gradient(e: Emitter, g: Gradient, parts: Parts, cut: Blocks) -> None:
    """All commands, from memory to memory. Raises :class:`DoesNotFit`."""
    spans = e.layout(g.label, buffers(parts, cut))
    held = [{name: spans[f"{name}{i}"] for name in ("raw", "a", "b", "c")} for i in range(cut.depth)]

    def job(here: Parts, number: int, chain: int, rows: Channels, columns: Channels, part: int) -> Iterator[None]:
        own = held[number % cut.depth]
        c = held[chain % cut.depth]["c"]
        label = replace(g.label, tile=f"rows {rows.first}+{rows.count} columns {columns.first}+{columns.count} {part}")
        if number < cut.depth:
            here.fresh(e, replace(label, what="border"), own)
        here.load(e, label, part, rows, columns, own)
        yield
        here.work(e, replace(label, what="transpose"), part, rows, own)
        last = part + 1 == here.count()
        fields = {
            "m": rows.count,
            "n": columns.count,
            **here.product(part, rows, columns, own),
            **here.result(rows, columns),
            "c_base": c.base,
            "skip": 1,
            "start": int(not part),
            "finish": int(last),
            **rounding_fields(g.key, g.rounding, g.shift),
        }
        reads, writes = (own["a"], own["b"]), (c,) if last else ()
        e.issue(Opcode.PRODUCT, replace(label, what="product"), fields, reads, writes)
        yield
        if last:
            here.store(e, replace(label, what="result"), rows, columns, c)

    def jobs() -> Iterator[Iterator[None]]:
        number = 0
        for chain, (rows, columns) in enumerate(pairs(cut.rows, cut.columns)):
            here = parts.later() if chain else parts
            for part in range(here.count()):
                yield job(here, number, chain, rows, columns, part)
                number += 1

    pipeline(e, jobs(), cut.depth)


def refuse(chip: Chip, g: Gradient, parts: Parts, cut: Blocks) -> DoesNotFit:
    """What to raise where not even the smallest blocks fit."""
    needed = sum(buffers(parts, cut).values())
    what = f"{g.label.phase} of the smallest block"
    return DoesNotFit(g.label.layer, what, needed, chip.scratch_bricks, "bricks of scratchpad", chip.name)
