"""Golden twin of :class:`hw.keyed.Keyed`: random bits as a pure function of (key, index)."""

import numpy as np

from spec.keyed import HALF, LAST_HIGH, LAST_LOW, ROUND_CONSTANTS, TURN_HIGH, TURN_LOW, TURN_SUM

BLOCK = 1 << 15  # indices hashed at a time: a block's arrays stay in the cache


def random_bits(key: int, index: np.ndarray) -> np.ndarray:
    """32 random bits per index.

    key : 0 to 2**32 - 1.
    index : integers of any shape, taken modulo 2**32.
    Returns uint32 of the same shape. Raises ValueError on a key out of range.
    """
    check_key(key)
    index = np.asarray(index)
    flat = index.reshape(-1)
    bits = np.empty(flat.size, np.uint32)
    for start in range(0, flat.size, BLOCK):
        part = slice(start, start + BLOCK)
        bits[part] = _hash(key, flat[part])
    return bits.reshape(index.shape)


def check_key(key: int) -> None:
    """ValueError unless the key has at most 32 bits."""
    if not 0 <= key < 1 << 32:
        raise ValueError(f"key must be 0 to {(1 << 32) - 1}, not {key}")


def _hash(key: int, index: np.ndarray) -> np.ndarray:
    # uint16 arithmetic is modulo 2**16, as the rounds are.
    index = index.astype(np.uint32)
    low = index.astype(np.uint16)
    high = (index >> HALF).astype(np.uint16)
    for number, constant in enumerate(ROUND_CONSTANTS):
        high = _rotate(high, TURN_SUM) + low
        key_half = key >> (HALF * (number % 2)) & 0xFFFF
        low = _rotate(low, TURN_LOW) ^ high ^ _rotate(high, TURN_HIGH) ^ np.uint16(key_half ^ constant)
    last_low = _rotate(low, TURN_LOW) ^ high ^ _rotate(high, TURN_HIGH)
    last_high = _rotate(high, LAST_HIGH) ^ low ^ _rotate(low, LAST_LOW)
    return last_high.astype(np.uint32) << np.uint32(HALF) | last_low


def _rotate(half: np.ndarray, turn: int) -> np.ndarray:
    return half << np.uint16(turn) | half >> np.uint16(HALF - turn)
