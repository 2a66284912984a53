"""Residual addition and its gradient on raw integer words: affines whose scalars are powers of two."""

import numpy as np

from golden.vector import Scaled, affine
from spec.number import Fixed, Rounding


def add(u: np.ndarray, v: np.ndarray, formats: tuple[Fixed, Fixed], out: Fixed, rounding: Rounding, key: int) -> Scaled:
    """``u + v``, words of one shape in ``formats``, to words of ``out``: exact, then one Convert."""
    of_u, of_v = formats
    finest = max(of_u.frac, of_v.frac, out.frac)
    return affine(
        u,
        v,
        1 << (finest - of_u.frac),
        1 << (finest - of_v.frac),
        shift=finest - out.frac,
        rounding=rounding,
        key=key,
        width=out.width,
    )


def rescale(u: np.ndarray, given: Fixed, out: Fixed, rounding: Rounding, key: int) -> Scaled:
    """The same values in another format: what each side of an addition gets of its gradient."""
    if given == out:
        return Scaled(u, 0, None)
    finest = max(given.frac, out.frac)
    return affine(
        u, None, 1 << (finest - given.frac), shift=finest - out.frac, rounding=rounding, key=key, width=out.width
    )


def accumulate(u: np.ndarray, v: np.ndarray, fixed: Fixed) -> Scaled:
    """``u + v`` in their one format, saturated: gradients of a tensor that two nodes read."""
    return affine(u, v, 1, 1, shift=0, rounding=Rounding.FLOOR, width=fixed.width)
