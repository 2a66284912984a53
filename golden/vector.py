"""The vector unit's two primitives on raw integer words: ``affine`` and ``reduce``, per channel."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from golden.convert import convert
from golden.product import EXACT_FLOAT, EXACT_INT, OverflowRefused
from spec.number import Rounding

SCALAR_WIDTH = 18  # bits of s0 and s1, sign included: one FPGA multiplier
SCALAR_MAX = (1 << (SCALAR_WIDTH - 1)) - 1


@dataclass(frozen=True)
class Scaled:
    """What ``affine`` gives."""

    words: np.ndarray  # int64, the shape of u
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

    u, v : int64 words of ``width`` bits and of one shape; no v is a v of zeros. s0, s1 :
    integers of 18 bits, s2 of ``acc_width`` bits, each one for all channels or one per channel.
    Element i is rounded under ``index_base + i``, i its linear index in u.
    relu : words below zero become zero, and the positive ones are the mask that is returned;
    saturations are Convert's, counted before.
    mask : where it is zero the result is zero and nothing is counted as saturated.

    Raises ValueError for shapes that differ, words and scalars out of range, and
    :class:`golden.product.OverflowRefused` where words of ``width`` bits *could* pass
    ``acc_width`` bits, whatever the words are: a command is legal or not by its scalars alone.
    """
    u = np.asarray(u, np.int64)
    check_words("u", u, width)
    channels = u.shape[-1] if u.ndim else 1
    s0 = _scalars("s0", s0, channels, SCALAR_WIDTH)
    s1 = _scalars("s1", s1, channels, SCALAR_WIDTH)
    s2 = _scalars("s2", s2, channels, acc_width)
    extent = 1 << (width - 1)
    worst = max((int(a) + int(b)) * extent + int(c) for a, b, c in zip(np.abs(s0), np.abs(s1), np.abs(s2), strict=True))
    if worst >= 1 << (acc_width - 1):
        bound = (1 << (acc_width - 1)) - 1
        raise OverflowRefused(f"affine: |s0*u| + |s1*v| + |s2| must be at most {bound}, but can reach {worst}")

    acc = s0 * u + s2
    if v is not None:
        v = np.asarray(v, np.int64)
        if v.shape != u.shape:
            raise ValueError(f"affine: v must have u's shape {u.shape}, not {v.shape}")
        check_words("v", v, width)
        acc += s1 * v
    if mask is not None:
        mask = np.asarray(mask)
        if mask.shape != u.shape:
            raise ValueError(f"affine: mask must have u's shape {u.shape}, not {mask.shape}")
        acc[mask == 0] = 0
    words, saturations = convert(acc, shift, rounding, key, linear_index(u.shape, index_base), width, acc_width)
    if not relu:
        return Scaled(words, saturations, None)
    words = np.maximum(words, 0)
    return Scaled(words, saturations, words > 0)


def reduce(u: np.ndarray, v: np.ndarray, *, width: int = 16, acc_width: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Exact sums of u and of u*v per channel: two int64 arrays of (channels,).

    u, v : int64 words of ``width`` bits, of one shape whose last axis is the channel.
    Raises ValueError for shapes that differ or words out of range, and
    :class:`golden.product.OverflowRefused` when a sum does not fit in ``acc_width`` bits.
    """
    u, v = np.asarray(u, np.int64), np.asarray(v, np.int64)
    if u.shape != v.shape or not u.ndim:
        raise ValueError(f"reduce: u and v must have one shape with channels last, not {u.shape} and {v.shape}")
    for name, operand in (("u", u), ("v", v)):
        check_words(name, operand, width)
    u, v = u.reshape(-1, u.shape[-1]), v.reshape(-1, v.shape[-1])
    bound = len(u) << (2 * (width - 1))
    if bound >= EXACT_INT:
        raise OverflowRefused(f"reduce: sums of {len(u)} words can reach {bound}, which must be below {EXACT_INT}")
    sums = u.sum(axis=0)
    if bound <= EXACT_FLOAT:  # every partial sum is an integer that float64 holds
        products = np.einsum("ij,ij->j", u.astype(np.float64), v.astype(np.float64)).astype(np.int64)
    else:
        products = np.einsum("ij,ij->j", u, v)
    limit = 1 << (acc_width - 1)
    for name, sums_of in (("u", sums), ("u*v", products)):
        if sums_of.size and not (-limit <= sums_of.min() and sums_of.max() < limit):
            raise OverflowRefused(
                f"reduce: sums of {name} must be {-limit} to {limit - 1} for acc_width {acc_width}, "
                f"not {sums_of.min()} to {sums_of.max()}"
            )
    return sums, products


def linear_index(shape: tuple[int, ...], base: int = 0) -> np.ndarray:
    """The rounding index of every element: its linear index, from ``base`` on."""
    return np.arange(base, base + int(np.prod(shape)), dtype=np.int64).reshape(shape)


def check_words(name: str, operand: np.ndarray, width: int) -> None:
    """ValueError for a word outside ``width`` bits."""
    limit = 1 << (width - 1)
    if operand.size and not (-limit <= operand.min() and operand.max() < limit):
        raise ValueError(
            f"words of {name} must be {-limit} to {limit - 1} for width {width}, not {operand.min()} to {operand.max()}"
        )


def _scalars(name: str, given: int | Sequence[int] | np.ndarray, channels: int, width: int) -> np.ndarray:
    """One int64 per channel."""
    values = np.asarray(given, np.int64)
    if values.ndim and values.shape != (channels,):
        raise ValueError(f"affine: {name} must be one or {channels} integers, not of shape {values.shape}")
    check_words(name, values, width)
    return np.broadcast_to(values, (channels,))
