"""Hands out rows of C to the groups, so that rows with many zeros balance out."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.layouts import command, row
from spec.chip import Chip
from spec.engine import DIMENSION_BITS, Widths


class RowQueue(wiring.Component):
    """One counter, and the limits of both bank halves. Groups are asked in turn; a grant takes two cycles, and the next one may begin with its second.

    With a row goes the place where its window begins, reached by steps from that of the row before: a position, a line
    or an image further.

    Latency: 2 to ``2 * groups + 3`` cycles from request to grant.
    Contract: nobody asks for rows of a tile before all of the tile before have been handed out.

    Members
    -------
    command : the window; holds while rows are left
    set, set_half, set_next, set_limit : the rows of a new tile, from next up to but without limit
    set_over : with it: next is the first row of C, and not the one after the last tile's limit
    request, half : one bit per group; held until granted
    grant : one bit per group; row : its row; none : no row is left in that tile
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        self.groups = chip.groups
        super().__init__(
            {
                "command": In(command(chip)),
                "set": In(1),
                "set_half": In(1),
                "set_over": In(1),
                "set_next": In(DIMENSION_BITS),
                "set_limit": In(DIMENSION_BITS),
                "request": In(self.groups),
                "half": In(self.groups),
                "grant": Out(self.groups),
                "none": Out(1),
                "row": Out(row(chip)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        command, address_bits = self.command, Widths(self.chip).brick_address
        turn = Signal(range(max(2, self.groups)))
        over = Signal(2)  # the half's rows begin with the first one of C
        fresh = Signal(2)  # nobody has asked for them yet
        spent = Signal(2)  # those of the other half are handed out now
        limits = [Signal(DIMENSION_BITS, name=f"limit_{h}") for h in range(2)]
        here = Signal(row(self.chip))  # the row that is handed out next
        line = Signal(address_bits)  # where its line begins
        image = Signal(address_bits)  # and its image
        x_left, y_left = Signal(DIMENSION_BITS), Signal(DIMENSION_BITS)
        first = Signal.like(here)
        m.d.comb += [
            first.row.eq(0),
            first.address.eq(0),
            first.y.eq(command.origin_y.as_signed()),
            first.x.eq(command.origin_x.as_signed()),
            first.phase_y.eq(command.phase_y),
            first.phase_x.eq(command.phase_x),
        ]

        # What lies a place, a line and an image further settles before it is needed.
        moves_x, moves_y = Signal(), Signal()
        last_x, last_y = Signal(), Signal()
        step_x, step_y = Signal(address_bits), Signal(address_bits)
        after = Signal.like(here)
        next_line, next_image = Signal(address_bits), Signal(address_bits)
        m.d.comb += [
            moves_x.eq(here.phase_x + 1 == command.dilation),
            moves_y.eq(here.phase_y + 1 == command.dilation),
        ]
        for step, name in ((step_x, "step_x"), (step_y, "step_y")):
            one = command[name]
            times = [0, one, one << 1, one + (one << 1), one << 2]
            with m.Switch(command.stride):
                for n, product in enumerate(times):
                    with m.Case(n):
                        m.d.sync += step.eq(product)
        m.d.sync += [
            last_x.eq(x_left == 1),
            last_y.eq(y_left == 1),
            after.row.eq(here.row + 1),
            after.address.eq(here.address + Mux(moves_x, step_x, 0)),
            after.x.eq(here.x + Mux(moves_x, command.stride, 0)),
            after.phase_x.eq(Mux(moves_x, 0, here.phase_x + 1)),
            after.y.eq(here.y + Mux(moves_y, command.stride, 0)),
            after.phase_y.eq(Mux(moves_y, 0, here.phase_y + 1)),
            next_line.eq(line + Mux(moves_y, step_y, 0)),
            next_image.eq(image + command.step_b),
        ]

        # A group that asks is picked, and answered in the next cycle; with one group alone, its request shows for one more.
        picked, half = Signal(), Signal()
        number = Signal.like(turn)
        resting = Signal()
        nones = Signal(2)  # no row is left in the half; it settles as sums do
        none = Signal()
        m.d.comb += none.eq(nones.bit_select(half, 1))
        m.d.sync += [
            *(nones[h].eq((here.row == limits[h]) | spent[h]) for h in range(2)),
            self.grant.eq(0),
            picked.eq(0),
            resting.eq(picked & (self.groups == 1)),
        ]
        begins, begins_over = Signal(), Signal()  # the group that is picked is the first to ask for the half's rows
        asked = self.half.bit_select(turn, 1)
        with m.If(~picked & ~resting):
            m.d.sync += [
                picked.eq(self.request.bit_select(turn, 1)),
                half.eq(asked),
                begins.eq(fresh.bit_select(asked, 1)),
                begins_over.eq(over.bit_select(asked, 1)),
                number.eq(turn),
                turn.eq(Mux(turn == self.groups - 1, 0, turn + 1)),
            ]
        with m.If(picked):
            with m.If(begins):  # the group is asked again
                m.d.sync += [
                    turn.eq(number),
                    fresh.bit_select(half, 1).eq(0),
                    spent.eq(Mux(half, 0b01, 0b10)),
                ]
                with m.If(begins_over):
                    m.d.sync += [
                        here.eq(first),
                        line.eq(0),
                        image.eq(0),
                        x_left.eq(command.out_x),
                        y_left.eq(command.out_y),
                    ]
            with m.Else():
                m.d.sync += [
                    self.grant.bit_select(number, 1).eq(1),
                    self.none.eq(none),
                    self.row.eq(here),
                ]
                with m.If(~none):
                    m.d.sync += [here.row.eq(after.row), here.x.eq(after.x), here.phase_x.eq(after.phase_x)]
                    m.d.sync += [here.address.eq(after.address), x_left.eq(x_left - 1)]
                    with m.If(last_x):
                        m.d.sync += [
                            here.x.eq(first.x),
                            here.phase_x.eq(first.phase_x),
                            here.y.eq(after.y),
                            here.phase_y.eq(after.phase_y),
                            here.address.eq(next_line),
                            line.eq(next_line),
                            x_left.eq(command.out_x),
                            y_left.eq(y_left - 1),
                        ]
                        with m.If(last_y):
                            m.d.sync += [
                                here.y.eq(first.y),
                                here.phase_y.eq(first.phase_y),
                                here.address.eq(next_image),
                                line.eq(next_image),
                                image.eq(next_image),
                                y_left.eq(command.out_y),
                            ]
        for h in range(2):
            with m.If(self.set & (self.set_half == h)):
                m.d.sync += [over[h].eq(self.set_over), limits[h].eq(self.set_limit), fresh[h].eq(1)]
        return m
