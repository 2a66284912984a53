"""Training runs: equal words whoever computes, what is logged, interruption, and what is learned."""

import re
from dataclasses import replace

import numpy as np
import pytest
from blobs import draw_blobs

from golden.float_reference import train_float
from golden.keyed import random_bits
from golden.layers import PHASES, Formats, GoldenExecute, Role, tensor_key
from golden.network import Network
from golden.networks import NETWORKS
from golden.optimizer import Sgd
from golden.presets import preset
from golden.product import product
from golden.tally import Tally
from golden.trainer import COARSE, DEMO, Config, Samples, batches, train
from host.datasets import load
from spec.number import Fixed, Rounding

SMALL = Config(hidden=(12, 8), epochs=2, batch=16, rate_drops=((1, 0.5),))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def digits():
    return load("digits")


@pytest.fixture
def blobs():
    """Sixty samples of three classes, most pixels zero."""
    return draw_blobs(np.random.default_rng(8), 60, 15, (1, 10, 1))


class Tiled(GoldenExecute):
    """The same words by other means: one row at a time, reduction cut in two, zeros skipped."""

    def __call__(self, a, b, *, shift, rounding, key, mask=None, name="", phase="FP"):
        rows = []
        for p, row in enumerate(a):
            kept = np.flatnonzero(row)[::-1]
            words, saturations = product(
                row[None, kept],
                b[kept],
                shift=shift,
                rounding=rounding,
                key=key,
                mask=None if mask is None else mask[p : p + 1],
                index_base=p * b.shape[1],
            )
            self.saturations += saturations
            rows.append(words)
        return np.concatenate(rows)


class Faulty(GoldenExecute):
    """Flips one bit of one word of the named product."""

    def __init__(self, victim):
        super().__init__()
        self.victim = victim

    def __call__(self, a, b, **options):
        c = super().__call__(a, b, **options)
        if options["name"] == self.victim:
            c[2, 1] ^= 4
        return c


def test_equal_configs_give_equal_words_and_seeds_matter(blobs):
    first, second = train(SMALL, blobs), train(SMALL, blobs)
    assert [log.digest for log in first.history] == [log.digest for log in second.history]
    assert first.history[0].digest != first.history[1].digest
    assert train(replace(SMALL, seed=1), blobs).history[1].digest != first.history[1].digest
    nearest = train(replace(SMALL, rounding=Rounding.NEAREST), blobs)
    assert nearest.history[1].digest != first.history[1].digest


def test_words_do_not_depend_on_who_computes_the_products(blobs):
    result = train(SMALL, blobs, execute=Tiled(), reference=GoldenExecute())
    assert result.history[-1].digest == train(SMALL, blobs).history[-1].digest
    assert result.differing_words == 0
    assert result.first_difference == ""
    # Per epoch: 60 samples train, 15 test, through 12, 8 and 3 outputs; 20 masked gradients
    # a sample; and in each of four steps the weight gradients.
    gradients = 11 * 12 + 13 * 8 + 9 * 3
    assert result.words_compared == 2 * ((60 + 15) * 23 + 60 * 20 + 4 * gradients)


@pytest.mark.parametrize("victim", ["layer0.z", "layer2.z", "layer1.dx", "layer1.dw"])
def test_a_planted_fault_is_counted_and_named(blobs, victim):
    result = train(SMALL, blobs, execute=Faulty(victim), reference=GoldenExecute())
    assert result.differing_words > 0
    assert result.first_difference.startswith(f"{victim}[2, 1]: ")
    assert result.history[-1].digest != train(SMALL, blobs).history[-1].digest


def test_a_result_of_another_shape_is_refused():
    class Short(GoldenExecute):
        def __call__(self, a, b, **options):
            return super().__call__(a, b, **options)[:-1]

    tally = Tally(Short(), GoldenExecute())
    with pytest.raises(ValueError, match=r"^x: words of shape \(1, 3\) cannot equal words of shape \(2, 3\)$"):
        tally(np.ones((2, 2), int), np.ones((2, 3), int), shift=0, rounding=Rounding.FLOOR, key=0, name="x")


