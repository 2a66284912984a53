"""STORE: bricks from the scratchpad to memory."""

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.axi import RESP_BITS, axi_address, axi_answer, axi_write
from hw.axi_write import AxiWriter
from hw.fifo import BlockFifo, Skid
from hw.layouts import brick
from hw.load import job_counter_bits
from hw.logic import balance
from hw.transfer import Places, Runs, transfer_command, window
from spec.axi import Axi
from spec.chip import Chip
from spec.engine import Widths
from spec.isa import ERROR_BITS, ErrorCode

BRICKS = 16  # asked for and not sent: what covers the scratchpad's latency and the queue's at a brick a cycle


class Store(wiring.Component):
    """One transfer at a time. Runs overlap as in :class:`hw.load.Load`; bricks are read only for runs the bus will get.

    Stalls: ``request`` stalls freely; answers cannot, there is room for what was asked for.
    Latency: an address on AW five cycles after the command.

    Errors: as of :class:`hw.load.Load`; a run outside the window writes nothing, and neither does any behind it.

    Members
    -------
    command : :py:`In(stream.Signature(transfer_command))`, accepted when idle; `fill` has no meaning
    stop : announce no more runs
    window : what may be written
    done, error : a pulse when memory has answered all bursts; its :class:`spec.isa.ErrorCode`
    moved : a pulse for each brick to memory
    request, valid, brick : addresses for the scratchpad, and its answers
    aw, w, b : the bus
    """

    def __init__(self, chip: Chip, spec: Axi, target: str | None = None):
        self.chip = chip
        self.spec = spec
        self.target = target
        super().__init__({
            "command": In(stream.Signature(transfer_command)),
            "stop": In(1),
            "window": In(window),
            "done": Out(1),
            "error": Out(ERROR_BITS),
            "moved": Out(1),
            "request": Out(stream.Signature(Widths(chip).brick_address)),
            "valid": In(1),
            "brick": In(brick(chip)),
            "aw": Out(stream.Signature(axi_address)),
            "w": Out(stream.Signature(axi_write(spec))),
            "b": In(stream.Signature(axi_answer)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.runs = runs = Runs(self.spec)
        m.submodules.places = places = Places(self.chip)
        m.submodules.writer = writer = AxiWriter(self.spec)
        m.submodules.bricks = bricks = BlockFifo(brick(self.chip), BRICKS, self.target)
        for name in ("aw", "w"):
            connect(m, getattr(writer, name), flipped(getattr(self, name)))
        connect(m, flipped(self.b), writer.b)
        connect(m, bricks.o, writer.bricks)

        busy = Signal()
        begun = Signal()  # the first run has had its time to come
        under_way = Signal(job_counter_bits(self.spec))
        granted = Signal.like(under_way)  # runs that the bus gets and whose bricks are not asked for
        failed = Signal(RESP_BITS)
        start = Signal()
        taken = Signal()
        m.d.comb += [
            self.command.ready.eq(~busy),
            start.eq(self.command.valid & ~busy),
            runs.resting.eq(~busy),
            runs.start.eq(start),
            runs.command.eq(self.command.p),
            runs.window.eq(self.window),
            runs.stop.eq(self.stop | (failed != 0)),
            writer.i.p.eq(runs.o.p),
            writer.i.valid.eq(runs.o.valid),
            runs.o.ready.eq(writer.i.ready),
            taken.eq(runs.o.valid & writer.i.ready),
            places.resting.eq(~busy),
            places.start.eq(start),
            places.command.eq(self.command.p),
            places.grant.eq(granted != 0),
        ]
        m.d.sync += [
            granted.eq(granted + balance(taken, places.begun)),
            under_way.eq(under_way + balance(taken, writer.done)),
        ]

        m.submodules.requests = requests = Skid(self.request.p.shape())
        connect(m, requests.o, flipped(self.request))
        ahead = Signal(range(BRICKS + 1))  # the top bit alone where no more may be asked for
        asked = Signal()
        m.d.comb += [
            requests.i.p.eq(places.o.p),
            requests.i.valid.eq(places.o.valid & ~ahead[-1]),
            places.o.ready.eq(requests.i.ready & ~ahead[-1]),
            asked.eq(requests.i.valid & requests.i.ready),
            bricks.i.p.eq(self.brick),
            bricks.i.valid.eq(self.valid),
            self.moved.eq(bricks.o.valid & bricks.o.ready),
        ]
        gone = Signal()  # `moved`, known a cycle late: what comes behind the memories of bricks is late enough already
        m.d.sync += [gone.eq(self.moved), ahead.eq(ahead + balance(asked, gone))]

        with m.If(writer.done & (failed == 0)):
            m.d.sync += failed.eq(writer.error)
        ended = Signal()
        m.d.comb += ended.eq(busy & begun & ~runs.busy & (under_way == 0))
        m.d.sync += [begun.eq(busy), self.done.eq(ended), self.error.eq(ErrorCode.NONE)]
        with m.If(failed != 0):
            m.d.sync += self.error.eq(ErrorCode.WRITE_BUS)
        with m.Elif(runs.refused):
            m.d.sync += self.error.eq(ErrorCode.WRITE_OUTSIDE)
        with m.If(ended):
            m.d.sync += busy.eq(0)
        with m.If(start):
            m.d.sync += [busy.eq(1), begun.eq(0), failed.eq(0)]
        return m
