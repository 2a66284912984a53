"""Residual addition against exact rationals."""

from fractions import Fraction

import numpy as np

from golden.residual import accumulate, add, rescale
from spec.number import Fixed, Rounding


def exact_words(u, of_u, v, of_v, out):
    """Nearest, ties down, saturated: from the values alone."""
    words = np.empty(u.shape, np.int64)
    for at in np.ndindex(u.shape):
        value = (Fraction(int(u[at]), 1 << of_u.frac) + Fraction(int(v[at]), 1 << of_v.frac)) * (1 << out.frac)
        words[at] = min(max(-((Fraction(1, 2) - value).__floor__()), out.lo), out.hi)
    return words


def test_sums_of_any_formats_are_rounded_once(rng):
    for _ in range(20):
        of_u, of_v, out = (Fixed(16, int(frac)) for frac in rng.integers(4, 14, 3))
        u, v = rng.integers(-32768, 32768, (2, 3, 4))
        got = add(u, v, (of_u, of_v), out, Rounding.NEAREST, 0).words
        np.testing.assert_array_equal(got, exact_words(u, of_u, v, of_v, out))
        back = rescale(u, of_u, out, Rounding.NEAREST, 0).words
        np.testing.assert_array_equal(back, exact_words(u, of_u, np.zeros_like(u), of_u, out))
        if out.frac >= of_u.frac:
            assert (rescale(u, of_u, out, Rounding.STOCHASTIC, 7).words == back).all()


def test_gradients_of_two_readers_add_up_and_saturate():
    done = accumulate(np.array([30000, -5]), np.array([30000, 3]), Fixed(16, 10))
    assert done.words.tolist() == [32767, -2]
    assert done.saturations == 1
