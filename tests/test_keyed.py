"""Keyed random bits: unbiased at every shift, unrelated between neighbours; a shift register is neither."""

import re

import numpy as np
import pytest

from golden.keyed import random_bits
from golden.randomness import LFSR_TAPS, bias_z, correlation_z, lfsr, planes, uniform_z, up_z, value_counts
from hw.emit import emit
from hw.keyed import Keyed
from spec.keyed import HALF, LAST_HIGH, LAST_LOW, ROUND_CONSTANTS, TURN_HIGH, TURN_LOW, TURN_SUM, KeyedBits
from tb.run import run

COUNT = 1 << 18
LIMIT = 6.5  # standard deviations: 200,000 normal draws pass it once in 60,000 runs
STRIDES = (1, 64, 512, 784)
KNOWN = {
    (0, 0): "d962c6af",
    (0, 1): "5b4add16",
    (1, 0): "1ea584fd",
    (0xFFFFFFFF, 0xFFFFFFFF): "5ec44fea",
    (0x12345678, 0x9ABCDEF0): "c0e9ac98",
}


@pytest.fixture(params=["zero", "one", "random"])
def key(request, rng):
    return {"zero": 0, "one": 1, "random": int(rng.integers(1 << 32))}[request.param]


def drops(shift, rng):
    """Dropped parts for which 2**18 samples can tell: the share of either outcome is 1/4096 or more."""
    least = max(1, 1 << shift >> 12)
    middle = rng.integers(least, (1 << shift) - least, 6, endpoint=True)
    return sorted({least, (1 << shift) - least, 1 << shift >> 1, *map(int, middle)})


def worst_up(bits, shift, rng):
    return max(abs(up_z(bits, shift, dropped)) for dropped in drops(shift, rng))


@pytest.mark.parametrize("stride", STRIDES)
def test_rounds_up_as_often_as_the_dropped_fraction_says(key, stride, rng):
    bits = random_bits(key, np.arange(COUNT) * stride)
    for shift in range(1, 33):
        assert worst_up(bits, shift, rng) < LIMIT


@pytest.mark.parametrize("stride", STRIDES)
def test_low_bits_take_every_value_zero_included_equally_often(key, stride):
    bits = random_bits(key, np.arange(COUNT) * stride)
    for shift in range(1, 15):
        counts = value_counts(bits, shift)
        assert counts.min() > 0 or shift == 14  # at 14 bits a value is expected 16 times only
        assert counts[0] > 0
        assert abs(uniform_z(counts)) < LIMIT


@pytest.mark.parametrize("width", [2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 24, 32])
def test_a_shift_register_fails_these_tests(width, rng):
    run_of_states = lfsr(width, COUNT + 1)
    states, then = run_of_states[:-1], run_of_states[1:]
    # Neighbours are shifts by one: correlation 1 where ours is nought.
    shifted = correlation_z(planes(states, width), planes(then, width))
    np.testing.assert_allclose(np.diagonal(shifted, 1), np.sqrt(COUNT))
    if width <= 14:
        assert value_counts(states, width)[0] == 0
        assert abs(uniform_z(value_counts(states, width))) > LIMIT
    # Without zero, P(up) is d / (2**r - 1): shown where 2**18 samples are enough to see it.
    if width <= 6:
        assert worst_up(states, width, rng) > LIMIT


@pytest.mark.parametrize("width", [width for width in LFSR_TAPS if width <= 14])
def test_the_shift_registers_are_maximal(width):
    period = (1 << width) - 1
    states = lfsr(width, period + 1)
    assert len(set(states.tolist())) == period
    assert states[0] == states[-1]


@pytest.mark.parametrize("stride", STRIDES)
def test_neighbouring_indices_are_uncorrelated(key, stride):
    bits = random_bits(key, np.arange(COUNT + 3) * stride)
    here, *later = (bits[distance : COUNT + distance] for distance in range(4))
    assert bias_z(here) < LIMIT
    for there in later:
        assert np.abs(correlation_z(planes(here), planes(there))).max() < LIMIT
    # Four in a row: what is left of a function of low degree.
    assert bias_z(here ^ later[0] ^ later[1] ^ later[2]) < LIMIT


def test_neighbouring_keys_are_uncorrelated(key):
    index = np.arange(COUNT)
    here = planes(random_bits(key, index))
    others = [key ^ 1 << bit for bit in range(32)] + [(key + step) % (1 << 32) for step in (1, 2, 3)]
    for other in others:
        assert np.abs(correlation_z(here, planes(random_bits(other, index)))).max() < LIMIT


