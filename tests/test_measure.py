"""Measurements: names of the contract, numbers that agree with the operands, and the clock."""

import json
import re

import pytest
from click.testing import CliRunner
from golden_machine import GoldenMachine

from gradloom import measure
from gradloom.cli import main
from gradloom.measure import MeasureError, check_product, measure_product, parse_shape
from spec.chip import CHIPS
from spec.engine import COUNTERS

TINY = CHIPS["tiny"]
PRODUCT_NAMES = {
    "cycles",
    "busy_lane_cycles",
    "lanes",
    "macs_dense",
    "macs_done",
    "outputs_computed",
    "utilisation",
    "utilisation_steady",
    "differing_words",
    "chip",
}
SPEED_NAMES = {"native_hz", "cocotb_hz", "golden_macs_per_s", "int64_macs_per_s", "lanes"}


def test_shapes():
    assert parse_shape("3x40x500") == (3, 40, 500)
    with pytest.raises(MeasureError, match=r"^product must be MxKxN with numbers of at least 1"):
        parse_shape("3x40")


def test_refusals_come_before_a_machine_is_built():
    text = "mask density must be 0 to 1, not -0.5"
    with pytest.raises(MeasureError, match=f"^{re.escape(text)}$"):
        check_product(TINY, (8, 8, 8), 1.0, -0.5)
    check_product(TINY, (8, 8, 8), 0.0, 1.0)


class Timed(GoldenMachine):
    """A golden machine whose every command takes a thousand cycles, and which can write a wrong word."""

    def __init__(self, chip, wrong=0):
        super().__init__(chip)
        self.wrong = wrong

    def run(self, command, progress=None):
        return super().run(command, progress) | {"cycles": 1000, "busy_lane_cycles": 2000}

    def read(self, address, count):
        bricks = super().read(address, count)
        bricks[: self.wrong, 0] ^= 1
        return bricks


def test_product_counts_operands_and_words():
    result = measure_product(Timed(TINY), (16, 24, 40), density=0.5, mask_density=0.25, seed=4)
    assert result.keys() >= PRODUCT_NAMES
    assert result["differing_words"] == 0
    assert result["words_compared"] == 640
    assert result["macs_dense"] == 16 * 24 * 40
    assert 0.05 < result["macs_done"] / result["macs_dense"] < 0.25
    assert result["utilisation"] == 2000 / (1000 * TINY.total_lanes)
    assert set(result["counters"]) == set(COUNTERS)


def test_product_counts_wrong_words():
    assert measure_product(Timed(TINY, wrong=3), (16, 24, 40))["differing_words"] == 3


@pytest.mark.rtl
def test_measure_product_on_the_engine():
    result = CliRunner().invoke(main, ["measure", "product", "32x64x16", "--chip", "tiny", "--json", "-"])
    assert result.exit_code == 0, result.output
    dense = json.loads(result.stdout)
    assert dense.keys() >= PRODUCT_NAMES
    assert dense["differing_words"] == 0
    assert dense["cycles"] == dense["cycles_dense"]
    assert dense["macs_done"] == dense["macs_dense"] == dense["busy_lane_cycles"] == 32 * 64 * 16
    assert dense["outputs_computed"] == 512

    arguments = ["measure", "product", "32x64x16", "--chip", "tiny", "--density", "0.25", "--mask-density", "0.5"]
    sparse = json.loads(CliRunner().invoke(main, [*arguments, "--json", "-"]).stdout)
    assert sparse["differing_words"] == 0
    assert sparse["cycles_dense"] == dense["cycles"]
    assert sparse["cycles"] < 0.5 * dense["cycles"]
    assert 200 < sparse["outputs_computed"] < 310


@pytest.mark.rtl
def test_measure_speed_on_the_engine(monkeypatch):
    monkeypatch.setattr(measure, "GOLDEN_SIZE", 128)
    result = CliRunner().invoke(main, ["measure", "speed", "--chip", "tiny", "--json", "-"])
    assert result.exit_code == 0, result.output
    speed = json.loads(result.stdout)
    assert speed.keys() >= SPEED_NAMES
    assert speed["lanes"] == 8
    assert speed["native_hz"] > speed["cocotb_hz"] > 100
    assert min(speed["golden_macs_per_s"], speed["int64_macs_per_s"]) > 0


@pytest.mark.rtl
def test_steady_utilisation_is_at_least_that_of_the_whole_command():
    from gradloom.machine import native_engine

    with native_engine(TINY, progress=False) as machine:
        result = measure_product(machine, (64, 32, 32))
        assert result["utilisation"] <= result["utilisation_steady"] <= 1
        cold = measure_product(machine, (64, 32, 32), density=0.0)
    assert cold["macs_done"] == 0
    assert cold["outputs_computed"] == 64 * 32
