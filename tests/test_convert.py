"""Convert against exact rationals, and the hardware against golden."""

import re
from fractions import Fraction
from math import ceil, floor

import numpy as np
import pytest

from golden import convert as unit
from golden.convert import convert
from golden.keyed import random_bits
from hw.convert import Converter
from hw.emit import emit
from spec.convert import Convert
from spec.number import Rounding
from spec.product import MAX_SHIFT
from tb.run import run

KEY = 0x5EED


def oracle(acc, shift, rounding, bits, width):
    """One word by its definition, in exact rationals: (word, whether it was clipped)."""
    exact = Fraction(acc, 1 << shift)
    whole, rest = floor(exact), exact - floor(exact)
    if rounding is Rounding.FLOOR:
        rounded = whole
    elif rounding is Rounding.NEAREST:
        rounded = ceil(exact - Fraction(1, 2))  # a tie goes down
    else:
        drawn = Fraction(bits % (1 << shift), 1 << shift)  # uniform in [0, 1)
        rounded = whole + (rest + drawn >= 1)
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    return min(max(rounded, low), high), not low <= rounded <= high


def check(acc, shift, rounding, index, bits, width, acc_width=48):
    words, saturations = convert(acc, shift, rounding, KEY, index, width, acc_width)
    expected = [oracle(a, shift, rounding, b, width) for a, b in zip(acc.tolist(), bits.tolist(), strict=True)]
    np.testing.assert_array_equal(words, [word for word, _ in expected])
    assert saturations == sum(clipped for _, clipped in expected)
    return saturations


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("width", [2, 3, 4, 5])
def test_every_short_sum_and_every_shift_equals_exact_rationals(rounding, width):
    acc = np.arange(-512, 512)
    index = np.arange(acc.size)
    bits = random_bits(KEY, index)
    clipped = sum(check(acc, shift, rounding, index, bits, width, 10) for shift in range(MAX_SHIFT + 1))
    assert clipped > 100


@pytest.mark.parametrize("shift", range(7))
def test_every_sum_with_every_draw_equals_exact_rationals(shift, monkeypatch):
    """All values that the random bits can take, so that P(up) is the dropped fraction exactly."""
    acc = np.repeat(np.arange(-256, 256), 1 << shift)
    draws = np.tile(np.arange(1 << shift, dtype=np.uint32), 512)
    monkeypatch.setattr(unit, "random_bits", lambda key, index: draws[index])
    monkeypatch.setattr(unit, "BLOCK", 1000)
    check(acc, shift, Rounding.STOCHASTIC, np.arange(acc.size), draws, 4, 9)
    words, _ = convert(acc, shift, Rounding.STOCHASTIC, KEY, np.arange(acc.size), 18, 22)
    assert [Fraction(int(total), 1) for total in words.reshape(512, -1).sum(axis=1)] == list(range(-256, 256))


def test_a_million_words_of_sixteen_bits_equal_exact_rationals(seed):
    rng = np.random.default_rng(seed)
    each = -(-1_000_000 // (len(Rounding) * (MAX_SHIFT + 1)))
    low, high = -(1 << 47), (1 << 47) - 1
    clipped = checked = 0
    for shift in range(MAX_SHIFT + 1):
        size = rng.integers(0, min(17 + shift, 47), each, endpoint=True)
        acc = rng.integers(-(1 << size), 1 << size)
        edges = [(limit << shift) + (part << shift >> 2) + off for limit in (-32768, -32767, 32766, 32767, 32768, -1, 0)
                 for part in range(4) for off in (-1, 0, 1)]  # fmt: skip
        special = np.clip([*edges, low, low + 1, high - 1, high], low, high)
        acc[: special.size] = special
        index = rng.integers(0, 1 << 32, each)
        bits = random_bits(KEY, index)
        for rounding in Rounding:
            clipped += check(acc, shift, rounding, index, bits, 16)
            checked += each
    assert checked >= 1_000_000
    assert clipped > 10_000


@pytest.mark.parametrize("rounding", Rounding)
def test_words_do_not_depend_on_shape_or_order(rounding, seed):
    rng = np.random.default_rng(seed)
    acc, index = rng.integers(-(1 << 30), 1 << 30, (3, 50, 211)), rng.integers(0, 1 << 32, (3, 50, 211))
    words, saturations = convert(acc, 14, rounding, KEY, index)
    order = rng.permutation(acc.size)
    shuffled, again = convert(acc.reshape(-1)[order], 14, rounding, KEY, index.reshape(-1)[order])
    np.testing.assert_array_equal(shuffled, words.reshape(-1)[order])
    assert again == saturations
    assert words.shape == acc.shape
    assert words.dtype == np.int64


def test_no_sums_give_no_words():
    words, saturations = convert(np.zeros((0, 4), np.int64), 3, Rounding.STOCHASTIC, 1, np.zeros((0, 4), np.int64))
    assert words.shape == (0, 4)
    assert saturations == 0


ZERO = np.zeros(2, np.int64)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((ZERO, -1, Rounding.FLOOR), "shift must be 0 to 32, not -1"),
        ((ZERO, 33, Rounding.FLOOR), "shift must be 0 to 32, not 33"),
        ((ZERO, 3, 3), "3 is not a valid Rounding"),
        ((np.array([0, 1 << 47]), 3, Rounding.FLOOR), f"sums outside 48 bits: min 0, max {1 << 47}"),
        ((np.array([-(1 << 47) - 1]), 3, Rounding.FLOOR), f"sums outside 48 bits: min {-(1 << 47) - 1}, max {-(1 << 47) - 1}"),
        ((ZERO, 3, Rounding.STOCHASTIC), "stochastic rounding needs an index of the sums' shape (2,), not none"),
        (
            (ZERO, 3, Rounding.STOCHASTIC, 0, np.zeros(3)),
            "stochastic rounding needs an index of the sums' shape (2,), not one of (3,)",
        ),
        ((ZERO, 3, Rounding.STOCHASTIC, -1, ZERO), "key must be 0 to 4294967295, not -1"),
    ],
)
def test_golden_refuses_what_it_cannot_convert(arguments, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        convert(*arguments)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"width": 7}, "convert: width must be 8 to 18, not 7"),
        ({"width": 19}, "convert: width must be 8 to 18, not 19"),
        ({"acc_width": 19}, "convert: acc_width must be 20 to 56, not 19"),
        ({"acc_width": 57}, "convert: acc_width must be 20 to 56, not 57"),
    ],
)
def test_spec_refuses_what_cannot_be_built(fields, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Convert(**fields)


@pytest.mark.rtl
@pytest.mark.parametrize("spec", [Convert(), Convert(acc_width=20, width=8), Convert(acc_width=56, width=18)], ids=str)
@pytest.mark.parametrize("compact", [False, True])
def test_hardware_equals_golden(spec, compact, tmp_path, seed):
    netlist = emit(Converter(spec, compact), "converter", spec=spec, folder=tmp_path)
    ran, failed = run("bench_convert", netlist, seed)
    assert ran == 8
    assert failed == 0
