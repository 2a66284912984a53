"""Estimated times: what is exact by hand, and how far steps are from machines in simulation."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from golden.presets import preset
from gradloom.backend import opened
from gradloom.cli import main
from gradloom.tracing import step_of
from host.costs import brick_pace, fill_cycles, vector_cycles
from host.datasets import load
from host.driver import MEMORY, RING
from host.estimate import BEGINS, WAITED, EstimatedMachine, timed
from host.machines import Carried, Ran
from spec.chip import CHIPS
from spec.isa import Kind, Opcode, Unit, encode
from tb.native.memory import Memory

TINY = CHIPS["tiny"]
CLOSE = 0.05  # of a small step; bench/formula.py has what the documentation says of larger ones

pytestmark = pytest.mark.usefixtures("one_thread")


MEMORY_BEHIND = Memory()


def played(*commands, bus=MEMORY_BEHIND, chip=TINY):
    """Times of transfers and vector commands: (opcode, wait, fields)."""
    descriptors = b"".join(encode(opcode, wait, 0, **fields) for opcode, wait, fields in commands) + encode(Opcode.END)
    return timed(chip, descriptors, Ran([Carried(n) for n in range(len(commands))]), bus)


def load_of(bricks, **fields):
    return Opcode.LOAD, 0, {"bricks": bricks, "count_1": 1, "count_2": 1} | fields


def store_of(bricks, wait=0):
    return Opcode.STORE, wait, {"bricks": bricks, "count_1": 1, "count_2": 1}


def test_a_load_takes_its_bytes_over_the_bandwidth():
    """Ten times the bricks: nine times as many bytes later, 16 bytes a brick."""
    few, many = (played(load_of(n)).commands[0] for n in (100, 1000))
    assert (many.done - many.issued) - (few.done - few.issued) == 900 * 16 // 8
    assert few.issued == BEGINS + MEMORY_BEHIND.read_latency + 16  # and the time from one command to the next


def test_half_the_bandwidth_takes_twice_as_long():
    full, half = (played(load_of(1000), bus=Memory(bandwidth=b)).commands[0] for b in (8.0, 4.0))
    assert (half.done - half.issued) - (full.done - full.issued) == 2000


def test_without_a_limit_a_beat_moves_each_way():
    both = played(load_of(1000), store_of(1000), bus=Memory(bandwidth=0))
    alone = played(load_of(1000), bus=Memory(bandwidth=0))
    assert both.commands[0].done == alone.commands[0].done


def test_load_and_store_share_the_memory():
    """Beside each other they take about as long as one after the other."""
    beside = played(load_of(1000), store_of(1000))
    behind = played(load_of(1000), store_of(1000, Unit.LOAD))
    ends = max(c.done for c in beside.commands)
    assert beside.commands[1].issued < behind.commands[1].issued
    assert behind.commands[1].issued == behind.commands[0].done + WAITED
    assert 4000 <= ends - beside.commands[0].issued <= 4100


def test_one_port_for_all_writers_slows_loads_down():
    compact = CHIPS["ecp5-16"]
    assert (brick_pace(TINY), brick_pace(compact)) == (1, 3)
    fields = {"bricks": 10, "count_1": 2, "count_2": 3}
    assert fill_cycles(compact, fields) - 5 == 2 * (fill_cycles(TINY, fields) - 5) == 120
    long = played(load_of(1000), chip=compact).commands[0]
    assert 3000 < long.done - long.issued < 3100


VECTOR = {"kind": Kind.AFFINE, "count": 10, "bricks": 3, "uniform": 1, "start": 1, "convert": 0, "lines": 1, "taps_x": 1, "taps_y": 1}


@pytest.mark.parametrize(
    ("change", "cycles"),
    [
        ({}, 10 * 3 * 2 + 8 + 52),  # two beats a brick
        ({"count": 20}, 20 * 3 * 2 + 8 + 52),
        ({"kind": Kind.REDUCE}, 10 * 3 * 2 + 8 + 8 * 3 + 39),
        ({"kind": Kind.MASK, "count": 20}, 20 * 3 + 33),
        ({"kind": Kind.TRANSPOSE, "count": 17, "lines": 2}, 24 * 3 * 2 + 41),
        ({"kind": Kind.MAX, "taps_x": 2, "taps_y": 2}, 10 * 3 * 5 + 48),
    ],
)
def test_vector_commands_cost_what_their_page_says(change, cycles):
    assert vector_cycles(TINY, VECTOR | change) == cycles


@pytest.mark.rtl
@pytest.mark.parametrize(("net", "batch", "frac"), [("cnn", 8, 8), ("mlp", 8, 12)])
def test_steps_take_as_long_as_on_a_machine(net, batch, frac):
    """In all, and in every phase but the update, which is short."""
    chip = replace(TINY, scratch_depth=1024)
    config = replace(preset(net), batch=batch).with_frac(frac)
    step = step_of(config, load("digits"), 2)
    cycles = []
    for backend in ("estimate", "rtl"):
        with opened(backend, chip, exact=True) as machine:
            rows, tally = step.take(step.graph, machine)
        assert tally.differing_words == 0
        cycles.append(sum(row.cycles for row in rows))
    assert abs(cycles[0] / cycles[1] - 1) < CLOSE, cycles


def test_an_estimate_gives_the_emulators_words_and_times():
    step = step_of(replace(preset("cnn"), batch=8), load("digits"), 0)
    rows, tally = step.take(step.graph, EstimatedMachine(TINY, MEMORY, RING, MEMORY_BEHIND))
    assert tally.differing_words == 0
    assert tally.words_compared > 1000
    assert all(row.issued < row.done for row in rows)
    slower, _ = step.take(step.graph, EstimatedMachine(TINY, MEMORY, RING, MEMORY_BEHIND, multiplication=4.0))
    assert sum(row.cycles for row in slower) > sum(row.cycles for row in rows)


def test_zeros_that_are_not_skipped_take_time():
    step = step_of(replace(preset("cnn"), batch=8), load("digits"), 2)
    dense, skipped = (
        [row for row in step.take(step.graph, EstimatedMachine(TINY, MEMORY, RING, MEMORY_BEHIND), skip)[0] if row.label.layer == 3]
        for skip in (False, True)
    )
    for phase in ("FP", "WG"):
        cycles = [sum(row.cycles for row in rows if row.phase == phase) for rows in (dense, skipped)]
        assert cycles[0] > 1.4 * cycles[1], phase


def test_command_tells_time_and_error_by_format(tmp_path):
    out, picture = tmp_path / "rows.json", tmp_path / "time.png"
    told = ["estimate", "--net", "cnn", "--frac", "6,12", "--width", "8,16", "--after", "1", "--mhz", "50", "--picture", str(picture)]
    result = CliRunner().invoke(main, [*told, "--json", str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    rows = json.loads(out.read_text())
    assert [(row["width"], row["frac"]) for row in rows] == [(8, 6), (16, 6), (16, 12)]
    assert picture.stat().st_size > 5000
    for row in rows:
        assert row["epoch_s"] == pytest.approx(row["cycles_of_step"] * row["steps_per_epoch"] / 50e6, abs=1e-6)
        assert row["cycles_bound"] < row["cycles_of_step"]
        assert row["differing_words"] == 0


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--frac", "4:99", "from 0 to 17"),
        ("--frac", "four", "neither a range"),
        ("--width", "7", "from 8 to 18"),
        ("--mhz", "0", "range"),
    ],
)
def test_bad_settings_are_refused(option, value, says):
    result = CliRunner().invoke(main, ["estimate", option, value])
    assert result.exit_code == 2
    assert says in result.output


@pytest.mark.parametrize("command", ["estimate", "trace"])
@pytest.mark.parametrize(("option", "value"), [("--bandwidth", "-1"), ("--bandwidth", "2000"), ("--latency", "0")])
def test_memories_that_cannot_be_are_refused(command, option, value):
    given = [command, "--backend", "estimate"] if command == "trace" else [command]
    result = CliRunner().invoke(main, [*given, option, value])
    assert result.exit_code == 2
    assert option in result.output
    assert "is not in the range" in result.output


def test_a_memory_is_checked_whatever_takes_the_step():
    """Also where no command line stands in front."""
    with pytest.raises(ValueError, match="memory bandwidth must be 0 to 1024, not -1"), opened("estimate", TINY, bandwidth=-1):
        pass
