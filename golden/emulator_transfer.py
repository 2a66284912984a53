"""The LOAD and STORE commands between a memory image and a scratchpad image; see docs/machine.md."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from golden.emulator_scratch import Touched
from spec.axi import ADDRESS_BITS
from spec.chip import BRICK, Chip
from spec.isa import ErrorCode, brick_bytes

Window = tuple[int, int]  # first byte, and the first behind the last


@dataclass(frozen=True)
class TransferOutcome:
    """How a transfer ended; bytes moved on the bus."""

    error: ErrorCode
    bytes: int


def run_addresses(chip: Chip, fields: Mapping[str, int]) -> np.ndarray:
    """Byte address of each run's first brick, int64 (count_2 * count_1,), in the order they are moved."""
    f = fields
    j, i = np.ogrid[: f["count_2"], : f["count_1"]]
    return ((f["address"] + (j * f["memory_2"] + i * f["memory_1"]) * brick_bytes(chip)) % (1 << ADDRESS_BITS)).reshape(
        -1
    )


def transfer(
    chip: Chip,
    fields: Mapping[str, int],
    scratch: np.ndarray,
    memory: np.ndarray,
    window: Window,
    store: bool,
    touched: Touched | None = None,
) -> TransferOutcome:
    """Moves runs of bricks in their order until one lies outside the window or the memory.

    memory : uint8 (bytes,), from address 0 on. The run that fails moves nothing.
    """
    f = fields
    touched = touched or Touched(chip.scratch_bricks)
    j, i = np.ogrid[: f["count_2"], : f["count_1"]]
    first = (f["scratch"] + j * f["scratch_2"] + i * f["scratch_1"]).reshape(-1, 1)
    places = (first + np.arange(f["bricks"])) % chip.scratch_bricks
    if f.get("fill"):
        touched.writes[places] = True
        scratch[places] = 0
        return TransferOutcome(ErrorCode.NONE, 0)
    size = brick_bytes(chip)
    begins = run_addresses(chip, f)
    length = f["bricks"] * size
    low, high = window
    outside = (begins < low) | (begins + length > high)
    failing = outside | (begins + length > len(memory))
    count = int(failing.argmax()) if failing.any() else len(begins)
    error = ErrorCode.NONE
    if count < len(begins):
        if outside[count]:
            error = ErrorCode.WRITE_OUTSIDE if store else ErrorCode.READ_OUTSIDE
        else:
            error = ErrorCode.WRITE_BUS if store else ErrorCode.READ_BUS
    words = memory[: len(memory) // size * size].view(f"<i{size // BRICK}").reshape(-1, BRICK)
    bricks = begins[:count, None] // size + np.arange(f["bricks"])
    if store:
        touched.reads[places[:count]] = True
        words[bricks] = scratch[places[:count]]
    else:
        touched.writes[places[:count]] = True
        unused = 32 - chip.width
        scratch[places[:count]] = words[bricks].astype(np.int32) << unused >> unused
    return TransferOutcome(error, count * length)