def test_every_index_bit_flips_half_of_the_bits(key):
    index = np.arange(COUNT)
    here = planes(random_bits(key, index))
    for bit in range(32):
        assert np.abs(correlation_z(here, planes(random_bits(key, index ^ 1 << bit)))).max() < LIMIT


def test_a_key_bit_does_not_amount_to_an_index_bit(rng):
    """Keys that differ give sequences of their own, not one sequence in another order."""
    index, key = np.arange(COUNT), int(rng.integers(1 << 32))
    here = planes(random_bits(key, index))
    for key_bit, index_bit in rng.integers(0, 32, (48, 2)).tolist():
        there = planes(random_bits(key ^ 1 << key_bit, index ^ 1 << index_bit))
        assert np.abs(correlation_z(here, there)).max() < LIMIT


def test_every_round_can_be_undone(rng):
    """So the hash is a permutation of the indices: P(up) is exact over all of them, for every shift."""
    key = int(rng.integers(1 << 32))
    index = rng.integers(0, 1 << 32, 1000)
    low, high = _halves_before_the_last_layer(random_bits(key, index))
    for number in reversed(range(len(ROUND_CONSTANTS))):
        key_half = key >> (HALF * (number % 2)) & 0xFFFF
        low = _turn(low ^ high ^ _turn(high, TURN_HIGH) ^ key_half ^ ROUND_CONSTANTS[number], HALF - TURN_LOW)
        high = _turn((high - low) % (1 << HALF), HALF - TURN_SUM)
    np.testing.assert_array_equal(high << HALF | low, index)


def _turn(half, turn):
    return (half << turn | half >> (HALF - turn)) & 0xFFFF


def _halves_before_the_last_layer(bits):
    """Solve the last layer, which is linear: its value at each single bit gives its matrix."""
    def last(low, high):
        return (_turn(high, LAST_HIGH) ^ low ^ _turn(low, LAST_LOW)) << HALF | (
            _turn(low, TURN_LOW) ^ high ^ _turn(high, TURN_HIGH)
        )

    rows = [(last(1 << n & 0xFFFF, 1 << n >> HALF), 1 << n) for n in range(32)]
    for bit in range(32):
        pivot = next(n for n in range(bit, 32) if rows[n][0] >> bit & 1)
        rows[bit], rows[pivot] = rows[pivot], rows[bit]
        rows = [
            (image ^ rows[bit][0], source ^ rows[bit][1]) if n != bit and image >> bit & 1 else (image, source)
            for n, (image, source) in enumerate(rows)
        ]
    state = np.zeros(bits.shape, np.int64)
    for bit, (_, source) in enumerate(rows):
        state ^= np.where(bits.astype(np.int64) >> bit & 1, source, 0)
    return state & 0xFFFF, state >> HALF


def test_bits_are_a_function_of_key_and_index_alone(rng):
    index = rng.integers(0, 1 << 32, (7, 11, 13))
    bits = random_bits(99, index)
    assert bits.shape == index.shape
    assert bits.dtype == np.uint32
    order = rng.permutation(index.size)
    np.testing.assert_array_equal(random_bits(99, index.reshape(-1)[order]), bits.reshape(-1)[order])
    np.testing.assert_array_equal(random_bits(99, index - (1 << 32)), bits)
    np.testing.assert_array_equal(random_bits(99, index.astype(np.uint32)), bits)


def test_known_answers():
    """Words that must never change: logs and weights of finished runs depend on them."""
    got = [int(random_bits(key, np.array(index))) for key, index in KNOWN]
    assert [f"{word:08x}" for word in got] == list(KNOWN.values())


@pytest.mark.parametrize("key", [-1, 1 << 32])
def test_a_key_that_does_not_fit_is_refused(key):
    with pytest.raises(ValueError, match=f"^{re.escape(f'key must be 0 to 4294967295, not {key}')}$"):
        random_bits(key, np.arange(4))


@pytest.mark.rtl
def test_hardware_equals_golden(tmp_path, seed):
    netlist = emit(Keyed(), "keyed", spec=KeyedBits(), folder=tmp_path)
    ran, failed = run("bench_keyed", netlist, seed)
    assert ran == 5
    assert failed == 0
