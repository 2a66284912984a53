"""Training shortcuts against statements of their mathematics that share no code with them."""

from dataclasses import replace
from fractions import Fraction
from math import pi

import numpy as np
import pytest
from technique_networks import beginning

from golden.conv import Conv
from golden.float_graph import FloatGraph
from golden.graph import Graph
from golden.layers import Formats, GoldenExecute, Role, tensor_key
from golden.networks import build, mlp
from golden.nodes import Builder, ConvNode
from golden.operators import SLOTS, Pass, ProductOperator
from golden.optimizer import Sgd
from golden.policy import CHOICE_SLOT, EXACT, Composed, Policy
from golden.presets import preset
from golden.tally import Tally
from golden.techniques.approximation import Batches, Gradient, GradientApproximation, normal, spikes
from golden.techniques.local import Dynamic, LocalizedLearning, Static, Table, direction
from golden.techniques.prediction import GradientPrediction, Groups, Guess, bound, reorganised, scaled
from golden.techniques.predictor import FRAC, Predictor, Shape, mean_exponent
from golden.techniques.pruning import (
    Keep,
    StructuredPruning,
    ThresholdPruning,
    of_groups,
    pruned_below,
    rescaled,
    threshold,
)
from golden.techniques.rescaling import grow, images, resized, smaller, stages
from golden.techniques.sampling import FACTOR_BITS, Choice, ColumnRowSampling, choose, drawn, weights_of
from golden.techniques.similarity import InputSimilarity, leaders, signatures
from golden.techniques.tracking import GUESS_BITS, WeightTracking, stream
from golden.trainer import steps_per_epoch, train
from host.datasets import load
from spec.number import Fixed, Rounding

pytestmark = pytest.mark.usefixtures("one_thread")

WIDE = Formats(
    weights=Fixed(18, 12), activations=Fixed(18, 9), deltas=Fixed(18, 12), gradients=Fixed(18, 9), velocity=Fixed(18, 9)
)
SGD = Sgd(rate=0.1, momentum=0.8, decay=1e-4)


def small(channels=8):
    """Three convolutions and two dense layers, batch norm behind the second."""
    b = beginning(channels)
    b.conv(channels, 2)
    b.relu()
    b.flatten()
    b.dense(12)
    b.relu()
    b.dense(3)
    return b.build("small")


def trained(policy, count=4, architecture=None, seed=3, execute=None, rng_seed=5, epoch_steps=2, graph=None, first=0):
    """A network after some steps by ``policy``, and what they said."""
    rng = np.random.default_rng(rng_seed)
    graph = graph or Graph(architecture or small(), Fixed(16, 8), seed=seed)
    if not first:
        graph.follow(policy, epoch_steps)
    plans = [SGD.plan(formats, 6) for formats in graph.formats]
    done = []
    for step in range(first + count):
        x = rng.integers(0, 256, (6, int(np.prod(graph.architecture.input))))
        labels = rng.integers(0, 3, 6)
        if step >= first:
            done.append(graph.step(execute or GoldenExecute(), x, labels, plans, Rounding.STOCHASTIC, step))
    return graph, done


POLICIES = {
    "zero gradient": lambda: GradientApproximation(Gradient.ZERO, Batches.ALL),
    "random gradient": lambda: GradientApproximation(Gradient.RANDOM, Batches.SIGN),
    "approximated gradient": lambda: GradientApproximation(Gradient.APPROXIMATED, Batches.ALTERNATE),
    "top pairs": lambda: ColumnRowSampling(0.5),
    "drawn pairs": lambda: ColumnRowSampling(0.5, Choice.NORMS, replace=True, scaled=True),
    "Bernoulli pairs": lambda: ColumnRowSampling(0.5, Choice.BERNOULLI, scaled=True),
    "structured pruning": lambda: StructuredPruning(2, 4, rescale=True),
    "threshold pruning": lambda: ThresholdPruning(0.8),
    "localized": lambda: LocalizedLearning(Table((0, 1, 2)), 0.05),
    "localized, dynamic": lambda: LocalizedLearning(Dynamic(3, alpha=4.0, past=1), 0.05, supervised=True),
    "frozen": lambda: LocalizedLearning(Table((0, 2)), learns=False),
    "weight tracking": lambda: WeightTracking(0.3),
    "input similarity": lambda: InputSimilarity(4, rest=1),
    "predicted gradient": lambda: GradientPrediction(Groups(1, ((1, 1, 1), (2, 1, 1)))),
    "last gradient": lambda: GradientPrediction(Groups(1, ((2, 1, 1),)), Guess.LAST),
    "no gradient": lambda: GradientPrediction(Groups(1, ((1, 1, 1),)), Guess.ZERO),
    "pruned and sampled": lambda: Composed([ColumnRowSampling(0.5), StructuredPruning(2, 4), WeightTracking(0.5)]),
}


