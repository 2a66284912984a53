"""A dense layer's three products, and ReLU, on raw integer words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import ClassVar, Protocol

import numpy as np

from golden.keyed import random_bits
from golden.product import chained_product, product
from spec.number import Fixed, Rounding
from spec.product import MAX_SHIFT

PHASES = ("FP", "BP", "WG")  # forward, input gradient, weight gradient
Parts = Sequence[tuple[np.ndarray, np.ndarray]]  # (m, k_i) and (k_i, n): one reduction in pieces


class Execute(Protocol):
    """Whatever computes products: golden, the generated RTL, later a GPU.

    ``saturations`` is a running count over all calls; callers read differences.
    """

    @property
    def saturations(self) -> int: ...

    def __call__(
        self,
        a: np.ndarray,
        b: np.ndarray,
        *,
        shift: int,
        rounding: Rounding,
        key: int,
        mask: np.ndarray | None = None,
        name: str = "",
        phase: str = "FP",
        index_base: int = 0,
    ) -> np.ndarray:
        """``Convert(mask * (a @ b))`` as :func:`golden.product.product` defines it.

        Element (p, j) of C is rounded under ``index_base + p*n + j``: rows of a larger C can
        be asked for in pieces.
        """

    def chain(
        self, parts: Parts, *, shift: int, rounding: Rounding, key: int, name: str = "", phase: str = "WG"
    ) -> np.ndarray:
        """``Convert(sum of a_i @ b_i)``, rounded once: a reduction too long for one pair of operands.

        ``parts`` may compute its items when they are read, and may be read more than once. An
        executor without partial sums can run :func:`whole` of it.
        """


def takes_rows(execute: Execute) -> bool:
    """Whether operands may be :class:`golden.product.Rows` and :class:`golden.product.Turned`; others get arrays."""
    return getattr(execute, "takes_rows", False)


def whole(parts: Parts) -> tuple[np.ndarray, np.ndarray]:
    """The two operands whose product is the sum of the parts' products."""
    pairs = list(parts)
    return np.concatenate([a for a, _ in pairs], axis=1), np.concatenate([b for _, b in pairs])


@dataclass
class GoldenExecute:
    """The default :class:`Execute`: :func:`golden.product.product`."""

    takes_rows: ClassVar[bool] = True
    width: int = 16
    acc_width: int = 48
    saturations: int = field(default=0, init=False)

    def __call__(
        self,
        a: np.ndarray,
        b: np.ndarray,
        *,
        shift: int,
        rounding: Rounding,
        key: int,
        mask: np.ndarray | None = None,
        name: str = "",
        phase: str = "FP",
        index_base: int = 0,
    ) -> np.ndarray:
        words, saturations = product(
            a,
            b,
            shift=shift,
            rounding=rounding,
            key=key,
            mask=mask,
            width=self.width,
            acc_width=self.acc_width,
            index_base=index_base,
        )
        self.saturations += saturations
        return words

    def chain(
        self, parts: Parts, *, shift: int, rounding: Rounding, key: int, name: str = "", phase: str = "WG"
    ) -> np.ndarray:
        words, saturations = chained_product(
            parts, shift=shift, rounding=rounding, key=key, width=self.width, acc_width=self.acc_width
        )
        self.saturations += saturations
        return words


class Role(IntEnum):
    """What a layer's tensor is; with the layer's number it makes the tensor's id."""

    INIT = 0  # first weights
    ACTIVATION = 1  # pre-activation z, from the forward product
    DELTA = 2  # gradient of z: of the loss in the last layer, from the input-gradient product below
    GRADIENT = 3  # weight gradient, from its product
    DECAYED = 4  # weight gradient with weight decay added
    VELOCITY = 5  # momentum's running sum
    WEIGHT = 6  # weights after an update
    SHUFFLE = 7  # order of the samples; layer 0, "step" is the epoch


def tensor_key(seed: int, step: int, layer: int, role: Role) -> int:
    """The 32-bit key of one tensor in one step: ``h(h(seed, step), 8*layer + role)``.

    h(key, index) is :func:`golden.keyed.random_bits`. The inner ``h(seed, step)`` is hashed
    as a key, never as an index, so runs, steps and tensors cannot be confused by adding. h is
    a permutation of the index, so the tensors of one step have different keys. Keys of
    different steps may coincide; the two tensors are then rounded by the same bits, each
    still without bias.
    """
    return _layer_keys(seed, step, layer)[role]


def tensor_id(layer: int, role: Role) -> int:
    """What is hashed under the key of a step to give a tensor's own; see :func:`tensor_key`."""
    return 8 * layer + role


@lru_cache(maxsize=64)
def _layer_keys(seed: int, step: int, layer: int) -> list[int]:
    """The keys of all roles at once: hashing one index costs nearly as much as eight."""
    ids = np.array([tensor_id(layer, role) for role in Role], np.int64)
    return random_bits(_step_key(seed, step), ids).tolist()


@lru_cache(maxsize=8)
def _step_key(seed: int, step: int) -> int:
    return int(random_bits(seed, np.array([step], np.int64))[0])


