"""The same training in float64: what exact arithmetic would have learned."""

from dataclasses import dataclass

import numpy as np

from golden.float_graph import FloatGraph
from golden.graph import Graph
from golden.network import Network
from golden.trainer import TEST_BATCH, Config, Samples, batches


@dataclass(frozen=True)
class FloatEpoch:
    epoch: int
    loss: float  # mean over the epoch's training samples
    accuracy: float  # of the test samples, after the epoch


def train_float(config: Config, samples: Samples) -> list[FloatEpoch]:
    """Train as :func:`golden.trainer.train` does, in float64.

    First weights, order of the samples, rate, momentum and decay are those of ``config``;
    its formats and rounding are not used beyond the first weights.
    """
    if config.net != "mlp":
        return _train_graph(config, samples)
    network = Network(config.sizes(samples), config.inputs, config.layer_formats, config.seed)
    weights = [w * f.weights.step for w, f in zip(network.weights, network.formats, strict=True)]
    velocity = [np.zeros_like(w) for w in weights]
    train_x, test_x = (pixels * 2.0**-samples.frac for pixels in (samples.train_x, samples.test_x))
    history = []
    for epoch in range(config.epochs):
        sgd = config.sgd_at(epoch)
        total = 0.0
        for chosen in batches(samples, config, epoch):
            loss, gradients = loss_and_gradients(weights, train_x[chosen], samples.train_y[chosen])
            total += loss
            for w, v, g in zip(weights, velocity, gradients, strict=True):
                v *= sgd.momentum
                v += g / config.batch + sgd.decay * w
                w -= sgd.rate * v
        accuracy = float(np.mean(forward(weights, test_x)[-1].argmax(axis=1) == samples.test_y))
        history.append(FloatEpoch(epoch, total / len(train_x), accuracy))
    return history


def _train_graph(config: Config, samples: Samples) -> list[FloatEpoch]:
    start = config.network(samples)
    assert isinstance(start, Graph)
    graph = FloatGraph.like(start)
    velocity = {number: np.zeros_like(w) for number, w in graph.weights.items()}
    train_x, test_x = (pixels * 2.0**-samples.frac for pixels in (samples.train_x, samples.test_x))
    history = []
    for epoch in range(config.epochs):
        sgd = config.sgd_at(epoch)
        total = 0.0
        for chosen in batches(samples, config, epoch):
            loss, gradients = graph.loss_and_gradients(train_x[chosen], samples.train_y[chosen])
            total += loss
            for number, w in graph.weights.items():
                v = velocity[number]
                v *= sgd.momentum
                v += gradients[number] / config.batch + sgd.decay * w
                w -= sgd.rate * v
        correct = 0
        for first in range(0, len(test_x), TEST_BATCH):
            z, _ = graph.forward(test_x[first : first + TEST_BATCH])
            correct += int(np.count_nonzero(z.argmax(axis=1) == samples.test_y[first : first + TEST_BATCH]))
        history.append(FloatEpoch(epoch, total / len(train_x), correct / len(test_x)))
    return history


def forward(weights: list[np.ndarray], x: np.ndarray) -> list[np.ndarray]:
    """Inputs of every layer, then the logits."""
    tensors = [x]
    for number, w in enumerate(weights):
        z = tensors[-1] @ w[:-1] + w[-1]
        tensors.append(z if number == len(weights) - 1 else np.maximum(z, 0))
    return tensors


def loss_and_gradients(weights: list[np.ndarray], x: np.ndarray, labels: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """Softmax cross-entropy summed over the batch, and its gradient for each layer's [weights; bias]."""
    *inputs, z = forward(weights, x)
    z = z - z.max(axis=1, keepdims=True)
    p = np.exp(z)
    total = p.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = float(np.sum(np.log(total[:, 0]) - z[rows, labels]))
    delta = p / total
    delta[rows, labels] -= 1

    gradients: list[np.ndarray] = []
    for inner, w in zip(reversed(inputs), reversed(weights), strict=True):
        gradients.append(np.concatenate([inner.T @ delta, delta.sum(axis=0, keepdims=True)]))
        delta = (inner > 0) * (delta @ w[:-1].T)
    return loss, gradients[::-1]
