"""The compiled loops against the definitions in NumPy, and the work shared by cores against one after the other."""

import threading

import numpy as np
import pytest

import golden.product
import golden.workers
from golden import fused
from golden.batchnorm import BatchNorm, _Factors
from golden.conv import Windows, patches
from golden.convert import SHARE, convert, convert_linear, narrow, rounder
from golden.keyed import random_bits
from golden.layers import Formats
from golden.product import BLOCK_WORDS, Turned, chained_product, nonzeros, product
from golden.tiles import COLUMNS
from golden.vector import affine, gate, reduce
from golden.workers import blocks, each
from spec.number import Fixed, Rounding
from spec.product import MAX_SHIFT

BASES = (0, 1, fused.RUN - 3, (1 << 32) - 1000, (1 << 40) + 77)  # before a run of indices ends, before they start again


def linear(shape, base=0):
    return np.arange(base, base + int(np.prod(shape))).reshape(shape)


def sums_with_extremes(rng, size, acc_width=48):
    """Sums of all sizes, the largest and smallest among them, and those around every rounding and saturation."""
    acc = rng.integers(-(1 << 47), 1 << 47, size) >> rng.integers(0, 47, size)
    limit = 1 << (acc_width - 1)
    edges = (-32769, -32768, -1, 0, 1, 32767, 32768)
    near = [(word << shift) + off for word in edges for shift in (0, 1, 13) for off in (-1, 0, 1)]
    special = [-limit, -limit + 1, limit - 1, *near][:size]
    acc[rng.permutation(size)[: len(special)]] = special
    return acc


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("shift", [0, 1, 5, 15, 16, 17, 31, 32])
def test_convert_is_the_definition_under_linear_indices(rng, rounding, shift):
    for size in (0, 1, 7, fused.BLOCK + 1, SHARE + 5):
        base, key, width = int(rng.choice(BASES)), int(rng.integers(1 << 32)), int(rng.integers(2, 19))
        acc = sums_with_extremes(rng, size)
        print("size", size, "base", base, "key", key, "width", width)
        words, saturations = convert_linear(acc, shift, rounding, key, base, width)
        wanted, count = convert(acc, shift, rounding, key, linear(acc.shape, base), width)
        np.testing.assert_array_equal(words, wanted)
        assert words.dtype == np.int64
        assert saturations == count


@pytest.mark.parametrize("rounding", Rounding)
def test_rows_may_be_float_masked_and_apart(rng, rounding):
    for _ in range(20):
        rows, length = int(rng.integers(1, 30)), int(rng.choice([1, 2, 10, 300, fused.BLOCK, fused.BLOCK + 1, 3000]))
        shift, key, base = int(rng.integers(0, 33)), int(rng.integers(1 << 32)), int(rng.integers(1 << 32))
        stride = length + int(rng.integers(0, 100_000))
        acc, mask = sums_with_extremes(rng, rows * length).reshape(rows, length), rng.random((rows, length)) < 0.5
        index = base + stride * np.arange(rows)[:, None] + np.arange(length)
        for sums in (acc, acc.astype(np.float64)):
            for where, exact in ((np.zeros((0, 0), bool), acc), (mask, acc * mask)):
                words = np.empty((rows, length), np.int64)
                how = rounder(shift, rounding, key, 16)
                found = fused.convert_rows(sums, where, words, base, stride, how)
                wanted, count = convert(exact, shift, rounding, key, index)
                np.testing.assert_array_equal(words, wanted)
                assert found == (count, exact.min(), exact.max())


def test_random_bits_are_those_of_the_definition(rng):
    for key in (0, 1, (1 << 32) - 1, int(rng.integers(1 << 32))):
        for base in BASES:
            low, high = np.empty((2, 3000), np.uint16)
            first = base % (1 << 32) // fused.RUN * fused.RUN  # so that no index has another high half
            fused._random_run(key, first, low, high)
            bits = high.astype(np.uint32) << np.uint32(16) | low
            np.testing.assert_array_equal(bits, random_bits(key, linear(low.shape, first)))


