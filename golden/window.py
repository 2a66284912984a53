"""Which bricks of an operand each row of a windowed command sees; see docs/machine.md."""

from collections.abc import Mapping

import numpy as np


def seen(fields: Mapping[str, int], rows: np.ndarray, base: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of ``rows`` (r,) and each tap in the order (y, x): does it lie in the operand, and its address.

    fields : those of :data:`spec.isa.WINDOW`. base : where the origin's position of the first image lies.
    Returns bool (r, taps) and int64 (r, taps), addresses not yet reduced modulo the scratchpad; those of taps outside
    have no meaning. Rows are in the order (image, line, x).
    """
    f = fields
    x, line = rows % f["out_x"], rows // f["out_x"]
    y, image = line % f["out_y"], line // f["out_y"]
    inside_y, at_y = _axis(f, "y", y)
    inside_x, at_x = _axis(f, "x", x)
    address = (
        base
        + f["step_b"] * image[:, None, None]
        + f["step_y"] * (at_y - f["origin_y"])[:, :, None]
        + f["step_x"] * (at_x - f["origin_x"])[:, None, :]
    )
    inside = inside_y[:, :, None] & inside_x[:, None, :]
    return inside.reshape(len(rows), -1), address.reshape(len(rows), -1)


def _axis(f: Mapping[str, int], axis: str, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Along one side, (rows, taps): does the tap lie in the operand; at which position."""
    holes = f["dilation"]
    start = f[f"origin_{axis}"] * holes + f[f"phase_{axis}"]
    grid = start + f["stride"] * out[:, None] + np.arange(f[f"taps_{axis}"])
    at = grid // holes
    return (grid % holes == 0) & (at >= 0) & (at < f[f"in_{axis}"]), at
