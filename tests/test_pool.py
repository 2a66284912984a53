"""Pooling against loops over windows, in integers and exact rationals."""

import re
from fractions import Fraction

import numpy as np
import pytest

from golden.conv import out_size
from golden.convert import convert
from golden.pool import AvgPool, MaxPool, reciprocal
from spec.number import Rounding


def windows(shape, kernel, stride, padding):
    """(position, [(tap, input position) in the image]) of every window, batch and channel included."""
    batch, h, w, channels = shape
    oh, ow = out_size(h, kernel, stride, padding), out_size(w, kernel, stride, padding)
    for b, oy, ox, c in np.ndindex(batch, oh, ow, channels):
        seen = []
        for tap, (ky, kx) in enumerate(np.ndindex(kernel, kernel)):
            y, x = oy * stride + ky - padding, ox * stride + kx - padding
            if 0 <= y < h and 0 <= x < w:
                seen.append((tap, (b, y, x, c)))
        yield (b, oy, ox, c), seen


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 2, 0), (3, 1, 1), (2, 3, 1), (5, 4, 2)]
)
def test_max_pool_keeps_the_first_of_the_largest_and_sends_the_gradient_there(rng, kernel, stride, padding):
    pool = MaxPool(kernel, stride, padding)
    for low in (-4, -30000):  # many ties; few
        h, w = rng.integers(kernel, kernel + 6, 2)
        x = rng.integers(low, -low, (2, h, w, 3))
        got, place = pool.forward(x)
        delta = rng.integers(-20000, 20000, got.shape)
        exact = np.zeros_like(x)
        for at, seen in windows(x.shape, kernel, stride, padding):
            tap, best = max(((tap, at_x) for tap, at_x in seen), key=lambda pair: (x[pair[1]], -pair[0]))
            assert got[at] == x[best]
            assert place[at] == tap
            exact[best] += delta[at]
        dx, saturations = pool.backward(delta, place, x.shape)
        np.testing.assert_array_equal(dx, np.clip(exact, -(1 << 15), (1 << 15) - 1))
        assert saturations == np.count_nonzero(dx != exact)


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (3, 1), (4, 3), (0, 1)])
@pytest.mark.parametrize("up", [-3, 0, 2])
def test_average_pool_rounds_an_exact_sum_once(rng, kernel, stride, up):
    pool = AvgPool(kernel, stride)
    side = int(rng.integers(4, 9))
    x = rng.integers(-8000, 8000, (2, side, side, 3))
    kernel = kernel or side
    got, _ = pool.forward(x, up, Rounding.STOCHASTIC, 9)
    delta = rng.integers(-3000, 3000, got.shape)
    sums, spread = np.zeros(got.shape, np.int64), np.zeros(x.shape, np.int64)
    for at, seen in windows(x.shape, kernel, stride, 0):
        sums[at] = sum(int(x[position]) for _, position in seen)
        for _, position in seen:
            spread[position] += delta[at]
    scalar, shift = reciprocal(kernel**2, up)
    dx, _ = pool.backward(delta, x.shape, up, Rounding.STOCHASTIC, 10)
    for words, acc, key in ((got, sums, 9), (dx, spread, 10)):
        wanted, _ = convert(scalar * acc, shift, Rounding.STOCHASTIC, key, np.arange(acc.size).reshape(acc.shape))
        np.testing.assert_array_equal(words, wanted)
    nearest, _ = pool.forward(x, up, Rounding.NEAREST, 0)
    # Half a word of rounding, and a multiplier within 2**-17 of the reciprocal.
    bound = 0.5 + 2.0**-17 * np.abs(sums).max() * 2.0**up / kernel**2
    assert np.abs(nearest - sums * 2.0**up / kernel**2).max() <= bound


def test_reciprocals_are_within_their_bound():
    for up in range(-8, 9):
        for side in range(1, 33):
            scalar, shift = reciprocal(side * side, up)
            wanted = Fraction(2) ** up / (side * side)
            assert 0 < scalar < 1 << 17
            assert 0 <= shift <= 32
            assert abs(Fraction(scalar, 1 << shift) / wanted - 1) <= Fraction(1, 1 << 17 if shift < 32 else 1 << 13)
    assert reciprocal(64, 0) == (1 << 16, 22)
    with pytest.raises(ValueError, match=re.escape("2**17 / 1 must be 2**-32 to 131071, not 2**17.0")):
        reciprocal(1, 17)


def test_bad_pools_are_refused():
    with pytest.raises(ValueError, match=r"^maxpool: kernel must be 1 to 11, not 0$"):
        MaxPool(0, 1)
    with pytest.raises(ValueError, match=r"^maxpool: padding must be at most 1, not 2$"):
        MaxPool(3, 1, 2)
    with pytest.raises(ValueError, match=r"^avgpool: the whole image must be a square, not 2 x 3$"):
        AvgPool().forward(np.zeros((1, 2, 3, 1), int), 0, Rounding.FLOOR, 0)
    with pytest.raises(ValueError, match=r"^maxpool: delta must have shape \(1, 1, 1, 1\), not \(1, 1, 1, 2\)$"):
        MaxPool(2, 2).backward(np.zeros((1, 1, 1, 2), int), np.zeros((1, 1, 1, 1), int), (1, 2, 2, 1))
