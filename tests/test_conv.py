"""A convolution's products against plain loops over Python integers, and finite differences."""

import re

import numpy as np
import pytest

import golden.conv
from golden.conv import Conv, patches
from golden.convert import convert
from golden.layers import Formats, GoldenExecute, whole
from golden.product import OverflowRefused, chained_product, product
from golden.tally import Tally
from spec.number import Fixed, Rounding

FORMATS = Formats()
IN = Fixed(16, 8)


def plain(conv, x, weights, delta):
    """Exact z, dx, dw by the definition, one product at a time; also for floats."""
    (batch, h, w, c_in), (_, oh, ow, c_out) = x.shape, delta.shape
    z, dx, dw = (np.zeros(shape, x.dtype) for shape in (delta.shape, x.shape, weights.shape))
    kernel = weights[: conv.kernel**2 * c_in].reshape(conv.kernel, conv.kernel, c_in, c_out)
    dk = dw[: conv.kernel**2 * c_in].reshape(conv.kernel, conv.kernel, c_in, c_out)
    for b, oy, ox, ky, kx in np.ndindex(batch, oh, ow, conv.kernel, conv.kernel):
        y, xx = oy * conv.stride + ky - conv.padding, ox * conv.stride + kx - conv.padding
        if 0 <= y < h and 0 <= xx < w:
            for o in range(c_out):
                for c in range(c_in):
                    z[b, oy, ox, o] += x[b, y, xx, c] * kernel[ky, kx, c, o]
                    dx[b, y, xx, c] += delta[b, oy, ox, o] * kernel[ky, kx, c, o]
                    dk[ky, kx, c, o] += x[b, y, xx, c] * delta[b, oy, ox, o]
    if conv.bias:
        z += conv.one * weights[-1]
        dw[-1] = conv.one * delta.sum(axis=(0, 1, 2))
    return z, dx, dw


def random_case(rng, kernel=None, stride=None, padding=None):
    kernel = kernel or int(rng.integers(1, 6))
    stride = stride or int(rng.integers(1, 5))
    padding = int(rng.integers(0, kernel)) if padding is None else padding
    conv = Conv(2, IN, FORMATS, kernel, stride, padding, bool(rng.integers(2)))
    low = max(1, kernel - 2 * padding)
    batch, (h, w) = int(rng.integers(1, 4)), rng.integers(low, low + 7, 2)
    c_in, c_out = rng.integers(1, 5, 2)
    x = rng.integers(-300, 300, (batch, h, w, c_in)) * rng.integers(0, 2, (batch, h, w, c_in))
    weights = rng.integers(-9000, 9000, (kernel**2 * c_in + conv.bias, c_out))
    delta = rng.integers(-3000, 3000, (batch, *conv.out_shape(h, w), c_out))
    print(conv, x.shape, c_out)
    return conv, x, weights, delta


def check(conv, x, weights, delta, rng, execute):
    z, dx, dw = plain(conv, x, weights, delta)
    mask = rng.integers(0, 2, x.shape).astype(bool)
    mode, below = Rounding.STOCHASTIC, Fixed(16, 11)

    def words(acc, shift, key):
        return convert(acc, shift, mode, key, np.arange(acc.size).reshape(acc.shape))[0]

    np.testing.assert_array_equal(conv.forward(execute, x, weights, mode, 5), words(z, 8 + 13 - 10, 5))
    got = conv.input_gradient(execute, delta, weights, x.shape, mask, below, mode, 6)
    np.testing.assert_array_equal(got, words(mask * dx, 13 + 13 - 11, 6))
    got = conv.input_gradient(execute, delta, weights, x.shape, None, below, mode, 6)
    np.testing.assert_array_equal(got, words(dx, 13 + 13 - 11, 6))
    np.testing.assert_array_equal(conv.weight_gradient(execute, x, delta, mode, 7), words(dw, 8 + 13 - 10, 7))


def test_products_are_those_of_the_definition(rng):
    for _ in range(25):
        check(*random_case(rng), rng, GoldenExecute())


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(11, 4, 2), (11, 1, 10), (1, 1, 0), (1, 4, 0), (3, 2, 1), (2, 4, 1), (5, 1, 2)]
)
def test_the_corners_of_the_windows(rng, kernel, stride, padding):
    check(*random_case(rng, kernel, stride, padding), rng, GoldenExecute())


def test_no_word_shows_how_the_batch_is_cut(rng, monkeypatch):
    monkeypatch.setattr(golden.conv, "PATCH_WORDS", 100)
    for _ in range(10):
        check(*random_case(rng), rng, GoldenExecute())