def test_every_epoch_sees_every_sample_once(blobs):
    config = replace(SMALL, batch=16)
    epochs = [list(batches(blobs, config, epoch)) for epoch in range(2)]
    for epoch in epochs:
        assert [len(chosen) for chosen in epoch] == [16, 16, 16, 12]
        assert sorted(np.concatenate(epoch)) == list(range(60))
    assert (epochs[0][0] != epochs[1][0]).any()
    bits = random_bits(tensor_key(config.seed, 1, 0, Role.SHUFFLE), np.arange(60))
    assert np.concatenate(epochs[1]).tolist() == sorted(range(60), key=lambda sample: bits[sample])


def test_log_counts_what_went_through(blobs):
    calls = []

    class Recorder(GoldenExecute):
        def __call__(self, a, b, **options):
            calls.append((a, b, options))
            return super().__call__(a, b, **options)

    result = train(replace(SMALL, epochs=1), blobs, execute=Recorder())
    log = result.history[0]
    training = calls[: 4 * 8]  # four steps of three FP, three WG and two BP; then the test samples
    assert [options["phase"] for *_, options in training[:8]] == ["FP"] * 3 + ["WG", "BP", "WG", "BP", "WG"]
    for phase in PHASES:
        mine = [(a, b, options) for a, b, options in training if options["phase"] == phase]
        assert log.density[phase] == sum((a != 0).sum() for a, *_ in mine) / sum(a.size for a, *_ in mine)
        assert log.macs_dense[phase] == sum(a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in mine)
        assert log.macs_done[phase] == sum(
            int((((a != 0).astype(int) @ np.ones(b.shape, int)) * (1 if o["mask"] is None else o["mask"])).sum())
            for a, b, o in ((a, b, {"mask": None} | options) for a, b, options in mine)
        )
    masks = [options["mask"] for *_, options in training if options["phase"] == "BP"]
    assert log.mask_density == sum(mask.sum() for mask in masks) / sum(mask.size for mask in masks)
    assert 0 < log.mask_density < 1
    assert log.rate == DEMO.sgd.rate


def test_saturations_are_logged_by_phase(blobs):
    narrow = Formats(
        weights=Fixed(16, 12),
        activations=Fixed(16, 14),
        deltas=Fixed(16, 15),
        gradients=Fixed(16, 14),
        velocity=Fixed(16, 14),
    )
    log = train(replace(SMALL, formats=narrow, sgd=Sgd(rate=8.0)), blobs).history[0]
    assert set(log.saturations) == {"FP", "BP", "WG", "update", "test"}
    assert min(log.saturations.values()) > 0
    assert set(train(SMALL, blobs).history[0].saturations.values()) == {0}


def test_rate_drops_apply_from_their_epoch_on(blobs):
    config = replace(SMALL, epochs=4, rate_drops=((1, 0.5), (3, 0.1)))
    rates = [log.rate for log in train(config, blobs).history]
    assert rates == pytest.approx([0.16, 0.08, 0.08, 0.008])


def test_interruption_returns_whole_epochs_and_the_last_whole_step(blobs):
    seen = []

    def stop(done, total, loss):
        seen.append((done, total))
        assert loss > 0
        if done == 6:
            raise KeyboardInterrupt

    result = train(SMALL, blobs, progress=stop)
    assert seen == [(i, 8) for i in range(1, 7)]
    assert result.interrupted
    assert len(result.history) == 1
    whole = train(replace(SMALL, epochs=1), blobs)
    assert not whole.interrupted
    assert result.history[0].digest == whole.history[0].digest
    assert result.accuracy == whole.accuracy
    assert result.network.digest() != whole.network.digest()


def test_interruption_inside_a_step_leaves_the_step_before(blobs):
    class Interrupted(GoldenExecute):
        calls = 0

        def __call__(self, a, b, **options):
            self.calls += 1
            if self.calls == 12:  # in the backward pass of the second step
                raise KeyboardInterrupt
            return super().__call__(a, b, **options)

    result = train(SMALL, blobs, execute=Interrupted())
    assert result.interrupted
    assert result.accuracy == 0
    assert result.history == []
    step = next(batches(blobs, SMALL, 0))
    network = Network(SMALL.sizes(blobs), SMALL.inputs, SMALL.layer_formats, SMALL.seed)
    plans = [SMALL.sgd.plan(formats, SMALL.batch) for formats in SMALL.layer_formats]
    x = blobs.words(blobs.train_x[step], SMALL.inputs)
    network.step(GoldenExecute(), x, blobs.train_y[step], plans, SMALL.rounding, 0)
    assert result.network.digest() == network.digest()


