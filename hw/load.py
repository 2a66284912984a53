"""LOAD: bricks from memory, or zeros, to the scratchpad."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.axi import RESP_BITS, axi_address, axi_read
from hw.axi_read import AxiReader
from hw.finish import write_request
from hw.logic import balance
from hw.transfer import Places, Runs, transfer_command, window
from spec.axi import Axi
from spec.chip import Chip
from spec.engine import bits_for
from spec.isa import ERROR_BITS, ErrorCode


def job_counter_bits(spec: Axi) -> int:
    """Counts the jobs of one half of the master that are under way."""
    return bits_for(spec.outstanding + 8)


class Load(wiring.Component):
    """One transfer at a time. Runs overlap: the bus is asked for the next ones while beats of earlier ones come.

    Stalls: ``write`` stalls freely, and the bus waits then. Latency: an address on AR five cycles after the command.

    Errors: a run outside the window ends the transfer before it, a failure of the bus as soon as it is seen; every burst begun
    is finished, and ``error`` says what was first in the order of the runs.

    Members
    -------
    command : :py:`In(stream.Signature(transfer_command))`, accepted when idle
    stop : ask for no more runs
    window : what may be read
    done, error : a pulse when all bricks are written; its :class:`spec.isa.ErrorCode`
    brick : a pulse for each brick from memory
    write : for the scratchpad
    ar, r : the bus
    """

    def __init__(self, chip: Chip, spec: Axi):
        self.chip = chip
        self.spec = spec
        super().__init__({
            "command": In(stream.Signature(transfer_command)),
            "stop": In(1),
            "window": In(window),
            "done": Out(1),
            "error": Out(ERROR_BITS),
            "brick": Out(1),
            "write": Out(stream.Signature(write_request(chip))),
            "ar": Out(stream.Signature(axi_address)),
            "r": In(stream.Signature(axi_read(spec))),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.runs = runs = Runs(self.spec)
        m.submodules.places = places = Places(self.chip)
        m.submodules.reader = reader = AxiReader(self.spec, self.chip.compact)
        connect(m, runs.o, reader.i)
        connect(m, reader.ar, flipped(self.ar))
        connect(m, flipped(self.r), reader.r)

        busy = Signal()
        fill = Signal()
        begun = Signal()  # the first run has had its time to come
        under_way = Signal(job_counter_bits(self.spec))
        failed = Signal(RESP_BITS)
        start = Signal()
        m.d.comb += [
            self.command.ready.eq(~busy),
            start.eq(self.command.valid & ~busy),
            runs.resting.eq(~busy),
            runs.start.eq(start & ~self.command.p.fill),
            runs.command.eq(self.command.p),
            runs.window.eq(self.window),
            runs.stop.eq(self.stop | (failed != 0)),
            places.resting.eq(~busy),
            places.start.eq(start),
            places.command.eq(self.command.p),
            places.grant.eq(1),
            places.stop.eq(fill & self.stop),
        ]

        # A brick meets the address that waits for it. What chooses its words decides nothing else.
        zeros = Signal()
        m.d.sync += zeros.eq(fill)
        m.d.comb += [
            self.write.valid.eq(places.o.valid & (fill | reader.o.valid)),
            self.write.p.address.eq(places.o.p),
            self.write.p.words.eq(Mux(zeros, 0, reader.o.p)),
            places.o.ready.eq(self.write.ready & (fill | reader.o.valid)),
            reader.o.ready.eq(self.write.ready & places.o.valid & ~fill),
            self.brick.eq(reader.o.valid & reader.o.ready),
        ]

        m.d.sync += under_way.eq(under_way + balance(runs.o.valid & runs.o.ready, reader.done))
        with m.If(reader.done & (failed == 0)):
            m.d.sync += failed.eq(reader.error)
        ended = Signal()
        m.d.comb += ended.eq(busy & begun & Mux(fill, ~places.busy, ~runs.busy & (under_way == 0)))
        m.d.sync += [begun.eq(busy), self.done.eq(ended), self.error.eq(ErrorCode.NONE)]
        with m.If(failed != 0):
            m.d.sync += self.error.eq(ErrorCode.READ_BUS)
        with m.Elif(runs.refused & ~fill):
            m.d.sync += self.error.eq(ErrorCode.READ_OUTSIDE)
        with m.If(ended):
            m.d.sync += busy.eq(0)
        with m.If(start):
            m.d.sync += [busy.eq(1), begun.eq(0), fill.eq(self.command.p.fill), failed.eq(0)]
        return m
