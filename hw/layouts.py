"""Payloads that travel between the engine's units, and the widths they derive from the chip."""

from amaranth.hdl import signed
from amaranth.lib import data
from amaranth.utils import ceil_log2

from spec.chip import BRICK, Chip
from spec.engine import DIMENSION_BITS, POSITION_BITS, Widths, bits_for
from spec.product import ceil_div


def brick(chip: Chip):
    """Eight words."""
    return data.ArrayLayout(chip.width, BRICK)


def pair(chip: Chip):
    """A nonzero of A on its way past the lanes; ``k`` is its row's offset in the bank half."""
    widths = Widths(chip)
    return data.StructLayout({"a": chip.width, "k": widths.half_address})


def item(chip: Chip):
    """One column of one row for a lane to compute: where its sum goes, and where in the bank half its words of B begin.

    ``twin`` : it is a column of the lane before in the ring, see :func:`ring`.
    """
    widths = Widths(chip)
    return data.StructLayout(
        {"slot": ceil_log2(chip.slots), "column": widths.column, "offset": widths.half_address, "twin": 1}
    )


def result(chip: Chip):
    """A lane's exact sum over one row list and one column; ``twin`` as in :func:`item`."""
    return data.StructLayout(
        {"sum": Widths(chip).lane_sum, "slot": ceil_log2(chip.slots), "column": Widths(chip).column, "twin": 1}
    )


def ring(chip: Chip) -> list[int]:
    """The lane that holds each lane's columns a second time: the next one among those loaded in one cycle."""
    size = min(chip.lanes, BRICK)
    return [n // size * size + (n + 1) % size for n in range(chip.lanes)]


def row(chip: Chip):
    """A row of C and where its window begins: the first tap's position, whether it lies in the operand or not."""
    return data.StructLayout(
        {
            "row": DIMENSION_BITS,
            "address": Widths(chip).brick_address,  # of that position, less `a_base`
            "y": signed(POSITION_BITS),
            "x": signed(POSITION_BITS),
            "phase_y": 2,  # holes between that position and the first tap
            "phase_x": 2,
        }
    )


def visit(chip: Chip):
    """A row met by a bank tile: what drain and finish need to know of a slot."""
    return data.StructLayout({"row": DIMENSION_BITS, "half": 1, "base": Widths(chip).column, "first": 1, "last": 1})


def tile(chip: Chip):
    """A tile of B in one half of the banks."""
    widths = Widths(chip)
    return data.StructLayout(
        {
            "a_base": widths.brick_address,  # of the command, or of the slab
            "a_skip": DIMENSION_BITS,  # bricks of a row of A before the tile
            "c_base": widths.brick_address,  # where the tile begins in the first row of C and the mask
            "mask_base": widths.brick_address,
            "index_base": 32,  # index of the tile's first element in the first row of C
            "k_length": widths.half_address + 1,
            "n_length": widths.psum_address + 1,  # of each segment
            "n_steps": widths.column + 1,  # columns of the lane that has most
            "n_tail": chip.lanes,  # lanes that have that many
            "first": 1,  # rows are pulled from the queue and their sums start at zero
            "last": 1,  # sums are complete after this tile
            "open": 1,  # the tile may be worked on
            "loaded": 1,  # its words are in the banks
        }
    )


def command(chip: Chip):
    """:class:`spec.product.Product` as bits, in the field order of :data:`spec.engine.command_fields`."""
    return data.StructLayout(dict(Widths(chip).command_fields()))


def load_bus(chip: Chip):
    """Words of B on their way into the banks of all groups."""
    widths = Widths(chip)
    return data.StructLayout(
        {
            "enable": 1,
            "upper": bits_for(ceil_div(chip.lanes, BRICK)),  # which eight of the lanes the words are for
            "address": widths.half_address + 1,
            "words": data.ArrayLayout(chip.width, min(chip.lanes, BRICK)),
        }
    )


