"""Walks the taps of a window, one a cycle."""

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.fifo import Skid
from hw.layouts import command, row
from spec.chip import Chip
from spec.engine import Widths


def tap(chip: Chip):
    return data.StructLayout(
        {
            "address": Widths(chip).brick_address,
            "inside": 1,  # it lies in the operand and is no hole
            "bias": 1,  # it is the one word behind the window
            "final": 1,  # none follows
        }
    )


class Taps(wiring.Component):
    """Every tap of a row's window in the order (y, x), then the bias where there is one.

    Latency: ``LATENCY`` cycles from a row's transfer to its first tap, then a tap a cycle.
    Stalls: a tap waits until it is taken. ``stop`` drops those that are left; the next row is taken from the cycle after.

    Members
    -------
    i : :py:`In(stream.Signature(row))`
    command : the window
    stop : the row's other taps are not wanted
    o : :py:`Out(stream.Signature(tap))`
    """

    LATENCY = 3

    def __init__(self, chip: Chip):
        self.chip = chip
        super().__init__(
            {
                "i": In(stream.Signature(row(chip))),
                "command": In(command(chip)),
                "stop": In(1),
                "o": Out(stream.Signature(tap(chip))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        widths, command = Widths(self.chip), self.command
        here = Signal(row(self.chip), reset_less=True)  # position and address of the tap
        line = Signal(widths.brick_address, reset_less=True)  # of the line's first tap
        line_x, line_phase = Signal.like(here.x, reset_less=True), Signal(2, reset_less=True)
        x_left = Signal(len(command.taps_x))
        y_left = Signal(len(command.taps_y))
        last_x, last_y = Signal(), Signal()
        busy = Signal()
        at_bias = Signal()
        step = Signal()

        # From a position to the next one; a hole is at the same position.
        moves_x, moves_y = Signal(), Signal()  # registers: what is added to an address waits for them
        holes = Signal.like(here.phase_x)  # between two positions; of the command
        m.d.sync += holes.eq(command.dilation - 1)
        hop_x, hop_y = (Signal(widths.brick_address, name=f"hop_{axis}", reset_less=True) for axis in "xy")  # to the next address
        across, along = (Signal(widths.brick_address, name=name) for name in ("across", "along"))
        m.d.comb += [across.eq(here.address + hop_x), along.eq(line + hop_y)]

        def moving(moves, hop, phase, step):
            """What a position's phase means for the next one."""
            there = phase[: len(holes)] == holes
            return [moves.eq(there), hop.eq(Mux(there, step, 0))]

        with m.If(step):
            next_x = Mux(last_x, line_phase, Mux(moves_x, 0, here.phase_x + 1))
            m.d.sync += [here.address.eq(Mux(last_x, along, across)), *moving(moves_x, hop_x, next_x, command.step_x)]
            with m.If(last_x):
                next_y = Mux(moves_y, 0, here.phase_y + 1)
                m.d.sync += [
                    *moving(moves_y, hop_y, next_y, command.step_y),
                    line.eq(along),
                    here.x.eq(line_x),
                    here.phase_x.eq(line_phase),
                    here.y.eq(here.y + moves_y),
                    here.phase_y.eq(Mux(moves_y, 0, here.phase_y + 1)),
                    x_left.eq(command.taps_x),
                    last_x.eq(command.taps_x == 1),
                    y_left.eq(y_left - 1),
                    last_y.eq(y_left == 2),
                ]
                with m.If(last_y):
                    m.d.sync += [at_bias.eq(1), here.address.eq(command.one_base), busy.eq(command.bias)]
            with m.Else():
                m.d.sync += [
                    here.x.eq(here.x + moves_x),
                    here.phase_x.eq(Mux(moves_x, 0, here.phase_x + 1)),
                    x_left.eq(x_left - 1),
                    last_x.eq(x_left == 2),
                ]
            with m.If(at_bias):
                m.d.sync += busy.eq(0)

        # Whether it lies in the operand is found on the way out.
        valid = Signal()
        given = Signal(tap(self.chip), reset_less=True)
        inside_x, inside_y = Signal(reset_less=True), Signal(reset_less=True)
        m.submodules.skid = skid = ResetInserter(self.stop)(Skid(tap(self.chip)))
        connect(m, skid.o, flipped(self.o))
        m.d.comb += [
            step.eq(busy & (~valid | skid.i.ready)),
            skid.i.valid.eq(valid),
            skid.i.p.eq(given),
            skid.i.p.inside.eq((inside_x & inside_y) | given.bias),
            self.i.ready.eq(~busy & ~valid),
        ]
        with m.If(step):
            m.d.sync += [
                valid.eq(1),
                given.address.eq(here.address),
                given.bias.eq(at_bias),
                given.final.eq(at_bias | (last_x & last_y & ~command.bias)),
                # Positions before the first one are very large without their sign.
                inside_x.eq((here.x.as_unsigned() < command.in_x) & (here.phase_x == 0)),
                inside_y.eq((here.y.as_unsigned() < command.in_y) & (here.phase_y == 0)),
            ]
        with m.Elif(skid.i.ready):
            m.d.sync += valid.eq(0)
        with m.If(~busy):  # whether a row has come shows in `busy` alone
            m.d.sync += [
                here.eq(self.i.p),
                line.eq(self.i.p.address),
                line_x.eq(self.i.p.x),
                line_phase.eq(self.i.p.phase_x),
                x_left.eq(command.taps_x),
                y_left.eq(command.taps_y),
                last_x.eq(command.taps_x == 1),
                last_y.eq(command.taps_y == 1),
                at_bias.eq(0),
                busy.eq(self.i.valid & ~valid),
                *moving(moves_x, hop_x, self.i.p.phase_x, command.step_x),
                *moving(moves_y, hop_y, self.i.p.phase_y, command.step_y),
            ]
        with m.If(self.stop):
            m.d.sync += [busy.eq(0), valid.eq(0)]
        return m
