"""The chips that random programs are played on."""

from dataclasses import replace

from engine_cases import CASE_CHIPS

from spec.chip import CHIPS

# Words narrow, wide and of 32 bits in memory; one group and several; small memories.
MACHINE_CHIPS = {
    chip.name: chip
    for chip in (
        replace(CHIPS["tiny"], scratch_depth=256),
        replace(CASE_CHIPS["3x8w18"], scratch_depth=128),
        replace(CASE_CHIPS["1x2w8"], scratch_depth=1024, bank_depth=256, list_depth=64, vector_words=1),  # compact
        replace(CASE_CHIPS["1x16w16"], scratch_depth=256, bank_depth=256),
    )
}
