"""Batch normalisation against float64 within derived bounds, and exact rationals for its scalars."""

import re
from fractions import Fraction

import numpy as np
import pytest

from golden.batchnorm import EPSILON_LOG, ROOT_FRAC, RUN_FRAC, BatchNorm, ratio, reciprocal_root
from golden.layers import Formats
from spec.number import Fixed, Rounding

IN = Fixed(16, 10)
FORMATS = Formats()
EPSILON = 2.0**-EPSILON_LOG


def float_forward(x, gamma, beta):
    axes = tuple(range(x.ndim - 1))
    return gamma * (x - x.mean(axes)) / np.sqrt(x.var(axes) + EPSILON) + beta


def float_backward(x, gamma, delta):
    axes = tuple(range(x.ndim - 1))
    r = 1 / np.sqrt(x.var(axes) + EPSILON)
    xhat = (x - x.mean(axes)) * r
    dgamma = (delta * xhat).sum(axes)
    dx = gamma * r * (delta - delta.mean(axes) - xhat * (delta * xhat).mean(axes))
    return dx, dgamma, delta.sum(axes)


def case(rng, channels=5, inputs=IN):
    """Words of channels with means and deviations of their own, a few of them constant."""
    shape = (int(rng.integers(2, 9)), *rng.integers(1, 6, int(rng.choice([0, 2]))), channels)
    deviation = rng.choice([0, 30, 300, 3000], channels)
    x = np.clip(
        np.rint(rng.normal(0, 1, shape) * deviation + rng.integers(-2000, 2000, channels)), inputs.lo, inputs.hi
    )
    parameters = np.stack([rng.integers(-12000, 12000, channels), rng.integers(-9000, 9000, channels)])
    delta = rng.integers(-4000, 4000, shape)
    print("shape", shape, "deviations", deviation)
    return x.astype(np.int64), parameters, delta


