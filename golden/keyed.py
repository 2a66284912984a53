"""Golden twin of :class:`hw.keyed.Keyed`: random bits as a pure function of (key, index)."""

import numpy as np

from spec.keyed import COLUMNS, LAYERS, ROTATIONS, ROWS, layer_key

BLOCK = 1 << 15  # indices hashed at a time, so that the rows stay in the cache


def random_bits(key: int, index: np.ndarray) -> np.ndarray:
    """32 random bits per index.

    key : 0 to 2**32 - 1.
    index : integers of any shape, taken modulo 2**32.
    Returns uint32 of the same shape. Raises ValueError on a key out of range.
    """
    if not 0 <= key < 1 << 32:
        raise ValueError(f"key must be 0 to {(1 << 32) - 1}, not {key}")
    flat = np.ascontiguousarray(index).astype(np.uint32).reshape(-1)
    bits = np.empty_like(flat)
    for start in range(0, flat.size, BLOCK):
        bits[start : start + BLOCK] = _hash(key, flat[start : start + BLOCK])
    return bits.reshape(np.shape(index))


def _hash(key: int, index: np.ndarray) -> np.ndarray:
    # Eight columns of a row fill a byte: one uint8 array per row.
    octets = index.astype("<u4").view(np.uint8).reshape(-1, ROWS)
    rows = [np.ascontiguousarray(octets[:, row]) for row in range(ROWS)]
    for layer in range(LAYERS):
        rows = _substitute(*rows)
        mixed = layer_key(layer, key)
        if mixed:
            rows = [row ^ np.uint8(mixed >> COLUMNS * n & 0xFF) for n, row in enumerate(rows)]
        rows = [_rotate(row, turn) for row, turn in zip(rows, ROTATIONS, strict=True)]
    return np.stack(rows, axis=-1).view("<u4").reshape(-1).astype(np.uint32)


def _substitute(a, b, c, d):
    """The S-box of ``spec.keyed`` in logic, all columns at once; a is bit 0."""
    flipped = ~b
    outer = c ^ d
    first = (a & flipped) ^ outer
    inner = a ^ (d | flipped)
    middle = b ^ c
    return [first, c ^ inner, middle ^ (first | inner), middle ^ (outer & inner)]


def _rotate(row: np.ndarray, turn: int) -> np.ndarray:
    return row if turn == 0 else (row << np.uint8(turn)) | (row >> np.uint8(COLUMNS - turn))
