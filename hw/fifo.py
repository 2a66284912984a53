"""A first-in first-out queue between two streams."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out


class Fifo(wiring.Component):
    """Up to ``depth`` words of ``shape`` wait here; a word passes in one cycle when none waits.

    Amaranth's :class:`~amaranth.lib.fifo.SyncFIFO` as a component with stream members, so that it
    becomes one module with readable ports.

    Members
    -------
    i : :py:`In(stream.Signature(shape))`; stalls when ``depth`` words wait
    o : :py:`Out(stream.Signature(shape))`
    """

    def __init__(self, shape, depth: int):
        self.shape = shape
        self.depth = depth
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        bits = self.i.p.as_value() if hasattr(self.i.p, "as_value") else self.i.p
        m.submodules.queue = queue = SyncFIFO(width=len(bits), depth=self.depth)
        m.d.comb += [
            queue.w_data.eq(bits),
            queue.w_en.eq(self.i.valid),
            self.i.ready.eq(queue.w_rdy),
            self.o.p.eq(queue.r_data),
            self.o.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.o.ready),
        ]
        return m
