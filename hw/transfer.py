"""Both sides of a transfer: its runs in memory, checked against a window, and its bricks in the scratchpad."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.axi import axi_job
from hw.walk import Walk
from spec.axi import ADDRESS_BITS, COUNT_BITS, Axi
from spec.chip import Chip
from spec.engine import Widths
from spec.isa import TRANSFER

transfer_command = data.StructLayout({field.name: field.bits for field in TRANSFER})
window = data.StructLayout({"base": ADDRESS_BITS, "limit": ADDRESS_BITS})  # first and last byte


class Runs(wiring.Component):
    """Jobs for the bus, one for each run, up to the first that does not lie inside the window.

    Latency: a job a cycle, the first three cycles after ``start``. Stalls: freely.

    Members
    -------
    resting, start, command : take a transfer in the last cycle of rest; its address is a multiple of a brick's
    stop : no more jobs but the one that is offered
    window : held while jobs are under way
    o : :py:`Out(stream.Signature(axi_job))`
    busy : more may come
    refused : a run lay outside, and it and all behind it did not come; until the next start
    """

    def __init__(self, spec: Axi):
        self.spec = spec
        super().__init__({
            "resting": In(1),
            "start": In(1),
            "stop": In(1),
            "command": In(transfer_command),
            "window": In(window),
            "o": Out(stream.Signature(axi_job)),
            "busy": Out(1),
            "refused": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        below = exact_log2(self.spec.brick_bytes)
        bits = ADDRESS_BITS - below  # of an address in bricks, as all here
        m.submodules.walk = walk = Walk(bits)
        bricks = Signal(COUNT_BITS, reset_less=True)
        more = Signal(COUNT_BITS, reset_less=True)  # less one
        with m.If(self.resting):
            m.d.sync += [bricks.eq(self.command.bricks), more.eq(self.command.bricks - 1)]
        m.d.comb += [
            walk.resting.eq(self.resting),
            walk.start.eq(self.start),
            walk.base.eq(self.command.address >> below),
            walk.step_1.eq(self.command.memory_1),
            walk.step_2.eq(self.command.memory_2),
            walk.count_1.eq(self.command.count_1),
            walk.count_2.eq(self.command.count_2),
        ]

        limits = Signal(window, reset_less=True)  # a copy at hand: the registers may lie far away
        m.d.sync += limits.eq(self.window)
        at_valid = Signal()
        at = Signal(bits, reset_less=True)
        last = Signal(bits + 1, reset_less=True)
        move = Signal()
        outside = Signal()
        stopped = Signal()
        m.d.comb += [
            move.eq(~self.o.valid | self.o.ready),
            outside.eq(
                at_valid
                & ((Cat(Const(0, below), at) < limits.base) | (Cat(Const(-1, below), last) > limits.limit))
            ),
            walk.o.ready.eq(move),
            walk.stop.eq(self.stop | self.refused),
            self.busy.eq(walk.o.valid | at_valid | self.o.valid),
        ]
        with m.If(move):
            m.d.sync += [
                at_valid.eq(walk.o.valid),
                at.eq(walk.o.p),
                last.eq(walk.o.p + more),
                self.o.valid.eq(at_valid & ~outside & ~stopped),
                self.o.p.address.eq(Cat(Const(0, below), at)),
                self.o.p.bricks.eq(bricks),
            ]
            with m.If(outside):
                m.d.sync += self.refused.eq(1)
        m.d.comb += stopped.eq(self.stop | self.refused)
        with m.If(self.start):
            m.d.sync += self.refused.eq(0)
        return m


class Places(wiring.Component):
    """Scratchpad addresses of a transfer's bricks, one a cycle.

    Members
    -------
    resting, start, command : take a transfer in the last cycle of rest and drop what is left of an earlier one
    stop : drop what is left
    grant : a run may begin; begun : one does
    o : the addresses; from three cycles after ``start`` on; a run of one brick takes two
    busy : more may come
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        super().__init__({
            "resting": In(1),
            "start": In(1),
            "stop": In(1),
            "command": In(transfer_command),
            "grant": In(1),
            "begun": Out(1),
            "o": Out(stream.Signature(Widths(chip).brick_address)),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.walk = walk = Walk(Widths(self.chip).brick_address)
        bricks = Signal(COUNT_BITS, reset_less=True)
        left = Signal(COUNT_BITS, reset_less=True)
        single = Signal(reset_less=True)
        last = Signal(reset_less=True)
        run = Signal.like(self.o.p, reset_less=True)  # the next one begins there
        run_valid = Signal()
        m.d.comb += [
            walk.resting.eq(self.resting),
            walk.start.eq(self.start),
            walk.stop.eq(self.stop),
            walk.base.eq(self.command.scratch),
            walk.step_1.eq(self.command.scratch_1),
            walk.step_2.eq(self.command.scratch_2),
            walk.count_1.eq(self.command.count_1),
            walk.count_2.eq(self.command.count_2),
            self.busy.eq(walk.o.valid | run_valid | self.o.valid),
            walk.o.ready.eq(~run_valid),
            self.begun.eq(run_valid & self.grant & (~self.o.valid | (self.o.ready & last))),
        ]
        with m.If(~run_valid):
            m.d.sync += run.eq(walk.o.p)
        m.d.sync += run_valid.eq(Mux(run_valid, ~self.begun, walk.o.valid))
        with m.If(self.o.ready):
            m.d.sync += [self.o.p.eq(self.o.p + 1), left.eq(left - 1), last.eq(left == 2)]
            with m.If(last):
                m.d.sync += self.o.valid.eq(0)
        with m.If(self.begun):
            m.d.sync += [self.o.valid.eq(1), self.o.p.eq(run), left.eq(bricks), last.eq(single)]
        with m.If(self.stop | self.start):
            m.d.sync += [self.o.valid.eq(0), run_valid.eq(0)]
        with m.If(self.resting):
            m.d.sync += [bricks.eq(self.command.bricks), single.eq(self.command.bricks == 1)]
        return m
