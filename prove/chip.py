"""The chip whose units are proved: the smallest of each memory, as what is claimed holds for any."""

from spec.axi import axi
from spec.chip import Chip


def chip(groups: int = 1) -> Chip:
    return Chip(name="prove", groups=groups, lanes=2, bank_depth=64, list_depth=16, slots=2, psum_depth=64, queue_depth=4,
                scratch_banks=1, scratch_depth=64)  # fmt: skip


CHIP = chip()
SPEC = axi(CHIP)
