"""The demo on a network and a data set that take seconds."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from golden.config import DEMO
from golden.trainer import Samples
from gradloom.cli import main
from host.machines import NativeBackend

CONFIG = replace(DEMO, hidden=(24, 20), epochs=2, batch=16)
NAMES = {
    "accuracy_float",
    "accuracy_golden",
    "accuracy_rtl",
    "differing_words",
    "words_compared",
    "cycles",
    "density",
    "utilisation",
    "seconds",
}

pytestmark = pytest.mark.rtl


@pytest.fixture
def small(monkeypatch):
    """Four classes that a small network separates."""
    rng = np.random.default_rng(3)
    labels = np.arange(240) % 4
    pixels = np.clip(rng.normal(8, 2, (240, 16)) + 6 * (np.arange(16) % 4 == labels[:, None]), 0, 16).astype(np.uint8)
    blobs = Samples("blobs", (4, 4, 1), 4, 4, pixels[:200], labels[:200], pixels[200:], labels[200:])
    monkeypatch.setattr("golden.presets.preset", lambda net: CONFIG)
    monkeypatch.setattr("host.datasets.load", lambda name: blobs)


def demo(folder, *arguments):
    return CliRunner().invoke(main, ["demo", "--chip", "tiny", "-o", str(folder), *arguments])


def test_demo_keeps_its_promises(small, tmp_path):
    done = demo(tmp_path, "--json", "-")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result == json.loads((tmp_path / "result.json").read_text())
    assert result.keys() >= NAMES
    assert result["accuracy_rtl"] == result["accuracy_golden"] > 0.5
    assert result["differing_words"] == result["differing_epoch_digests"] == 0
    assert result["words_compared"] > 40_000
    assert (tmp_path / "learning_curve.png").is_file()
    for phase in ("FP", "BP", "WG"):
        assert result["cycles"][phase] > 0
        assert 0 < result["density"][phase] < 1
        assert 0 < result["utilisation"][phase] < 1
        assert 0 < result["macs_done"][phase] < result["macs_dense"][phase]


def test_demo_fails_when_the_machine_gives_a_wrong_word(small, tmp_path, monkeypatch):
    run, calls = NativeBackend.run, []

    def faulty(self, descriptors):
        run(self, descriptors)
        calls.append(1)
        if len(calls) == 3:  # a word of the first layer's weights
            self.native.bytes[0] ^= 1 << 5

    monkeypatch.setattr(NativeBackend, "run", faulty)
    done = demo(tmp_path)
    assert done.exit_code == 1
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["differing_words"] + result["differing_epoch_digests"] > 0


def test_interrupted_demo_keeps_whole_epochs(small, tmp_path, monkeypatch):
    calls, run = [], NativeBackend.run

    def interrupted(self, descriptors):
        calls.append(1)
        if len(calls) == 40:  # in the second epoch
            raise KeyboardInterrupt
        return run(self, descriptors)

    monkeypatch.setattr(NativeBackend, "run", interrupted)
    done = demo(tmp_path)
    assert done.exit_code == 130
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["epochs"] == 1
    assert result["words_compared"] > 10_000
    assert "interrupted after 1 of 2 epochs" in done.output
