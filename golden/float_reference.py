"""The same training in float64: what exact arithmetic would have learned."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from golden.float_graph import FloatGraph, softmax_loss
from golden.graph import Graph
from golden.network import Network
from golden.trainer import TEST_BATCH, Config, Samples, batches


@dataclass(frozen=True)
class FloatEpoch:
    epoch: int
    loss: float  # mean over the epoch's training samples
    accuracy: float  # of the test samples, after the epoch


def train_float(config: Config, samples: Samples, on_epoch: Callable[[FloatEpoch], None] = lambda _: None) -> list[FloatEpoch]:
    """Train as :func:`golden.trainer.train` does, in float64.

    First weights, order of the samples, rate, momentum and decay are those of ``config``;
    its formats and rounding are not used beyond the first weights. on_epoch : called after each.
    """
    start = config.network(samples)
    network = FloatGraph.like(start) if isinstance(start, Graph) else _Layers(start)
    velocity = {number: np.zeros_like(w) for number, w in network.weights.items()}
    train_x, test_x = (pixels * 2.0**-samples.frac for pixels in (samples.train_x, samples.test_x))
    history = []
    for epoch in range(config.epochs):
        sgd = config.sgd_at(epoch)
        total = 0.0
        for chosen in batches(samples, config, epoch):
            loss, gradients = network.loss_and_gradients(train_x[chosen], samples.train_y[chosen])
            total += loss
            for number, w in network.weights.items():
                v = velocity[number]
                v *= sgd.momentum
                v += gradients[number] / config.batch + sgd.decay * w
                w -= sgd.rate * v
        correct = 0
        for first in range(0, len(test_x), TEST_BATCH):
            z = network.forward(test_x[first : first + TEST_BATCH])[0]
            correct += int(np.count_nonzero(z.argmax(axis=1) == samples.test_y[first : first + TEST_BATCH]))
        history.append(FloatEpoch(epoch, total / len(train_x), correct / len(test_x)))
        on_epoch(history[-1])
    return history


class _Layers:
    """A network of dense layers as :class:`golden.float_graph.FloatGraph` has it, by this module's own means."""

    def __init__(self, network: Network):
        self.weights = {n: words * network.formats[n].weights.step for n, words in enumerate(network.weights)}

    def forward(self, x: np.ndarray) -> tuple[np.ndarray, None]:
        return forward(list(self.weights.values()), x)[-1], None

    def loss_and_gradients(self, x: np.ndarray, labels: np.ndarray) -> tuple[float, dict[int, np.ndarray]]:
        loss, gradients = loss_and_gradients(list(self.weights.values()), x, labels)
        return loss, dict(enumerate(gradients))


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
    loss, delta = softmax_loss(z, labels)
    gradients: list[np.ndarray] = []
    for inner, w in zip(reversed(inputs), reversed(weights), strict=True):
        gradients.append(np.concatenate([inner.T @ delta, delta.sum(axis=0, keepdims=True)]))
        delta = (inner > 0) * (delta @ w[:-1].T)
    return loss, gradients[::-1]
