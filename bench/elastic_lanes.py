"""How much of an output mask's saving lanes keep, by the way they share rows: prints JSON.

usage: python bench/elastic_lanes.py [ROWS]     (default 4000)

A model, not the machine: every unmasked column costs its lane one turn, all rows are equally long, and
nothing but the lanes limits. Column j lies in lane j mod N; masks are random of density 1/2. A share of
1 means that no lane ever waits. docs/decisions/0005-elastic-lanes.md draws the conclusion.
"""

import json
import sys

import numpy as np

DENSITY = 0.5
SLOTS = (1, 2, 3, 4)


def in_flight(counts: np.ndarray, slots: int) -> float:
    """Share kept with ``slots`` rows in flight; counts : (rows, lanes) columns each lane owes a row.

    A lane goes on to its next row without waiting for the others, but a row can
    start only when the one ``slots`` before it is complete in all lanes: rows retire in order.
    One slot is a barrier after every row.
    """
    free = np.zeros(counts.shape[1])  # when each lane has done its part of the row
    complete = np.zeros(len(counts) + slots)  # when a row, counted from -slots, and all before it are done
    for row, owed in enumerate(counts):
        free = np.maximum(free, complete[row]) + owed
        complete[row + slots] = max(complete[row + slots - 1], free.max())
    return float(counts.sum() / (counts.shape[1] * complete[-1]))


def neighbour(mask: np.ndarray, lanes: int) -> float:
    """Share kept with a barrier per row, each column done by its own lane or the one before, in a ring.

    Greedy, column by column: whichever of the two has less to do.
    """
    spent = 0
    for row in mask:
        load = [0] * lanes
        for column in np.flatnonzero(row):
            own, other = column % lanes, (column - 1) % lanes
            load[other if load[other] < load[own] else own] += 1
        spent += max(load)
    return float(mask.sum() / (lanes * spent))


def measure(rows: int) -> dict[str, dict[str, float]]:
    """Shares by array: one entry for every number of lanes and columns."""
    rng = np.random.default_rng(0)
    result = {}
    for lanes in (4, 8):
        for columns in (16, 64, 256):
            mask = rng.random((rows, columns)) < DENSITY
            counts = mask.reshape(rows, -1, lanes).sum(axis=1)
            shares = {f"{slots} in flight": in_flight(counts, slots) for slots in SLOTS}
            shares["neighbour"] = neighbour(mask, lanes)
            result[f"{lanes} lanes, {columns} columns"] = {name: round(share, 3) for name, share in shares.items()}
    return result


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 4000), indent=2))