@pytest.mark.parametrize("rounding", Rounding)
def test_affine_is_the_definition(rng, rounding):
    for shape in [(0, 3), (1, 1), (3, 5), (2, 7, 5, 16), (2, fused.BLOCK + 9), (SHARE // 48, 100), (SHARE + 3,)]:
        channels = shape[-1]
        s0, s1 = rng.integers(-(1 << 17), 1 << 17, (2, channels))
        s2 = rng.integers(-(1 << 40), 1 << 40, channels)
        u, v = rng.integers(-(1 << 15), 1 << 15, (2, *shape))
        u.reshape(-1)[::7], v.reshape(-1)[::5] = -(1 << 15), (1 << 15) - 1
        mask = rng.random(shape) < 0.7
        shift, key, base = int(rng.integers(0, 33)), int(rng.integers(1 << 32)), int(rng.choice(BASES))
        print("shape", shape, "shift", shift, "key", key, "base", base)
        options = {"shift": shift, "rounding": rounding, "key": key, "index_base": base}
        for got, acc in (
            (affine(u, v, s0, s1, s2, **options), s0 * u + s1 * v + s2),
            (affine(u, None, s0, s1, s2, **options), s0 * u + s2),
            (affine(u, v, s0, s1, s2, mask=mask, **options), (s0 * u + s1 * v + s2) * mask),
            (affine(u.T.copy().T, v, s0, s1, s2, **options), s0 * u + s1 * v + s2),
        ):
            words, count = convert(acc, shift, rounding, key, linear(shape, base))
            np.testing.assert_array_equal(got.words, words)
            assert got.saturations == count


def test_reduce_is_numpys_sum(rng):
    for shape in [(0, 2), (1, 1), (50, 3), (2, 3, 4, 17), (3 * SHARE // 16, 16), (SHARE + 3, 1)]:
        u, v = rng.integers(-(1 << 15), 1 << 15, (2, *shape))
        sums, products = reduce(u, v)
        axes = tuple(range(len(shape) - 1))
        np.testing.assert_array_equal(sums, u.sum(axes))
        np.testing.assert_array_equal(products, (u * v).sum(axes))


@pytest.mark.parametrize("rounding", Rounding)
def test_products_of_many_blocks_are_the_definition(rng, rounding):
    """Rows in blocks, reductions in blocks, and both in one block; in words of a few types."""
    for m, k, n in [
        (4 * BLOCK_WORDS // 50, 50, 9),
        (20, BLOCK_WORDS // 5, 6),
        (700, 700, 3),
        (5, 4, 3),
        (BLOCK_WORDS, 5, 70),
        (2000, 99, 700),
    ]:
        a, b = rng.integers(-(1 << 15), 1 << 15, (m, k)), rng.integers(-(1 << 15), 1 << 15, (k, n))
        a[0], b[:, 0], b[:, -1] = -(1 << 15), -(1 << 15), (1 << 15) - 1
        mask, stride = rng.random((m, n)) < 0.5, n + int(rng.integers(0, 4))
        shift, key, base = int(rng.integers(8, 33)), int(rng.integers(1 << 32)), int(rng.choice(BASES))
        print("shape", m, k, n, "shift", shift, "key", key, "base", base, "stride", stride)
        index = base + stride * np.arange(m)[:, None] + np.arange(n)
        options = {"shift": shift, "rounding": rounding, "key": key, "index_base": base, "index_stride": stride}
        wanted, count = convert((a @ b) * mask, shift, rounding, key, index)
        for kind in (np.int64, np.int32, np.int16):
            words, saturations = product(a.astype(kind), b, mask=mask, **options)
            np.testing.assert_array_equal(words, wanted)
            assert saturations == count
        parts = [(a[:, some], b[some]) for some in blocks(k, -(-k // 3))]
        words, saturations = chained_product(parts, mask=mask, **options)
        np.testing.assert_array_equal(words, wanted)
        assert saturations == count


def test_windows_are_patches(rng):
    """Products with them, with their transpose, and their nonzeros; images of any size, blocks of one image or of all."""
    for case in range(40):
        kernel, stride, batch, channels = (int(rng.integers(1, most)) for most in (6, 5, 9, 40))
        padding, bits = int(rng.integers(0, kernel)), int(rng.choice([16, 18]))
        height, width = (int(n) for n in rng.integers(max(1, kernel - 2 * padding), 15, 2))
        one = 256 if rng.integers(2) else None
        limit = 1 << (bits - 1)
        x = rng.integers(-limit, limit, (batch, height, width, channels)) * rng.integers(0, 2, channels)
        x[0], x[-1] = -limit, limit - 1
        how = (kernel, stride, padding, one, bits)
        columns = int(rng.choice([1, 3, COLUMNS, COLUMNS + 1, 3 * COLUMNS]))
        print("x", x.shape, "kernel, stride, padding, one, bits", how, "columns", columns)
        rows, wanted = Windows.of(x, *how), patches(x, *how)
        assert rows.shape == wanted.shape
        np.testing.assert_array_equal(nonzeros(rows), np.count_nonzero(wanted, axis=1))
        delta = rng.integers(-limit, limit, (len(wanted), columns)).astype(narrow(bits))
        b = rng.integers(-limit, limit, (wanted.shape[1], columns))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(golden.product, "A_WORDS", int(rng.choice([1, 5000, 1 << 17])))
            patch.setattr(golden.product, "SMALL", int(rng.choice([1, 1 << 18])))
            np.testing.assert_array_equal(Turned(rows).times(delta, bits), wanted.T.astype(np.int64) @ delta)
            options = {"shift": 17, "rounding": Rounding.STOCHASTIC, "key": case, "width": bits}
            exact = wanted.astype(np.int64) @ b
            words, count = convert(exact, 17, Rounding.STOCHASTIC, case, linear(exact.shape), bits)
            for a in (rows, wanted):
                got, saturations = product(a, b, **options)
                np.testing.assert_array_equal(got, words)
                assert (saturations, got.dtype) == (count, narrow(bits))


def test_nonzeros_of_arrays_are_numpys(rng):
    for shape in [(0, 3), (1, 1), (7, 30), (3, 0), (SHARE // 50, 100)]:
        words = rng.integers(-1, 2, shape)
        for given in (words, words.astype(np.int16), words > 0, words[:, ::-1], words.T):
            np.testing.assert_array_equal(nonzeros(given), np.count_nonzero(given, axis=1))


def test_a_gate_lets_through_where_another_tensor_is_positive(rng):
    for shape in [(0,), (5,), (3, 4, 5), (SHARE + 7,)]:
        for kind in (np.int16, np.int32, np.int64):
            words, by = rng.integers(-5, 6, (2, *shape)).astype(kind)
            got = gate(words, by)
            np.testing.assert_array_equal(got, np.where(by > 0, words, 0))
            assert got.dtype == kind


def test_a_shift_is_looked_for_below_the_first_that_could_fit(rng):
    """The search from 32 on, as it is defined, finds the same."""
    for _ in range(200):
        layer = BatchNorm(0, Fixed(16, int(rng.integers(0, 17))), Formats(activations=Fixed(16, int(rng.integers(17)))))
        x = rng.integers(-(1 << 15), 1 << 15, (40, 5)) >> rng.integers(0, 15, 5)
        delta = rng.integers(-(1 << 15), 1 << 15, (40, 5)) >> rng.integers(0, 15, 5)
        parameters = rng.integers(-(1 << 15), 1 << 15, (2, 5)) >> rng.integers(0, 15, (2, 5))
        statistics, _ = layer.statistics(x)
        totals, products = (sums.tolist() for sums in reduce(delta, x))
        joint = layer.joint(totals, products, statistics)

        def both(layer=layer, parameters=parameters, statistics=statistics, totals=totals, joint=joint):
            yield layer.forward_scalars(parameters, statistics)
            yield layer.backward_scalars(totals, joint, parameters, statistics, Fixed(16, 9))

        found = list(both())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_Factors, "most_shift", MAX_SHIFT)
            assert list(both()) == found


def test_each_gives_results_in_order_and_raises_what_a_task_raises(monkeypatch):
    for cores in (1, 2, 5):
        monkeypatch.setattr(golden.workers, "cores", lambda cores=cores: cores)
        golden.workers._pool.cache_clear()
        assert each(lambda some: (some.start, some.stop), blocks(10, 4)) == [(0, 4), (4, 8), (8, 10)]
        assert each(lambda some: some, []) == []
        nested = each(lambda i: sum(each(lambda j: i * j, range(20))), range(30))
        assert nested == [190 * i for i in range(30)]
        with pytest.raises(ZeroDivisionError):
            each(lambda i: 1 // (i - 3), range(8))
    golden.workers._pool.cache_clear()


def test_each_runs_on_several_threads(monkeypatch):
    monkeypatch.setattr(golden.workers, "cores", lambda: 2)
    golden.workers._pool.cache_clear()
    together = threading.Barrier(2, timeout=60)
    assert len(set(each(lambda _: (together.wait(), threading.get_ident())[1], range(2)))) == 2
    golden.workers._pool.cache_clear()
