"""Golden products against Python integers and exact rationals."""

import time
from fractions import Fraction
from math import floor

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from golden.keyed import random_bits
from golden.product import EXACT_FLOAT, OverflowRefused, exact_product, product
from spec.number import Rounding

SEED = 20240611


@pytest.fixture
def rng():
    print(f"seed {SEED}")
    return np.random.default_rng(SEED)


def python_product(a, b):
    """Python integers never overflow."""
    rows, columns = a.tolist(), b.T.tolist()
    return [[sum(x * y for x, y in zip(row, column, strict=True)) for column in columns] for row in rows]


def check_exact(a, b):
    got = exact_product(a, b)
    assert got.dtype == np.int64
    assert got.shape == (a.shape[0], b.shape[1])
    assert got.tolist() == python_product(a, b)


@pytest.mark.parametrize("bits", [8, 16, 18])
def test_random_shapes_equal_python_integers(rng, bits):
    for _ in range(30):
        m, k, n = rng.integers(1, 40, 3)
        low, high = -(1 << (bits - 1)), 1 << (bits - 1)
        check_exact(rng.integers(low, high, (m, k)), rng.integers(low, high, (k, n)))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32])
def test_integer_types_are_not_narrowed(rng, dtype):
    info = np.iinfo(dtype)
    edge = np.array([[info.min, info.max]], dtype=dtype)
    check_exact(edge, np.array([[-1], [0]], np.int64) if info.min == 0 else np.array([[0], [-1]], np.int64))


@pytest.mark.parametrize("word", [-32768, 32767])
def test_extremes_everywhere(word):
    check_exact(np.full((2, 1000), word), np.full((1000, 3), -32768))


@pytest.mark.parametrize("low_bit", [1, 3])
def test_reduction_is_split_past_the_float_bound(low_bit):
    # Odd words just below 2**22: sums of their products pass 2**53 and are odd, so one
    # float64 product would lose the last bit.
    k = 4001
    a, b = np.full((2, k), (1 << 22) - low_bit), np.full((k, 2), (1 << 22) - 1)
    assert a[0, 0] * b[0, 0] * k > EXACT_FLOAT
    want = ((1 << 22) - low_bit) * ((1 << 22) - 1) * k
    assert (a.astype(float) @ b.astype(float)).astype(np.int64)[0, 0] != want  # the plain way is wrong here
    assert exact_product(a, b).tolist() == [[want, want], [want, want]]


def test_operands_are_split_where_the_reduction_is_short(rng):
    for _ in range(50):
        bits_a, bits_b = (int(bits) for bits in rng.integers(20, 32, 2))
        if rng.integers(2):
            bits_a, bits_b = 50, 8
        m, k, n = rng.integers(1, 9, 3)
        a = rng.integers(-(1 << (bits_a - 1)), 1 << (bits_a - 1), (m, k))
        b = rng.integers(-(1 << (bits_b - 1)), 1 << (bits_b - 1), (k, n))
        check_exact(a, b)
        check_exact(b.T, a.T)


def test_long_reduction_of_wide_words(rng):
    a, b = (rng.integers(-(1 << 24), 1 << 24, shape) for shape in ((2, 3000), (3000, 2)))
    check_exact(a, b)


def test_empty_operands():
    assert exact_product(np.zeros((2, 0), int), np.zeros((0, 3), int)).tolist() == [[0] * 3] * 2
    assert exact_product(np.zeros((0, 4), int), np.zeros((4, 3), int)).shape == (0, 3)


def test_bound_past_int64_is_refused():
    a, b = np.full((1, 2), 1 << 31), np.full((2, 1), 1 << 31)
    with pytest.raises(OverflowRefused) as error:
        exact_product(a, b)
    assert str(error.value) == (
        "product bound max|a|*max|b|*k = 9223372036854775808 must be below 2**63 = 9223372036854775808"
    )


def test_operands_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"^cannot multiply a of shape \(2, 3\) by b of shape \(2, 3\)$"):
        exact_product(np.ones((2, 3), int), np.ones((2, 3), int))
    with pytest.raises(TypeError, match=r"^b must hold integers, not float64$"):
        exact_product(np.ones((2, 3), int), np.ones((3, 2)))


