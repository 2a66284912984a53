"""dY with one spike for each sample and channel: where |dY| is largest, as high as the map's sum; golden.techniques.approximation.spikes."""

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from golden.operators import Operator
from golden.techniques.approximation import factor_of
from host.compiler.elementwise import Affine, Sweep, emit_sweep
from host.compiler.emit import pipeline, rounding_fields
from host.compiler.errors import DoesNotFit, Unsupported
from host.compiler.geometry import Window, forward_axis
from host.compiler.memory import view
from host.compiler.pools import Pool, emit_pool
from host.program import Label, Value
from host.tensor import Tensor
from spec.chip import BRICK
from spec.isa import Kind
from spec.number import Rounding

if TYPE_CHECKING:
    from host.compiler.network import Network

NEAREST = Rounding.NEAREST


def emit_spikes(net: "Network", op: Operator, delta: Tensor, scale: float) -> Tensor:
    """Magnitudes, their largest and its place over whole maps, the maps' sums; then each sum at its place and zeros elsewhere."""
    batch, positions, channels = delta.shape[0], prod(delta.shape[1:-1]), delta.channels
    if positions > 1 << (net.chip.width - 1):
        raise Unsupported(f"node {op.number}: places in maps of {positions} need more than {net.chip.width} bits")
    e, memory, number, label = net.e, net.memory, op.number, Label(op.number, "WG", "")
    maps = view(delta, (batch, positions, 1, channels))
    size = memory.add(f"magnitude.{number}", maps.shape)
    steps = [
        Affine("positive", "delta", None, "same", 0, 0, relu=True),
        Affine("size", "positive", "delta", "magnitude", 0, 0),
    ]
    tables = {"same": memory.scalars(1), "magnitude": memory.scalars(2, -1)}
    emit_sweep(e, Sweep(label, {"delta": maps}, {"size": size}, tables, steps, NEAREST))

    axis = forward_axis(positions, 1, positions, 1, 0), forward_axis(1, 1, 1, 1, 0)
    ones = (batch, 1, 1, channels)
    largest, places, sums = (memory.add(f"{what}.{number}", ones) for what in ("largest", "spot", "height"))
    emit_pool(e, Pool(label, Kind.MAX, Window(*axis, size), largest, places))
    factor, shift = factor_of(scale)
    emit_pool(e, Pool(label, Kind.MEAN, Window(*axis, maps), sums, None, memory.scalars(factor), 0, shift, NEAREST))

    out = memory.add(f"spikes.{number}", delta.shape)
    _placed(net, label, places, sums, view(out, maps.shape))
    return out


def _placed(net: "Network", label: Label, places: Tensor, sums: Tensor, out: Tensor) -> None:
    """``sums`` at their ``places``: where a position is neither before nor behind."""
    e, across = net.e, out.row_bricks
    batch, positions = out.shape[:2]
    words = np.broadcast_to(np.arange(positions)[:, None], (positions, across * BRICK))
    numbers = net.memory.constant(f"positions.{positions}.{across}", np.array(words))
    tables = {"behind": net.memory.scalars(1, -1, 1), "before": net.memory.scalars(-1, 1, 1), "same": net.memory.scalars(1)}
    fixed = {name: table.bricks for name, table in tables.items()}
    room = e.chip.scratch_bricks - sum(fixed.values()) - 4 * across
    lines = min(positions, room // (6 * across))
    if lines < 1:
        needed, what = sum(fixed.values()) + 10 * across, "WG of one position of a spike"
        raise DoesNotFit(label.layer, what, needed, e.chip.scratch_bricks, "bricks of scratchpad", e.chip.name)
    large, small = ("numbers", "after", "out"), ("place", "height")
    sizes = {f"{name}{i}": lines * across for i in (0, 1) for name in large}
    spans = e.layout(label, fixed | sizes | {f"{name}{i}": across for i in (0, 1) for name in small})
    for name, table in tables.items():
        e.load(replace(label, what="scalars"), table, 0, spans[name], bricks=table.bricks)

    def job(tile: int, image: int, first: int) -> Iterator[None]:
        count = min(lines, positions - first)
        here = replace(label, tile=f"image {image} rows {first}+{count}")
        mine = {name: spans[f"{name}{tile % 2}"] for name in large + small}
        e.load(replace(here, what="numbers"), numbers, first * across, mine["numbers"], bricks=count * across)
        e.load(replace(here, what="place"), places, image * across, mine["place"], bricks=across)
        e.load(replace(here, what="height"), sums, image * across, mine["height"], bricks=across)
        yield

        def affine(out: str, u: str, v: str, table: str, **flags: int) -> None:
            fields: dict[str, Value] = {"count": count, "bricks": across, "has_v": 1, "uniform": 1, **flags}
            for name, operand in (("u", u), ("v", v), ("out", out)):
                stride = across if operand in large else 0
                fields |= {f"{name}_base": mine[operand].base, f"{name}_stride": stride}
            fields |= {"table_base": spans[table].base, **rounding_fields(0, NEAREST, 0)}
            e.vector(
                replace(here, what=f"{out} {table}"),
                Kind.AFFINE,
                fields,
                (mine[u], mine[v], spans[table]),
                (mine[out],),
            )

        affine("after", "numbers", "place", "behind", relu=1)
        affine("out", "numbers", "place", "before", relu=1)
        affine("after", "height", "after", "same", gate=1)
        affine("out", "after", "out", "same", gate=1)
        yield
        e.store(replace(here, what="spikes"), out, (image * positions + first) * across, mine["out"], bricks=count * across)

    tiles = [(image, first) for image in range(batch) for first in range(0, positions, lines)]
    pipeline(e, (job(number, *tile) for number, tile in enumerate(tiles)), 2)
