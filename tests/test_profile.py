"""Where cycles go: shares of a made-up timeline, second by second."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from golden.graph import Graph
from golden.nodes import Builder
from golden.tally import PhaseTally
from host.profile import convolutions, gains, merged, profile, totals
from host.program import Label
from host.timeline import Row, charged
from report.trace import timeline, trace_table
from spec.chip import CHIPS
from spec.isa import UNITS, Opcode
from spec.number import Fixed

CHIP = CHIPS["tiny"]  # eight lanes in two groups


@pytest.fixture
def graph():
    b = Builder((6, 6, 4))
    b.conv(8, 3)
    b.relu()
    b.flatten()
    b.dense(3)
    return Graph(b.build("small"), Fixed(16, 8))


def made(opcode, layer, phase, issued, done, product=None, **counters):
    """A row that nothing is charged for yet."""
    return Row(
        run=0,
        index=0,
        label=Label(layer, phase, "what"),
        opcode=opcode,
        unit=UNITS[opcode],
        issued=issued,
        done=done,
        cycles=0,
        idle=0,
        bytes_read=64 * (opcode == Opcode.LOAD),
        bytes_written=32 * (opcode == Opcode.STORE),
        counters=counters,
        product=product,
    )


def timed(rows, total):
    """The rows of a run of so many cycles."""
    costs = charged([row.unit for row in rows], [(row.issued, row.done) for row in rows], total)
    return [replace(row, cycles=cycles, idle=idle) for row, (cycles, idle) in zip(rows, costs, strict=True)]


COUNTS = PhaseTally(words=100, nonzero=40, outputs=50, unmasked=20, macs_dense=1000, macs_done=240)
STEP = timed(
    [
        made(Opcode.LOAD, 0, "FP", 10, 40),
        made(Opcode.LOAD, 0, "FP", 41, 90),
        made(Opcode.PRODUCT, 0, "FP", 50, 150, COUNTS, load_stall_group_cycles=20, drain_stall_lane_cycles=80),
        made(Opcode.STORE, 0, "FP", 151, 190),
        made(Opcode.VECTOR, 1, "FP", 155, 200),
        made(Opcode.STORE, 1, "FP", 201, 240),
        made(Opcode.VECTOR, 3, "WG", 242, 248),
    ],
    250,
)


def test_shares_sum_to_the_step_and_name_what_was_waited_for(graph):
    shares = profile(CHIP, graph, STEP)
    assert [(s.layer, s.kind, s.phase) for s in shares] == [(0, "conv", "FP"), (1, "relu", "FP"), (3, "dense", "WG")]
    assert totals(shares) == {"FP": 240, "WG": 10}
    conv, relu, dense = shares
    assert (conv.cycles, conv.ideal_cycles, conv.utilisation) == (155, 30.0, 0.1935)
    assert (conv.density, conv.masked_share) == (0.4, 0.6)
    assert (conv.channels_in, conv.channels_out, conv.kernel) == (4, 8, 3)
    # 0-10 nothing, 10-40 and 41-50 loads, 40-41 nothing, 50-150 the product: 30 ideal, 10 for tiles, 10 for the drain;
    # 150-151 nothing, 151-155 a store
    assert conv.product_cycles == 100
    assert conv.stall_cycles == {
        "tile_load": 10,
        "drain": 10,
        "lanes": 50,
        "vector": 0,
        "load": 39,
        "store": 4,
        "issue": 12,
    }
    assert (conv.bytes_read, conv.bytes_written, conv.commands) == (128, 32, 4)
    # 155-200 its own vector command: no stall; 200-201 nothing, 201-240 its store
    assert relu.cycles == 85
    assert relu.ideal_cycles == relu.utilisation == relu.density == 0
    assert relu.stall_cycles == {
        "tile_load": 0,
        "drain": 0,
        "lanes": 0,
        "vector": 0,
        "load": 0,
        "store": 39,
        "issue": 1,
    }
    # 240-242 nothing, and behind the last command nothing either
    assert (dense.cycles, dense.stall_cycles["issue"]) == (10, 4)


def test_what_runs_beside_a_product_of_another_layer_costs_nothing(graph):
    exact = replace(COUNTS, macs_done=8 * 100)
    put_off = [
        made(Opcode.PRODUCT, 0, "FP", 0, 100, exact),
        made(Opcode.STORE, 0, "FP", 101, 300),
        made(Opcode.PRODUCT, 3, "FP", 102, 202, exact),
    ]
    conv, dense = profile(CHIP, graph, timed(put_off, 300))
    assert (conv.cycles, conv.stall_cycles["store"]) == (200, 99)
    assert (dense.cycles, dense.utilisation) == (100, 1.0)


def test_every_cycle_has_one_owner(graph, seed):
    rng = np.random.default_rng(seed)
    rows, front, free = [], 0, dict.fromkeys(UNITS, 0)
    for _ in range(200):
        opcode = list(UNITS)[rng.integers(4)]
        begin = max(free[opcode], rows[-1].issued if rows else 0) + int(rng.integers(5))
        done = begin + int(rng.integers(1, 60))
        free[opcode] = done
        product = COUNTS if opcode == Opcode.PRODUCT else None
        rows.append(made(opcode, int(rng.integers(4)), "FP", begin, done, product))
        front = max(front, done)
    shares = profile(CHIP, graph, timed(rows, front))
    assert sum(share.cycles for share in shares) == front
    busy = np.zeros((4, front), bool)
    for row in rows:
        busy[list(UNITS).index(row.opcode), row.issued : row.done] = True
    load, store, product, vector = busy
    assert sum(s.product_cycles for s in shares) == product.sum()
    assert sum(s.stall_cycles["load"] for s in shares) == (load & ~store & ~vector & ~product).sum()
    assert sum(s.stall_cycles["store"] for s in shares) == (store & ~vector & ~product).sum()
    assert sum(s.stall_cycles["issue"] for s in shares) == (~busy.any(axis=0)).sum()


def test_exact_counts_are_taken_over_from_the_same_program():
    exact = [replace(row, product=row.product and replace(row.product, nonzero=33)) for row in STEP]
    assert merged(STEP, exact)[2].product.nonzero == 33
    assert merged(STEP, exact)[2].issued == 50
    with pytest.raises(ValueError, match=r"^rows of two machines must be of one program$"):
        merged(STEP, exact[1:])


def test_convolutions_are_averaged_apart_from_the_first(graph):
    conv = profile(CHIP, graph, STEP)[0]
    shares = [conv, replace(conv, layer=5, utilisation=0.9), replace(conv, layer=6, utilisation=0.8)]
    assert convolutions(shares) == {"FP": {"mean": 0.85, "least": 0.8}}
    assert convolutions([conv]) == {}
    wide = replace(conv, layer=7, channels_in=64, channels_out=64, utilisation=0.6)
    assert convolutions([*shares, wide]) == {"FP": {"mean": 0.7667, "least": 0.6, "wide": 0.6}}


def test_a_trace_is_printed_and_drawn(graph, tmp_path):
    shares = [vars(share) for share in profile(CHIP, graph, STEP)]
    assert trace_table("step", shares).row_count == 3
    spans = [{"unit": row.unit.name.lower(), "phase": row.phase, "begin": row.issued, "end": row.done} for row in STEP]
    picture: Path = timeline("step", spans, tmp_path / "step.png")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_gains_are_ratios_to_the_dense_machine_and_to_its_bound(graph):
    """conv: 30 of dense multiplications wanted; the dense machine takes 310 cycles, 155 of which are left."""
    shares = profile(CHIP, graph, STEP)
    conv = shares[0]
    ladder = {"dense": 310, "input": 200, "output": 250, "both": 155}
    told = gains(shares, {name: {(0, "FP"): cycles} for name, cycles in ladder.items()})
    assert [(row["phase"], row["layer"], row["rung"]) for row in told] == [("FP", -1, rung) for rung in ("input", "output", "both")]
    assert [row["speedup"] for row in told] == [1.55, 1.24, 2.0]
    assert [row["bound"] for row in told] == [2.5, 2.5, round(conv.dense_cycles / 30, 3)]
    assert [row["of_bound"] for row in told[:2]] == [0.62, 0.496]