def rational_word(acc, shift, rounding, key, index, width):
    """One word by exact rationals: floor(acc/2**shift + dither), saturated."""
    exact = Fraction(acc, 1 << shift)
    if rounding == Rounding.STOCHASTIC:
        exact += Fraction(int(random_bits(key, np.array([index]))[0]) % (1 << shift), 1 << shift)
    elif rounding == Rounding.NEAREST and shift:
        exact += Fraction(1, 2) - Fraction(1, 1 << shift)
    word = floor(exact)
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    return min(max(word, low), high), not low <= word <= high


@pytest.mark.parametrize("rounding", list(Rounding))
def test_product_equals_exact_rationals(rng, rounding):
    for _ in range(25):
        m, k, n = (int(size) for size in rng.integers(1, 12, 3))
        shift, key = int(rng.integers(0, 20)), int(rng.integers(0, 1 << 32))
        base, stride = int(rng.integers(0, 1 << 32)), int(rng.integers(n, 3 * n + 1))
        a, b = rng.integers(-32768, 32768, (m, k)), rng.integers(-32768, 32768, (k, n))
        mask = rng.integers(0, 2, (m, n))
        words, saturations = product(
            a,
            b,
            shift=shift,
            rounding=rounding,
            key=key,
            mask=mask,
            index_base=base,
            index_stride=stride,
        )
        want = [
            [
                rational_word(acc * int(mask[p, j]), shift, rounding, key, (base + p * stride + j) % (1 << 32), 16)
                for j, acc in enumerate(row)
            ]
            for p, row in enumerate(python_product(a, b))
        ]
        assert words.tolist() == [[word for word, _ in row] for row in want]
        assert saturations == sum(saturated for row in want for _, saturated in row)


def test_index_stride_defaults_to_the_columns(rng):
    a, b = rng.integers(-99, 99, (5, 7)), rng.integers(-99, 99, (7, 3))
    options = {"shift": 9, "rounding": Rounding.STOCHASTIC, "key": 12345}
    whole, _ = product(a, b, **options)
    for row in range(5):
        part, _ = product(a[row : row + 1], b, index_base=3 * row, **options)
        np.testing.assert_array_equal(part[0], whole[row])
    left, _ = product(a, b[:, :2], index_stride=3, **options)
    np.testing.assert_array_equal(left, whole[:, :2])


def test_sum_past_the_accumulator_is_refused_unless_masked():
    a, b = np.array([[-32768] * 4, [1] * 4]), np.full((4, 1), -32768)
    options = {"shift": 16, "rounding": Rounding.FLOOR, "key": 0, "acc_width": 33}
    with pytest.raises(OverflowRefused) as error:
        product(a, b, **options)
    assert str(error.value) == ("sums must be -4294967296 to 4294967295 for acc_width 33, not -131072 to 4294967296")
    assert product(a, b, mask=np.array([[0], [1]]), **options)[0].tolist() == [[0], [-2]]
    product(a[:, 1:], b[1:], **options)


def test_words_outside_the_width_are_refused():
    options = {"shift": 0, "rounding": Rounding.FLOOR, "key": 0}
    with pytest.raises(ValueError, match=r"^words of a must be -32768 to 32767 for width 16, not 0 to 32768$"):
        product(np.array([[0, 32768]]), np.zeros((2, 1), int), **options)
    with pytest.raises(ValueError, match=r"^words of b must be -128 to 127 for width 8, not -129 to 0$"):
        product(np.zeros((1, 2), int), np.array([[0], [-129]]), width=8, **options)


def test_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"^mask must have shape \(1, 1\), not \(1, 2\)$"):
        product(
            np.ones((1, 2), int),
            np.ones((2, 1), int),
            shift=0,
            rounding=Rounding.FLOOR,
            key=0,
            mask=np.ones((1, 2)),
        )


def test_faster_than_integer_sums(rng):
    """bench/golden_product.py in small; processor time of one thread, so that a busy machine does not matter."""
    a, b = rng.integers(-32768, 32768, (2, 512, 512))

    def processor_time(call):
        start = time.process_time()
        call()
        return time.process_time() - start

    with threadpool_limits(1):
        sums = processor_time(lambda: a @ b)
        rounded = min(
            processor_time(lambda: product(a, b, shift=20, rounding=Rounding.STOCHASTIC, key=1)) for _ in range(3)
        )
    print(f"int64 sums {sums:.4f} s, product {rounded:.4f} s")
    assert rounded * 4 < sums
