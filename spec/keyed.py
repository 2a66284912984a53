"""Keyed random bits: the hash that rounds an element, a pure function of (key, index).

The index is two halves of 16 bits, ``low`` and ``high``. A round is

    high = rotate(high, TURN_SUM) + low                                   modulo 2**16
    low = rotate(low, TURN_LOW) ^ high ^ rotate(high, TURN_HIGH) ^ key half ^ constant

with the key's low half in even rounds and its high half in odd ones. At the end

    low, high = (rotate(low, TURN_LOW) ^ high ^ rotate(high, TURN_HIGH),
                 rotate(high, LAST_HIGH) ^ low ^ rotate(low, LAST_LOW))

Rotations go left. Every step can be undone, so for one key each 32-bit value is the
hash of exactly one index: over all of them every rounding is unbiased, not just nearly.
docs/decisions/0001-keyed-rounding-hash.md says why this one.
"""

from dataclasses import dataclass
from typing import ClassVar

HALF = 16  # bits of half an index, of half a key and of a round
ROUND_CONSTANTS = (0x9E37, 0x79B9, 0x7F4A, 0x7C15, 0xF39C, 0xC060)  # golden ratio's digits: nothing up the sleeve
TURN_SUM, TURN_LOW, TURN_HIGH = 4, 9, 12
LAST_LOW, LAST_HIGH = 1, 7


@dataclass(frozen=True)
class KeyedBits:
    """32 random bits a cycle; there is nothing to choose."""

    LATENCY: ClassVar[int] = len(ROUND_CONSTANTS)  # cycles from an index to its bits: one adder a stage
