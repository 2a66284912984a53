"""A block RAM as it is promised, for proofs: nothing is known of a word that is read while it is written."""

from amaranth.asserts import AnySeq
from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out


class PromisedBram(wiring.Component):
    """In place of :class:`hw.bram.Bram`; its contents at the start are anything."""

    LATENCY = 2

    def __init__(self, *, width: int, depth: int, target: str | None = None, stalls: bool = False):
        self.width, self.depth, self.stalls = width, depth, stalls
        address = max(1, (depth - 1).bit_length())
        super().__init__({
            "w_en": In(1),
            "w_addr": In(address),
            "w_data": In(width),
            "r_addr": In(address),
            "r_data": Out(width),
            **({"r_en": In(1)} if stalls else {}),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=self.width, depth=self.depth, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        latch = Signal(self.width, reset_less=True)
        output = Signal(self.width, reset_less=True)
        m.d.comb += [
            write.en.eq(self.w_en),
            write.addr.eq(self.w_addr),
            write.data.eq(self.w_data),
            read.addr.eq(self.r_addr),
            self.r_data.eq(output),
        ]
        with m.If(self.r_en if self.stalls else Const(1)):
            m.d.sync += [
                latch.eq(Mux(self.w_en & (self.w_addr == self.r_addr), AnySeq(self.width), read.data)),
                output.eq(latch),
            ]
        return m
