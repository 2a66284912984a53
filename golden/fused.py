"""Compiled loops: Convert with its random bits, and the vector unit's sums, in one pass over the words.

Nothing is defined here. Words are those of :func:`golden.convert.convert` under linear indices, with the bits of
:func:`golden.keyed.random_bits`; ``tests/test_fused.py`` compares them. Callers check arguments, cut the work into
blocks, and look at the extremes that come back: a loop never raises. Arithmetic is int64, sums may be float64 that
hold integers.

numba compiles a loop when it is first called and keeps the result in ``__pycache__``. It knows this file alone: what
comes from spec is taken in at that time.
"""

from typing import NamedTuple

import numpy as np
from numba import njit, uint16

from spec.keyed import HALF, LAST_HIGH, LAST_LOW, ROUND_CONSTANTS, TURN_HIGH, TURN_LOW, TURN_SUM

BLOCK = 1024  # words at a time: their random bits and sums stay in the first cache
RUN = 1 << HALF  # indices that share their high half
EXTREMES = (np.iinfo(np.int64).max, np.iinfo(np.int64).min)  # smallest and largest of no words


@njit(nogil=True)
def _rotate(half, turn):  # type: ignore[no-untyped-def]
    return uint16(uint16(half << turn) | uint16(half >> (HALF - turn)))


@njit(nogil=True)
def _random_run(key, first, low_bits, high_bits):  # type: ignore[no-untyped-def]
    """Random bits of consecutive indices that share their high half: the halves apart, so that all is uint16."""
    start = uint16(first)
    top = uint16(first >> HALF)
    key_low = uint16(key)
    key_high = uint16(key >> HALF)
    for j in range(low_bits.size):
        low = uint16(start + uint16(j))
        high = top
        for number in range(len(ROUND_CONSTANTS)):
            high = uint16(_rotate(high, TURN_SUM) + low)
            key_half = key_high if number % 2 else key_low
            constant = uint16(ROUND_CONSTANTS[number])
            low = uint16(_rotate(low, TURN_LOW) ^ high ^ _rotate(high, TURN_HIGH) ^ key_half ^ constant)
        low_bits[j] = uint16(_rotate(low, TURN_LOW) ^ high ^ _rotate(high, TURN_HIGH))
        high_bits[j] = uint16(_rotate(high, LAST_HIGH) ^ low ^ _rotate(low, LAST_LOW))


class Rounder(NamedTuple):
    """What :func:`golden.convert.convert` does to every sum, as integers."""

    shift: int
    offset: int  # added before the shift
    random: int  # which of the random bits are added; 0 is none
    key: int
    low: int  # smallest word
    high: int  # largest word


@njit(nogil=True)
def _convert_block(sums, mask, words, base, rounder, low_bits, high_bits):  # type: ignore[no-untyped-def]
    """A block of sums to words under the indices from ``base`` on; saturations, smallest and largest sum.

    mask : empty, or false where a sum counts as zero. low_bits, high_bits : room for a half of every sum's bits.
    """
    size, done = sums.size, 0
    while rounder.random and done < size:
        first = base + done
        run = min(size - done, RUN - first % RUN)
        _random_run(rounder.key, first, low_bits[done : done + run], high_bits[done : done + run])
        done += run

    saturations = 0
    smallest, largest = EXTREMES
    masked = mask.size > 0
    shift, offset, low, high = rounder.shift, rounder.offset, rounder.low, rounder.high
    low_random, high_random = rounder.random & (RUN - 1), rounder.random >> HALF
    for j in range(size):
        acc = np.int64(sums[j])
        if masked:
            acc *= mask[j]
        smallest = min(smallest, acc)
        largest = max(largest, acc)
        random = (low_bits[j] & low_random) | (high_bits[j] & high_random) << HALF
        exact = (acc + offset + random) >> shift
        word = min(max(exact, low), high)
        saturations += word != exact
        words[j] = word
    return saturations, smallest, largest


@njit(nogil=True, cache=True)
def convert_rows(sums, mask, words, base, stride, rounder):  # type: ignore[no-untyped-def]
    """Every row of sums (rows, length) to words, row r under the indices from ``base + r * stride`` on.

    mask : of the sums' shape, false where a sum counts as zero; or empty, of two axes.
    Returns saturations, smallest and largest sum.
    """
    low_bits, high_bits = np.zeros(BLOCK, np.uint16), np.zeros(BLOCK, np.uint16)
    saturations = 0
    smallest, largest = EXTREMES
    for row in range(sums.shape[0]):
        for first in range(0, sums.shape[1], BLOCK):
            some = slice(first, min(first + BLOCK, sums.shape[1]))
            where = mask[row, some] if mask.size else mask[:0].reshape(-1)
            found = _convert_block(
                sums[row, some], where, words[row, some], base + row * stride + first, rounder, low_bits, high_bits
            )
            saturations += found[0]
            smallest, largest = min(smallest, found[1]), max(largest, found[2])
    return saturations, smallest, largest


@njit(nogil=True, cache=True)
def affine(u, v, s0, s1, s2, mask, words, base, rounder):  # type: ignore[no-untyped-def]
    """``Convert(s0*u + s1*v + s2)``: u, v, words and mask flat, element i under the index ``base + i``.

    s0, s1, s2 : one for every element of a block, repeated for the blocks that follow; the factors are int32, so that
    products of narrow words are narrow. v and mask may be empty: no v, no mask. Returns saturations.
    """
    length = s0.size
    low_bits, high_bits = np.zeros(length, np.uint16), np.zeros(length, np.uint16)
    sums = np.empty(length, np.int64)
    saturations = 0
    for first in range(0, u.size, length):
        size = min(length, u.size - first)
        some = slice(first, first + size)
        part_u = u[some]
        for j in range(size):
            sums[j] = np.int64(s0[j]) * np.int64(part_u[j]) + s2[j]
        if v.size:
            part_v = v[some]
            for j in range(size):
                sums[j] += np.int64(s1[j]) * np.int64(part_v[j])
        where = mask[some] if mask.size else mask
        saturations += _convert_block(sums[:size], where, words[some], base + first, rounder, low_bits, high_bits)[0]
    return saturations


@njit(nogil=True, cache=True)
def reduce(u, v, sums, products):  # type: ignore[no-untyped-def]
    """Add u and u*v (rows, channels) to sums and products (channels,)."""
    for row in range(u.shape[0]):
        for channel in range(u.shape[1]):
            a = np.int64(u[row, channel])
            sums[channel] += a
            products[channel] += a * np.int64(v[row, channel])


@njit(nogil=True, cache=True)
def gate(words, by, out):  # type: ignore[no-untyped-def]
    """``words`` where ``by`` is positive, else zero; all flat."""
    for j in range(words.size):
        out[j] = words[j] if by[j] > 0 else 0


@njit(nogil=True, cache=True)
def nonzero(words, counts):  # type: ignore[no-untyped-def]
    """How many of each row of words (rows, columns) are not zero, added to counts (rows,)."""
    for row in range(words.shape[0]):
        count = 0
        for column in range(words.shape[1]):
            count += words[row, column] != 0
        counts[row] += count
