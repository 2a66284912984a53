"""Every unit passes its bench, on chips of different geometry."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from gradloom.units import build_unit
from spec.chip import CHIPS
from tb.benches import UNITS, benches
from tb.run import run

TINY = CHIPS["tiny"]
# Four bricks to a row of lanes and the widest words; two words a cycle into the banks and a group alone.
WIDE = replace(TINY, name="wide", groups=3, lanes=32, width=18, acc_width=56, slots=3, bank_depth=128)
NARROW = replace(TINY, name="narrow", groups=1, lanes=2, width=8, acc_width=32, slots=2, queue_depth=4, scratch_banks=1)
# One that saves flip-flops; with as few banks as it can have, and with several.
COMPACT = replace(NARROW, name="compact", width=12, acc_width=40, vector_words=1, scratch_banks=2)
ONE_BANK = replace(COMPACT, name="one_bank", scratch_banks=1)
# The same with as many lanes as take long for a round of turns.
MANY = replace(COMPACT, name="many", lanes=16, psum_depth=512)
ELSEWHERE = {"convert", "keyed"}  # tests of their own, over more than a chip's parameters
QUICK = [
    *((name, TINY) for name in UNITS if name not in ELSEWHERE and name not in {"machine", "vector"}),
    *((name, NARROW) for name in ("sequencer", "scan", "queues")),
    ("scratchpad", COMPACT),
    ("scratchpad", CHIPS["ecp5-1x64"]),  # one port, and memories of even and odd bricks
    ("scratchpad", replace(TINY, name="one_writer", vector_words=2)),
    *((name, MANY) for name in ("turns", "lanes", "rowlist", "drain", "finish")),
]
SLOW = [
    *((name, TINY) for name in ("machine", "vector")),  # whole programs in the first; of the second, tests/test_vector_unit.py has others
    *((name, WIDE) for name in ("sequencer", "scan", "queues", "lanes", "arbiter", "turns", "rowqueue")),
    *((name, WIDE) for name in ("visits", "axi_read", "axi_write", "load", "store", "check", "scratchpad")),
    *((name, NARROW) for name in ("lanes", "arbiter", "turns", "rowqueue", "engine")),
    ("scratchpad", ONE_BANK),
    ("vector", COMPACT),
    ("engine", MANY),
]
CASES = [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]
NAMES = [f"{name}-{chip.name}" for name, chip in QUICK + SLOW]


@pytest.mark.rtl
@pytest.mark.parametrize(("name", "chip"), CASES, ids=NAMES)
def test_unit_passes_its_bench(name, chip, tmp_path, seed):
    bench = build_unit(name, chip, tmp_path)
    ran, failed = run(bench.module, bench.netlist, seed, env=bench.env)
    assert ran > 0
    assert failed == 0


def test_every_bench_is_registered():
    found = {path.stem for path in (Path(__file__).parents[1] / "tb").glob("bench_*.py")}
    # Of the kit, of the emitter, and of the top that is written around a machine.
    assert found - set(benches().values()) == {"bench_kit", "bench_emit", "bench_axi_top"}


def test_unknown_unit_is_refused(tmp_path):
    text = f"unknown unit 'pencil'; known units: {', '.join(UNITS)}"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        build_unit("pencil", TINY, tmp_path)