def test_reciprocal_root_is_the_floor_of_the_root(rng):
    for _ in range(300):
        frac, norm = int(rng.integers(0, 19)), int(rng.integers(1, 1 << 40))
        square = int(rng.integers(0, 1 << 62)) >> int(rng.integers(0, 62))
        root = reciprocal_root(square, norm, frac)
        exact = 1 / (Fraction(square, norm) / 4**frac + Fraction(1, 1 << EPSILON_LOG)) * 4**ROOT_FRAC
        assert root**2 <= exact < (root + 1) ** 2
    assert reciprocal_root(0, 1, 10) == 1 << (ROOT_FRAC + EPSILON_LOG // 2)
    with pytest.raises(ValueError, match=r"^square must be at least 0 and norm at least 1, not -1 and 4$"):
        reciprocal_root(-1, 4, 10)


def test_ratio_rounds_half_up(rng):
    for _ in range(200):
        a, b, power = int(rng.integers(-999, 999)), int(rng.integers(1, 99)), int(rng.integers(-9, 9))
        exact = Fraction(a, b) * Fraction(2) ** power
        assert ratio(a, b, power) == (exact + Fraction(1, 2)).__floor__()


def test_forward_is_float_within_its_bound(rng):
    for _ in range(20):
        x, parameters, _ = case(rng)
        layer = BatchNorm(1, IN, FORMATS)
        statistics, _ = layer.statistics(x)
        got = layer.forward(x, parameters, statistics, Rounding.NEAREST, 0)
        gamma, beta = parameters * FORMATS.weights.step
        real = float_forward(x * IN.step, gamma, beta) / FORMATS.activations.step
        kept = np.abs(real) < FORMATS.activations.hi
        # Half a word of rounding; factors and root good to one part in 2**17 of the largest channel's factor; the
        # constant to a unit of the sum, which the shift makes less than a word.
        largest = np.abs(gamma * np.array(statistics.root) * 2.0**-ROOT_FRAC).max()
        away = np.abs(x - x.mean(tuple(range(x.ndim - 1))))
        bound = 0.5 + 2.0**-8 + 2.0**-16 * largest * away
        assert (np.abs(got.words - real) <= bound)[kept].all()


def test_backward_is_float_within_its_bound(rng):
    for _ in range(20):
        x, parameters, delta = case(rng)
        layer, below = BatchNorm(1, IN, FORMATS), Fixed(16, 9)
        statistics, _ = layer.statistics(x)
        dx, gradient, _ = layer.backward(delta, x, parameters, statistics, below, Rounding.NEAREST, 0, 0)
        gamma, _ = parameters * FORMATS.weights.step
        real = float_backward(x * IN.step, gamma, delta * FORMATS.deltas.step)
        axes = tuple(range(x.ndim - 1))
        root = np.array(statistics.root) * 2.0**-ROOT_FRAC
        # Both factors share a scale whose unit is one part in 2**16 of the largest of them; each is half a unit off.
        s0 = np.abs(gamma * root).max() * 2.0 ** (below.frac - FORMATS.deltas.frac)
        s1 = np.abs(gamma * root**2 * real[1] / (x.size // x.shape[-1])).max() * 2.0 ** (below.frac - IN.frac)
        unit = max(s0, s1) * 2.0**-16 + 2.0**-32
        bound = 0.5 + unit * (np.abs(delta - delta.mean(axes)) + np.abs(x - x.mean(axes)) + 1)
        exact = real[0] / below.step
        kept = np.abs(exact) < below.hi
        assert (np.abs(dx.words - exact) <= bound)[kept].all()
        for words, wanted in zip(gradient, real[1:], strict=True):
            exact = wanted / FORMATS.gradients.step
            kept = np.abs(exact) < FORMATS.gradients.hi
            assert (np.abs(words - exact) <= 0.5 + 2.0**-12 + 2.0**-20 * np.abs(exact))[kept].all()


def test_the_backward_formula_is_the_derivative(rng):
    x, gamma, beta = rng.normal(size=(4, 2, 3, 2)), rng.normal(size=2), rng.normal(size=2)
    delta = rng.normal(size=x.shape)
    gradients = float_backward(x, gamma, delta)
    for tensor, gradient in zip((x, gamma, beta), gradients, strict=True):
        for at in np.ndindex(tensor.shape):
            sums = []
            for step in (1e-5, -2e-5):
                tensor[at] += step
                sums.append((float_forward(x, gamma, beta) * delta).sum())
            tensor[at] += 1e-5
            assert (sums[0] - sums[1]) / 2e-5 == pytest.approx(gradient[at], rel=1e-5, abs=1e-6)


def test_running_statistics_follow_and_serve_inference(rng):
    layer = BatchNorm(0, IN, FORMATS)
    x = np.rint(rng.normal([100, -900, 0], 700, (200, 3))).astype(np.int64)
    running = layer.first_running(3)
    assert running.tolist() == [[0] * 3, [1 << 36] * 3]
    for _ in range(120):
        running = layer.run(running, *layer.statistics(x))
    np.testing.assert_allclose(running[0] / 2.0**RUN_FRAC, x.mean(axis=0), atol=2.0**-12)
    np.testing.assert_allclose(running[1] / 2.0**RUN_FRAC, x.var(axis=0), rtol=1e-6)
    parameters = layer.first_parameters(3)
    trained = layer.forward(x, parameters, layer.statistics(x)[0], Rounding.NEAREST, 0).words
    served = layer.forward(x, parameters, layer.running_statistics(running), Rounding.NEAREST, 0).words
    assert np.abs(trained - served).max() <= 1


def test_running_statistics_move_by_an_eighth_rounded_half_up(rng):
    layer = BatchNorm(0, IN, FORMATS)
    x = rng.integers(-2000, 2000, (7, 3))
    old = rng.integers(0, 1 << 30, (2, 3))
    new = layer.run(old, *layer.statistics(x))
    for c in range(3):
        column = [int(word) for word in x[:, c]]
        mean = Fraction(sum(column), 7)
        variance = sum((word - mean) ** 2 for word in column) / 7
        for row, exact in enumerate((mean, variance)):
            target = (exact * (1 << RUN_FRAC) + Fraction(1, 2)).__floor__()
            moved = Fraction(target - int(old[row, c]), 8) + Fraction(1, 2)
            assert new[row, c] == old[row, c] + moved.__floor__()


def test_equal_words_from_equal_keys_and_constant_channels(rng):
    layer = BatchNorm(0, IN, FORMATS)
    x = np.full((6, 2), 123)
    parameters = np.array([[8192, 8192], [4096, -4096]])
    statistics, spread = layer.statistics(x)
    assert spread == (0, 0)
    assert layer.forward(x, parameters, statistics, Rounding.NEAREST, 0).words.tolist() == [[512, -512]] * 6
    x = rng.integers(-5000, 5000, (40, 2))
    first, second, other = (
        layer.forward(x, parameters, layer.statistics(x)[0], Rounding.STOCHASTIC, key).words for key in (1, 1, 2)
    )
    assert (first == second).all()
    assert (first != other).any()
    assert np.abs(first - other).max() <= 1


def test_factors_that_do_not_fit_are_clipped_and_counted():
    layer = BatchNorm(0, Fixed(16, 4), Formats(activations=Fixed(16, 4), deltas=Fixed(16, 0), weights=Fixed(16, 0)))
    x = np.array([[0, 3], [1, 40], [0, -9], [1, 7]])
    parameters = np.array([[32767, 1], [0, 0]])
    statistics, _ = layer.statistics(x)
    delta = np.array([[-32768, 1], [32767, 2], [-32768, 3], [32767, 4]])
    dx, _, _ = layer.backward(delta, x, parameters, statistics, Fixed(16, 14), Rounding.NEAREST, 0, 0)
    assert dx.saturations >= 1
    done = layer.forward(x, parameters, statistics, Rounding.NEAREST, 0)
    assert np.isin(done.words[:, 0], (-32768, 32767)).all()
    assert done.saturations == 4 + 1  # four words and a factor


def test_what_cannot_be_is_refused():
    text = "layer 3: weights <0,16> cannot hold 1.0, gamma's first value"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        BatchNorm(3, IN, Formats(weights=Fixed(16, 16)))
