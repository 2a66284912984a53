"""The vector unit's primitives against exact rationals, element by element."""

import re
from fractions import Fraction
from math import floor

import numpy as np
import pytest

from golden.keyed import random_bits
from golden.product import OverflowRefused
from golden.vector import affine, reduce
from spec.number import Rounding


def rational_affine(u, v, s0, s1, s2, shift, rounding, key, base, width):
    """One element at a time: the sum, the added fraction, floor, saturation."""
    words = np.empty(u.shape, np.int64)
    saturated = 0
    bits = random_bits(key, base + np.arange(u.size)).reshape(u.shape)
    for at in np.ndindex(u.shape):
        c = at[-1]
        exact = Fraction(int(s0[c]) * int(u[at]) + int(s1[c]) * int(v[at]) + int(s2[c]), 1 << shift)
        if rounding == Rounding.STOCHASTIC:
            exact += Fraction(int(bits[at]) % (1 << shift), 1 << shift)
        elif rounding == Rounding.NEAREST and shift:
            exact += Fraction((1 << (shift - 1)) - 1, 1 << shift)
        low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
        word = min(max(floor(exact), low), high)
        saturated += word != floor(exact)
        words[at] = word
    return words, saturated


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("shape", [(5,), (3, 7), (2, 3, 2, 4)])
def test_affine_is_convert_of_the_exact_sum(rng, rounding, shape):
    for width in (8, 16, 18):
        extent, channels = 1 << (width - 1), shape[-1]
        u, v = rng.integers(-extent, extent, shape), rng.integers(-extent, extent, shape)
        s0, s1 = rng.integers(-(1 << 17), 1 << 17, (2, channels))
        s2 = rng.integers(-(1 << 40), 1 << 40, channels)
        shift, key, base = int(rng.integers(0, 33)), int(rng.integers(1 << 32)), int(rng.integers(1 << 33))
        got = affine(u, v, s0, s1, s2, shift=shift, rounding=rounding, key=key, width=width, index_base=base)
        words, saturated = rational_affine(u, v, s0, s1, s2, shift, rounding, key, base, width)
        np.testing.assert_array_equal(got.words, words)
        assert got.saturations == saturated
        assert got.mask is None


def test_relu_gives_the_mask_of_its_positive_words_and_a_mask_zeroes(rng):
    u, v = rng.integers(-900, 900, (2, 6, 5, 3))
    options = {"shift": 4, "rounding": Rounding.STOCHASTIC, "key": 77}
    plain = affine(u, v, 9, -7, [3, 0, -60], **options)
    rectified = affine(u, v, 9, -7, [3, 0, -60], relu=True, **options)
    np.testing.assert_array_equal(rectified.words, np.where(plain.words > 0, plain.words, 0))
    np.testing.assert_array_equal(rectified.mask, plain.words > 0)
    masked = affine(u, v, 9, -7, [3, 0, -60], mask=rectified.mask, **options)
    np.testing.assert_array_equal(masked.words, rectified.words)
    loud = affine(np.full((1, 2), 30000), None, 4, mask=np.array([[0, 1]]), shift=0, rounding=Rounding.FLOOR)
    assert loud.words.tolist() == [[0, 32767]]
    assert loud.saturations == 1


def test_parts_of_a_tensor_have_the_words_of_the_whole(rng):
    u = rng.integers(-900, 900, (8, 5))
    options = {"shift": 6, "rounding": Rounding.STOCHASTIC, "key": 5}
    whole = affine(u, None, 21, **options).words
    halves = [
        affine(u[rows], None, 21, index_base=base, **options).words for rows, base in ((slice(3), 0), (slice(3, 8), 15))
    ]
    np.testing.assert_array_equal(np.concatenate(halves), whole)


@pytest.mark.parametrize("width", [8, 16, 18])
def test_reduce_sums_exactly(rng, width):
    extent = 1 << (width - 1)
    for shape in ((7, 3), (2, 3, 4, 5), (6, 1), (0, 2)):
        u, v = rng.integers(-extent, extent, (2, *shape))
        sums, products = reduce(u, v, width=width)
        for c in range(shape[-1]):
            mine, other = (w.reshape(-1, shape[-1])[:, c].tolist() for w in (u, v))
            assert sums[c] == sum(mine)
            assert products[c] == sum(a * b for a, b in zip(mine, other, strict=True))


def test_what_could_overflow_is_refused():
    nothing = np.zeros((2, 3), np.int64)
    options = {"shift": 0, "rounding": Rounding.FLOOR}
    edge = (1 << 47) - 1 - (3 << 15)
    affine(nothing, nothing, 2, -1, edge, **options)
    message = f"affine: |s0*u| + |s1*v| + |s2| must be at most {(1 << 47) - 1}, but can reach {1 << 47}"
    with pytest.raises(OverflowRefused, match=f"^{re.escape(message)}$"):
        affine(nothing, nothing, 2, -1, edge + 1, **options)
    full = np.full((1 << 10, 1), -(1 << 15))
    assert reduce(full, full, acc_width=42)[1] == 1 << 40
    with pytest.raises(OverflowRefused, match=r"^reduce: sums of u\*v must be -1099511627776 to 1099511627775"):
        reduce(full, full, acc_width=41)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"u": np.full((2, 3), 1 << 15)}, "words of u must be -32768 to 32767 for width 16, not 32768 to 32768"),
        ({"v": np.zeros((2, 2), int)}, "affine: v must have u's shape (2, 3), not (2, 2)"),
        ({"s0": 1 << 17}, "words of s0 must be -131072 to 131071 for width 18, not 131072 to 131072"),
        ({"s1": [1, 2]}, "affine: s1 must be one or 3 integers, not of shape (2,)"),
        ({"mask": np.ones(3)}, "affine: mask must have u's shape (2, 3), not (3,)"),
    ],
)
def test_bad_operands_are_named(change, text):
    given = {"u": np.zeros((2, 3), int), "v": np.zeros((2, 3), int), "s0": 1, "s1": 1, "shift": 0}
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        affine(**(given | {"rounding": Rounding.FLOOR} | change))
