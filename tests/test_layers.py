"""A layer's products, and whole gradients, against float64, finite differences and autograd."""

import re

import numpy as np
import pytest

from golden.float_reference import forward, loss_and_gradients
from golden.keyed import random_bits
from golden.layers import Dense, Formats, GoldenExecute, Role, relu, shift_between, tensor_key, with_ones
from golden.network import Network, first_weights
from golden.optimizer import Sgd
from spec.number import Fixed, Rounding

SEED = 31

FINE = Formats(
    weights=Fixed(18, 15),
    activations=Fixed(18, 14),
    deltas=Fixed(18, 16),
    gradients=Fixed(18, 13),
    velocity=Fixed(18, 13),
)


@pytest.fixture
def rng():
    print(f"seed {SEED}")
    return np.random.default_rng(SEED)


class Recorder(GoldenExecute):
    """Golden products, remembered by name."""

    def __init__(self, width=16):
        super().__init__(width=width)
        self.calls = {}

    def __call__(self, a, b, **options):
        c = super().__call__(a, b, **options)
        self.calls[options["name"]] = (a, b, c, options)
        return c


def test_forward_adds_the_bias_and_rounds_once(rng):
    layer = Dense(0, Fixed(16, 8), Formats())
    x, weights = rng.integers(0, 257, (12, 20)), rng.integers(-9000, 9000, (21, 7))
    recorder = Recorder()
    z = layer.forward(recorder, x, weights, Rounding.NEAREST, 0)
    exact = x * 2.0**-8 @ (weights[:-1] * 2.0**-13) + weights[-1] * 2.0**-13
    assert np.abs(z * 2.0**-10 - exact).max() <= 0.5 * 2.0**-10
    assert list(recorder.calls) == ["layer0.z"]
    assert recorder.calls["layer0.z"][3]["phase"] == "FP"


def test_input_gradient_is_masked_before_it_is_computed(rng):
    layer = Dense(1, Fixed(16, 10), Formats())
    delta, weights = rng.integers(-3000, 3000, (12, 7)), rng.integers(-9000, 9000, (21, 7))
    mask = rng.integers(0, 2, (12, 20)).astype(bool)
    recorder = Recorder()
    dx = layer.input_gradient(recorder, delta, weights, mask, Fixed(16, 12), Rounding.NEAREST, 0)
    exact = mask * ((delta * 2.0**-13) @ (weights[:-1] * 2.0**-13).T)
    assert np.abs(dx * 2.0**-12 - exact).max() <= 0.5 * 2.0**-12
    options = recorder.calls["layer1.dx"][3]
    assert options["mask"] is mask
    assert options["phase"] == "BP"


@pytest.mark.parametrize("sparse", ["x", "delta"])
def test_weight_gradient_streams_the_sparser_operand(rng, sparse):
    layer = Dense(0, Fixed(16, 8), Formats())
    x, delta = rng.integers(1, 257, (12, 20)), rng.integers(1, 3000, (12, 7))
    thinned = {"x": x, "delta": delta}[sparse]
    thinned[rng.random(thinned.shape) < 0.5] = 0
    recorder = Recorder()
    dw = layer.weight_gradient(recorder, x, delta, Rounding.FLOOR, 0)
    assert dw.shape == (21, 7)
    a = recorder.calls["layer0.dw"][0]
    np.testing.assert_array_equal(a, with_ones(x, 256).T if sparse == "x" else delta.T)
    exact = with_ones(x, 256).T @ delta  # 8 + 13 fraction bits to 10
    np.testing.assert_array_equal(dw, exact >> 11)


def test_weight_gradient_of_fixed_commands_streams_x(rng):
    layer = Dense(0, Fixed(16, 8), Formats(), sparser=False)
    x, delta = rng.integers(1, 257, (12, 20)), np.zeros((12, 7), np.int64)
    recorder = Recorder()
    layer.weight_gradient(recorder, x, delta, Rounding.FLOOR, 0)
    np.testing.assert_array_equal(recorder.calls["layer0.dw"][0], with_ones(x, 256).T)


