"""Keyed random bits: add, rotate and xor on 16-bit halves, one round a stage."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spec.keyed import HALF, LAST_HIGH, LAST_LOW, ROUND_CONSTANTS, TURN_HIGH, TURN_LOW, TURN_SUM, KeyedBits


class Keyed(wiring.Component):
    """32 random bits of (key, index).

    Golden twin: :func:`golden.keyed.random_bits`, bit for bit.
    One index per cycle; its bits are valid ``KeyedBits.LATENCY`` loads later,
    one layer of xors behind the last register, for the user to mask in the same layer.

    Members
    -------
    en : :py:`In(LATENCY)`; a stage loads when its bit is high: stage n, n cycles after an index came
    key : :py:`In(32)`; held while an index is on its way
    ones : :py:`In(1)`; one cycle later every bit is one, until it falls: bits for a mask alone
    index : :py:`In(32)`
    bits : :py:`Out(32)`
    """

    en: In(KeyedBits.LATENCY)
    key: In(32)
    ones: In(1)
    index: In(32)
    bits: Out(32)

    def elaborate(self, platform):
        m = Module()
        low, high = self.index[:HALF], self.index[HALF:]
        key_halves = self.key[:HALF], self.key[HALF:]
        for number, constant in enumerate(ROUND_CONSTANTS):
            total = Signal(HALF, name=f"total{number}")
            m.d.comb += total.eq(high.rotate_left(TURN_SUM) + low)
            # Four inputs a bit with the key, one lookup table; the constant costs nothing.
            mixed = low.rotate_left(TURN_LOW) ^ total ^ total.rotate_left(TURN_HIGH) ^ key_halves[number % 2]
            # Power-up at all ones lets the last round's set below be the register's own.
            low = Signal(HALF, name=f"low{number}", init=0xFFFF, reset_less=True)
            high = Signal(HALF, name=f"high{number}", init=0xFFFF, reset_less=True)
            with m.If(self.en[number]):
                m.d.sync += [low.eq(mixed ^ constant), high.eq(total)]

        # All ones are a fixed point of the last layer; a synchronous set is free.
        with m.If(self.ones):
            m.d.sync += [low.eq(~0), high.eq(~0)]
        m.d.comb += self.bits.eq(Cat(
            low.rotate_left(TURN_LOW) ^ high ^ high.rotate_left(TURN_HIGH),
            high.rotate_left(LAST_HIGH) ^ low ^ low.rotate_left(LAST_LOW),
        ))
        return m