@pytest.mark.parametrize("name", POLICIES)
def test_goes_on_from_a_checkpoint_to_the_same_bits(name):
    whole, _ = trained(POLICIES[name](), 6)
    half, _ = trained(POLICIES[name](), 3)
    again = Graph(half.architecture, half.inputs, seed=half.seed)
    again.follow(POLICIES[name](), 2)
    again.restore(half.state())
    again, _ = trained(None, 3, graph=again, first=3)
    assert again.digest() == whole.digest()
    exact, _ = trained(EXACT, 6)
    assert whole.digest() != exact.digest()


def test_the_exact_policy_is_the_plain_step():
    plain, _ = trained(Policy())
    composed, _ = trained(Composed([]))
    assert plain.digest() == composed.digest() == trained(EXACT)[0].digest()


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (lambda: GradientApproximation(Gradient.ZERO), "no second convolution larger than 1x1"),
        (lambda: StructuredPruning(), "no second convolution"),
        (lambda: ThresholdPruning(), "no convolution"),
    ],
)
def test_refuses_a_network_without_convolutions(policy, reason):
    graph = Graph(mlp((4, 4, 1), 3, (8,)), Fixed(16, 8))
    with pytest.raises(ValueError, match=f"cannot train mlp: it has {reason}"):
        graph.follow(policy(), 1)


def test_refuses_networks_with_too_few_layers():
    graph = Graph(mlp((4, 4, 1), 3, ()), Fixed(16, 8))
    for policy in (ColumnRowSampling(0.5), LocalizedLearning(Table((1,))), InputSimilarity(), WeightTracking()):
        with pytest.raises(ValueError, match="cannot train mlp: it has"):
            graph.follow(policy, 1)


def test_refuses_channels_that_are_no_multiple():
    graph = Graph(small(6), Fixed(16, 8))
    with pytest.raises(ValueError, match="structured pruning cannot train small: node 2 has 6 channels, not a multiple of 4"):
        graph.follow(StructuredPruning(2, 4), 1)


def test_refuses_two_update_rules():
    with pytest.raises(ValueError, match="LocalizedLearning and WeightTracking cannot be combined"):
        Composed([LocalizedLearning(Table((1,))), WeightTracking()])


# Gradient approximation.


