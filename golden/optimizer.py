"""SGD with momentum and weight decay on integer words, as three affine steps."""

from dataclasses import dataclass

import numpy as np

from golden import vector
from golden.layers import Formats, Role, tensor_key
from spec.number import Fixed, Rounding
from spec.product import MAX_SHIFT

MULTIPLIER_WIDTH = 18  # bits of a multiplier, sign included: one FPGA multiplier
LARGEST = (1 << (MULTIPLIER_WIDTH - 1)) - 1


@dataclass(frozen=True)
class Affine:
    """``out = Convert(s0 * u + s1 * v)``, dropping ``shift`` bits: one command of a vector unit."""

    s0: int
    s1: int
    shift: int

    def __call__(
        self, u: np.ndarray, v: np.ndarray, width: int, rounding: Rounding, key: int
    ) -> tuple[np.ndarray, int]:
        """u, v and out: int64 words of one shape, rounded under their linear index; saturations."""
        done = vector.affine(u, v, self.s0, self.s1, shift=self.shift, rounding=rounding, key=key, width=width)
        return done.words.astype(np.int64), done.saturations


def affine(what: str, out: Fixed, u: Fixed, c0: float, v: Fixed, c1: float) -> Affine:
    """The integers for ``out = c0 * u + c1 * v`` with factors c0 and c1.

    s0 and s1 are the factors in ``out``'s words, scaled by one power of two and rounded to
    integers; the power is the largest for which both fit 18 bits and the shift is at most
    32. Raises ValueError when none is, and when a factor other than zero rounds to zero.
    """
    scaled = (c0 * 2.0 ** (out.frac - u.frac), c1 * 2.0 ** (out.frac - v.frac))
    for shift in range(MAX_SHIFT, -1, -1):
        s0, s1 = (round(c * 2.0**shift) for c in scaled)
        if max(abs(s0), abs(s1)) <= LARGEST:
            break
    else:
        raise ValueError(f"{what}: factors in words must be at most {LARGEST}, not {scaled[0]} and {scaled[1]}")
    for factor, word, source in ((c0, s0, u), (c1, s1, v)):
        if factor and not word:
            least = 2.0 ** (source.frac - out.frac - shift - 1)
            raise ValueError(f"{what}: factor must be more than {least} to be seen, not {abs(factor)}")
    return Affine(s0, s1, shift)


@dataclass(frozen=True, kw_only=True)
class Sgd:
    """``v = momentum*v + (g + decay*w)``, ``w = w - rate*v``, g the mean gradient of the batch."""

    rate: float = 0.1
    momentum: float = 0.9
    decay: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 16:
            raise ValueError(f"rate must be more than 0 and at most 16, not {self.rate}")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be at least 0 and less than 1, not {self.momentum}")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must be at least 0 and less than 1, not {self.decay}")

    def plan(self, formats: Formats, batch: int) -> "SgdPlan":
        """The integer multipliers for gradients summed over ``batch`` samples."""
        f = formats
        return SgdPlan(
            formats=f,
            decay=affine("decay", f.gradients, f.gradients, 1.0, f.weights, self.decay * batch) if self.decay else None,
            velocity=affine("momentum", f.velocity, f.velocity, self.momentum, f.gradients, 1.0),
            weights=affine("rate", f.weights, f.weights, 1.0, f.velocity, -self.rate / batch),
        )


@dataclass(frozen=True)
class SgdPlan:
    """:class:`Sgd` in integers for one layer's formats; velocity is kept in sums over a batch."""

    formats: Formats
    decay: Affine | None
    velocity: Affine
    weights: Affine

    def update(
        self,
        weights: np.ndarray,
        velocity: np.ndarray,
        gradient: np.ndarray,
        *,
        rounding: Rounding,
        seed: int,
        step: int,
        layer: int,
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """New weights, new velocity and saturations; all int64 words of one shape."""
        width = self.formats.weights.width
        saturations = 0
        if self.decay is not None:
            key = tensor_key(seed, step, layer, Role.DECAYED)
            gradient, count = self.decay(gradient, weights, width, rounding, key)
            saturations += count
        key = tensor_key(seed, step, layer, Role.VELOCITY)
        velocity, count = self.velocity(velocity, gradient, width, rounding, key)
        saturations += count
        key = tensor_key(seed, step, layer, Role.WEIGHT)
        weights, count = self.weights(weights, velocity, width, rounding, key)
        return weights, velocity, saturations + count
