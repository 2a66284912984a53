"""Where a window's taps lie along one side of the operand, without a multiplier or a divider."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

POSITION = signed(20)  # origin, strides of 65535 rows, 65535 taps
SUM_CYCLES = 16  # of :class:`StrideSums`: more than a stride or a line of taps


class WindowAxis(wiring.Component):
    """Position and holes of a row's first tap, and behind it in the pipeline those of the tap itself.

    A grid place is a position and the holes behind it (``phase``); going on by one reaches another position when the phase
    begins anew. Without holes a row goes on by its stride; with holes the stride is one.

    Registers hold while ``advance`` is low. ``line_*`` concern the item that enters the first of the two stages, ``tap_*`` the
    one that enters the second. ``inside`` is that of the item in the stage after.

    Members
    -------
    origin, phase, size, dilation, stride : fields of the command
    line_first, tap_first : back to the origin, to the row's first tap
    line_goes, tap_goes : on to the next row, the next tap
    line_moves, tap_moves : that reached another position
    inside : the tap is no hole and lies in the operand
    """

    advance: In(1)
    origin: In(signed(12))
    phase: In(2)
    size: In(16)
    dilation: In(3)
    stride: In(3)
    line_first: In(1)
    line_goes: In(1)
    tap_first: In(1)
    tap_goes: In(1)
    line_moves: Out(1)
    tap_moves: Out(1)
    inside: Out(1)

    def elaborate(self, platform):
        m = Module()
        holes = Signal(2)  # between two positions
        hop = Signal(3)  # positions from row to row
        m.d.sync += [holes.eq(self.dilation - 1), hop.eq(Mux(self.dilation == 1, self.stride, 1))]

        def go(name, first, goes, moves, outer, step):
            at = Signal(POSITION, name=f"{name}_at", reset_less=True)
            phase = Signal(2, name=f"{name}_phase", reset_less=True)
            end = Signal(name=f"{name}_end")
            m.d.comb += end.eq(phase == holes)
            with m.If(self.advance):
                m.d.sync += moves.eq(end)
                with m.If(first):
                    m.d.sync += [at.eq(outer[0]), phase.eq(outer[1])]
                with m.Elif(goes & end):
                    m.d.sync += [at.eq(at + step), phase.eq(0)]
                with m.Elif(goes):
                    m.d.sync += phase.eq(phase + 1)
            return at, phase

        line = go("line", self.line_first, self.line_goes, self.line_moves, (self.origin, self.phase), hop)
        at, phase = go("tap", self.tap_first, self.tap_goes, self.tap_moves, line, 1)
        with m.If(self.advance):
            m.d.sync += self.inside.eq((phase == 0) & (at >= 0) & (at[:-1] < self.size))
        return m


class StrideSums:
    """What a window's fields give multiplied, by adding: ``x``, ``y``, addresses from row to row and from line to line,
    where these are no holes; ``last_tap``, the number of taps less one.

    ``start`` clears the sums; they are complete ``SUM_CYCLES`` cycles of ``setup`` later.
    """

    def __init__(self, m: Module, command, start, setup, address_bits: int, place_bits: int):
        self.x = Signal(address_bits, name="stride_x", reset_less=True)
        self.y = Signal(address_bits, name="stride_y", reset_less=True)
        self.last_tap = Signal(place_bits, reset_less=True)
        hop = Signal(3, name="row_hop")
        number = Signal(range(SUM_CYCLES + 1))
        m.d.sync += hop.eq(Mux(command.dilation == 1, command.stride, 1))
        with m.If(start):
            m.d.sync += [number.eq(0), self.x.eq(0), self.y.eq(0), self.last_tap.eq(-1)]
        with m.Elif(setup & ~number[-1]):
            m.d.sync += number.eq(number + 1)
            with m.If(number < hop):
                m.d.sync += [self.x.eq(self.x + command.step_x), self.y.eq(self.y + command.step_y)]
            with m.If(number < command.taps_x):
                m.d.sync += self.last_tap.eq(self.last_tap + command.taps_y)
