"""What both halves of the AXI4 master share: their payloads, and jobs cut into bursts."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from spec.axi import ADDRESS_BITS, COUNT_BITS, INCR, Axi
from spec.chip import BRICK

RESP_BITS = 2

axi_job = data.StructLayout({"address": ADDRESS_BITS, "bricks": COUNT_BITS})
axi_address = data.StructLayout({"addr": ADDRESS_BITS, "len": 8, "size": 3, "burst": 2})
axi_answer = data.StructLayout({"resp": RESP_BITS})


def axi_read(spec: Axi):
    return data.StructLayout({"data": spec.data_bits, "resp": RESP_BITS, "last": 1})


def axi_write(spec: Axi):
    return data.StructLayout({"data": spec.data_bits, "strb": spec.beat_bytes, "last": 1})


def axi_brick(spec: Axi):
    return data.ArrayLayout(spec.width, BRICK)


def axi_burst(spec: Axi):
    """What the bus does for a job; ``more`` is the number of its bricks less one."""
    return data.StructLayout({"more": max(1, exact_log2(spec.burst_bricks)), "end": 1})


def memory_bus(spec: Axi):
    """The five channels as the master sees them."""
    return wiring.Signature({
        "ar": Out(stream.Signature(axi_address)),
        "r": In(stream.Signature(axi_read(spec))),
        "aw": Out(stream.Signature(axi_address)),
        "w": Out(stream.Signature(axi_write(spec))),
        "b": In(stream.Signature(axi_answer)),
    })


class Bursts(wiring.Component):
    """Cuts jobs into bursts, one a cycle and one cycle between jobs.

    Golden twin: :func:`spec.axi.bursts`.

    Members
    -------
    i : :py:`In(stream.Signature(axi_job))`
    address : for AR or AW
    burst : the same bursts for those who wait for them
    """

    def __init__(self, spec: Axi):
        self.spec = spec
        super().__init__(
            {
                "i": In(stream.Signature(axi_job)),
                "address": Out(stream.Signature(axi_address)),
                "burst": Out(stream.Signature(axi_burst(spec))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        below = exact_log2(spec.brick_bytes)
        within = exact_log2(spec.burst_bricks)
        busy = Signal()
        address = Signal(ADDRESS_BITS - below)  # in bricks, as all here
        left = Signal(COUNT_BITS)

        at = address[:within]  # the brick's place among those of the longest burst
        room = Signal(range(spec.burst_bricks + 1))
        end = Signal()
        count = Signal.like(room)
        m.d.comb += [
            room.eq(spec.burst_bricks - at),
            end.eq(left <= room),
            count.eq(Mux(end, left, room)),
            self.burst.p.more.eq(count - 1),
            self.burst.p.end.eq(end),
            self.address.p.size.eq(exact_log2(spec.beat_bytes)),
            self.address.p.burst.eq(INCR),
            self.burst.valid.eq(busy & (~self.address.valid | self.address.ready)),
            self.i.ready.eq(~busy),
        ]

        with m.If(self.address.ready):
            m.d.sync += self.address.valid.eq(0)
        with m.If(self.burst.valid & self.burst.ready):
            m.d.sync += [
                left.eq(left - room),
                address.eq(Cat(Const(0, within), address[within:] + 1)),
                self.address.valid.eq(1),
                self.address.p.addr.eq(address << below),
                self.address.p.len.eq(count * spec.brick_beats - 1),
            ]
            with m.If(end):
                m.d.sync += busy.eq(0)
        with m.If(self.i.valid & ~busy):
            m.d.sync += [busy.eq(1), address.eq(self.i.p.address >> below), left.eq(self.i.p.bricks)]
        return m


def bursts_of(m: Module, unit, address) -> Bursts:
    m.submodules.bursts = cut = Bursts(unit.spec)
    wiring.connect(m, cut.i, wiring.flipped(unit.i))
    wiring.connect(m, cut.address, wiring.flipped(address))
    return cut
