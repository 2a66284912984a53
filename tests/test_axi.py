"""Jobs of the AXI master: bursts cover a job exactly; and the units on buses of other widths."""

import random
import re

import pytest

from hw.axi_read import AxiReader
from hw.axi_write import AxiWriter
from hw.emit import emit
from spec.axi import PAGE, Axi, AxiError, axi, bursts
from spec.chip import CHIPS
from tb.run import run

BUSES = [
    Axi(width=width, data_bits=bits, burst_beats=beats)
    for width, bits, beats in [(16, 64, 16), (18, 64, 16), (8, 32, 8), (18, 32, 8), (16, 128, 1), (18, 128, 256), (16, 32, 256)]
]
# Narrow and wide buses, bursts of one brick, and one as long as a page.
CASES = [
    Axi(width=12, data_bits=32, burst_beats=4, outstanding=2),
    Axi(width=18, data_bits=32, burst_beats=64, outstanding=3),
    Axi(width=16, data_bits=128, burst_beats=1, outstanding=8),
    Axi(width=18, data_bits=128, burst_beats=256, outstanding=2),
]


def name(spec: Axi) -> str:
    return f"w{spec.width}-d{spec.data_bits}-b{spec.burst_beats}-o{spec.outstanding}"


def check(spec, address, bricks):
    end = address
    cut = bursts(spec, address, bricks)
    for start, beats in cut:
        assert start == end
        assert 1 <= beats <= spec.burst_beats
        end = start + beats * spec.beat_bytes
        assert start // PAGE == (end - 1) // PAGE
        assert beats % spec.brick_beats == 0
    assert end == address + bricks * spec.brick_bytes
    # As few as there can be of bursts that end at multiples of the longest.
    longest = spec.burst_beats * spec.beat_bytes
    assert len(cut) == (-(-end // longest) - address // longest if bricks else 0)


@pytest.mark.parametrize("spec", BUSES, ids=name)
def test_bursts_cover_every_job_around_a_page(spec):
    for offset in range(-40, 41):
        for bricks in range(100):
            check(spec, 2 * PAGE + offset * spec.brick_bytes, bricks)


@pytest.mark.parametrize("spec", BUSES, ids=name)
def test_bursts_cover_random_jobs(spec, seed):
    rng = random.Random(seed)
    for _ in range(300):
        bricks = rng.randrange(3000)
        check(spec, rng.randrange(2**32 // spec.brick_bytes - bricks) * spec.brick_bytes, bricks)


@pytest.mark.parametrize(("width", "bits", "brick_bytes", "brick_beats"), [
    (16, 64, 16, 2), (17, 64, 32, 4), (8, 32, 16, 4), (18, 32, 32, 8), (16, 128, 16, 1), (18, 128, 32, 2),
])  # fmt: skip
def test_what_a_brick_takes(width, bits, brick_bytes, brick_beats):
    spec = Axi(width=width, data_bits=bits)
    assert (spec.brick_bytes, spec.brick_beats) == (brick_bytes, brick_beats)
    assert spec.burst_bricks * brick_beats == spec.burst_beats


@pytest.mark.parametrize(("values", "text"), [
    ({"width": 19}, "axi width must be 8 to 18, not 19"),
    ({"data_bits": 96}, "axi data_bits must be a power of two, not 96"),
    ({"data_bits": 256}, "axi data_bits must be 32 to 128, not 256"),
    ({"burst_beats": 1}, "axi burst_beats must be 2 to 256, not 1"),
    ({"burst_beats": 12}, "axi burst_beats must be a power of two, not 12"),
    ({"burst_beats": 512}, "axi burst_beats must be 2 to 256, not 512"),
    ({"outstanding": 1}, "axi outstanding must be 2 to 64, not 1"),
    ({"outstanding": True}, "axi outstanding must be an integer, not True"),
])  # fmt: skip
def test_what_cannot_be_built_is_refused(values, text):
    with pytest.raises(AxiError, match=f"^{re.escape(text)}$"):
        Axi(**values)


def test_the_master_of_a_chip_has_its_words():
    assert axi(CHIPS["tiny"]) == Axi(width=CHIPS["tiny"].width)


@pytest.mark.slow
@pytest.mark.rtl
@pytest.mark.parametrize("spec", CASES, ids=name)
@pytest.mark.parametrize(("unit", "module"), [(AxiReader, "axi_read"), (AxiWriter, "axi_write")])
def test_other_buses(unit, module, spec, tmp_path, seed):
    netlist = emit(unit(spec), module, spec=spec, folder=tmp_path)
    ran, failed = run(f"bench_{module}", netlist, seed, env={"LATENCY": str(unit.LATENCY)})
    assert ran > 0
    assert failed == 0
