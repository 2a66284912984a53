"""Vector commands over all positions of a tensor: affines and exact sums, tile by tile."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from host.compiler.emit import Emitter, Span, pipeline, rounding_fields
from host.compiler.errors import DoesNotFit
from host.program import Label, Value
from host.tensor import Tensor
from spec.chip import BRICK, Chip
from spec.isa import Kind, record_bricks
from spec.number import Rounding
from spec.product import ceil_div

MAX_POSITIONS = 65535  # so that they are runs of one transfer
PARTS = 5  # tiles that are enough for loads and stores to overlap with the work
LEAST = 256  # positions of a tile that is not parted further


@dataclass(frozen=True)
class Affine:
    """``out = Convert(s0*u + s1*v + s2)`` on one tile; u, v and out are names of a sweep's operands.

    table : the name of its scalars' tensor. uniform : one entry for all channels. relu, gate : as in the command. rounding : if another than the sweep's.
    """

    out: str
    u: str
    v: str | None
    table: str
    key: Value
    shift: Value
    uniform: bool = True
    relu: bool = False
    gate: bool = False
    rounding: Rounding | None = None


@dataclass(frozen=True)
class Sweep:
    """Affines one after the other on every tile of some tensors of one shape.

    reads, writes : tensors by the names the steps use; other names are only of the scratchpad. tables : by name. like : None, or the
    tensor that says how many channels there are, whole bricks: others may have more, which stay as they are.
    """

    label: Label
    reads: dict[str, Tensor]
    writes: dict[str, Tensor]
    tables: dict[str, Tensor]
    steps: Sequence[Affine]
    rounding: Rounding
    like: Tensor | None = None

    @property
    def shape(self) -> Tensor:
        return self.like or next(iter(self.writes.values()))

    @property
    def names(self) -> list[str]:
        """All operands, without repetition."""
        return list(dict.fromkeys([*self.reads, *(step.out for step in self.steps)]))


def emit_sweep(e: Emitter, s: Sweep) -> None:
    """All commands of a sweep. Raises :class:`DoesNotFit`."""
    tensor = s.shape
    fixed = {name: table.bricks for name, table in s.tables.items()}
    spans, tiles, depth = _spread(e, s.label, tensor, fixed, s.names)
    for name, table in s.tables.items():
        e.load(replace(s.label, what="scalars"), table, 0, spans[name], bricks=table.bricks)

    def job(number: int, first: int, count: int) -> Iterator[None]:
        label = replace(s.label, tile=f"rows {first}+{count}")
        mine = {name: spans[f"{name}{number % depth}"] for name in s.names}
        across = tensor.row_bricks
        for name, operand in s.reads.items():
            place, shape = _positions(operand, first, count, across)
            e.load(replace(label, what=f"load {name}"), operand, place, mine[name], **shape)
        yield
        for step in s.steps:
            u, v, out = mine[step.u], mine[step.v] if step.v else None, mine[step.out]
            table = spans[step.table]
            fields: dict[str, Value] = {
                "count": count,
                "bricks": across,
                "u_base": u.base,
                "u_stride": across,
                "out_base": out.base,
                "out_stride": across,
                "table_base": table.base,
                "uniform": int(step.uniform),
                "relu": int(step.relu),
                "gate": int(step.gate),
                "index_base": first * tensor.channels % (1 << 32),
                "index_stride": tensor.channels,
                **rounding_fields(step.key, s.rounding if step.rounding is None else step.rounding, step.shift),
            }
            if v is not None:
                fields |= {"has_v": 1, "v_base": v.base, "v_stride": across}
            e.vector(
                replace(label, what=f"{step.out} affine"),
                Kind.AFFINE,
                fields,
                (u, table, *([v] if v else [])),
                (out,),
            )
        yield
        for name, operand in s.writes.items():
            place, shape = _positions(operand, first, count, across)
            e.store(replace(label, what=f"store {name}"), operand, place, mine[name], **shape)

    pipeline(e, (job(number, first, count) for number, (first, count) in enumerate(tiles)), depth)


def _positions(operand: Tensor, first: int, count: int, across: int) -> tuple[int, dict[str, int]]:
    """Where the first ``across`` bricks of so many positions lie, and their shape in a transfer."""
    if operand.row_bricks == across:
        return first * across, {"bricks": count * across}
    shape = {"bricks": across, "count_1": count, "memory_1": operand.row_bricks, "scratch_1": across}
    return first * operand.row_bricks, shape


def emit_sums(e: Emitter, label: Label, u: Tensor, v: Tensor, records: Tensor) -> None:
    """Exact sums of u and u*v of every channel, as records in memory. Raises :class:`DoesNotFit`."""
    across = u.row_bricks
    names = ["u"] if u is v else ["u", "v"]
    spans, tiles, depth = _spread(e, label, u, {"records": records.bricks}, names)

    def job(number: int, first: int, count: int) -> Iterator[None]:
        here = replace(label, tile=f"rows {first}+{count}")
        mine = [spans[f"{name}{number % depth}"] for name in names]
        for span, operand in zip(mine, (u, v), strict=False):
            e.load(replace(here, what="load"), operand, first * across, span, bricks=count * across)
        yield
        fields = {
            "count": count,
            "bricks": across,
            "u_base": mine[0].base,
            "u_stride": across,
            "has_v": 1,
            "v_base": mine[-1].base,
            "v_stride": across,
            "out_base": spans["records"].base,
            "start": int(not number),
        }
        e.vector(replace(here, what="sums"), Kind.REDUCE, fields, tuple(mine), (spans["records"],))
        yield

    pipeline(e, (job(number, first, count) for number, (first, count) in enumerate(tiles)), depth)
    e.store(replace(label, what="store sums"), records, 0, spans["records"], bricks=records.bricks)


def emit_zeros(e: Emitter, label: Label, tensor: Tensor) -> None:
    """All words of a tensor become zero."""
    most = min(tensor.bricks, e.chip.scratch_bricks)
    span = e.layout(label, {"zeros": most})["zeros"]
    e.fill(replace(label, what="zeros"), span)
    for first in range(0, tensor.bricks, most):
        e.store(replace(label, what="store zeros"), tensor, first, span, bricks=min(most, tensor.bricks - first))


def _spread(
    e: Emitter, label: Label, tensor: Tensor, fixed: dict[str, int], names: Sequence[str]
) -> tuple[dict[str, Span], list[tuple[int, int]], int]:
    """Buffers, tiles as (first, count) of positions, and how many tiles are held at once."""
    room = e.chip.scratch_bricks - sum(fixed.values())
    each = tensor.row_bricks * len(names)
    depth = 2 if room >= 2 * each else 1
    most = min(room // (depth * each), MAX_POSITIONS)
    if most < 1:
        needed = each + sum(fixed.values())
        what = f"{label.phase} of one position"
        raise DoesNotFit(label.layer, what, needed, e.chip.scratch_bricks, "bricks of scratchpad", e.chip.name)
    count = min(most, max(LEAST, ceil_div(tensor.rows, PARTS)), tensor.rows)
    tiles = [(first, min(count, tensor.rows - first)) for first in range(0, tensor.rows, count)]
    depth = min(depth, len(tiles))
    sizes = fixed | {f"{name}{i}": count * tensor.row_bricks for i in range(depth) for name in names}
    return e.layout(label, sizes), tiles, depth


def record_shape(chip: Chip, bricks: int) -> tuple[int, int]:
    """Of the tensor that holds the sums of ``bricks`` bricks of channels."""
    return bricks * BRICK * record_bricks(chip), BRICK


def emit_row_gradient(
    e: Emitter, label: Label, u: Tensor, ones: Tensor, out: Tensor, row: int, key: Value, shift: int, rounding: Rounding
) -> None:
    """Row ``row`` of ``out``: Convert(sum over positions of u times the first word of ``ones``), for every channel."""
    across = u.row_bricks
    fixed = {"records": across * BRICK * record_bricks(e.chip), "ones": across}
    spans, tiles, depth = _spread(e, label, u, fixed, ["u"])
    records, one = spans["records"], spans["ones"]
    e.load(replace(label, what="ones"), ones, 0, one, bricks=1, count_1=across, scratch_1=1)

    def job(number: int, first: int, count: int) -> Iterator[None]:
        here = replace(label, tile=f"rows {first}+{count}")
        span = spans[f"u{number % depth}"]
        e.load(replace(here, what="load"), u, first * across, span, bricks=count * across)
        yield
        fields = {
            "count": count,
            "bricks": across,
            "u_base": span.base,
            "u_stride": across,
            "has_v": 1,
            "v_base": one.base,
            "out_base": records.base,
            "start": int(not number),
            "convert": int(number + 1 == len(tiles)),
            "index_base": row * out.channels,
            **rounding_fields(key, rounding, shift),
        }
        e.vector(replace(here, what="sums"), Kind.REDUCE, fields, (span, one), (records,))
        yield

    pipeline(e, (job(number, first, count) for number, (first, count) in enumerate(tiles)), depth)
    e.store(replace(label, what="store row"), out, row * across, records, bricks=across)
