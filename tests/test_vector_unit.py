"""The vector unit passes its bench at every number of words a cycle, and what its size follows from."""

import numpy as np
import pytest

from gradloom.units import build_unit
from hw.vector_layouts import vector_command
from spec.chip import Chip
from spec.isa import VECTOR, Kind, entry_bricks, record_bricks
from spec.vector import beats, command_fields
from tb.run import run
from tb.vector_cases import draw, wild_fields

# Words of every width, one and two bricks to an entry and to a record, all numbers of words a cycle.
CHIPS = [
    Chip(name="1 word, 8 bits", width=8, acc_width=20, scratch_banks=1, scratch_depth=1024, vector_words=1),
    Chip(name="2 words, 18 bits", width=18, acc_width=56, scratch_banks=2, scratch_depth=512, vector_words=2),
    Chip(name="4 words, 8 bits", width=8, acc_width=56, scratch_banks=2, scratch_depth=512, vector_words=4),
    Chip(name="8 words, 12 bits", width=12, acc_width=48, scratch_banks=4, scratch_depth=256, vector_words=8),
    Chip(name="8 words, 16 bits", scratch_banks=2, scratch_depth=512, vector_words=8),
]


@pytest.mark.rtl
@pytest.mark.parametrize(
    "chip",
    [*CHIPS[:2], *(pytest.param(chip, marks=pytest.mark.slow) for chip in CHIPS[2:4]), CHIPS[4]],
    ids=lambda chip: chip.name,
)
def test_unit_passes_its_bench(chip, tmp_path, seed):
    bench = build_unit("vector", chip, tmp_path)
    ran, failed = run(bench.module, bench.netlist, seed, env=bench.env)
    assert ran > 0
    assert failed == 0


def test_the_chips_differ_in_what_matters():
    assert {beats(chip) for chip in CHIPS} == {1, 2, 4, 8}
    assert {entry_bricks(chip) for chip in CHIPS} == {record_bricks(chip) for chip in CHIPS} == {1, 2}


@pytest.mark.parametrize("chip", CHIPS, ids=lambda chip: chip.name)
def test_cases_are_legal_and_change_something(chip, seed):
    rng = np.random.default_rng(seed)
    for kind in Kind:
        case = draw(rng, chip, kind)
        for fields in (case.fields, wild_fields(rng, chip, kind)):
            for field in VECTOR:
                low, high = field.bounds(chip)
                assert low <= fields[field.name] <= high, field.name
        assert case.writes > 0
        assert not np.array_equal(case.before, case.after)


def test_commands_are_cut_to_the_scratchpad():
    small = dict((name, width) for name, width, _ in command_fields(CHIPS[0]))
    assert list(small) == [field.name for field in VECTOR]
    assert small["u_base"] == small["step_y"] == small["out_plane"] == small["table_base"] == 10
    assert (small["count"], small["index_stride"], small["key"], small["origin_x"]) == (24, 32, 32, 12)
    layout = vector_command(CHIPS[0])
    assert layout["origin_x"].shape.signed
    assert layout.size == sum(small.values())

