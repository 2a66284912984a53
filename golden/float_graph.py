"""A graph's training in float64, by other means than the golden operators: tap by tap, no patches."""

from collections.abc import Callable

import numpy as np

from golden.batchnorm import EPSILON_LOG, RUN_SHIFT
from golden.conv import out_size
from golden.graph import Graph
from golden.nodes import (
    SAMPLES,
    AddNode,
    Architecture,
    AvgPoolNode,
    BatchNormNode,
    ConvNode,
    DenseNode,
    FlattenNode,
    MaxPoolNode,
    ReluNode,
)

Backward = Callable[[np.ndarray], tuple[list[np.ndarray], np.ndarray | None]]


class FloatGraph:
    """``architecture`` in float64. weights, running : by node, as :class:`golden.graph.Graph` has them, in values."""

    def __init__(self, architecture: Architecture, weights: dict[int, np.ndarray]):
        self.architecture = architecture
        self.weights = weights
        self.running = {
            n: np.stack([np.zeros(weights[n].shape[1]), np.ones(weights[n].shape[1])])
            for n, node in enumerate(architecture.nodes)
            if isinstance(node, BatchNormNode)
        }

    @classmethod
    def like(cls, graph: Graph) -> "FloatGraph":
        """With the values of a graph's weights."""
        return cls(
            graph.architecture,
            {n: words * graph.operators[n].formats.weights.step for n, words in graph.weights.items()},
        )

    def forward(self, x: np.ndarray, training: bool = False) -> tuple[np.ndarray, list[Backward]]:
        """Logits for x (batch, features), and every node's backward pass; training moves running statistics."""
        samples = x.reshape(-1, *self.architecture.input)
        tensors: list[np.ndarray] = []
        backward: list[Backward] = []
        for number, node in enumerate(self.architecture.nodes):
            reads = [samples if i == SAMPLES else tensors[i] for i in node.reads]
            w = self.weights.get(number, np.empty(0))
            match node:
                case ConvNode():
                    out, back = _conv(node, reads[0], w)
                case DenseNode():
                    out, back = reads[0] @ w[:-1] + w[-1], _dense_backward(reads[0], w)
                case BatchNormNode():
                    out, back = self._norm(number, reads[0], w, training)
                case ReluNode():
                    limit = np.inf if node.limit is None else node.limit
                    out, back = np.clip(reads[0], 0, limit), _times((reads[0] > 0) & (reads[0] < limit))
                case MaxPoolNode():
                    out, back = _maxpool(node, reads[0])
                case AvgPoolNode():
                    out, back = _avgpool(node, reads[0])
                case AddNode():
                    out, back = reads[0] + reads[1], lambda delta: ([delta, delta], None)
                case FlattenNode():
                    out, back = reads[0].reshape(len(x), -1), _reshape(reads[0].shape)
                case _:
                    raise TypeError(f"no float form of {node}")
            tensors.append(out)
            backward.append(back)
        return tensors[-1], backward

    def loss_and_gradients(self, x: np.ndarray, labels: np.ndarray) -> tuple[float, dict[int, np.ndarray]]:
        """Softmax cross-entropy summed over the batch, and its gradient for every node's parameters."""
        z, backward = self.forward(x, training=True)
        loss, delta = softmax_loss(z, labels)
        deltas: dict[int, np.ndarray | float] = {len(backward) - 1: delta}
        gradients = {}
        for number in range(len(backward) - 1, -1, -1):
            below, gradient = backward[number](np.asarray(deltas.pop(number)))
            if gradient is not None:
                gradients[number] = gradient
            for source, part in zip(self.architecture.nodes[number].reads, below, strict=True):
                if source != SAMPLES:
                    deltas[source] = deltas.get(source, 0.0) + part
        return loss, gradients

    def _norm(self, number: int, x: np.ndarray, w: np.ndarray, training: bool) -> tuple[np.ndarray, Backward]:
        axes = tuple(range(x.ndim - 1))
        running = self.running[number]
        if training:
            mean, variance = x.mean(axes), x.var(axes)
            self.running[number] = running + (np.stack([mean, variance]) - running) / (1 << RUN_SHIFT)
        else:
            mean, variance = running
        root = 1 / np.sqrt(variance + 2.0**-EPSILON_LOG)
        normal = (x - mean) * root

        def backward(delta: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
            dgamma = (delta * normal).sum(axes)
            dx = w[0] * root * (delta - delta.mean(axes) - normal * (delta * normal).mean(axes))
            return [dx], np.stack([dgamma, delta.sum(axes)])

        return w[0] * normal + w[1], backward


def softmax_loss(z: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """Softmax cross-entropy of logits z (batch, classes), summed over the batch, and its gradient."""
    z = z - z.max(axis=1, keepdims=True)
    p = np.exp(z)
    total = p.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = float(np.sum(np.log(total[:, 0]) - z[rows, labels]))
    delta = p / total
    delta[rows, labels] -= 1
    return loss, delta


def _times(mask: np.ndarray) -> Backward:
    return lambda delta: ([delta * mask], None)


def _reshape(shape: tuple[int, ...]) -> Backward:
    return lambda delta: ([delta.reshape(shape)], None)


def _dense_backward(x: np.ndarray, w: np.ndarray) -> Backward:
    return lambda delta: ([delta @ w[:-1].T], np.concatenate([x.T @ delta, delta.sum(axis=0, keepdims=True)]))


def _taps(x: np.ndarray, kernel: int, stride: int, padding: int) -> list[tuple[slice, slice]]:
    """Where the padded image is seen at each (ky, kx)."""
    oh, ow = (out_size(size, kernel, stride, padding) for size in x.shape[1:3])
    return [
        (slice(ky, ky + stride * (oh - 1) + 1, stride), slice(kx, kx + stride * (ow - 1) + 1, stride))
        for ky in range(kernel)
        for kx in range(kernel)
    ]


def _pad(x: np.ndarray, padding: int, value: float = 0.0) -> np.ndarray:
    return np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)), constant_values=value)


