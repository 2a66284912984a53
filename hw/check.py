"""Holds every field of a descriptor against its range."""

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.commands import bits_of, descriptor
from spec.chip import Chip
from spec.isa import ERROR_BITS, LAYOUT, ErrorCode, Opcode, Place, brick_bytes


class Check(wiring.Component):
    """What is wrong with the words, ``LATENCY`` cycles after they came to rest.

    Golden twin: :func:`spec.isa.fault`.

    Members
    -------
    words : the descriptor
    error : :class:`spec.isa.ErrorCode`, OPCODE, FIELD or NONE
    """

    LATENCY = 3

    def __init__(self, chip: Chip):
        self.chip = chip
        super().__init__({"words": In(descriptor), "error": Out(ERROR_BITS)})

    def elaborate(self, platform):
        m = Module()
        number = self.words[0][: LAYOUT[Opcode.END][0].field.bits]
        found = {}  # LOAD and STORE have the same fields
        known = Signal(len(Opcode))
        wrong = Signal(len(Opcode))
        m.d.sync += known.eq(Cat(number == opcode for opcode in Opcode))
        for n, opcode in enumerate(Opcode):
            fields = LAYOUT[opcode]
            if fields not in found:
                flags = [flag for place in fields if (flag := self._outside(place)) is not None]
                held = Signal(max(1, len(flags)), name=f"outside_{opcode.name.lower()}")
                m.d.sync += held.eq(Cat(flags))
                found[fields] = Signal(name=f"wrong_{opcode.name.lower()}")
                m.d.sync += found[fields].eq(held.any())
            m.d.comb += wrong[n].eq(found[fields])
        known_late = Signal.like(known)
        m.d.sync += [known_late.eq(known), self.error.eq(ErrorCode.NONE)]
        with m.If(~known_late.any()):
            m.d.sync += self.error.eq(ErrorCode.OPCODE)
        with m.Elif((known_late & wrong).any()):
            m.d.sync += self.error.eq(ErrorCode.FIELD)
        return m

    def _outside(self, place: Place) -> Value | None:
        """Whether a field is out of its range; None if it cannot be, and for the opcode."""
        field = place.field
        bits = bits_of(self.words, place)
        if field.name == "opcode":
            return None
        if field.name == "address":
            return bits[: exact_log2(brick_bytes(self.chip))].any()
        low, high = field.bounds(self.chip)
        least, most = (
            (-(1 << field.bits - 1), (1 << field.bits - 1) - 1) if field.signed else (0, (1 << field.bits) - 1)
        )
        flags = []
        if low > least:
            flags.append(~bits.any() if low == 1 else bits < low)
        if high < most:
            whole = not field.signed and high & (high + 1) == 0
            flags.append(bits[high.bit_length() :].any() if whole else bits > high)
        return Cat(flags).any() if flags else None
