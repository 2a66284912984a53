"""Integer SGD against exact rationals and float64."""

import math
import re
from fractions import Fraction

import numpy as np
import pytest

from golden.keyed import random_bits
from golden.layers import Formats, Role, tensor_key
from golden.optimizer import LARGEST, Affine, Sgd, affine
from spec.number import Fixed, Rounding

SEED = 5


@pytest.fixture
def rng():
    print(f"seed {SEED}")
    return np.random.default_rng(SEED)


def rational_affine(step: Affine, u, v, width, rounding, key):
    """Words of one affine step, by fractions, in the order of the linear index."""
    words = []
    for index, (x, y) in enumerate(zip(u.ravel().tolist(), v.ravel().tolist(), strict=True)):
        exact = Fraction(step.s0 * x + step.s1 * y, 1 << step.shift)
        if rounding == Rounding.STOCHASTIC:
            dither = int(random_bits(key, np.array([index]))[0]) % (1 << step.shift)
            exact += Fraction(dither, 1 << step.shift)
        elif rounding == Rounding.NEAREST and step.shift:
            exact += Fraction(1, 2) - Fraction(1, 1 << step.shift)
        words.append(min(max(math.floor(exact), -(1 << (width - 1))), (1 << (width - 1)) - 1))
    return np.array(words).reshape(u.shape)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("decay", [0.0, 1e-3])
def test_update_equals_exact_rationals(rng, rounding, decay):
    formats = Formats(velocity=Fixed(16, 12), gradients=Fixed(16, 9))
    plan = Sgd(rate=0.07, momentum=0.9, decay=decay).plan(formats, 32)
    for step in range(5):
        weights, velocity, gradient = rng.integers(-32768, 32768, (3, 17, 9))
        got = plan.update(weights, velocity, gradient, rounding=rounding, seed=3, step=step, layer=2)

        def key(role, step=step):
            return tensor_key(3, step, 2, role)

        if decay:
            gradient = rational_affine(plan.decay, gradient, weights, 16, rounding, key(Role.DECAYED))
        velocity = rational_affine(plan.velocity, velocity, gradient, 16, rounding, key(Role.VELOCITY))
        weights = rational_affine(plan.weights, weights, velocity, 16, rounding, key(Role.WEIGHT))
        np.testing.assert_array_equal(got[0], weights)
        np.testing.assert_array_equal(got[1], velocity)
        assert got[2] > 0  # full-range velocities and gradients of other formats must saturate somewhere


def test_multipliers_are_the_factors_to_half_a_unit(rng):
    for _ in range(200):
        out, u, v = (Fixed(16, int(frac)) for frac in rng.integers(8, 17, 3))
        c0, c1 = rng.uniform(0.1, 1, 2) * rng.choice([-1, 1], 2)
        step = affine("test", out, u, c0, v, c1)
        for s, c, source in ((step.s0, c0, u), (step.s1, c1, v)):
            assert abs(s) <= LARGEST
            assert abs(s * 2.0**-step.shift - c * 2.0 ** (out.frac - source.frac)) <= 2.0 ** (-step.shift - 1)
        largest = max(abs(step.s0), abs(step.s1))
        assert step.shift == 32 or 2 * largest + 1 > LARGEST  # no finer scale would have fitted


def test_unit_factors_are_exact():
    plan = Sgd(rate=0.08, momentum=0.9, decay=1e-4).plan(Formats(), 32)
    assert plan.weights == Affine(1 << 16, -1311, 16)  # 0.08 / 32 * 2**(13 - 10) * 2**16 = 1310.72
    assert plan.velocity == Affine(58982, 1 << 16, 16)  # 0.9 * 2**16 = 58982.4
    assert plan.decay == Affine(1 << 16, 26, 16)  # 1e-4 * 32 * 2**(10 - 13) * 2**16 = 26.2


def test_many_steps_follow_float_sgd(rng):
    """Over 200 steps of the same gradients; the bound counts one word of rounding per tensor and step."""
    formats = Formats(
        weights=Fixed(18, 16),
        activations=Fixed(18, 10),
        deltas=Fixed(18, 10),
        gradients=Fixed(18, 12),
        velocity=Fixed(18, 12),
    )
    sgd, batch = Sgd(rate=0.01, momentum=0.5, decay=0.0), 8
    plan = sgd.plan(formats, batch)
    weights, velocity = rng.integers(-20000, 20000, (6, 5)), np.zeros((6, 5), int)
    real_weights, real_velocity = weights * 2.0**-16, np.zeros((6, 5))
    steps = 200
    for step in range(steps):
        gradient = rng.integers(-4096, 4096, (6, 5))
        weights, velocity, saturations = plan.update(
            weights, velocity, gradient, rounding=Rounding.NEAREST, seed=0, step=step, layer=0
        )
        assert saturations == 0
        real_velocity = sgd.momentum * real_velocity + gradient * 2.0**-12 / batch
        real_weights = real_weights - sgd.rate * real_velocity
    # Velocity is off by at most half a word / (1 - momentum), each weight step by half a
    # word more; the rate's multiplier by half of 2**-16 of a weight word per velocity word.
    velocity_bound = 0.5 * 2.0**-12 / batch / (1 - sgd.momentum)
    rate_bound = 0.5 * 2.0**-16 * 2.0**-16 * 2 * 4096 / (1 - sgd.momentum)
    weight_bound = steps * (sgd.rate * velocity_bound + 0.5 * 2.0**-16 + rate_bound)
    assert np.abs(velocity * 2.0**-12 / batch - real_velocity).max() <= velocity_bound
    assert np.abs(weights * 2.0**-16 - real_weights).max() <= weight_bound


def test_small_updates_vanish_when_rounded_to_nearest_and_survive_when_stochastic():
    formats = Formats.uniform(8)
    plan = Sgd(rate=0.01, momentum=0.0).plan(formats, 1)
    count = 40000
    weights, zero = np.full((count, 1), 100), np.zeros((count, 1), int)
    gradient = np.full((count, 1), 20)  # 0.2 words of a weight

    def run(rounding):
        return plan.update(weights, zero, gradient, rounding=rounding, seed=1, step=0, layer=0)[0]

    np.testing.assert_array_equal(run(Rounding.NEAREST), weights)
    moved = run(Rounding.STOCHASTIC)
    assert set(np.unique(moved)) == {99, 100}
    share = -plan.weights.s1 * 20 / (1 << plan.weights.shift)
    assert share == pytest.approx(0.2, rel=1e-3)
    assert np.mean(moved == 99) == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / count))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rate": 0}, "rate must be more than 0 and at most 16, not 0"),
        ({"rate": 17}, "rate must be more than 0 and at most 16, not 17"),
        ({"momentum": 1}, "momentum must be at least 0 and less than 1, not 1"),
        ({"decay": -0.1}, "decay must be at least 0 and less than 1, not -0.1"),
    ],
)
def test_bad_settings_are_refused(options, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Sgd(**options)


def test_factors_that_cannot_be_seen_are_refused():
    text = "rate: factor must be more than 7.62939453125e-06 to be seen, not 3.125e-07"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Sgd(rate=1e-5).plan(Formats.uniform(10), 32)
    text = "test: factors in words must be at most 131071, not 196608.0 and 65536.0"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        affine("test", Fixed(16, 16), Fixed(16, 0), 3.0, Fixed(16, 0), 1.0)
