"""Keyed random bits: the hash that rounds an element, a pure function of (key, index).

The 32-bit state is four rows of eight bits, row 0 holding bits 0 to 7. A layer sends
each column through a 4-bit S-box, xors a layer key and rotates row r left by
``ROTATIONS[r]``. For a given key the whole is a permutation of the 32-bit indices.
"""

ROWS, COLUMNS = 4, 8
SBOX = (0x6, 0x5, 0xC, 0xA, 0x1, 0xE, 0x7, 0xD, 0xF, 0x0, 0x3, 0x9, 0x8, 0xB, 0x4, 0x2)  # row 0 is bit 0
ROTATIONS = (0, 1, 3, 6)
LAYER_KEYS = {0: (0, 0x9E3779B9), 3: (13, 0x7F4A7C15)}  # layer: (rotation of the key, constant xored to it)
LAYERS = 7
STAGES = (3, 6)  # layers that end in a register; the last layer's result is combinational

KEYED_LATENCY = len(STAGES)  # cycles from an index to its bits


def layer_key(layer: int, key: int) -> int:
    """What layer ``layer`` xors after its S-boxes; 0 where it takes no key."""
    if layer not in LAYER_KEYS:
        return 0
    turn, constant = LAYER_KEYS[layer]
    return ((key << turn | key >> (32 - turn)) & 0xFFFFFFFF) ^ constant
