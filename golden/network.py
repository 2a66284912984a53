"""A multilayer perceptron on raw integer words: first weights, prediction, one training step."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np

from golden.keyed import random_bits
from golden.layers import Dense, Execute, Formats, Role, relu, tensor_key
from golden.loss import cross_entropy
from golden.optimizer import SgdPlan
from spec.number import Fixed, Rounding


@dataclass(frozen=True)
class StepResult:
    """One training step: sums over its batch."""

    loss: int  # golden.loss.LOSS_FRAC fraction bits
    correct: int
    samples: int
    saturations: int  # outside the products: in the loss gradient and the update


class Network:
    """Dense layers with ReLU between them and softmax cross-entropy after the last.

    sizes : inputs, hidden layers..., classes. formats : one per layer.
    weights : per layer (fan_in + 1, fan_out) int64 words, the bias in the last row;
    velocity the same. All randomness is keyed by ``seed``: equal seeds, equal words.
    """

    def __init__(self, sizes: Sequence[int], inputs: Fixed, formats: Sequence[Formats], seed: int = 0):
        if len(sizes) < 2 or min(sizes) < 1:
            raise ValueError(f"sizes must be at least two positive numbers, not {tuple(sizes)}")
        if len(formats) != len(sizes) - 1:
            raise ValueError(f"formats must be one for each of {len(sizes) - 1} layers, not {len(formats)}")
        self.sizes = tuple(sizes)
        self.formats = tuple(formats)
        self.inputs = inputs
        self.seed = seed
        self.layers: list[Dense] = []
        for number, layer_formats in enumerate(formats):
            self.layers.append(Dense(number, inputs, layer_formats))
            inputs = layer_formats.activations
        self.weights = [
            first_weights(fan_in, fan_out, layer_formats.weights, tensor_key(seed, 0, number, Role.INIT))
            for number, (fan_in, fan_out, layer_formats) in enumerate(zip(sizes, sizes[1:], formats, strict=False))
        ]
        self.velocity = [np.zeros_like(weights) for weights in self.weights]

    def predict(self, execute: Execute, x: np.ndarray) -> np.ndarray:
        """Logits (batch, classes) for x (batch, inputs), every product rounded to nearest."""
        for layer, weights in zip(self.layers, self.weights, strict=True):
            z = layer.forward(execute, x, weights, Rounding.NEAREST, 0)
            x = relu(z)
        return z

    def step(
        self,
        execute: Execute,
        x: np.ndarray,
        labels: np.ndarray,
        plans: Sequence[SgdPlan],
        rounding: Rounding,
        step: int,
    ) -> StepResult:
        """Forward, backward and update on one batch; ``step`` makes the keys of its tensors."""

        def key(number: int, role: Role) -> int:
            return tensor_key(self.seed, step, number, role)

        inputs = [x]
        for layer, layer_weights in zip(self.layers, self.weights, strict=True):
            z = layer.forward(execute, inputs[-1], layer_weights, rounding, key(layer.number, Role.ACTIVATION))
            inputs.append(relu(z))

        last = self.layers[-1]
        loss = cross_entropy(
            z,
            labels,
            last.formats.activations,
            last.formats.deltas,
            rounding,
            key(last.number, Role.DELTA),
        )
        saturations = loss.saturations

        delta = loss.delta
        gradients = []
        for layer in reversed(self.layers):
            x = inputs[layer.number]
            gradients.append(layer.weight_gradient(execute, x, delta, rounding, key(layer.number, Role.GRADIENT)))
            if layer.number > 0:  # nobody asks for the gradient of the samples
                below = layer.number - 1
                delta = layer.input_gradient(
                    execute,
                    delta,
                    self.weights[layer.number],
                    x > 0,
                    self.formats[below].deltas,
                    rounding,
                    key(below, Role.DELTA),
                )

        weights, velocity = [], []
        for number, gradient in enumerate(reversed(gradients)):
            new_weights, new_velocity, count = plans[number].update(
                self.weights[number],
                self.velocity[number],
                gradient,
                rounding=rounding,
                seed=self.seed,
                step=step,
                layer=number,
            )
            weights.append(new_weights)
            velocity.append(new_velocity)
            saturations += count
        # At once, so that an interrupted step leaves the state of the step before.
        self.weights, self.velocity = weights, velocity
        return StepResult(loss.loss, loss.correct, len(labels), saturations)

    def state(self) -> dict[str, np.ndarray]:
        """Everything a later step depends on but its step number, as arrays by name."""
        return {
            f"{kind}{number}": words
            for kind, tensors in (("weights", self.weights), ("velocity", self.velocity))
            for number, words in enumerate(tensors)
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what :meth:`state` gave; ValueError when names or shapes are not this network's."""
        check_state("mlp", self.state(), state)
        for kind in ("weights", "velocity"):
            setattr(self, kind, [np.array(state[f"{kind}{n}"], np.int64) for n in range(len(self.layers))])

    def digest(self) -> str:
        """SHA-256 over all weights and velocities, little-endian 32-bit words, layer by layer."""
        digest = hashlib.sha256()
        for weights, velocity in zip(self.weights, self.velocity, strict=True):
            digest.update(np.ascontiguousarray(weights, dtype="<i4").tobytes())
            digest.update(np.ascontiguousarray(velocity, dtype="<i4").tobytes())
        return digest.hexdigest()


def check_state(name: str, own: Mapping[str, np.ndarray], given: Mapping[str, np.ndarray]) -> None:
    """ValueError unless both hold tensors of the same names and shapes."""
    if set(given) != set(own):
        differing = ", ".join(sorted(set(given) ^ set(own)))
        raise ValueError(f"{name}: state must hold the same tensors, these differ: {differing}")
    for tensor, words in own.items():
        if given[tensor].shape != words.shape:
            raise ValueError(f"{name}: {tensor} must have shape {words.shape}, not {given[tensor].shape}")


def first_weights(fan_in: int, fan_out: int, fixed: Fixed, key: int) -> np.ndarray:
    """He's uniform weights, -limit to limit with ``limit = sqrt(6 / fan_in)``; bias row zero.

    (fan_in + 1, fan_out) int64 words of ``fixed``, from keyed bits and integer square
    root, so they are the same words on every machine. Raises ValueError if limit does not fit.
    """
    limit = isqrt((6 << (2 * fixed.frac)) // fan_in)
    if limit > fixed.hi:
        raise ValueError(f"weights {fixed} must hold sqrt(6 / {fan_in}), {limit} in words, not only {fixed.hi}")
    bits = random_bits(key, np.arange(fan_in * fan_out, dtype=np.int64)).astype(np.int64)
    words = (bits * (2 * limit + 1) >> 32) - limit
    return np.concatenate([words.reshape(fan_in, fan_out), np.zeros((1, fan_out), np.int64)])