def test_epoch_callback_sees_log_and_network(blobs):
    seen = []
    train(SMALL, blobs, on_epoch=lambda log, network: seen.append((log.epoch, log.digest == network.digest())))
    assert seen == [(0, True), (1, True)]


def test_pixels_become_words():
    pixels = np.array([[0, 1, 16]], np.uint8)
    samples = Samples("s", (1, 3, 1), 2, 4, pixels, np.zeros(1), pixels, np.zeros(1))
    assert samples.words(pixels, Fixed(16, 8)).tolist() == [[0, 16, 256]]
    assert samples.words(pixels, Fixed(16, 3)).tolist() == [[0, 0, 8]]  # ties go down


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"epochs": 0}, "epochs must be at least 1, not 0"),
        ({"batch": -1}, "batch must be at least 1, not -1"),
        (
            {"net": "lenet"},
            "net must be one of mlp, cnn, lenet5, gupta-cnn, gupta-cifar, resnet20, vgg11, not 'lenet'",
        ),
        ({"seed": 1 << 32}, "seed must be 0 to 4294967295, not 4294967296"),
    ],
)
def test_bad_configs_are_refused(options, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Config(**options)


def test_fine_formats_follow_the_float_run(blobs):
    """One epoch of fine formats and small steps: losses agree to a thousandth."""
    formats = Formats(
        weights=Fixed(18, 15),
        activations=Fixed(18, 13),
        deltas=Fixed(18, 16),
        gradients=Fixed(18, 11),
        velocity=Fixed(18, 11),
    )
    config = replace(
        SMALL, epochs=3, formats=formats, inputs=Fixed(18, 12), sgd=Sgd(rate=0.02, momentum=0.8, decay=0.1)
    )
    words, real = train(config, blobs), train_float(config, blobs)
    for log, epoch in zip(words.history, real, strict=True):
        assert log.loss == pytest.approx(epoch.loss, abs=1e-3)
        assert log.accuracy == epoch.accuracy


def test_demo_reaches_its_accuracy(digits):
    result = train(DEMO, digits)
    real = train_float(DEMO, digits)[-1].accuracy
    print(f"stochastic {result.accuracy:.4f}, float {real:.4f}")
    assert result.accuracy >= 0.96
    assert abs(result.accuracy - real) <= 0.01
    assert sum(sum(log.macs_dense.values()) for log in result.history) < 2e9


def test_nearest_rounding_stalls_where_stochastic_rounding_learns(digits):
    stochastic = train(COARSE, digits).accuracy
    nearest = train(replace(COARSE, rounding=Rounding.NEAREST), digits).accuracy
    print(f"stochastic {stochastic:.4f}, nearest {nearest:.4f}")
    assert stochastic >= 0.94
    assert nearest <= stochastic - 0.05


def test_the_digits_cnn_learns_as_in_float(digits):
    config = replace(preset("cnn"), epochs=3, rate_drops=((2, 0.2),))
    result = train(config, digits)
    real = train_float(config, digits)
    print(f"golden {result.accuracy:.4f}, float {real[-1].accuracy:.4f}")
    assert result.accuracy >= 0.95
    assert abs(result.accuracy - real[-1].accuracy) <= 0.02
    assert result.history[-1].loss == pytest.approx(real[-1].loss, abs=0.02)
    assert sum(sum(log.saturations.values()) for log in result.history) == 0
    assert all(0 < log.mask_density < 1 for log in result.history)


def test_every_network_has_settings():
    for net in NETWORKS:
        assert preset(net).net == net
    assert preset("mlp") == DEMO
    with pytest.raises(ValueError, match=r"^unknown network 'alexnet'; known networks: mlp, cnn, "):
        preset("alexnet")
