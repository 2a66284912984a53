"""Keyed random bits in layers of 4-bit S-boxes: no carries, no multiplier."""

from amaranth.hdl import Array, Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spec.keyed import COLUMNS, LAYER_KEYS, LAYERS, ROTATIONS, ROWS, SBOX, STAGES


class Keyed(wiring.Component):
    """32 random bits of (key, index).

    Golden twin: :func:`golden.keyed.random_bits`, bit for bit.
    One index per enabled cycle, ``KEYED_LATENCY`` enabled cycles late.

    Members
    -------
    en : :py:`In(1)`; low freezes every register
    key : :py:`In(32)`; held stable while an index is on its way
    index : :py:`In(32)`
    bits : :py:`Out(32)`; one layer behind a register
    """

    en: In(1)
    key: In(32)
    index: In(32)
    bits: Out(32)

    def elaborate(self, platform):
        m = Module()
        state = self.index
        for layer in range(LAYERS):
            mixed = Signal(32, name=f"layer{layer}")
            m.d.comb += mixed.eq(self._layer(layer, state))
            state = mixed
            if layer + 1 in STAGES:
                held = Signal(32, name=f"held{layer}", reset_less=True)
                with m.If(self.en):
                    m.d.sync += held.eq(state)
                state = held
        m.d.comb += self.bits.eq(state)
        return m

    def _layer(self, layer, state):
        rows = [state[COLUMNS * row : COLUMNS * (row + 1)] for row in range(ROWS)]
        columns = [Cat(row[column] for row in rows) for column in range(COLUMNS)]
        boxes = [Array(Const(value, ROWS) for value in SBOX)[column] for column in columns]
        mixed = Cat(Cat(box[row] for box in boxes) for row in range(ROWS))
        if layer in LAYER_KEYS:
            turn, constant = LAYER_KEYS[layer]
            mixed = mixed ^ self.key.rotate_left(turn) ^ constant
        return Cat(mixed[COLUMNS * row : COLUMNS * (row + 1)].rotate_left(turn) for row, turn in enumerate(ROTATIONS))
