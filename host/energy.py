"""Energy of counted work, for comparisons of one machine's runs alone.

Horowitz 2014, "Computing's Energy Problem (and what we can do about it)" (ISSCC, figure 1.1.9), 45 nm at 0.9 V: integer additions of 32 bits 0.1 pJ,
multiplications of 8 and 32 bits 0.2 and 3.1 pJ, 64 bits from an 8 KB memory 10 pJ, from DRAM 1.3 nJ at least. In between: a multiplication grows with the
power of the width that joins both figures, an addition and a memory with the width (ours).
"""

from collections.abc import Mapping
from math import log

from spec.chip import Chip

MULTIPLY_8, MULTIPLY_32 = 0.2, 3.1  # pJ
ADD_32 = 0.1
SRAM_64 = 10.0  # 8 KB
DRAM_64 = 1300.0


def prices(chip: Chip) -> dict[str, float]:
    """pJ of a multiply-accumulate, its word of B from the bank included, and of a byte to or from memory."""
    growth = log(MULTIPLY_32 / MULTIPLY_8) / log(4)
    multiply = MULTIPLY_8 * (chip.width / 8) ** growth
    bank = SRAM_64 * chip.width / 64
    return {"macs": multiply + ADD_32 * chip.acc_width / 32 + bank, "bytes": DRAM_64 / 8}


def energy(chip: Chip, counts: Mapping[str, float]) -> float:
    """pJ of ``counts``: multiplications done under "macs", bytes moved under "bytes"."""
    return sum(price * counts.get(name, 0) for name, price in prices(chip).items())
