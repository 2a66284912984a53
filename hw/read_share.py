"""Two masters on one read channel."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect

from hw.axi import axi_address, axi_read
from hw.fifo import Fifo, Skid
from spec.axi import Axi


class ReadShare(wiring.Component):
    """Addresses of master 0 go before those of master 1; beats go back in the order of the addresses, as one ID demands.

    Latency: an address one cycle, a beat none. Stalls: each master's beats freely, which holds up the other's behind them.

    Members
    -------
    masters_ar, masters_r : two each
    ar, r : the bus
    """

    def __init__(self, spec: Axi, depth: int):
        self.spec = spec
        self.depth = depth  # bursts that both masters may have under way, three at least
        super().__init__({
            "masters_ar": In(stream.Signature(axi_address)).array(2),
            "masters_r": Out(stream.Signature(axi_read(spec))).array(2),
            "ar": Out(stream.Signature(axi_address)),
            "r": In(stream.Signature(axi_read(spec))),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.owners = owners = Fifo(1, self.depth - 2)
        m.submodules.owner = owner = Skid(1)  # two of them; in a register, as each beat's way hangs on it
        connect(m, owners.o, owner.i)
        first, second = self.masters_ar
        free = Signal()
        m.d.comb += [
            free.eq((~self.ar.valid | self.ar.ready) & owners.i.ready),
            first.ready.eq(free),
            second.ready.eq(free & ~first.valid),
            owners.i.valid.eq((~self.ar.valid | self.ar.ready) & (first.valid | second.valid)),
            owners.i.p.eq(~first.valid),
        ]
        with m.If(self.ar.ready):
            m.d.sync += self.ar.valid.eq(0)
        with m.If(free):
            m.d.sync += [
                self.ar.valid.eq(first.valid | second.valid),
                self.ar.p.eq(Mux(first.valid, first.p.as_value(), second.p.as_value())),
            ]
        for n, master in enumerate(self.masters_r):
            m.d.comb += [
                master.p.eq(self.r.p),
                master.valid.eq(self.r.valid & owner.o.valid & (owner.o.p == n)),
            ]
        m.d.comb += [
            self.r.ready.eq(owner.o.valid & Mux(owner.o.p, self.masters_r[1].ready, self.masters_r[0].ready)),
            owner.o.ready.eq(self.r.valid & self.r.ready & self.r.p.last),
        ]
        return m
