"""What a command costs a machine in cycles, worked out from its fields and from what it did to its words.

Transfers and vector commands move a known number of bricks at a known pace. Rows of a product pass through several places, beside
each other, of which the slowest sets the pace; what each place costs a row is fitted to machines in simulation, see docs/estimate.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from statistics import NormalDist

import numpy as np

from golden.emulator_product import ProductOutcome
from golden.window import seen
from spec.chip import BRICK, Chip
from spec.engine import load_cycles_per_brick, queue_round
from spec.isa import Kind, entry_bricks, record_bricks
from spec.product import ceil_div
from spec.vector import beats

PORTS = 2  # bricks of A that the scratchpad gives in a cycle, to two groups


@dataclass(frozen=True)
class Coefficients:
    """Cycles that are fitted: ``python bench/formula.py --fit`` finds these."""

    product: float = 155.0  # of every product
    tile: float = 54.0  # of every tile of B
    row: float = 3.3  # of a row in conversion, besides its words
    masked_row: float = 22.0  # the same, more with a mask
    port: float = 1.17  # a brick of A at a port of the scratchpad
    slot: float = 67.0  # of a row's way through a group, besides what it waits for: that long it has one of the slots
    masked_slot: float = 24.0  # the same, more with a mask
    turns: float = 2.5  # rounds of the lanes that a row waits for on its way
    imbalance: float = 1.35  # how much longer than the mean the lane takes to which a mask leaves most, where it leaves few


@dataclass(frozen=True)
class Visits:
    """What a product consists of. A visit is one row of A met by one tile of B, here the mean one.

    visits : of a group, in a tile. tiles : of B, with each time that one is loaded again. load : cycles a tile takes into the banks.
    pairs : words of A that meet B, nonzero ones where others are skipped. uneven : by what share the busiest group has more of them, where rows stay with their groups.
    steps : columns handed to the lanes together. passes : columns of a lane. masked : a mask says which columns are wanted.
    kept : columns of all lanes that it leaves; 0 without one. bricks : of A. outputs : words converted.
    finishes : what of a row's conversion falls to a visit.
    """

    visits: float
    tiles: int
    load: int
    pairs: float
    uneven: float
    steps: int
    passes: float
    masked: bool
    kept: float
    bricks: float
    outputs: float
    finishes: float


def visits(chip: Chip, f: Mapping[str, int], done: ProductOutcome) -> Visits:
    """Of a product that an emulator carried out."""
    segments, width = f["seg_x"] * f["seg_y"], min(f["n"], f["columns"] * chip.lanes)
    k_tiles, n_tiles = ceil_div(f["k"], f["k_tile"]), ceil_div(f["n"], width)
    alone = f["start"] and f["finish"] and k_tiles == 1
    row_tiles = 1 if alone else ceil_div(f["m"], f["row_tile"])
    inside, _ = seen(f, np.arange(f["m"]), f["a_base"])
    walks = k_tiles if f["slabs"] else 1  # of all taps
    bricks = int(inside.sum()) * f["a_bricks"] / f["m"] * walks + f["bias"]
    kept = done.macs / max(done.nonzero, 1) / n_tiles if f["masked"] else 0.0
    streamed, squares = (done.nonzero, done.row_squares) if f["skip"] else _all_words(f, done, inside)
    mean = streamed / f["m"]
    rows = max(1.0, f["m"] / row_tiles / chip.groups)
    spread = sqrt(max(0.0, squares / f["m"] - mean * mean) / rows) / max(mean, 1.0)
    # What the largest of so many normal values is expected to be: Blom 1958.
    largest = NormalDist().inv_cdf((chip.groups - 0.375) / (chip.groups + 0.25))
    return Visits(
        visits=rows,
        tiles=k_tiles * n_tiles * row_tiles,
        load=min(f["k_tile"], f["k"]) * ceil_div(width, BRICK) * load_cycles_per_brick(chip) * (1 + f["twins"]),
        pairs=streamed / (f["m"] * k_tiles),
        uneven=largest * spread if k_tiles > 1 else 0.0,
        steps=segments * ceil_div(width, chip.lanes),
        passes=kept / chip.lanes if f["masked"] else segments * ceil_div(width, chip.lanes),
        masked=bool(f["masked"]),
        kept=kept,
        bricks=bricks / k_tiles,
        outputs=f["finish"] * segments * BRICK * ceil_div(width, BRICK) / k_tiles,
        finishes=f["finish"] / k_tiles,
    )


def _all_words(f: Mapping[str, int], done: ProductOutcome, inside: np.ndarray) -> tuple[float, float]:
    """Words of A that lie in the operand, zeros too; and over rows the sum of their squares."""
    of_tap = (done.words / f["m"] - f["bias"]) / inside.shape[1]
    rows = inside.sum(axis=1) * of_tap + f["bias"]
    return float(rows.sum()), float(rows @ rows)


def product_cycles(chip: Chip, v: Visits, c: Coefficients = Coefficients(), multiplication: float = 1.0) -> float:
    """Of a product: its tiles one after another, each loaded while the one before it is worked on.

    multiplication : cycles of one in a lane, of machines that this one is compared with.
    """
    uneven = 1 + c.imbalance * chip.lanes / (chip.lanes + v.kept) if v.masked else 1.0
    lanes = v.passes * v.pairs * uneven * multiplication
    fetch = v.pairs
    ports = v.bricks * c.port * max(1.0, chip.groups / PORTS)
    finish = (v.outputs + v.finishes * (c.row + v.masked * c.masked_row)) * chip.finish_groups
    turn = queue_round(chip)
    slot = (c.slot + v.masked * c.masked_slot + 2 * chip.groups + ports + fetch + lanes + c.turns * turn) / chip.slots
    feed = v.steps * turn  # a step a round of the queues
    tile = v.visits * max(lanes * (1 + v.uneven), fetch * (1 + v.uneven), ports, finish, slot, feed) + c.tile
    return c.product + v.load + (v.tiles - 1) * max(tile, v.load) + tile


ONCE = {
    Kind.AFFINE: 52,
    Kind.REDUCE: 39,
    Kind.MASK: 33,
    Kind.TRANSPOSE: 41,
    Kind.MAX: 48,
    Kind.MEAN: 67,
    Kind.MAX_BACK: 69,
}  # besides what docs/units/vector.md counts


def vector_cycles(chip: Chip, f: Mapping[str, int]) -> int:
    """Of a vector command, as docs/units/vector.md has them."""
    kind, bricks, every = Kind(f["kind"]), f["count"] * f["bricks"], beats(chip)
    once = ONCE[kind]
    table = BRICK * entry_bricks(chip) * (1 if f["uniform"] else f["bricks"])  # of scalars, read before
    if kind == Kind.AFFINE:
        return bricks * every + table + once
    if kind == Kind.REDUCE:
        record = BRICK * record_bricks(chip) * f["bricks"]
        return bricks * every + (BRICK if f["start"] else record) + (13 if f["convert"] else record) + once
    if kind == Kind.MASK:
        return bricks + once
    if kind == Kind.TRANSPOSE:
        # One port for all writers takes a brick every second cycle.
        return ceil_div(f["count"], BRICK) * BRICK * f["bricks"] * f["lines"] * (1 + chip.one_writer) + once
    taps = f["taps_x"] * f["taps_y"]
    if kind == Kind.MAX:
        return bricks * (taps + 1) + once
    inside, _ = seen(f, np.arange(f["count"]), 0)
    steps = inside.sum(axis=1) + ~inside[:, -1]
    walked = f["bricks"] * int(np.maximum(taps, steps * every).sum())
    return walked + once + (table if kind == Kind.MEAN else 8)


def brick_pace(chip: Chip) -> int:
    """Cycles that a load needs for a brick, whatever the memory gives: where writers share a port, each has to ask again."""
    return 3 if chip.one_writer else 1


def fill_cycles(chip: Chip, f: Mapping[str, int]) -> int:
    """Of a load of zeros."""
    return moved(f) * (1 + chip.one_writer) + 5


def moved(f: Mapping[str, int]) -> int:
    """Bricks of a load or store."""
    return prod(f[name] for name in ("bricks", "count_1", "count_2"))
