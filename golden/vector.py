"""The vector unit's two primitives on raw integer words: ``affine`` and ``reduce``, per channel."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from golden import fused
from golden.convert import SHARE, narrow, rounder
from golden.product import EXACT_INT, OverflowRefused, check_words
from golden.workers import blocks, each
from spec.number import Rounding

SCALAR_WIDTH = 18  # bits of s0 and s1, sign included: one FPGA multiplier
SCALAR_MAX = (1 << (SCALAR_WIDTH - 1)) - 1


@dataclass(frozen=True)
class Scaled:
    """What ``affine`` gives."""

    words: np.ndarray  # of the type :func:`golden.convert.narrow`, the shape of u
    saturations: int
    mask: np.ndarray | None  # bool, where words are positive; None without ReLU


def affine(
    u: np.ndarray,
    v: np.ndarray | None,
    s0: int | Sequence[int] | np.ndarray,
    s1: int | Sequence[int] | np.ndarray = 0,
    s2: int | Sequence[int] | np.ndarray = 0,
    *,
    shift: int,
    rounding: Rounding,
    key: int = 0,
    width: int = 16,
    acc_width: int = 48,
    index_base: int = 0,
    relu: bool = False,
    mask: np.ndarray | None = None,
) -> Scaled:
    """``Convert(s0*u + s1*v + s2)`` with one s0, s1, s2 per channel, the last axis.

    u, v : words of ``width`` bits and of one shape; no v is a v of zeros. s0, s1 :
    integers of 18 bits, s2 of ``acc_width`` bits, each one for all channels or one per channel.
    Element i is rounded under ``index_base + i``, i its linear index in u.
    relu : words below zero become zero, and the positive ones are the mask that is returned;
    saturations are Convert's, counted before.
    mask : where it is zero the result is zero and nothing is counted as saturated.

    Raises ValueError for shapes that differ, words and scalars out of range, and
    :class:`golden.product.OverflowRefused` where words of ``width`` bits *could* pass
    ``acc_width`` bits, whatever the words are: a command is legal or not by its scalars alone.
    """
    u = _words("u", u, width)
    given = (("s0", s0, SCALAR_WIDTH), ("s1", s1, SCALAR_WIDTH), ("s2", s2, acc_width))
    per_channel = u.ndim > 0 and not all(isinstance(one, int) for _, one, _ in given)
    channels = u.shape[-1] if per_channel else 1  # one for all is as good as a single channel
    scalars = np.empty((3, 1, channels), np.int64)
    for row, one in zip(scalars, given, strict=True):
        row[:] = _scalars(*one, channels)
    extent = 1 << (width - 1)
    worst = int((np.array([extent, extent, 1]) @ np.abs(scalars[:, 0])).max())
    if worst >= 1 << (acc_width - 1):
        bound = (1 << (acc_width - 1)) - 1
        raise OverflowRefused(f"affine: |s0*u| + |s1*v| + |s2| must be at most {bound}, but can reach {worst}")
    if v is not None and np.shape(v) != u.shape:
        raise ValueError(f"affine: v must have u's shape {u.shape}, not {np.shape(v)}")
    if mask is not None and np.shape(mask) != u.shape:
        raise ValueError(f"affine: mask must have u's shape {u.shape}, not {np.shape(mask)}")

    how = rounder(shift, rounding, key, width)
    tiles = -(-fused.BLOCK // channels)
    s0, s1, s2 = scalars.repeat(tiles, axis=1).reshape(3, -1)
    factors = (s0.astype(np.int32), s1.astype(np.int32), s2)
    flat_u = u.reshape(-1)
    flat_v = flat_u[:0] if v is None else _words("v", v, width).reshape(-1)
    where = np.zeros(0, bool) if mask is None else np.ascontiguousarray(mask, bool).reshape(-1)
    words = np.empty(u.shape, narrow(width))
    flat = words.reshape(-1)

    def part(some: slice) -> int:
        first = (index_base + some.start) % (1 << 32)
        return fused.affine(flat_u[some], flat_v[some], *factors, where[some], flat[some], first, how)

    length = tiles * channels
    saturations = sum(each(part, blocks(u.size, length * -(-SHARE // length))))
    if not relu:
        return Scaled(words, saturations, None)
    words = np.maximum(words, 0)
    return Scaled(words, saturations, words > 0)


def reduce(u: np.ndarray, v: np.ndarray, *, width: int = 16, acc_width: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Exact sums of u and of u*v per channel: two int64 arrays of (channels,).

    u, v : words of ``width`` bits, of one shape whose last axis is the channel.
    Raises ValueError for shapes that differ or words out of range, and
    :class:`golden.product.OverflowRefused` when a sum does not fit in ``acc_width`` bits.
    """
    u, v = _words("u", u, width), _words("v", v, width)
    if u.shape != v.shape or not u.ndim:
        raise ValueError(f"reduce: u and v must have one shape with channels last, not {u.shape} and {v.shape}")
    u, v = u.reshape(-1, u.shape[-1]), v.reshape(-1, v.shape[-1])
    bound = len(u) << (2 * (width - 1))
    if bound >= EXACT_INT:
        raise OverflowRefused(f"reduce: sums of {len(u)} words can reach {bound}, which must be below {EXACT_INT}")

    def part(rows: slice) -> np.ndarray:
        totals = np.zeros((2, u.shape[1]), np.int64)
        fused.reduce(u[rows], v[rows], totals[0], totals[1])
        return totals

    found = each(part, blocks(len(u), -(-SHARE // max(u.shape[1], 1))))
    sums, products = sum(found, start=np.zeros((2, u.shape[1]), np.int64))
    limit = 1 << (acc_width - 1)
    for name, sums_of in (("u", sums), ("u*v", products)):
        if sums_of.size and not (-limit <= sums_of.min() and sums_of.max() < limit):
            raise OverflowRefused(
                f"reduce: sums of {name} must be {-limit} to {limit - 1} for acc_width {acc_width}, "
                f"not {sums_of.min()} to {sums_of.max()}"
            )
    return sums, products


def gate(words: np.ndarray, by: np.ndarray) -> np.ndarray:
    """``words`` where ``by``, of their shape, is positive, else zero: ReLU where both are one, and its gradient."""
    out = np.empty(words.shape, words.dtype)
    flat = [np.ascontiguousarray(tensor).reshape(-1) for tensor in (words, by)] + [out.reshape(-1)]
    each(lambda some: fused.gate(*(tensor[some] for tensor in flat)), blocks(words.size, SHARE))
    return out


def _words(name: str, given: np.ndarray, width: int) -> np.ndarray:
    """Words of ``width`` bits in one piece and in their own type; ValueError for others."""
    given = np.asarray(given)
    check_words(name, given, width)
    return np.ascontiguousarray(given, narrow(width)).reshape(given.shape)


def _scalars(name: str, given: int | Sequence[int] | np.ndarray, width: int, channels: int) -> int | np.ndarray:
    """One for all or one per channel; ValueError for those outside ``width`` bits."""
    if isinstance(given, int) and -(1 << (width - 1)) <= given < 1 << (width - 1):
        return given
    values = np.asarray(given, np.int64)
    if values.ndim and values.shape != (channels,):
        raise ValueError(f"affine: {name} must be one or {channels} integers, not of shape {values.shape}")
    check_words(name, values, width)
    return values