@dataclass(frozen=True, kw_only=True)
class Formats:
    """The formats of one dense layer. All must share one width."""

    weights: Fixed = field(default=Fixed(16, 13))
    activations: Fixed = field(default=Fixed(16, 10))  # this layer's output z
    deltas: Fixed = field(default=Fixed(16, 13))  # gradient of z; must hold -1 to 1 in the last layer
    gradients: Fixed = field(default=Fixed(16, 10))  # weight gradient, summed over the batch
    velocity: Fixed = field(default=Fixed(16, 10))  # momentum's running sum of gradients

    def __post_init__(self) -> None:
        widths = {name: fixed.width for name, fixed in vars(self).items()}
        if len(set(widths.values())) > 1:
            listed = ", ".join(f"{name} {width}" for name, width in widths.items())
            raise ValueError(f"formats of a layer must share one width, not {listed}")

    @classmethod
    def uniform(cls, frac: int, width: int = 16) -> "Formats":
        """One format for everything, as Gupta et al. 2015 train."""
        fixed = Fixed(width, frac)
        return cls(weights=fixed, activations=fixed, deltas=fixed, gradients=fixed, velocity=fixed)


def shift_between(what: str, have: int, want: int) -> int:
    """Bits to drop from ``have`` to ``want`` fraction bits; ValueError outside what Convert can."""
    shift = have - want
    if not 0 <= shift <= MAX_SHIFT:
        raise ValueError(
            f"{what} must drop 0 to {MAX_SHIFT} fraction bits, not {shift}: sums have {have}, words {want}"
        )
    return shift


def with_ones(x: np.ndarray, one: int) -> np.ndarray:
    """x with a last column of ``one``: what the bias, the last row of W, is multiplied by."""
    return np.concatenate([x, np.full((x.shape[0], 1), one, np.int64)], axis=1)


def relu(z: np.ndarray) -> np.ndarray:
    """Words below zero become zero. Positive words of the result are the stored mask."""
    return np.maximum(z, 0)


@dataclass(frozen=True)
class Dense:
    """Products of layer ``number``: x (batch, fan_in) in ``inputs``, weights (fan_in + 1, fan_out).

    Every product goes through the ``execute`` given to the method, under the key given.
    """

    number: int
    inputs: Fixed
    formats: Formats
    sparser: bool = True  # the weight gradient streams the sparser operand; otherwise always x

    def __post_init__(self) -> None:
        if self.one > self.inputs.hi:
            raise ValueError(f"layer {self.number}: inputs {self.inputs} cannot hold 1.0, which the bias needs")

    @property
    def one(self) -> int:
        """The word that means 1.0 in the input's format."""
        return 1 << self.inputs.frac

    def forward(self, execute: Execute, x: np.ndarray, weights: np.ndarray, rounding: Rounding, key: int) -> np.ndarray:
        """FP: ``z = [x 1] @ W``, words of ``formats.activations``."""
        have = self.inputs.frac + self.formats.weights.frac
        shift = shift_between(f"layer {self.number} FP", have, self.formats.activations.frac)
        name = f"layer{self.number}.z"
        return execute(with_ones(x, self.one), weights, shift=shift, rounding=rounding, key=key, name=name, phase="FP")

    def input_gradient(
        self,
        execute: Execute,
        delta: np.ndarray,
        weights: np.ndarray,
        mask: np.ndarray | None,
        below: Fixed,
        rounding: Rounding,
        key: int,
    ) -> np.ndarray:
        """BP: ``mask * (delta @ W.T)``, words of ``below``; what ReLU zeroed is never computed."""
        shift = shift_between(
            f"layer {self.number} BP", self.formats.deltas.frac + self.formats.weights.frac, below.frac
        )
        name = f"layer{self.number}.dx"
        return execute(delta, weights[:-1].T, shift=shift, rounding=rounding, key=key, mask=mask, name=name, phase="BP")

    def weight_gradient(
        self, execute: Execute, x: np.ndarray, delta: np.ndarray, rounding: Rounding, key: int
    ) -> np.ndarray:
        """WG: ``dW = [x 1].T @ delta`` summed over the batch, words of ``formats.gradients``.

        The sparser of x and delta is streamed, since its zeros cost nothing; with delta the
        product computed, and indexed for rounding, is the transpose. The choice looks at the
        words alone, so every machine makes the same one. Without ``sparser`` x is streamed, as in a
        convolution: a machine's commands are fixed before the words are known.
        """
        have = self.inputs.frac + self.formats.deltas.frac
        shift = shift_between(f"layer {self.number} WG", have, self.formats.gradients.frac)
        name = f"layer{self.number}.dw"
        x = with_ones(x, self.one)
        if self.sparser and np.count_nonzero(delta) * x.size < np.count_nonzero(x) * delta.size:
            return execute(delta.T, x, shift=shift, rounding=rounding, key=key, name=name, phase="WG").T
        return execute(x.T, delta, shift=shift, rounding=rounding, key=key, name=name, phase="WG")
