"""Arrays of other lanes that an estimate may suppose, for comparison with this project's."""

from collections.abc import Callable
from math import ceil

# Cycles of a multiplication in a lane, by bits of a word: in lanes of one DSP multiplier of 18 bits each, which are this project's; of a bit
# a cycle; as large as one of 16 bits, if a multiplier's area is the square of its width.
ARRAYS: dict[str, Callable[[int], float]] = {
    "dsp": lambda width: ceil(width / 18) ** 2,
    "serial": lambda width: width,
    "area": lambda width: (width / 16) ** 2,
}
