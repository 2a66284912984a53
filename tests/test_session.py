"""The Python API: equal to a training run, step by step."""

import numpy as np
import pytest

from golden.presets import preset
from golden.trainer import train
from gradloom.session import session
from host.datasets import load


def test_steps_by_hand_are_those_of_a_run():
    with session("cnn", "digits", "tiny", batch=64, check=True) as s:
        assert s.tensors == {}
        first = s.step()
        assert 0 < first.loss
        assert first.samples == 64
        s.step()
        config, samples = s.config, s.samples
        golden = train(config, samples, steps=2).network
        assert (s.steps, s.epoch, s.differing_words) == (2, 0, 0)
        assert s.words_compared > 500_000
        for number, words in golden.weights.items():
            np.testing.assert_array_equal(s.weights[number], words)
            np.testing.assert_array_equal(s.velocity[number], golden.velocity[number])
        assert s.tensors["out.0"] == (64, 8, 8, 16)
        assert s.read("out.0").shape == (64, 8, 8, 16)
        assert s.counters == {}
        assert s.phases["FP"].macs_done > 0
        assert {share.phase for share in s.trace()} == {"FP", "BP", "WG", "update"}
        classes = s.predict(samples.test_x[:40])
        assert classes.shape == (40,)
        assert s.tensors["out.0"] == (40, 8, 8, 16)
        with pytest.raises(KeyError, match="no tensor 'out'"):
            s.read("out")


def test_weights_can_be_written_and_samples_given():
    samples = load("digits")
    with session("mlp", "digits", "tiny", seed=3) as s:
        s.step(samples.train_x[:8], samples.train_y[:8])
        assert s.config.seed == 3
        s.write("weights.1", np.zeros_like(s.weights[1]))
        assert not s.weights[1].any()
        s.write("weights.3", np.zeros_like(s.weights[3]))
        s.write("weights.5", np.zeros_like(s.weights[5]))
        assert s.predict(samples.test_x[:5]).tolist() == [0] * 5
        assert preset("mlp").seed == 0