def test_relu_and_its_stored_mask():
    z = np.array([[-5, 0, 7]])
    assert relu(z).tolist() == [[0, 0, 7]]
    assert (relu(z) > 0).tolist() == [[False, False, True]]


def test_keys_differ_between_tensors_and_follow_their_definition():
    keys = {tensor_key(7, 3, layer, role) for layer in range(6) for role in Role}
    assert len(keys) == 6 * len(Role)
    keys |= {tensor_key(seed, step, 0, Role.WEIGHT) for seed in range(1, 40) for step in range(40) if seed != 7}
    assert len(keys) == 48 + 38 * 40
    inner = int(random_bits(7, np.array([3]))[0])
    assert tensor_key(7, 3, 2, Role.DELTA) == int(random_bits(inner, np.array([2 * 8 + 2]))[0])


def test_first_weights_fill_their_range_evenly():
    words = first_weights(100, 2000, Fixed(16, 13), 9)
    assert words.shape == (101, 2000)
    limit = int(np.sqrt(6 / 100) * 2**13)
    assert words[:-1].min() == -limit
    assert words[:-1].max() == limit
    assert not words[-1].any()
    # Mean and variance of 200,000 uniform words, to five standard errors.
    assert abs(words[:-1].mean()) < 5 * limit / np.sqrt(3 * 200000)
    assert words[:-1].var() == pytest.approx(limit * (limit + 1) / 3, rel=5 * np.sqrt(0.8 / 200000))


def fine_network(rng, sizes=(9, 8, 6, 4), batch=16):
    """A network in fine formats, samples for it, and the same in float64."""
    network = Network(sizes, Fixed(18, 12), [FINE] * (len(sizes) - 1), seed=SEED)
    network.weights = [w + rng.integers(-3000, 3000, w.shape) for w in network.weights]  # biases too
    x, labels = rng.integers(0, 1 << 12, (batch, sizes[0])), rng.integers(0, sizes[-1], batch)
    return network, x, labels, [w * FINE.weights.step for w in network.weights], x * 2.0**-12


def rounding_bounds(weights, x, labels, network):
    """Largest error of each layer's weight gradient, from one word of rounding per product.

    Weights and samples are the same numbers on both sides. Errors of inputs pass through
    |W|; softmax moves by at most half of the largest error of its logits; ReLU masks are
    equal as long as no z is closer to zero than its error, which is asserted.
    """
    *inputs, z = forward(weights, x)
    input_errors = [np.zeros_like(x)]
    for number, w in enumerate(weights):
        error = input_errors[-1] @ np.abs(w[:-1]) + FINE.activations.step
        if number < len(weights) - 1:
            pre_activation = inputs[number] @ w[:-1] + w[-1]
            assert (np.abs(pre_activation) > error).all()
        input_errors.append(error)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    delta = p / p.sum(axis=1, keepdims=True)
    delta[np.arange(len(labels)), labels] -= 1
    error = 0.5 * np.max(input_errors.pop(), axis=1, keepdims=True) + FINE.deltas.step + 11 * 2.0**-23
    error = np.broadcast_to(error, delta.shape)
    bounds = []
    for number in reversed(range(len(weights))):
        ones = np.ones((len(x), 1))
        value, off = np.hstack([inputs[number], ones]), np.hstack([input_errors[number], 0 * ones])
        bounds.append(value.T @ error + off.T @ (np.abs(delta) + error) + FINE.gradients.step)
        mask = inputs[number] > 0
        error = mask * (error @ np.abs(weights[number][:-1]).T + FINE.deltas.step)
        delta = mask * (delta @ weights[number][:-1].T)
    return bounds[::-1]


@pytest.mark.parametrize("rounding", list(Rounding))
def test_network_gradients_are_the_float_gradients(rng, rounding):
    network, x, labels, weights, real_x = fine_network(rng)
    recorder = Recorder(width=18)
    plans = [Sgd().plan(FINE, len(labels))] * len(weights)
    network.step(recorder, x, labels, plans, rounding, 0)
    assert recorder.saturations == 0
    _, gradients = loss_and_gradients(weights, real_x, labels)
    bounds = rounding_bounds(weights, real_x, labels, network)
    for number, (want, bound) in enumerate(zip(gradients, bounds, strict=True)):
        got = recorder.calls[f"layer{number}.dw"][2]
        got = got if got.shape == want.shape else got.T
        assert (np.abs(got * FINE.gradients.step - want) <= bound).all()
        assert bound.max() < 0.02 * np.abs(want).max()  # the bound itself says something


