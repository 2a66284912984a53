"""The vector unit's command as bits, and what its throughput follows from."""

from spec.chip import BRICK, Chip
from spec.engine import bits_for
from spec.isa import SCRATCH_BITS, VECTOR, Field


def is_address(field: Field) -> bool:
    """A scratchpad address or step: modulo the scratchpad, so that a chip needs only the low bits."""
    return field.bits == SCRATCH_BITS and (field.signed or callable(field.high))


def command_fields(chip: Chip) -> tuple[tuple[str, int, bool], ...]:
    """Fields of :data:`spec.isa.VECTOR`: name, width and whether signed; addresses and steps cut to the chip's, unsigned."""
    address = bits_for(chip.scratch_bricks)
    return tuple(
        (field.name, address, False) if is_address(field) else (field.name, field.bits, field.signed)
        for field in VECTOR
    )


def beats(chip: Chip) -> int:
    """Cycles a brick takes through the multipliers."""
    return BRICK // chip.vector_words


def bricks_ahead(chip: Chip) -> int:
    """Places for results: more than are under way when a brick begins in every cycle; a compact chip writes every second one."""
    return 16 if chip.compact else 32
