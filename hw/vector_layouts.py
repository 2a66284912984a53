"""Payloads that travel between the parts of the vector unit."""

from amaranth.hdl import signed
from amaranth.lib import data

from spec.chip import Chip
from spec.engine import Widths
from spec.vector import command_fields


def vector_command(chip: Chip):
    """:data:`spec.isa.VECTOR` as bits, addresses and steps cut to the scratchpad's."""
    return data.StructLayout({
        name: signed(width) if is_signed else width for name, width, is_signed in command_fields(chip)
    })


def vector_tag(chip: Chip):
    """What a step does with the bricks that come for it."""
    address = Widths(chip).brick_address
    return data.StructLayout({
        "load": 1,  # scalars or sums of one channel, or a part of them
        "unload": 1,  # sums of one channel are written, or a part of them
        "flush": 1,  # of a transposition: only the block before moves out
        "read_u": 1,  # a brick of u comes; zeros otherwise
        "read_v": 1,
        "first": 1,  # of the taps that are seen
        "last": 1,  # a result is complete with this step
        "part_end": 1,  # of a channel's scalars or sums, the last brick
        "place": chip.width,  # the tap's number; what v must hold in MAX_BACK
        "index": 32,  # rounding index of the result's first word; MAX, which rounds nothing: where the places go
        "out": address,  # where the result goes
    })


def vector_step(chip: Chip):
    """A step on its way to the scratchpad: what is read for it, and its tag."""
    address = Widths(chip).brick_address
    return data.StructLayout({"u": address, "v": address, "tag": vector_tag(chip)})


def vector_plan():
    """What a step needs to begin."""
    return data.StructLayout({
        "read_u": 1,  # bricks that must be here
        "read_v": 1,
        "gives": 1,  # a result leaves it
        "long": 1,  # it takes more than a cycle
    })


def vector_modes():
    """What a command's kind and flags mean to the arithmetic; holds while it is under way."""
    return data.StructLayout({
        "scale": 1,  # AFFINE: the table's s2 is added, nothing is summed
        "gate": 1,  # zero where v is not positive
        "relu": 1,
        "by_v": 1,  # REDUCE: u is multiplied by v, otherwise by s0
        "both": 1,  # REDUCE without `convert`: the sum of u is kept too
        "back": 1,  # MAX_BACK: words of u whose place in v is the tap's
        "records": 1,  # what is loaded are sums, not a table's entry
        "ones": 1,  # nothing is loaded: s0 is one
        "shift": 6,
        "rounding": 2,
        "key": 32,
    })
