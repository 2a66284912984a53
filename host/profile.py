"""Where a step's cycles went: layer by layer and phase by phase, from the times of its commands."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from golden.graph import Graph
from golden.nodes import DenseNode
from golden.tally import PhaseTally
from host.timeline import ORDER, Row
from spec.chip import Chip
from spec.isa import Unit

CAUSES = ("tile_load", "drain", "lanes", "vector", "load", "store", "issue")


@dataclass(frozen=True)
class Share:
    """One layer in one phase.

    cycles : of its commands, as :func:`host.timeline.charged` has them: of units at work beside each other one has each cycle.
    ideal_cycles : multiplications of words that are not zero for
    outputs that are wanted, over the lanes. dense_cycles : all multiplications over the lanes. product_cycles : of `cycles`, with a product under way. stall_cycles : the rest of
    `cycles` by cause: inside products rows that waited for B's tile ("tile_load"), sums that waited for the drain, lanes
    without work ("lanes"); between products another unit at work ("vector", "load", "store") or none ("issue"). Layers
    without products have no ideal, and what their vector commands take is no stall.
    """

    layer: int
    kind: str
    phase: str
    channels_in: int
    channels_out: int
    kernel: int
    cycles: int
    ideal_cycles: float
    dense_cycles: float
    utilisation: float
    density: float
    masked_share: float
    product_cycles: int
    stall_cycles: dict[str, int]
    bytes_read: int
    bytes_written: int
    commands: int


def merged(timed: Sequence[Row], counted: Sequence[Row]) -> list[Row]:
    """Rows of a machine that has a clock, with the exact counts of products of one that has none.

    Raises ValueError unless both are of the same program.
    """
    if len(timed) != len(counted) or any(a.label != b.label for a, b in zip(timed, counted, strict=True)):
        raise ValueError("rows of two machines must be of one program")
    return [replace(a, product=b.product) for a, b in zip(timed, counted, strict=True)]


def totalled(rows: Iterable[Row]) -> tuple[Counter[str], Counter[str]]:
    """Cycles by phase; multiplications done ("macs") and bytes moved ("bytes") of all rows."""
    cycles: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    for row in rows:
        cycles[row.phase] += row.cycles
        moved["bytes"] += row.bytes_read + row.bytes_written
        if row.product is not None:
            moved["macs"] += row.product.macs_done
    return cycles, moved


def profile(chip: Chip, graph: Graph, rows: Sequence[Row]) -> list[Share]:
    """A share for each layer and phase, in the order in which they begin."""
    groups: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.label.layer, row.phase), []).append(row)
    return [_share(chip, graph, layer, phase, some) for (layer, phase), some in groups.items() if layer >= 0]


def _share(chip: Chip, graph: Graph, layer: int, phase: str, rows: Sequence[Row]) -> Share:
    op = graph.operators[layer]
    counts = PhaseTally()
    inside = {"tile_load": 0, "drain": 0}
    for row in rows:
        if row.product is not None:
            counts = counts.plus(row.product)
            inside["tile_load"] += row.counters.get("load_stall_group_cycles", 0)
            inside["drain"] += row.counters.get("drain_stall_lane_cycles", 0)
    cycles, idle = sum(row.cycles for row in rows), sum(row.idle for row in rows)
    ideal = counts.macs_done / chip.total_lanes
    by_unit = {unit: sum(row.cycles - row.idle for row in rows if row.unit == unit) for unit in ORDER}
    product = by_unit[Unit.PRODUCT]
    stalls = dict.fromkeys(CAUSES, 0)
    if counts.macs_dense:
        stalls["tile_load"] = inside["tile_load"] // chip.groups
        stalls["drain"] = inside["drain"] // chip.total_lanes
        stalls["lanes"] = max(0, product - round(ideal) - stalls["tile_load"] - stalls["drain"])
        stalls["vector"] = by_unit[Unit.VECTOR]
    stalls |= {"load": by_unit[Unit.LOAD], "store": by_unit[Unit.STORE], "issue": idle}
    node = op.node
    return Share(
        layer=layer,
        kind=type(node).__name__.removesuffix("Node").lower(),
        phase=phase,
        channels_in=op.shapes[0][-1],
        channels_out=op.shape[-1],
        kernel=1 if isinstance(node, DenseNode) else getattr(node, "kernel", 1),
        cycles=cycles,
        ideal_cycles=round(ideal, 1),
        dense_cycles=round(counts.macs_dense / chip.total_lanes, 1),
        utilisation=round(ideal / cycles, 4) if cycles else 0.0,
        density=round(counts.density, 4),
        masked_share=round(1 - counts.mask_density, 4) if counts.outputs else 0.0,
        product_cycles=product,
        stall_cycles=stalls,
        bytes_read=sum(row.bytes_read for row in rows),
        bytes_written=sum(row.bytes_written for row in rows),
        commands=len(rows),
    )


WIDE = 64  # channels from which a mask's columns fill the lanes


def convolutions(shares: Sequence[Share], kernel: int = 3, skipped: int = 0) -> dict[str, dict[str, float]]:
    """By phase: utilisation over the convolutions with ``kernel`` but layer ``skipped``: mean, least, mean of the wide."""
    result = {}
    for phase in ("FP", "BP", "WG"):
        some = [
            s
            for s in shares
            if s.kind == "conv" and s.kernel == kernel and s.phase == phase and s.layer != skipped and s.product_cycles
        ]
        if some:
            every = [s.utilisation for s in some]
            wide = [s.utilisation for s in some if min(s.channels_in, s.channels_out) >= WIDE]
            result[phase] = {"mean": round(sum(every) / len(every), 4), "least": min(every)}
            if wide:
                result[phase]["wide"] = round(sum(wide) / len(wide), 4)
    return result


def gains(shares: Sequence[Share], ladder: Mapping[str, Mapping[tuple[int, str], int]]) -> list[dict[str, float | str]]:
    """What skipping and masks save in layers with products: for each phase and rung of ``ladder`` but "dense" the ``speedup`` over that, and its
    ``bound``, that of a machine whose lanes are always at work.

    Rows of the whole phase, and of its layers one by one; ``layer`` is -1 for the phase.
    """
    left = {"input": lambda s: s.density, "output": lambda s: 1 - s.masked_share, "both": lambda s: s.ideal_cycles / s.dense_cycles}
    result: list[dict[str, float | str]] = []
    for phase in ("FP", "BP", "WG"):
        some = [s for s in shares if s.phase == phase and s.dense_cycles]
        for layers in (some, *([s] for s in some if len(some) > 1)):
            for rung, share in left.items():
                dense, cycles = (sum(ladder[name][s.layer, phase] for s in layers) for name in ("dense", rung))
                wanted = sum(s.dense_cycles * share(s) for s in layers)
                if cycles and wanted:
                    bound = sum(s.dense_cycles for s in layers) / wanted
                    layer = -1 if layers is some else layers[0].layer
                    told = {"speedup": round(dense / cycles, 3), "bound": round(bound, 3), "of_bound": round(dense / cycles / bound, 3)}
                    result.append({"phase": phase, "layer": layer, "rung": rung} | told)
    return result


def totals(shares: Sequence[Share]) -> Mapping[str, int]:
    """Cycles by phase."""
    result: dict[str, int] = {}
    for share in shares:
        result[share.phase] = result.get(share.phase, 0) + share.cycles
    return result
