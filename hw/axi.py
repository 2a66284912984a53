"""What both halves of the AXI4 master share: their payloads, and jobs cut into bursts."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from spec.axi import ADDRESS_BITS, COUNT_BITS, INCR, Axi, JobError
from spec.chip import BRICK

ERROR_BITS = max(JobError).bit_length()

axi_job = data.StructLayout({"address": ADDRESS_BITS, "bricks": COUNT_BITS})
axi_address = data.StructLayout({"addr": ADDRESS_BITS, "len": 8, "size": 3, "burst": 2})
axi_answer = data.StructLayout({"resp": 2})


def axi_read(spec: Axi):
    return data.StructLayout({"data": spec.data_bits, "resp": 2, "last": 1})


def axi_write(spec: Axi):
    return data.StructLayout({"data": spec.data_bits, "strb": spec.beat_bytes, "last": 1})


def axi_brick(spec: Axi):
    return data.ArrayLayout(spec.width, BRICK)


def axi_burst(spec: Axi):
    """What became of a piece of a job; ``more`` is its number of bricks less one."""
    return data.StructLayout({
        "more": max(1, exact_log2(spec.burst_bricks)),
        "none": 1,
        "refused": 1,
        "error": ERROR_BITS,
        "end": 1,
    })


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
    """Checks jobs and cuts them into bursts, one a cycle; every job gives at least one ``burst``.

    Golden twin: :func:`spec.axi.bursts`. A job costs three cycles before its first burst. A refused job
    and one of no bricks give no address. With ``whole`` a refused job is cut like any other.

    Members
    -------
    i : :py:`In(stream.Signature(axi_job))`
    window_base, window_limit : bytes that jobs may touch, the limit excluded; may change while no job is under way
    address : for AR or AW
    burst : the same bursts for those who wait for them, and those that never come to the bus
    """

    def __init__(self, spec: Axi, whole: bool):
        self.spec = spec
        self.whole = whole
        super().__init__({
            "i": In(stream.Signature(axi_job)),
            "window_base": In(ADDRESS_BITS),
            "window_limit": In(ADDRESS_BITS + 1),
            "address": Out(stream.Signature(axi_address)),
            "burst": Out(stream.Signature(axi_burst(spec))),
        })

    def elaborate(self, platform):
        m = Module()
        spec = self.spec
        below = exact_log2(spec.brick_bytes)
        within = exact_log2(spec.burst_bricks)
        address = Signal(ADDRESS_BITS)
        left = Signal(COUNT_BITS)  # bricks
        limit = Signal(ADDRESS_BITS + 1)  # where the job ends
        error = Signal(ERROR_BITS)
        none = Signal()

        at = address[below : below + within]  # the brick's place among those of the longest burst
        room = Signal(range(spec.burst_bricks + 1))
        end = Signal()
        count = Signal.like(room)
        m.d.comb += [room.eq(spec.burst_bricks - at), end.eq(left <= room), count.eq(Mux(end, left, room))]
        m.d.comb += [
            self.burst.p.more.eq(count - 1),
            self.burst.p.none.eq(none),
            self.burst.p.refused.eq(error != 0),
            self.burst.p.error.eq(error),
            self.burst.p.end.eq(end),
            self.address.p.size.eq(exact_log2(spec.beat_bytes)),
            self.address.p.burst.eq(INCR),
        ]

        with m.If(self.address.ready):
            m.d.sync += self.address.valid.eq(0)
        silent = Signal()
        m.d.comb += silent.eq((error != 0) | none)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [address.eq(self.i.p.address), left.eq(self.i.p.bricks)]
                with m.If(self.i.valid):
                    m.next = "MEASURE"
            with m.State("MEASURE"):
                m.d.sync += [limit.eq(address + (left << below)), none.eq(left == 0)]
                m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += error.eq(JobError.NONE)
                with m.If((address < self.window_base) | (limit > self.window_limit)):
                    m.d.sync += error.eq(JobError.OUTSIDE)
                    if not self.whole:
                        m.d.sync += left.eq(0)
                with m.If(address[:below].any()):
                    m.d.sync += error.eq(JobError.MISALIGNED)
                    if not self.whole:
                        m.d.sync += left.eq(0)
                m.next = "CUT"
            with m.State("CUT"):
                m.d.comb += self.burst.valid.eq(silent | ~self.address.valid | self.address.ready)
                with m.If(self.burst.valid & self.burst.ready):
                    m.d.sync += [
                        left.eq(left - room),
                        address[below:].eq(Cat(Const(0, within), address[below + within :] + 1)),
                    ]
                    with m.If(~silent):
                        m.d.sync += [
                            self.address.valid.eq(1),
                            self.address.p.addr.eq(address),
                            self.address.p.len.eq(count * spec.brick_beats - 1),
                        ]
                    with m.If(end):
                        m.next = "IDLE"
        return m


def bursts_of(m: Module, unit, address, whole: bool) -> Bursts:
    m.submodules.bursts = cut = Bursts(unit.spec, whole)
    wiring.connect(m, cut.i, wiring.flipped(unit.i))
    wiring.connect(m, cut.address, wiring.flipped(address))
    m.d.comb += [cut.window_base.eq(unit.window_base), cut.window_limit.eq(unit.window_limit)]
    return cut