def _crop(x: np.ndarray, padding: int) -> np.ndarray:
    return x[:, padding : x.shape[1] - padding, padding : x.shape[2] - padding]


def _conv(node: ConvNode, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, Backward]:
    taps, padded, c_in = _taps(x, node.kernel, node.stride, node.padding), _pad(x, node.padding), x.shape[3]
    kernels = w[: len(taps) * c_in].reshape(len(taps), c_in, -1)
    z = sum(padded[:, rows, columns] @ kernel for (rows, columns), kernel in zip(taps, kernels, strict=True))
    if node.bias:
        z = z + w[-1]

    def backward(delta: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        dx, dw = np.zeros_like(padded), np.zeros_like(w)
        for tap, ((rows, columns), kernel) in enumerate(zip(taps, kernels, strict=True)):
            dx[:, rows, columns] += delta @ kernel.T
            dw[tap * c_in : (tap + 1) * c_in] = np.tensordot(padded[:, rows, columns], delta, ((0, 1, 2), (0, 1, 2)))
        if node.bias:
            dw[-1] = delta.sum(axis=(0, 1, 2))
        return [_crop(dx, node.padding)], dw

    return np.asarray(z), backward


def _maxpool(node: MaxPoolNode, x: np.ndarray) -> tuple[np.ndarray, Backward]:
    taps, padded = _taps(x, node.kernel, node.stride, node.padding), _pad(x, node.padding, -np.inf)
    seen = np.stack([padded[:, rows, columns] for rows, columns in taps])
    place = seen.argmax(axis=0)

    def backward(delta: np.ndarray) -> tuple[list[np.ndarray], None]:
        dx = np.zeros_like(padded)
        for tap, (rows, columns) in enumerate(taps):
            dx[:, rows, columns] += delta * (place == tap)
        return [_crop(dx, node.padding)], None

    return seen.max(axis=0), backward


def _avgpool(node: AvgPoolNode, x: np.ndarray) -> tuple[np.ndarray, Backward]:
    kernel = node.kernel or x.shape[1]
    taps = _taps(x, kernel, node.stride, 0)

    def backward(delta: np.ndarray) -> tuple[list[np.ndarray], None]:
        dx = np.zeros_like(x)
        for rows, columns in taps:
            dx[:, rows, columns] += delta / len(taps)
        return [dx], None

    return np.mean([x[:, rows, columns] for rows, columns in taps], axis=0), backward