def test_a_spike_product_is_the_papers_sum_over_samples(rng):
    batch, size, c_in, c_out, stride, padding = 3, 7, 2, 4, 2, 1
    conv = Conv(0, Fixed(18, 4), WIDE, 3, stride, padding, bias=False)
    x = rng.integers(-200, 200, (batch, size, size, c_in))
    delta = rng.integers(-90, 90, (batch, 4, 4, c_out))
    delta[0, :, :, 1] = 0  # a map of zeros: its spike is a zero at the first position
    delta[1, 1, 2, 0] = -delta[1, 3, 0, 0] + 0
    spike, saturations = spikes(delta, 18)
    assert saturations == 0
    execute = GoldenExecute(width=18)
    words = conv.weight_gradient(execute, x, spike, Rounding.NEAREST, 0)
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    exact = np.zeros((3, 3, c_in, c_out), object)
    for b in range(batch):
        for k in range(c_out):
            places = [(abs(int(delta[b, i, j, k])), -(4 * i + j)) for i in range(4) for j in range(4)]
            at = -max(places)[1]
            total = sum(int(word) for word in delta[b, :, :, k].reshape(-1))
            top, left = stride * (at // 4), stride * (at % 4)
            exact[..., k] += total * padded[b, top : top + 3, left : left + 3].astype(object)
    shift = 4 + 12 - 9
    half = (1 << shift - 1) - 1
    assert words.tolist() == [[int(v) + half >> shift for v in row] for row in exact.reshape(-1, c_out)]


def test_spikes_are_scaled_and_saturate(rng):
    delta = np.full((2, 3, 3, 1), 30_000)
    spike, saturations = spikes(delta, 16)
    assert (spike.max(), np.count_nonzero(spike), saturations) == (32_767, 2, 2)
    spike, saturations = spikes(delta, 16, 1 / 64)
    assert saturations == 0
    assert set(spike.reshape(-1).tolist()) == {0, round(270_000 / 64)}


def test_random_gradients_are_normal():
    words = normal(77, (400, 250), 1 << 10, 16) / (1 << 10)
    z = words.mean() * np.sqrt(words.size)
    assert abs(z) < 4
    assert abs(words.std() - 1) < 0.01
    for deviations, share in ((1, 0.6827), (2, 0.9545)):  # the normal law's
        assert abs((np.abs(words) < deviations).mean() - share) < 0.02
    assert np.unique(normal(78, (400, 250), 1 << 10, 16) / (1 << 10) - words).size > 1


class Recorded(Policy):
    """What another policy did to weight gradients."""

    def __init__(self, inner):
        self.inner, self.done = inner, []

    def bind(self, graph, epoch_steps):
        self.inner.bind(graph, epoch_steps)

    def begins(self, p):
        self.inner.begins(p)

    def weight_delta(self, p, op, x, delta):
        given = self.inner.weight_delta(p, op, x, delta)
        self.done.append((p.step, op.number, delta, given))
        return given

    def gradient(self, p, op, gradient):
        return self.inner.gradient(p, op, gradient)


def test_approximates_every_other_convolution_on_the_chosen_batches():
    for batches, wanted in (
        (Batches.ALL, lambda step, delta: True),
        (Batches.ALTERNATE, lambda step, delta: step // 2 % 2 == 1),
        (Batches.SIGN, lambda step, delta: delta[0, 0].sum() < 0),
    ):
        policy = Recorded(GradientApproximation(Gradient.APPROXIMATED, batches))
        trained(policy, 8)
        for step, number, delta, given in policy.done:
            if number == 2 and wanted(step, delta):  # the second of nodes 0, 2 and 5
                assert np.count_nonzero(given) <= delta.shape[0] * delta.shape[3]
            else:
                assert given is delta


def test_zero_gradients_leave_momentum_and_skip_the_product():
    def macs(policy):
        tally = Tally(GoldenExecute())
        graph, _ = trained(policy, 2, execute=tally)
        return graph, tally.phases["WG"].outputs

    exact, before = macs(EXACT)
    zeroed, after = macs(GradientApproximation(Gradient.ZERO, Batches.ALL))
    assert before - after == 2 * exact.weights[2].size
    assert not zeroed.velocity[2].any() or np.abs(zeroed.velocity[2]).max() < np.abs(exact.velocity[2]).max()


# Column-row sampling.


def test_norms_are_exact(rng):
    x = rng.integers(-32_768, 32_768, (5, 3, 3, 4))
    weights = rng.integers(-32_768, 32_768, (9 * 4, 6))
    kernel = weights.reshape(3, 3, 4, 6)
    for c, size in enumerate(weights_of(x, weights, 4)):
        column = sum(int(v) ** 2 for v in x[..., c].reshape(-1))
        row = sum(int(v) ** 2 for v in kernel[:, :, c].reshape(-1))
        assert size == column * row


def test_sampled_products_are_those_of_the_chosen_rows(rng):
    """FP, WG and BP of one convolution, against NumPy on the chosen channels alone."""
    seen = {}

    class Spy(ColumnRowSampling):
        def reads(self, p, op, x, weights):
            out = super().reads(p, op, x, weights)
            seen.setdefault(op.number, {}).update(x=x, weights=weights)
            return out

        def gives(self, p, op, x, out):
            seen.setdefault(op.number, {}).update(out=out)
            return out

        def passes_on(self, p, op, dx):
            seen[op.number]["dx"] = super().passes_on(p, op, dx)
            return seen[op.number]["dx"]

        def gradient(self, p, op, gradient):
            seen[op.number]["dw"] = gradient
            return gradient

    b = Builder((5, 5, 3))
    b.conv(8, 3)
    b.conv(6, 2, bias=False)
    b.flatten()
    b.dense(3)
    graph = Graph(b.build("linear"), Fixed(16, 8), seed=2)
    policy = Spy(0.5)
    graph.follow(policy, 1)
    deltas = {}
    graph.observe = lambda name, words: deltas.setdefault(name, words)
    plans = [SGD.plan(formats, 4) for formats in graph.formats]
    old = graph.weights[1].copy()
    graph.step(GoldenExecute(), rng.integers(0, 256, (4, 75)), rng.integers(0, 3, 4), plans, Rounding.NEAREST, 0)
    one, taken = seen[1], np.flatnonzero(policy.pairs[1].counts)
    sizes = weights_of(one["x"], old, 8)
    assert sorted(taken) == sorted(sorted(range(8), key=lambda c: (-sizes[c], c))[:4])
    x, w = one["x"][..., taken].astype(object), old.reshape(2, 2, 8, 6)[:, :, taken].astype(object)
    delta = np.array(deltas["part.2.0.1"]).astype(object)
    f = graph.operators[1].formats
    z, dw = np.zeros((4, 2, 2, 6), object), np.zeros((2, 2, len(taken), 6), object)
    dx = np.zeros((4, 3, 3, len(taken)), object)
    for i in range(2):
        for j in range(2):
            patch = x[:, i : i + 2, j : j + 2]
            z += patch @ w[i, j]
            dw[i, j] = np.tensordot(patch, delta, axes=([0, 1, 2], [0, 1, 2]))
            dx[:, i : i + 2, j : j + 2] += delta @ w[i, j].T
    assert one["out"].tolist() == nearest(z, 10 + f.weights.frac - f.activations.frac)
    assert one["dw"].reshape(2, 2, 8, 6)[:, :, taken].tolist() == nearest(dw, 10 + f.deltas.frac - f.gradients.frac)
    assert not np.delete(one["dw"].reshape(2, 2, 8, 6), taken, axis=2).any()
    assert one["dx"][..., taken].tolist() == nearest(dx, f.weights.frac)
    assert not np.delete(one["dx"], taken, axis=3).any()


def nearest(sums, shift):
    """Exact sums rounded to the nearest word, ties down."""
    half = (1 << shift - 1) - 1
    flat = [int(v) + half >> shift for v in sums.reshape(-1)]
    return np.array(flat).reshape(sums.shape).tolist()


def test_draws_are_likely_as_their_norms_are_large():
    sizes = [1 << 80, 3 << 80, 0, 4 << 80]
    counts = sum(drawn(sizes, 1, key, replace=True) for key in range(4000))
    expected = np.array([500, 1500, 0, 2000])
    assert counts[2] == 0
    assert (np.abs(counts - expected) < 4 * np.sqrt(np.maximum(expected, 1))).all()
    for key in range(50):
        assert drawn(sizes, 3, key, replace=False).tolist() == [1, 1, 0, 1]


def test_scaled_sampling_has_the_right_mean():
    sizes = [5, 1, 3, 7]
    words = np.array([400, -300, 1000, 50])
    samples = 6000
    for how, again in ((Choice.NORMS, True), (Choice.UNIFORM, True), (Choice.BERNOULLI, False)):
        values = []
        for key in range(samples):
            pairs = choose(sizes, 2, how, key, again, scaled=True)
            values.append(float((words * np.where(pairs.counts > 0, pairs.factors, 0)).sum()) / (1 << FACTOR_BITS))
        assert abs(np.mean(values) - words.sum()) < 4 * np.std(values) / np.sqrt(samples) + 8, how


def test_factors_stop_at_the_multipliers_end():
    pairs = choose([1, 10**9], 1, Choice.UNIFORM, 0, scaled=True)
    assert pairs.factors.max() == 2 << FACTOR_BITS
    assert choose([1 << 40, 1], 1, Choice.BERNOULLI, 5, scaled=True).factors.max() <= (1 << 17) - 1


# Pruning.


@pytest.mark.parametrize(("n", "m"), [(1, 4), (2, 4), (3, 8), (4, 4)])
def test_keeps_the_largest_of_each_group(rng, n, m):
    scores = rng.integers(0, 6, (5, 3, 3, 2 * m))  # many ties
    kept = of_groups(scores, n, m).reshape(-1, m)
    for group, mask in zip(scores.reshape(-1, m).tolist(), kept.tolist(), strict=True):
        wanted = sorted(range(m), key=lambda i: (-group[i], i))[:n]
        assert [i for i in range(m) if mask[i]] == sorted(wanted)


def test_random_pruning_keeps_as_many_elsewhere():
    def done(keep):
        kept = []

        class Spy(StructuredPruning):
            def input_delta(self, p, op, delta):
                given = super().input_delta(p, op, delta)
                if op.number in self.chosen:
                    kept.append((delta, given))
                return given

        trained(Spy(2, 4, keep), 3)
        return kept

    for keep in Keep:
        for delta, given in done(keep):
            groups = given.reshape(-1, 4)
            assert (np.count_nonzero(groups, axis=1) <= 2).all()
            assert ((given == delta) | (given == 0)).all()
    largest, random = ([np.abs(given).sum() for _, given in done(keep)] for keep in Keep)
    assert sum(largest) > sum(random)


def test_rescaling_keeps_the_norm_of_each_map(rng):
    delta = rng.integers(-500, 500, (3, 4, 4, 8))
    pruned = np.where(of_groups(np.abs(delta), 2, 4), delta, 0)
    words, saturations = rescaled(pruned, delta, 18)
    assert saturations == 0
    whole, now = (np.abs(v).sum(axis=(1, 2)) for v in (delta, words))
    assert (np.abs(whole - now) <= 16 + whole // 1000).all()
    assert not words[pruned == 0].any()


def test_threshold_pruning_keeps_the_mean_of_every_word():
    words = np.array([-90, -41, -1, 0, 1, 7, 40, 99, 100, 250])
    tau, keys = 100, 20_000
    sums = sum(pruned_below(np.broadcast_to(words, (100, 10)), tau, key).sum(axis=0) for key in range(keys // 100))
    for word, mean in zip(words.tolist(), (sums / keys).tolist(), strict=True):
        share = min(abs(word), tau) / tau
        assert abs(mean - word) <= 4 * tau * np.sqrt(share * (1 - share) / keys) + 1e-9, word
    assert pruned_below(words, 0, 1).tolist() == words.tolist()


@pytest.mark.parametrize("rate", [0.3, 0.5, 0.9])
def test_the_threshold_lies_where_the_share_of_a_normal_law_does(rng, rate):
    delta = np.rint(rng.normal(0, 900, (20, 10, 10, 16))).astype(int)
    below = np.mean(np.abs(delta) < threshold(delta, rate))
    assert abs(below - rate) < 0.01


# Localized learning.


def test_the_hebbian_step_is_a_weight_gradient_of_the_output(rng):
    """W += rate * D / |D|, D the correlation of what a layer reads with what it gives, in float64."""
    b = Builder((5, 5, 2))
    b.conv(4, 3, 2, padding=1)
    b.flatten()
    b.dense(6)
    b.dense(3)
    graph = Graph(b.build("linear"), Fixed(16, 8), seed=4)
    graph.follow(LocalizedLearning(Table((2,)), rate := 0.25), 1)
    seen = {}
    graph.observe = lambda name, words: seen.setdefault(name, words.astype(np.float64))
    plans = [SGD.plan(formats, 5) for formats in graph.formats]
    old = {n: w.astype(np.float64) for n, w in graph.weights.items()}
    x = rng.integers(0, 256, (5, 50))
    graph.step(GoldenExecute(), x, rng.integers(0, 3, 5), plans, Rounding.NEAREST, 0)
    padded = np.pad(x.reshape(5, 5, 5, 2) / 256, ((0, 0), (1, 1), (1, 1), (0, 0)))
    z = seen["out.0"] / 1024
    d = [padded[:, i : i + 5 : 2, j : j + 5 : 2].reshape(-1, 2).T @ z.reshape(-1, 4) for i in range(3) for j in range(3)]
    conv = np.concatenate([*d, z.reshape(-1, 4).sum(axis=0, keepdims=True)])
    flat = z.reshape(5, -1)
    dense = np.concatenate([flat, np.ones((5, 1))], axis=1).T @ (seen["out.2"] / 1024)
    for number, exact in ((0, conv), (2, dense)):
        form = graph.operators[number].formats.weights
        moved = (graph.weights[number] - old[number]) * form.step
        assert np.abs(moved - rate * exact / np.linalg.norm(exact)).max() < 0.01 * rate + form.step
    assert "gradient.2" not in seen
    assert "part.3.0.2" not in seen


@pytest.mark.parametrize("size", [1, 10, 5000])
def test_directions_have_length_one(rng, size):
    for scale in (1, 200, 30_000):
        words = rng.integers(-scale, scale + 1, size)
        if not words.any():
            words[0] = 1
        unit = direction(words, 16) / (1 << 15)
        assert np.abs(unit - words / np.linalg.norm(words)).max() < 2**-14
    assert not direction(np.zeros(4, np.int64), 16).any()


def test_momentum_is_dropped_when_the_rule_changes():
    before, _ = trained(EXACT, 2)
    assert before.velocity[0].any()
    after, _ = trained(LocalizedLearning(Table((0, 1))), 3)
    assert not after.velocity[0].any()
    assert after.velocity[2].any()


def test_frozen_layers_keep_their_words():
    two, _ = trained(LocalizedLearning(Table((0, 2)), learns=False), 2)
    six, _ = trained(LocalizedLearning(Table((0, 2)), learns=False), 6)
    for number in (0, 2, 3):  # two convolutions and the batch norm between the second and the third
        assert (two.weights[number] == six.weights[number]).all()
    assert (two.weights[5] != six.weights[5]).any()


def test_schedules():
    assert [Static(4, 6).layers(epoch, 0, []) for epoch in range(8)] == [0, 1, 2, 2, 2, 3, 3, 3]
    dynamic = Dynamic(3, alpha=0.9, past=2)
    assert dynamic.layers(5, 1, [10.0, 10.0]) == 1  # too few
    assert dynamic.layers(5, 1, [10.0, 10.0, 9.0]) == 2
    assert dynamic.layers(5, 1, [10.0, 10.0, 9.1]) == 1
    assert dynamic.layers(5, 3, [10.0, 10.0, 1.0]) == 3  # capped


# Weight tracking.


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_stream_finds_the_quantile(rng, share):
    scores = np.abs(rng.normal(0, 500, 60_000)).astype(np.int64)
    guess, rate = 1 << GUESS_BITS, 1e-3
    for _ in range(3):
        kept, guess = stream(scores, guess, share, rate)
    assert abs(kept.mean() - share) < 0.02
    assert abs(guess / 2**GUESS_BITS - np.quantile(scores, 1 - share)) < 25


def test_the_stream_is_the_published_recursion(rng):
    scores = rng.integers(0, 400, 3000)
    share, rate, guess = 0.25, 2e-3, Fraction(100)
    kept, end = stream(scores, 100 << GUESS_BITS, share, rate)
    wanted = []
    for score in scores.tolist():
        keep = guess < score
        wanted.append(keep)
        guess *= 1 + Fraction(rate) * Fraction(0.75) if keep else 1 - Fraction(rate) * Fraction(0.25)
        guess = guess.limit_denominator(10**12)
    assert kept.tolist() == wanted
    assert abs(end / 2**GUESS_BITS - float(guess)) < 1e-3


def test_untracked_weights_fade_from_their_first_words():
    policy = WeightTracking(0.3, decay=0.5)
    graph, _ = trained(policy, 3)
    first = Graph(small(), Fixed(16, 8), seed=3)
    for op in graph.operators:
        if isinstance(op, ProductOperator) and op.number in policy.first:
            faded = np.floor(first.weights[op.number] / 8)
            assert 0.4 < (graph.weights[op.number] == faded).mean()
    late, _ = trained(WeightTracking(0.3, decay=0.1), 30)
    assert 0.1 < np.count_nonzero(late.weights[2]) / late.weights[2].size < 0.6


# Input similarity.


def test_signatures_agree_as_often_as_the_angle_says(rng):
    bits, pairs = 6, 6000
    base = rng.normal(0, 3000, (pairs, 40))
    for angle in (0.3, 0.8, 1.5):
        other = rng.normal(0, 3000, base.shape)
        other -= base * (base * other).sum(axis=1, keepdims=True) / (base**2).sum(axis=1, keepdims=True)
        other *= np.linalg.norm(base, axis=1, keepdims=True) / np.linalg.norm(other, axis=1, keepdims=True)
        turned = np.rint(np.cos(angle) * base + np.sin(angle) * other)
        shares = []
        for key in range(20):
            one, two = (signatures(np.rint(rows), bits, key) for rows in (base, turned))
            shares.append(np.mean(one == two))
        assert abs(np.mean(shares) - (1 - angle / pi) ** bits) < 0.03


def test_leaders_come_first():
    assert leaders(np.array([5, 3, 5, 5, 2, 3])).tolist() == [0, 1, 0, 0, 4, 1]


def test_equal_vectors_share_the_first_ones_words(rng):
    b = Builder((1, 1, 6))
    b.conv(4, 1)
    b.conv(30, 1)
    b.flatten()
    b.dense(3)
    graph = Graph(b.build("rows"), Fixed(16, 8), seed=1)
    policy = InputSimilarity(20)
    graph.follow(policy, 1)
    out = {}
    graph.observe = lambda name, words: out.setdefault(name, words)
    x = rng.integers(0, 256, (8, 6))
    x[5] = x[1]
    x[7] = x[1]
    plans = [SGD.plan(formats, 8) for formats in graph.formats]
    plain = Graph(graph.architecture, graph.inputs, seed=1)
    alone = {}
    plain.observe = lambda name, words: alone.setdefault(name, words)
    for one in (graph, plain):
        one.step(GoldenExecute(), x, rng.integers(0, 3, 8), plans, Rounding.NEAREST, 0)
    key = tensor_key(graph.seed, 0, SLOTS * 1 + CHOICE_SLOT, Role.INIT)
    first = leaders(signatures(np.array(alone["out.0"]).reshape(8, -1), 20, key))
    assert first[5] == first[7] == first[1]
    assert (out["out.1"].reshape(8, -1) == alone["out.1"].reshape(8, -1)[first]).all()


def test_layers_rest_where_signatures_do_not_pay():
    policy = InputSimilarity(20, rest=3)
    trained(policy, 2)
    assert any(policy.resting.values())


# Gradient prediction.


@pytest.mark.parametrize(("shape", "side"), [((6, 8, 8, 3), 4), ((5, 7, 5, 2), 4), ((3, 2, 3, 4), 3), ((8, 6), 3)])
def test_samples_of_the_predictor_are_means_over_batch_and_window(rng, shape, side):
    out = rng.integers(-900, 900, shape)
    maps = reorganised(out, side).reshape(shape[-1], side, side)
    images = out.reshape(shape[0], *(shape[1:3] if len(shape) == 4 else (1, 1)), shape[-1])
    height, width = images.shape[1:3]
    for c in range(shape[-1]):
        for i in range(side):
            for j in range(side):
                ys = [y for y in range(height) if y * side < (i + 1) * height and (y + 1) * side > i * height]
                xs = [x for x in range(width) if x * side < (j + 1) * width and (x + 1) * side > j * width]
                words = [int(images[b, y, x, c]) for b in range(shape[0]) for y in ys for x in xs]
                assert abs(Fraction(sum(words), len(words)) - int(maps[c, i, j])) <= Fraction(1, 2)


def test_schedule_and_bound():
    groups = Groups()
    share = np.mean([groups.predicts(epoch, batch) for epoch in range(100) for batch in range(60)])
    assert abs(bound(share) - 1.469) < 0.001  # from FW 1 and BW 2 alone
    assert [groups.predicts(10, batch) for batch in range(6)] == [True, True, True, True, False, True]
    assert not any(groups.predicts(9, batch) for batch in range(6))
    assert [groups.predicts(500, batch) for batch in range(4)] == [True, False, True, False]
    with pytest.raises(ValueError, match="warm_up must be at least 1, not 0"):
        Groups(0)


def test_predicted_batches_have_no_backward_pass():
    for guess in (Guess.ZERO, Guess.LAST):
        tally = Tally(GoldenExecute())
        graph, _ = trained(GradientPrediction(Groups(1, ((1, 1, 9),)), guess), 2, execute=tally)
        before = dict(vars(tally.phases["WG"])), dict(vars(tally.phases["BP"]))
        norms = graph.weights[3].copy(), graph.running[3].copy()
        trained(None, 1, execute=tally, graph=graph, first=2)
        assert (vars(tally.phases["WG"]), vars(tally.phases["BP"])) == before
        assert (graph.weights[3] == norms[0]).all()
        assert (graph.running[3] != norms[1]).any()


def test_the_last_gradient_is_used_again():
    policy = GradientPrediction(Groups(1, ((1, 1, 9),)), Guess.LAST)
    graph = Graph(small(), Fixed(16, 8), seed=3)
    graph.follow(policy, 2)
    rng = np.random.default_rng(1)
    plans = [SGD.plan(formats, 6) for formats in graph.formats]
    updates = []
    graph.observe = lambda name, words: updates.append((name, np.array(words))) if name.endswith(".2") else None
    for step in range(3):
        graph.step(GoldenExecute(), rng.integers(0, 256, (6, 144)), rng.integers(0, 3, 6), plans, Rounding.NEAREST, step)
    gradients = [words for name, words in updates if name == "gradient.2"]
    velocities = [words for name, words in updates if name == "velocity.2"]
    assert len(gradients) == 2
    moved = velocities[2] - 0.8 * velocities[1]
    assert np.abs(moved - gradients[1]).max() < 3  # weight decay and rounding


def test_a_prediction_is_the_float_predictors(rng):
    """The gradient of a predicted batch: what a float twin says of the same maps, scaled back."""
    policy = GradientPrediction(Groups(1, ((1, 1, 9),)), rate=0.02)
    graph, _ = trained(policy, 2)
    number = 2
    twin = FloatGraph.like(policy.predictor.part(9 * 8))
    given = {}
    plain = policy.early

    def early(p, op, x, out):
        given[op.number] = reorganised(out, 4), plain(p, op, x, out)
        return given[op.number][1]

    policy.early = early
    exponent = policy.exponents[number]
    trained(None, 1, graph=graph, first=2)
    maps, gradient = given[number]
    top = int(np.abs(maps).max())
    said = twin.forward(maps * 2.0 ** -top.bit_length(), training=False)[0][:, : 9 * 8]
    wanted = said.T * 2.0 ** (FRAC - exponent)
    assert np.abs(gradient - wanted).max() <= 0.5 + 4 * 2.0**-exponent
    assert np.abs(wanted).max() > 0


def test_the_predictor_descends_its_square_error(rng):
    """The first step's velocity of the dense layer is the mean square error's gradient, in float64; many steps learn a constant target.

    Seven gradients a filter take one brick of outputs, of which the last has a target of zero; the other brick stays.
    """
    predictor = Predictor(Shape(3, 2), 10, 16, 7, 0.02, 0.9)
    maps = rng.integers(-800, 800, (6, 9))
    target = rng.integers(-1000, 1000, (6, 7))
    twin = FloatGraph.like(predictor.graph(16))
    said, _ = twin.forward(maps * 2.0**-FRAC, training=True)
    conv = twin.weights[0]
    padded = np.pad((maps * 2.0**-FRAC).reshape(6, 3, 3), ((0, 0), (1, 1), (1, 1)))
    taps = np.stack([padded[:, i : i + 3, j : j + 3] for i in range(3) for j in range(3)], axis=-1)
    features = np.maximum(taps @ conv[:-1] + conv[-1], 0).reshape(6, -1)
    error = np.zeros((6, 16))
    error[:, :8] = said[:, :8] - np.pad(target, ((0, 0), (0, 1))) * 2.0**-FRAC
    wanted = np.concatenate([features.T @ error, error.sum(axis=0, keepdims=True)])
    p = Pass(GoldenExecute(), Rounding.NEAREST, 0, 0, training=True)
    first = predictor.learn(p, maps, target, 1 << 12)
    assert abs(first - (error[:, :7] ** 2).sum() / ((target * 2.0**-FRAC) ** 2).sum()) < 0.01
    form = predictor.graph(16).formats[-1].velocity
    assert np.abs(predictor.velocity[3] * form.step - wanted).max() < 2 * form.step
    assert not predictor.velocity[3][:, 8:].any()
    for step in range(1, 300):
        last = predictor.learn(replace(p, step=step), maps, target, 1 << 12)
    assert last < 0.5 * first
    assert not predictor.velocity[3][:, 8:].any()


def test_gradients_are_scaled_by_their_mean_square(rng):
    for most in (3, 90, 30_000):
        words = rng.integers(-most, most + 1, (20, 8))
        exponent = mean_exponent(int((words**2).sum()), words.size)
        assert 2.0**-3 <= np.sqrt((words**2.0).mean()) * 2.0 ** (exponent - FRAC) <= 2.0**-1
    assert mean_exponent(0, 9) == 0


def test_targets_are_scaled_to_half_of_the_range():
    for most in (1, 7, 900, 32_767):
        words = np.array([[most, -most // 2]])
        target, saturations = scaled(words, Predictor.exponent(words), 16)
        assert saturations == 0
        assert 512 <= abs(target).max() <= 1024
    assert Predictor.exponent(np.zeros((2, 2), np.int64)) == 0


def test_learns_digits():
    """Not a claim of accuracy: a network still learns. Chance is a tenth."""
    config = replace(preset("cnn"), epochs=1)
    small_set = load("digits").tested_on(200)
    for name in ("approximated gradient", "top pairs", "structured pruning", "threshold pruning"):
        graph = config.graph(small_set)
        graph.follow(POLICIES[name](), steps_per_epoch(config, small_set))
        result = train(config, small_set, network=graph)
        assert result.accuracy > 0.6, name


# Kernel rescaling.


@pytest.mark.parametrize(("source", "target"), [(2, 3), (3, 5), (5, 7), (7, 11), (4, 4), (8, 5)])
def test_resizing_is_bilinear(rng, source, target):
    maps = rng.integers(-4000, 4000, (source, source, 2, 3))
    at = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, source - 1)
    rows = np.array([np.interp(at, np.arange(source), line) for line in np.eye(source)])  # (source, target)
    exact = np.einsum("yi,xj,yx...->ij...", rows, rows, maps)
    assert np.abs(resized(maps, (target, target)) - exact).max() <= 0.5 + 1e-9
    kept = resized(maps, (target, target), keeps_sum=True)
    assert np.abs(kept - exact * source**2 / target**2).max() <= 0.5 + 1e-9


def test_a_grown_kernel_keeps_its_sum():
    for source, target in ((2, 3), (3, 5), (5, 7), (7, 11)):
        kernel = np.full((source, source), 4000)
        assert abs(int(resized(kernel, (target, target)).sum()) / kernel.sum() - target**2 / source**2) < 1e-6
        assert abs(int(resized(kernel, (target, target), keeps_sum=True).sum()) / kernel.sum() - 1) < 0.01


def plain_cnn(size=9):
    b = Builder((size, size, 2))
    b.conv(4, 3, padding=1)
    b.relu()
    b.conv(6, 3, padding=1)
    b.norm()
    b.relu()
    b.maxpool(2, 2)
    b.flatten()
    b.dense(8)
    b.relu()
    b.dense(3)
    return b.build("plain")


def test_growing_a_network_keeps_what_constant_images_give():
    """Kernels keep their sums, so away from the border a constant image gives the same words, but for rounding."""
    small = Graph(smaller(plain_cnn(), 6), Fixed(16, 8), seed=1)
    large = Graph(plain_cnn(), Fixed(16, 8), seed=2)
    grow(small, large)
    assert [w.shape for w in large.weights.values()] == [w.shape for w in Graph(plain_cnn(), Fixed(16, 8)).weights.values()]
    assert not any(v.any() for v in large.velocity.values())

    def centre(graph, size):
        p = Pass(GoldenExecute(), Rounding.NEAREST, 0, 0, training=False)
        tensors, _ = graph.forward(p, np.full((1, size * size * 2), 200))
        return tensors[2][0][size // 2, size // 2]

    assert np.abs(centre(small, 6) - centre(large, 9)).max() < 20
    for number in (7, 9):
        assert (large.weights[number][-1] == small.weights[number][-1]).all()
    assert (large.weights[9] == small.weights[9]).all()
    assert (large.weights[3] == small.weights[3]).all()


def test_images_are_made_smaller():
    pixels = np.arange(2 * 8 * 8 * 3).reshape(2, -1)
    less = images(pixels, (8, 8, 3), 5).reshape(2, 5, 5, 3)
    assert (less[1] - less[0] == 192).all()
    assert less[0, 2, 2].tolist() == [95, 96, 97]  # the middle: between 3 and 4 of each axis, half up


def test_refuses_networks_that_cannot_be_smaller():
    with pytest.raises(ValueError, match="kernel rescaling cannot make vgg11 smaller: vgg11-21: node 28: kernel must be at most 1"):
        smaller(build("vgg11", (32, 32, 3), 10), 21)
    b = Builder((8, 8, 1))
    b.conv(2, 4)
    b.flatten()
    b.dense(2)
    with pytest.raises(ValueError, match="kernel rescaling knows kernels of 1, 3, 5, 7, 11, not 4, of node 0"):
        smaller(b.build("even"), 6)


@pytest.mark.parametrize(("net", "side", "kernels"), [("cnn", 5, [2, 3]), ("resnet20", 24, [2] * 9 + [1] + [2] * 6 + [1] + [2] * 4)])
def test_operands_of_sums_keep_one_size(net, side, kernels):
    """A convolution that a sum spans alone keeps its kernel; where two are spanned, one enlarges what the other shrinks."""
    few = smaller(build(net, (8, 8, 1) if net == "cnn" else (32, 32, 3), 10), side)
    assert [node.kernel for node in few.nodes if isinstance(node, ConvNode)] == kernels


def test_a_run_goes_on_with_grown_kernels(rng):
    """Smaller until an epoch before the rate drops, then grown; the control begins with words of its own."""
    config = replace(preset("cnn"), epochs=4, rate_drops=((3, 0.5),))
    digits = load("digits")
    small, large = stages(config, digits)
    assert [(stage.first, stage.last) for stage in (small, large)] == [(0, 2), (2, 4)]
    assert small.samples.shape == (5, 5, 1)
    assert small.samples.train_x.shape == (1437, 25)
    own = {number: words.copy() for number, words in large.graph.weights.items()}
    small.graph.weights[0][:] = 96
    large.begin()
    assert (abs(large.graph.weights[0] - 96 * 4 / 9) <= 0.5).all()
    _, other = stages(config, digits, carries=False)
    other.begin()
    assert all((other.graph.weights[number] == words).all() for number, words in own.items())
    with pytest.raises(ValueError, match="kernel rescaling cannot train mlp: it has no convolution"):
        stages(replace(config, net="mlp"), digits)
    with pytest.raises(ValueError, match="two epochs at least are needed, not 1"):
        stages(replace(config, epochs=1), digits)
