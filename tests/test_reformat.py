"""Formats that change between epochs: words, running statistics, resumed runs, machines."""

from dataclasses import replace

import numpy as np
import pytest
from blobs import draw_blobs

from golden.layers import Formats, GoldenExecute
from golden.presets import preset
from golden.reformat import moved, moved_running
from golden.trainer import batches, steps_per_epoch, train
from host.driver import MEMORY, RING, Driver
from host.machines import EmulatedMachine
from spec.chip import CHIPS
from spec.number import Fixed

COARSE, FINE = Formats.uniform(7), Formats.uniform(11)
CONFIG = replace(preset("cnn"), epochs=3, batch=16, formats=COARSE, schedule=((1, FINE), (2, COARSE)))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def blobs(seed):
    return draw_blobs(np.random.default_rng(seed), 36, 15)


def test_words_keep_their_value_or_are_the_nearest():
    words = np.array([-32_768, -3, -2, -1, 0, 1, 2, 3, 2047, 2048, 32_767])
    fine = moved(words, Fixed(16, 7), Fixed(16, 11))
    assert (fine == np.clip(words * 16, -32_768, 32_767)).all()
    coarse = moved(words, Fixed(16, 11), Fixed(16, 9))
    assert np.abs(coarse * 4 - words).max() <= 3  # saturation is none, a tie goes down
    assert (np.abs(coarse - words / 4) <= 0.5).all()
    running = moved_running(np.array([[-5, 12], [64, 70]]), Fixed(16, 8), Fixed(16, 7))
    assert running.tolist() == [[-3, 6], [16, 17]]
    assert moved_running(running, Fixed(16, 7), Fixed(16, 9)).tolist() == [[-12, 24], [256, 272]]


def test_a_schedule_is_what_two_runs_by_hand_are(blobs):
    """The first epoch in coarse words, then a network of fine ones that begins with them."""
    whole = train(replace(CONFIG, epochs=2), blobs)
    first = train(replace(CONFIG, epochs=1, schedule=()), blobs)
    assert whole.history[0].digest == first.history[0].digest
    graph = replace(CONFIG, formats=FINE).graph(blobs)
    graph.weights = {n: np.clip(w * 16, -32_768, 32_767) for n, w in first.network.weights.items()}
    graph.velocity = {n: np.clip(v * 16, -32_768, 32_767) for n, v in first.network.velocity.items()}
    scales = {1: (16, 256), 4: (16, 256)}  # both batch norms read words of a convolution
    graph.running = {n: r * np.array(scales[n])[:, None] for n, r in first.network.running.items()}
    again = replace(CONFIG, formats=FINE, epochs=2, schedule=())
    per_epoch = steps_per_epoch(again, blobs)
    plans = [again.sgd_at(1).plan(formats, again.batch) for formats in graph.formats]
    for i, chosen in enumerate(batches(blobs, again, 1)):
        x = blobs.words(blobs.train_x[chosen], again.inputs)
        graph.step(GoldenExecute(), x, blobs.train_y[chosen], plans, again.rounding, per_epoch + i)
    assert graph.digest() == whole.history[1].digest


@pytest.mark.parametrize("steps", [2, 3, 5, 6, 8])
def test_a_run_that_was_interrupted_ends_with_the_same_words(blobs, steps):
    whole = train(CONFIG, blobs)
    kept = []
    train(CONFIG, blobs, steps=steps, keep=kept.append)
    later = train(CONFIG, blobs, resume=kept[-1])
    assert [log.digest for log in later.history] == [log.digest for log in whole.history]


def test_machines_change_formats_in_goldens_words(blobs):
    golden = train(CONFIG, blobs)
    driver = Driver(CONFIG.graph(blobs), EmulatedMachine(CHIPS["tiny"], MEMORY, RING), check=True)
    result = train(CONFIG, blobs, network=driver, execute=GoldenExecute())
    assert [log.digest for log in result.history] == [log.digest for log in golden.history]
    assert (result.differing_words, result.first_difference) == (0, "")


def test_what_cannot_change_its_formats_is_refused(blobs):
    config = replace(CONFIG, net="mlp", hidden=(8,))
    with pytest.raises(ValueError, match="net mlp cannot change its formats while it is trained"):
        train(config, blobs)
    with pytest.raises(ValueError, match=r"schedule must have rising epochs from 1 on, not \[2, 1\]"):
        replace(CONFIG, schedule=((2, FINE), (1, COARSE)))
