"""Golden twin of a row's scan: which columns each lane computes."""

import numpy as np


def lane_columns(length: int, lanes: int, mask: np.ndarray | None) -> list[np.ndarray]:
    """Columns, counted within a lane and in order, that each lane computes of a row of ``length``.

    Column ``c * lanes + n`` of the row is column ``c`` of lane ``n``. mask : (length,), zero
    where nothing is computed; None computes all.
    """
    kept = np.arange(length) if mask is None else np.flatnonzero(np.asarray(mask)[:length])
    return [kept[kept % lanes == lane] // lanes for lane in range(lanes)]