def test_prediction_rounds_to_nearest(rng):
    network, x, *_ = fine_network(rng)
    recorder = Recorder(width=18)
    z = network.predict(recorder, x)
    for layer, weights in zip(network.layers, network.weights, strict=True):
        x = relu(layer.forward(GoldenExecute(width=18), x, weights, Rounding.NEAREST, 0))
    assert {options["phase"] for *_, options in recorder.calls.values()} == {"FP"}
    np.testing.assert_array_equal(relu(z), x)
    assert (z < 0).any()


def test_no_gradient_of_the_samples_is_computed(rng):
    network, x, labels, *_ = fine_network(rng)
    recorder = Recorder(width=18)
    network.step(recorder, x, labels, [Sgd().plan(FINE, len(labels))] * 3, Rounding.FLOOR, 0)
    assert sorted(recorder.calls) == sorted(
        [f"layer{i}.z" for i in range(3)] + [f"layer{i}.dw" for i in range(3)] + ["layer1.dx", "layer2.dx"]
    )


def test_float_gradients_are_finite_differences(rng):
    """Central differences: their error is about step**2 times a third derivative plus 1e-16 / step."""
    _, _, labels, weights, x = fine_network(rng)
    _, gradients = loss_and_gradients(weights, x, labels)
    step = 1e-5
    for w, gradient in zip(weights, gradients, strict=True):
        for _ in range(30):
            at = tuple(int(rng.integers(size)) for size in w.shape)
            kept = w[at]
            w[at] = kept + step
            above, _ = loss_and_gradients(weights, x, labels)
            w[at] = kept - step
            below, _ = loss_and_gradients(weights, x, labels)
            w[at] = kept
            assert gradient[at] == pytest.approx((above - below) / (2 * step), abs=1e-6)


def test_float_gradients_are_autograd(rng):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; finite differences check the same")
    _, _, labels, weights, x = fine_network(rng)
    loss, gradients = loss_and_gradients(weights, x, labels)
    tensors = [torch.tensor(w, requires_grad=True) for w in weights]
    value = torch.tensor(x)
    for number, w in enumerate(tensors):
        value = value @ w[:-1] + w[-1]
        value = value if number == len(tensors) - 1 else torch.relu(value)
    total = torch.nn.functional.cross_entropy(value, torch.tensor(labels), reduction="sum")
    total.backward()
    assert loss == pytest.approx(total.item(), rel=1e-12)
    for w, gradient in zip(tensors, gradients, strict=True):
        np.testing.assert_allclose(gradient, w.grad.numpy(), rtol=1e-9, atol=1e-12)


def refused(text):
    return pytest.raises(ValueError, match=f"^{re.escape(text)}$")


def test_formats_that_cannot_work_are_refused():
    with refused(
        "formats of a layer must share one width, not weights 16, activations 12, deltas 16, gradients 16, velocity 16"
    ):
        Formats(activations=Fixed(12, 8))
    with refused("layer 2: inputs <1,15> cannot hold 1.0, which the bias needs"):
        Dense(2, Fixed(16, 15), Formats())
    with refused("layer 1 FP must drop 0 to 32 fraction bits, not -3: sums have 9, words 12"):
        shift_between("layer 1 FP", 9, 12)
    with refused("weights <0,16> must hold sqrt(6 / 2), 113511 in words, not only 32767"):
        first_weights(2, 2, Fixed(16, 16), 0)


def test_networks_that_cannot_exist_are_refused():
    with refused("sizes must be at least two positive numbers, not (4,)"):
        Network((4,), Fixed(16, 8), [])
    with refused("sizes must be at least two positive numbers, not (4, 0, 2)"):
        Network((4, 0, 2), Fixed(16, 8), [Formats()] * 2)
    with refused("formats must be one for each of 2 layers, not 1"):
        Network((4, 3, 2), Fixed(16, 8), [Formats()])
