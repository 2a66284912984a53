"""A read port of the vector unit: asks ahead, and keeps the answers until they are wanted."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.bram import Bram
from hw.fifo import Skid
from hw.layouts import brick
from hw.logic import balance, delayed
from spec.chip import Chip
from spec.engine import Widths


def read_ahead(chip: Chip) -> int:
    """Bricks asked for and not yet taken: enough for one a cycle, or for one every eight in a compact chip."""
    return 8 if chip.compact else 16


class Ahead(wiring.Component):
    """Words that wait in block RAM in their order; the one that is taken stays at ``o`` until the next one is.

    In a compact chip they wait in look-up tables, which are close by.

    Contract: at most ``read_ahead`` words wait, so that ``put`` needs no ready; ``take`` only while ``some`` is high.
    Latency: ``LATENCY`` cycles from ``take`` to ``o``. One word a cycle.

    Members
    -------
    put, word : one more
    some : one waits
    take : it comes to ``o``
    o : the word taken last
    """

    LATENCY = 1 + Bram.LATENCY

    def __init__(self, shape, chip: Chip, target: str | None = None):
        self.shape = shape
        self.chip = chip
        self.target = target
        super().__init__({
            "put": In(1),
            "word": In(shape),
            "some": Out(1),
            "take": In(1),
            "o": Out(shape),
        })

    def elaborate(self, platform):
        m = Module()
        bits = Signal(len(self.word.as_value()))
        most = read_ahead(self.chip)
        places = 2 * most  # twice as many: the word at `o` has its own
        write, read = Signal(range(places)), Signal(range(places), init=places - 1)
        level = Signal(range(most + 1))
        m.d.comb += bits.eq(self.word)
        if self.chip.compact:
            # The address comes late instead of the word, which spares its registers.
            m.submodules.memory = small = Memory(shape=len(bits), depth=places, init=[])
            w_port, r_port = small.write_port(), small.read_port(domain="comb")
            m.d.comb += [
                w_port.en.eq(self.put),
                w_port.addr.eq(write),
                w_port.data.eq(bits),
                r_port.addr.eq(delayed(m, read, Bram.LATENCY, "read")),
                self.o.as_value().eq(r_port.data),
            ]
        else:
            m.submodules.memory = memory = Bram(width=len(bits), depth=places, target=self.target)
            m.d.comb += [
                memory.w_en.eq(self.put),
                memory.w_addr.eq(write),
                memory.w_data.eq(bits),
                memory.r_addr.eq(read),
                self.o.as_value().eq(memory.r_data),
            ]
        m.d.sync += [
            self.some.eq(self.put | level[1:].any() | (level[0] & ~self.take)),
            write.eq(write + self.put),
            read.eq(read + self.take),
            level.eq(level + balance(self.put, self.take)),
        ]
        return m


class VectorPort(wiring.Component):
    """Addresses in, bricks out, in order.

    Contract: at most ``read_ahead`` bricks are asked for and not taken, so answers need no ready. Stalls: ``request``
    freely. Answers may be late by any number of cycles.

    Members
    -------
    i : addresses; ``ready`` comes from registers
    open : answers count; low for some cycles after a reset, when those of before it may come
    request, valid, brick : the scratchpad
    some, take, o : the bricks, see :class:`Ahead`
    """

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        address = Widths(chip).brick_address
        super().__init__({
            "i": In(stream.Signature(address)),
            "open": In(1),
            "request": Out(stream.Signature(address)),
            "valid": In(1),
            "brick": In(brick(chip)),
            "some": Out(1),
            "take": In(1),
            "o": Out(brick(chip)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.skid = skid = Skid(Widths(self.chip).brick_address)
        m.submodules.answers = answers = Ahead(brick(self.chip), self.chip, self.target)
        connect(m, skid.o, flipped(self.request))
        connect(m, flipped(self.i), skid.i)
        m.d.comb += [
            answers.word.eq(self.brick),
            answers.put.eq(self.valid & self.open),
            self.some.eq(answers.some),
            answers.take.eq(self.take),
            self.o.eq(answers.o),
        ]
        return m
