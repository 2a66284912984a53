"""A descriptor's words as the fields of its command."""

from amaranth.hdl import Value
from amaranth.lib import data

from spec.isa import DESCRIPTOR_WORDS, ERROR_BITS, LAYOUT, Opcode, Place, head_places
from spec.registers import RING_BITS

descriptor = data.ArrayLayout(32, DESCRIPTOR_WORDS)
head = data.StructLayout({place.field.name: place.field.bits for place in head_places()})
# What comes to be issued: the head, the descriptor's place in the ring and that of the next, what is wrong with it.
item = data.StructLayout({"head": head, "index": RING_BITS, "following": RING_BITS, "error": ERROR_BITS})


def bits_of(words, place: Place) -> Value:
    """One field out of a ``descriptor``, as signed as it is."""
    bits = words[place.word][place.lsb : place.lsb + place.field.bits]
    return bits.as_signed() if place.field.signed else bits


def give(command, words, opcode: Opcode) -> list:
    """Assignments to a command's payload, fields by their names; a unit may keep fewer bits of them."""
    places = {place.field.name: place for place in LAYOUT[opcode]}
    return [getattr(command, name).eq(bits_of(words, places[name])) for name, _ in command.shape()]