def test_a_tally_counts_and_compares_pieces(rng, monkeypatch):
    """The same in pieces as in one, and of windows as of patches copied out."""

    class Side(GoldenExecute):
        """The same words by other means: a chain is one long product."""

        takes_rows = True

        def chain(self, parts, **options):
            return self(*whole(parts), **options)

    conv, x, weights, delta = random_case(rng, 3, 1, 1)
    counts = []
    for limit, lazy in ((1 << 22, True), (1, True), (1 << 22, False), (1, False)):
        monkeypatch.setattr(golden.conv, "PATCH_WORDS", limit)
        monkeypatch.setattr(Side, "takes_rows", lazy)
        tally = Tally(GoldenExecute(), Side())
        check(conv, x, weights, delta, np.random.default_rng(0), tally)
        assert tally.differing_words == 0
        assert tally.words_compared == delta.size + 2 * x.size + weights.size
        counts.append(tally.phases)
    assert all(count == counts[0] for count in counts)


def test_gradients_are_those_of_finite_differences(rng):
    conv, x, weights, delta = random_case(rng, 3, 2, 1)
    x, weights, delta = (tensor / 256 for tensor in (x, weights, delta))
    _, dx, dw = plain(conv, x, weights, delta)
    for tensor, gradient in ((x, dx), (weights, dw)):
        for _ in range(10):
            at = tuple(rng.integers(0, tensor.shape))
            sums = []
            for step in (1.0, -2.0):  # the sum is linear in each word: no step is too long
                tensor[at] += step
                sums.append((plain(conv, x, weights, delta)[0] * delta).sum())
            tensor[at] += 1.0
            assert (sums[0] - sums[1]) / 2 == pytest.approx(gradient[at], rel=1e-9, abs=1e-6)


def test_patches_are_in_the_order_ky_kx_c():
    x = np.arange(2 * 3 * 3 * 2).reshape(2, 3, 3, 2)
    got = patches(x, 2, one=99)
    assert got.shape == (8, 9)
    assert got[3].tolist() == [*x[0, 1, 1], *x[0, 1, 2], *x[0, 2, 1], *x[0, 2, 2], 99]


def test_parts_of_a_product_are_added_before_rounding(rng):
    a, b = rng.integers(-9000, 9000, (5, 40)), rng.integers(-9000, 9000, (40, 7))
    options = {"shift": 12, "rounding": Rounding.STOCHASTIC, "key": 3}
    parts = [(a[:, :13], b[:13]), (a[:, 13:14], b[13:14]), (a[:, 14:], b[14:])]
    words, saturations = chained_product(parts, **options)
    wanted, count = product(a, b, **options)
    np.testing.assert_array_equal(words, wanted)
    assert saturations == count
    full = np.full((1, 8), 32767)
    with pytest.raises(OverflowRefused, match="for acc_width 34"):
        chained_product([(full, full.T), (full, full.T)], shift=0, rounding=Rounding.FLOOR, key=0, acc_width=34)
    with pytest.raises(ValueError, match=r"^parts of one product must have one shape of C, not \(5, 7\) and \(5, 6\)$"):
        chained_product([(a, b), (a, b[:, 1:])], **options)
    with pytest.raises(ValueError, match=r"^a product needs at least one part$"):
        chained_product([], **options)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kernel": 12}, "layer 2: kernel must be 1 to 11, not 12"),
        ({"stride": 5}, "layer 2: stride must be 1 to 4, not 5"),
        ({"padding": 3}, "layer 2: padding must be 0 to 2, not 3"),
        ({"inputs": Fixed(16, 16)}, "layer 2: inputs <0,16> cannot hold 1.0, which the bias needs"),
    ],
)
def test_bad_convolutions_are_refused(options, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Conv(**({"number": 2, "inputs": IN, "formats": FORMATS, "kernel": 3} | options))


def test_tensors_that_do_not_fit_are_refused():
    conv = Conv(2, IN, FORMATS, 3)
    x, weights, delta = np.zeros((1, 5, 5, 2), int), np.zeros((19, 4), int), np.zeros((1, 3, 3, 4), int)
    golden_execute = GoldenExecute()
    with pytest.raises(ValueError, match=r"^layer 2: weights must have 19 rows, not shape \(18, 4\)$"):
        conv.forward(golden_execute, x, weights[1:], Rounding.FLOOR, 0)
    with pytest.raises(ValueError, match=r"^layer 2: delta must have shape \(1, 3, 3, 4\), not \(1, 3, 2, 4\)$"):
        conv.weight_gradient(golden_execute, x, delta[:, :, 1:], Rounding.FLOOR, 0)
    with pytest.raises(ValueError, match=r"^kernel must be at most 2, 2 and its padding, not 3$"):
        conv.forward(golden_execute, x[:, :2], weights, Rounding.FLOOR, 0)
