"""Batch normalisation on raw integer words: ``reduce``, integers per channel, ``affine``. No float anywhere.

Per channel, with S = sum x, Q = sum x*x over N positions (both exact)::

    V = N*Q - S*S                    variance = V / N**2, in squares of x's step
    r = 1 / sqrt(variance + EPSILON) 30 fraction bits, rounded down, by an integer square root
    y = gamma*r*(x - S/N) + beta                                       one affine
    dx = gamma*r*(dy - sum dy / N - (x - S/N)*r*r*K / N**2)            one affine
    dgamma = r*K / N, dbeta = sum dy, with K = N * sum dy*x - S * sum dy

The formulas are those of Ioffe and Szegedy 2015 (arXiv:1502.03167, section 3), gathered by u and v.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import isqrt

import numpy as np

from golden.convert import convert_linear
from golden.layers import Formats
from golden.vector import SCALAR_MAX, SCALAR_WIDTH, Scaled, affine, reduce
from spec.number import Fixed, Rounding
from spec.product import MAX_SHIFT

EPSILON_LOG = 16  # the epsilon under the root is 2**-16
ROOT_FRAC = 30  # fraction bits of a reciprocal root; with epsilon it is at most 2**38
RUN_FRAC = 16  # bits that running statistics keep below x's step, and below its square
RUN_SHIFT = 3  # running statistics move by an eighth of the distance
GUARD = 14  # bits that gradients of gamma and beta keep below their format until Convert drops them


@dataclass(frozen=True)
class Statistics:
    """Per channel: mean ``total / count`` in words of x, and the reciprocal root with ROOT_FRAC bits."""

    total: tuple[int, ...]
    count: int
    root: tuple[int, ...]


@dataclass(frozen=True)
class Scalars:
    """What one affine is told: (s0, s1, s2) of each channel, and the shift of all."""

    channels: tuple[tuple[int, int, int], ...]
    shift: int

    @property
    def clipped(self) -> int:
        """Factors that do not fit."""
        return sum((abs(s0) == SCALAR_MAX) + (abs(s1) == SCALAR_MAX) for s0, s1, _ in self.channels)


def reciprocal_root(square: int, norm: int, frac: int) -> int:
    """``1 / sqrt(square / norm * 4**-frac + 2**-16)`` with 30 fraction bits, rounded down.

    square : at least 0; square / norm is a variance of words with ``frac`` fraction bits.
    Exact: the floor of the root of a quotient is the root of its floor. With N up to 2**20
    positions of 18-bit words, intermediate numbers have at most 152 bits (norm = N**2, frac 18).
    """
    if square < 0 or norm < 1:
        raise ValueError(f"square must be at least 0 and norm at least 1, not {square} and {norm}")
    return isqrt((norm << (2 * frac + EPSILON_LOG + 2 * ROOT_FRAC)) // ((square << EPSILON_LOG) + (norm << 2 * frac)))


def ratio(numerator: int, denominator: int, power: int) -> int:
    """``numerator * 2**power / denominator`` rounded half up, exactly; denominator positive."""
    if power >= 0:
        numerator <<= power
    else:
        denominator <<= -power
    return (2 * numerator + denominator) // (2 * denominator)


@dataclass(frozen=True)
class BatchNorm:
    """Normalises layer ``number``: x (batch, h, w, c) or (batch, c), words of ``inputs``.

    Parameters are (2, c) words of ``formats.weights``: gamma, then beta. Running statistics are
    (2, c) int64: means with RUN_FRAC bits below a word of x, variances with RUN_FRAC bits below
    the square of one.
    """

    number: int
    inputs: Fixed
    formats: Formats
    acc_width: int = 48

    def __post_init__(self) -> None:
        if 1 << self.formats.weights.frac > self.formats.weights.hi:
            raise ValueError(
                f"layer {self.number}: weights {self.formats.weights} cannot hold 1.0, gamma's first value"
            )

    def first_parameters(self, channels: int) -> np.ndarray:
        """Gamma one, beta zero."""
        one = 1 << self.formats.weights.frac
        return np.stack([np.full(channels, one, np.int64), np.zeros(channels, np.int64)])

    def first_running(self, channels: int) -> np.ndarray:
        """Mean zero, variance one."""
        one = 1 << (2 * self.inputs.frac + RUN_FRAC)
        return np.stack([np.zeros(channels, np.int64), np.full(channels, one, np.int64)])

    def statistics(self, x: np.ndarray) -> tuple[Statistics, tuple[int, ...]]:
        """Mean and reciprocal root of every channel of a batch, and ``V = variance * count**2``."""
        sums, squares = reduce(x, x, width=self.inputs.width, acc_width=self.acc_width)
        return self.statistics_of(sums.tolist(), squares.tolist(), x.size // x.shape[-1])

    def statistics_of(
        self, sums: Sequence[int], squares: Sequence[int], count: int
    ) -> tuple[Statistics, tuple[int, ...]]:
        """The same from exact sums of x and of its squares over ``count`` positions."""
        spread = tuple(count * int(q) - int(s) ** 2 for s, q in zip(sums, squares, strict=True))
        roots = tuple(reciprocal_root(v, count * count, self.inputs.frac) for v in spread)
        return Statistics(tuple(int(s) for s in sums), count, roots), spread

    def running_statistics(self, running: np.ndarray) -> Statistics:
        """What inference normalises with."""
        roots = tuple(reciprocal_root(int(v), 1 << RUN_FRAC, self.inputs.frac) for v in running[1])
        return Statistics(tuple(int(m) for m in running[0]), 1 << RUN_FRAC, roots)

    def run(self, running: np.ndarray, statistics: Statistics, spread: tuple[int, ...]) -> np.ndarray:
        """Running statistics moved by an eighth of the distance to a batch's, rounded half up."""
        n = statistics.count
        batch = [
            [ratio(s, n, RUN_FRAC) for s in statistics.total],
            [ratio(v, n * n, RUN_FRAC) for v in spread],
        ]
        return running + ((np.array(batch, np.int64) - running + (1 << (RUN_SHIFT - 1))) >> RUN_SHIFT)

    def forward(
        self, x: np.ndarray, parameters: np.ndarray, statistics: Statistics, rounding: Rounding, key: int
    ) -> Scaled:
        """``gamma * (x - mean) / root + beta``, words of ``formats.activations``: one affine."""
        return self._affine(x, None, self.forward_scalars(parameters, statistics), rounding, key)

    def forward_scalars(self, parameters: np.ndarray, statistics: Statistics) -> Scalars:
        """Of the forward affine."""
        frac, of_weights = self.formats.activations.frac, self.formats.weights.frac

        channels = list(self._channels(parameters, statistics))
        first = _Factors(
            [gamma * r for gamma, _, _, r in channels], 1, frac - self.inputs.frac - of_weights - ROOT_FRAC
        )

        def scalars(shift: int) -> Iterable[tuple[int, int, int]]:
            for (_, beta, s, _), s0 in zip(channels, first.at(shift), strict=True):
                yield s0, 0, ratio(beta, 1, shift + frac - of_weights) - ratio(s0 * s, statistics.count, 0)

        return self._fitting(scalars, first.most_shift)

    def backward(
        self,
        delta: np.ndarray,
        x: np.ndarray,
        parameters: np.ndarray,
        statistics: Statistics,
        below: Fixed,
        rounding: Rounding,
        key: int,
        parameters_key: int,
    ) -> tuple[Scaled, np.ndarray, int]:
        """Gradient of x, words of ``below``; of the parameters, (2, c) words of ``formats.gradients``; saturations.

        delta : words of ``formats.deltas`` and of x's shape. ``statistics`` are the batch's own.
        Saturations are those of the parameters' gradient; the first result counts its own.
        """
        sums, products = reduce(delta, x, width=self.inputs.width, acc_width=self.acc_width)
        totals = sums.tolist()
        joint = self.joint(totals, products.tolist(), statistics)
        dx = self._affine(delta, x, self.backward_scalars(totals, joint, parameters, statistics, below), rounding, key)
        return dx, *self.parameter_gradient(totals, joint, statistics, rounding, parameters_key)

    def joint(self, sums: Sequence[int], products: Sequence[int], statistics: Statistics) -> list[int]:
        """K of every channel, from exact sums of delta and of delta times x."""
        n = statistics.count
        return [n * p - s * t for p, s, t in zip(products, statistics.total, sums, strict=True)]

    def backward_scalars(
        self,
        totals: Sequence[int],
        joint: Sequence[int],
        parameters: np.ndarray,
        statistics: Statistics,
        below: Fixed,
    ) -> Scalars:
        """Of the backward affine: u is delta, v is x. totals : sums of delta; joint : :meth:`joint`."""
        f, n = self.formats, statistics.count

        channels = list(self._channels(parameters, statistics))
        power = below.frac - f.weights.frac - ROOT_FRAC - f.deltas.frac
        first = _Factors([gamma * r for gamma, _, _, r in channels], 1, power)
        second = _Factors(
            [-gamma * r**3 * k for (gamma, _, _, r), k in zip(channels, joint, strict=True)],
            n * n,
            power - 2 * ROOT_FRAC - 2 * self.inputs.frac,
        )

        def scalars(shift: int) -> Iterable[tuple[int, int, int]]:
            factors = zip(first.at(shift), second.at(shift), strict=True)
            for (s0, s1), t, s in zip(factors, totals, statistics.total, strict=True):
                yield s0, s1, -ratio(s0 * t + s1 * s, n, 0)

        return self._fitting(scalars, min(first.most_shift, second.most_shift))

    def parameter_gradient(
        self, totals: Sequence[int], joint: Sequence[int], statistics: Statistics, rounding: Rounding, key: int
    ) -> tuple[np.ndarray, int]:
        """Gradient of gamma and beta, (2, c) words of ``formats.gradients``, and saturations."""
        f, n = self.formats, statistics.count
        power = f.gradients.frac + GUARD - f.deltas.frac
        acc = [
            [
                ratio(r * k, n, power - ROOT_FRAC - self.inputs.frac)
                for r, k in zip(statistics.root, joint, strict=True)
            ],
            [ratio(t, 1, power) for t in totals],
        ]
        limit = 1 << (self.acc_width - 1)  # what is clipped here saturates below
        words = np.array([[min(max(a, -limit), limit - 1) for a in row] for row in acc], np.int64)
        return convert_linear(words, GUARD, rounding, key, 0, f.gradients.width, self.acc_width)

    def _channels(self, parameters: np.ndarray, statistics: Statistics) -> Iterable[tuple[int, int, int, int]]:
        """gamma, beta, total and root of every channel."""
        gamma, beta = parameters.tolist()
        return zip(gamma, beta, statistics.total, statistics.root, strict=True)

    def _fitting(self, scalars: Callable[[int], Iterable[tuple[int, int, int]]], most_shift: int) -> Scalars:
        """The largest shift for which every channel's scalars fit: one shift per command.

        ``most_shift`` : no larger one fits, so that the search need not begin at 32.
        Factors that do not even fit without a shift (a channel that hardly varies, under a large
        gradient) are clipped, and counted among the saturations.
        """
        extent = 1 << (self.inputs.width - 1)
        for shift in range(most_shift, -1, -1):
            chosen = list(scalars(shift))
            if all(
                max(abs(s0), abs(s1)) < SCALAR_MAX
                and (abs(s0) + abs(s1)) * extent + abs(s2) < 1 << (self.acc_width - 1)
                for s0, s1, s2 in chosen
            ):
                break
        return Scalars(tuple(chosen), shift)

    def _affine(self, u: np.ndarray, v: np.ndarray | None, scalars: Scalars, rounding: Rounding, key: int) -> Scaled:
        s0, s1, s2 = np.array(scalars.channels, np.int64).T
        done = affine(
            u,
            v,
            s0,
            s1,
            s2,
            shift=scalars.shift,
            rounding=rounding,
            key=key,
            width=self.inputs.width,
            acc_width=self.acc_width,
        )
        return replace(done, saturations=done.saturations + scalars.clipped)


@dataclass(frozen=True)
class _Factors:
    """``numerators / denominator * 2**power``, one per channel."""

    numerators: list[int]
    denominator: int
    power: int

    def at(self, shift: int) -> list[int]:
        """Times ``2**shift``, as :func:`ratio`, clipped to SCALAR_MAX on both sides: one there does not fit."""
        given = ((n, self.denominator, self.power + shift) for n in self.numerators)
        return [min(max(ratio(*one), -SCALAR_MAX), SCALAR_MAX) for one in given]

    @property
    def most_shift(self) -> int:
        """Past it a factor does not fit; 0 where none does. A quotient is more than ``2**(a - b - 1)``, a and b the bits
        of its terms: the search begins there, and looks at the two outermost factors."""
        ends = (min(self.numerators), max(self.numerators))
        bits = max(n.bit_length() for n in ends) - self.denominator.bit_length() + self.power
        first = min(max(SCALAR_WIDTH - bits, 0), MAX_SHIFT)
        return next((shift for shift in range(first, 0, -1) if self._fit(ends, shift)), 0)

    def _fit(self, numerators: Iterable[int], shift: int) -> bool:
        return all(abs(ratio(n, self.denominator, self.power + shift)) < SCALAR_MAX for n in numerators)
