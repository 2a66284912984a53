"""Integer softmax cross-entropy against exact constants, math.exp and float64."""

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest

from golden.keyed import random_bits
from golden.loss import FINE, GUARD, LN2, LOG2E, LOSS_FRAC, ONE, ROOTS, cross_entropy, exp_negative, log_words
from spec.number import Fixed, Rounding

SEED = 77


@pytest.fixture
def rng():
    print(f"seed {SEED}")
    return np.random.default_rng(SEED)


def softmax(values):
    exps = np.exp(values - values.max(axis=1, keepdims=True))
    return exps / exps.sum(axis=1, keepdims=True)


def test_constants_are_correctly_rounded():
    with localcontext() as context:
        context.prec = 60
        ln2 = Decimal(2).ln()
        assert int((ln2 * 2**FINE).to_integral_value()) == LN2
        assert int((2**FINE / ln2).to_integral_value()) == LOG2E
        for i, root in enumerate(ROOTS, start=1):
            assert int((Decimal(2) ** (-(Decimal(2) ** -i)) * 2**FINE).to_integral_value()) == root


@pytest.mark.parametrize("frac", [0, 6, 10, 13, 16, 18])
def test_exp_keeps_its_stated_bound(frac):
    words = np.arange(1 << 17) if frac < 17 else np.arange(0, 1 << 20, 7)
    exact = exp_negative(words, frac)
    assert exact[0] == ONE
    got = exact / ONE
    want = np.exp(-words * 2.0**-frac)
    assert np.abs(got - want).max() < 2.0**-23
    assert (np.diff(got) <= 0).all()


def test_exp_refuses_what_it_was_not_proved_for():
    for words in ([-1, 0], [0, 1 << 20]):
        with pytest.raises(ValueError, match=rf"^words must be 0 to 1048575, not {words[0]} to {words[1]}$"):
            exp_negative(np.array(words), 10)


def test_log_keeps_its_stated_bound(rng):
    words = np.concatenate([[ONE, 2 * ONE - 1, 2 * ONE, 1 << 40], rng.integers(ONE, 1 << 40, 20000)])
    error = log_words(words) / (1 << LOSS_FRAC) - np.log(words / ONE)
    assert np.abs(error).max() < 2.0**-15
    with pytest.raises(ValueError, match=r"^words must be 1073741824 to 1099511627776, not 5 to 5$"):
        log_words(np.array([5]))


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize(("logit_frac", "delta_frac"), [(10, 13), (8, 14), (4, 8), (0, 15)])
def test_gradient_and_loss_equal_float_softmax(rng, rounding, logit_frac, delta_frac):
    logits, deltas = Fixed(16, logit_frac), Fixed(16, delta_frac)
    spread = min(32000, 8 << logit_frac)
    z = rng.integers(-spread, spread + 1, (200, 10))
    labels = rng.integers(0, 10, 200)
    got = cross_entropy(z, labels, logits, deltas, rounding, 99)

    p = softmax(z * logits.step)
    want = p.copy()
    want[np.arange(200), labels] -= 1
    # Rounding moves less than a word; exponentials are 2**-23 off, on a sum of at least
    # one, which the quotient at most doubles per class; saturation only trims 1.0.
    bound = 1 + 11 * 2.0 ** (delta_frac - 23) + 2.0**-14
    exact = np.minimum(want * 2**delta_frac, deltas.hi)
    assert np.abs(got.delta - exact).max() <= bound
    if rounding == Rounding.NEAREST:
        assert np.abs(got.delta - exact).max() <= bound - 0.5

    float_loss = -np.log(np.maximum(p[np.arange(200), labels], 1e-300)).sum()
    # Per sample: 2**-15 of the logarithm, one word of the loss cut, ten exponentials 2**-23 off.
    assert abs(got.loss / (1 << LOSS_FRAC) - float_loss) < 200 * (2.0**-15 + 2.0**-16 + 10 * 2.0**-23)
    assert got.correct == np.count_nonzero(z.argmax(axis=1) == labels)


def test_extreme_logits():
    z = np.array([[-32768, 32767], [32767, -32768], [-32768, -32768]])
    got = cross_entropy(z, np.array([0, 0, 1]), Fixed(16, 10), Fixed(16, 14), Rounding.NEAREST, 0)
    assert got.delta.tolist() == [[-16384, 16384], [0, 0], [8192, -8192]]
    assert abs(got.loss - (65535 << LOSS_FRAC >> 10) - math.log(2) * 2**LOSS_FRAC) < 3
    assert got.correct == 1  # the first of equal logits is the answer


def test_gradient_that_does_not_fit_is_counted():
    z = np.array([[-32768, 32767]])
    got = cross_entropy(z, np.array([0]), Fixed(16, 10), Fixed(16, 16), Rounding.NEAREST, 0)
    assert got.delta.tolist() == [[-32768, 32767]]
    assert got.saturations == 2


def test_stochastic_gradient_has_no_bias():
    """The mean over keys is the exact gradient, to within five standard errors and the guard bits."""
    z, labels = np.array([[0, 700, -300, 1500]]), np.array([3])
    keys = 4000
    deltas = Fixed(16, 8)
    mean = np.mean(
        [cross_entropy(z, labels, Fixed(16, 10), deltas, Rounding.STOCHASTIC, key).delta[0] for key in range(keys)],
        axis=0,
    )
    want = (softmax(z / 1024)[0] - [0, 0, 0, 1]) * 2**8
    assert np.abs(mean - want).max() < 5 * 0.5 / math.sqrt(keys) + 2.0**-13


def test_gradient_is_rounded_under_its_linear_index(rng):
    z, labels = rng.integers(-2000, 2000, (6, 5)), rng.integers(0, 5, 6)
    got = cross_entropy(z, labels, Fixed(16, 10), Fixed(16, 6), Rounding.STOCHASTIC, 1234).delta
    exps = exp_negative(z.max(axis=1, keepdims=True) - z, 10)
    for row in range(6):
        for column in range(5):
            exact = (int(exps[row, column]) << (6 + GUARD)) // int(exps[row].sum())
            exact -= (1 << (6 + GUARD)) * int(column == labels[row])
            dither = int(random_bits(1234, np.array([5 * row + column]))[0]) % (1 << GUARD)
            assert got[row, column] == (exact + dither) >> GUARD


def test_bad_labels_are_refused():
    z = np.zeros((2, 3), int)
    for labels in ([0, 3], [-1, 0], [0]):
        with pytest.raises(ValueError, match=r"^labels must be 2 integers from 0 to 2$"):
            cross_entropy(z, np.array(labels), Fixed(16, 8), Fixed(16, 8), Rounding.FLOOR, 0)
    with pytest.raises(ValueError, match=r"^classes must be at most 1024, not 1025$"):
        cross_entropy(np.zeros((1, 1025), int), np.array([0]), Fixed(16, 8), Fixed(16, 8), Rounding.FLOOR, 0)
