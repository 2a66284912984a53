"""The vector unit's loops: what one step after another begins, and when a command's steps end."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.vector_layouts import vector_command
from spec.chip import BRICK, Chip
from spec.isa import Kind, entry_bricks, record_bricks

# Loops from the outside in. A step is named by the outermost loop that goes on with it; all loops further in begin anew.
START, CHANNEL, LINE, IMAGE_LINE, ROW, TAP_LINE, TAP = range(7)
BEGINS = 7  # bits, one at most of them set; none where a step computes nothing
PLAIN_SETUP = 3  # cycles from `start` until the limits have settled
WINDOW_SETUP = 18  # the same, with the sums over strides and taps of :class:`hw.vector_walk.VectorWalk`

loop_item = data.StructLayout({
    "valid": 1,
    "load": 1,
    "unload": 1,
    "flush": 1,
    "begins": BEGINS,
    "anew": BEGINS,  # for each loop, whether it begins anew, as one outside it goes on
    "computes": 1,  # it is a step
    "part_end": 1,  # of a channel's scalars or sums, the last brick
    "taps_end": 1,  # of a row
    "row_end": 1,  # last of the loop ROW
    "channel_end": 1,  # last of a channel brick
})


def is_window(kind):
    return kind.matches(Kind.MAX, Kind.MAX_BACK, Kind.MEAN)


class VectorLoop(wiring.Component):
    """Counts through a command, one item a cycle while ``advance``.

    ========== =============== ======= ========== ======= ======== ======
    kind       CHANNEL         LINE    IMAGE_LINE ROW     TAP_LINE TAP
    ========== =============== ======= ========== ======= ======== ======
    AFFINE,
    REDUCE     bricks          count   -          -       -        -
    windows    bricks          (image) out_y      out_x   taps_y   taps_x
    MASK       -               count   -          bricks  -        -
    TRANSPOSE  planes          lines   -          blocks  -        8
    ========== =============== ======= ========== ======= ======== ======

    A window's images have no count: `count` counts rows whatever loop brings them. Scalars or sums of a channel brick are loaded in
    front of its first step, and sums unloaded behind its last; a transposition ends with a block that only moves the last one out.

    Members
    -------
    command : holds while ``busy``
    start : a pulse; ``setup`` : the command's constants are being worked out
    advance : the item is taken
    item : what comes next
    busy : items are left
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        super().__init__({
            "command": In(vector_command(chip)),
            "start": In(1),
            "advance": In(1),
            "setup": Out(1),
            "item": Out(loop_item),
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        command, chip, item = self.command, self.chip, self.item
        kind = command.kind

        # Constants of the command: kinds first, then limits, then which of these are one.
        window, transposes, masks, rowlike = Signal(), Signal(), Signal(), Signal()
        loads_first, loads_again, load_parts, unloads = Signal(), Signal(), Signal(), Signal()
        reduces, scaled = kind == Kind.REDUCE, kind.matches(Kind.AFFINE, Kind.MEAN)
        blocks = Signal(22)
        m.d.sync += [
            window.eq(is_window(kind)),
            transposes.eq(kind == Kind.TRANSPOSE),
            masks.eq(kind == Kind.MASK),
            rowlike.eq(~kind.matches(Kind.TRANSPOSE, Kind.MASK)),
            loads_first.eq(~kind.matches(Kind.TRANSPOSE, Kind.MASK, Kind.MAX)),
            loads_again.eq((reduces & ~command.start) | (scaled & ~command.uniform)),
            load_parts.eq((reduces & ~command.start & (record_bricks(chip) > 1)) | (scaled & (entry_bricks(chip) > 1))),
            unloads.eq(reduces & ~command.convert),
            blocks.eq((command.count + BRICK - 1)[3:]),
        ]
        limits = [
            Mux(masks, 1, command.bricks),
            Mux(transposes, command.lines, command.count),
            Mux(window, command.out_y, 1),
            Mux(transposes, blocks, Mux(masks, command.bricks, Mux(window, command.out_x, 1))),
            Mux(window, command.taps_y, 1),
            Mux(transposes, BRICK, Mux(window, command.taps_x, 1)),
        ]
        names = ("channel", "line", "image_line", "row", "tap_line", "tap")
        counts = [Count(m, name, limit) for name, limit in zip(names, limits, strict=True)]
        channel, line, image_line, row, tap_line, tap = (count.last for count in counts)

        # What follows the step under way.
        taps_end, rows_end = Signal(), Signal()
        following = Signal(BEGINS)
        m.d.comb += [
            taps_end.eq(tap & tap_line),
            rows_end.eq(taps_end & (row | rowlike) & line),
            following[TAP].eq(~tap),
            following[TAP_LINE].eq(tap & ~tap_line),
            following[ROW].eq(taps_end & ~row & ~(rowlike & line)),
            following[IMAGE_LINE].eq(taps_end & row & ~image_line & ~line),
            following[LINE].eq(taps_end & row & image_line & ~line),
            following[CHANNEL].eq(rows_end),
        ]
        # Which loops begin anew with it, and which go on or begin anew; both follow from `following`, in fewer levels of logic.
        first_row = Signal()
        m.d.comb += first_row.eq(taps_end & (row | (rowlike & line)))
        anew = [
            *(Const(0), Const(0)),
            rows_end,
            rows_end | (taps_end & row & image_line),
            first_row,
            taps_end,
            tap,
        ]
        moves = [
            *(Const(0), rows_end),
            taps_end & (rowlike | (row & (line | image_line))),
            first_row,
            taps_end,
            tap,
            Const(1),
        ]
        begins, begins_anew = Signal(BEGINS), Signal(BEGINS)
        stepping, restarts = Signal(), Signal()  # registers; one cycle in which all counters begin anew
        steps = Signal()  # counters go on
        m.d.comb += steps.eq(stepping & self.advance)
        for n, count in enumerate(counts, start=CHANNEL):
            count.drive(m, restarts | anew[n], restarts | (steps & moves[n]))

        # Kinds of items other than steps.
        load, unload, flush = Signal(), Signal(), Signal()
        number = Signal(range(BRICK))  # of a channel that is loaded or unloaded, or of a brick in the last block
        second = Signal()  # of its two bricks
        part_end = Signal()
        over = Signal()  # no channel follows
        timer = Signal(range(WINDOW_SETUP + 1))
        parts = Mux(load, load_parts, record_bricks(chip) > 1)
        m.d.comb += [
            part_end.eq(second | ~parts),
            item.load.eq(load),
            item.unload.eq(unload),
            item.flush.eq(flush),
            item.part_end.eq(part_end),
            item.taps_end.eq(taps_end),
            item.row_end.eq(row),
            item.channel_end.eq(rows_end),
        ]
        with m.If(self.advance & (load | unload)):
            m.d.sync += second.eq(~part_end)
        with m.If(self.advance & (((load | unload) & part_end) | flush)):
            m.d.sync += number.eq(number + 1)

        # One register for each state, as each stands in front of much.
        idle = Signal(init=1)
        m.d.comb += [item.valid.eq(load | unload | flush | stepping), item.computes.eq(stepping)]
        with m.If(stepping):
            m.d.comb += [item.begins.eq(begins), item.anew.eq(begins_anew)]
        with m.If(idle):
            m.d.sync += [timer.eq(0), number.eq(0), second.eq(0)]
            with m.If(self.start):
                m.d.sync += [idle.eq(0), self.setup.eq(1)]
        with m.If(self.setup):
            m.d.sync += timer.eq(timer + 1)
            with m.If(timer == Mux(window, WINDOW_SETUP, PLAIN_SETUP)):
                m.d.sync += [self.setup.eq(0), restarts.eq(1)]
        with m.If(restarts):
            m.d.sync += [restarts.eq(0), load.eq(loads_first), stepping.eq(~loads_first)]
            m.d.sync += [begins.eq(1 << START), begins_anew.eq(-2)]
        with m.If(self.advance):
            with m.If(load & part_end & number.all()):
                m.d.sync += [load.eq(0), stepping.eq(1)]
            with m.If(stepping):
                m.d.sync += [begins.eq(following), begins_anew.eq(Cat(anew)), over.eq(channel)]
                with m.If(rows_end):
                    m.d.sync += [
                        stepping.eq(~(unloads | channel | loads_again)),
                        unload.eq(unloads),
                        flush.eq(~unloads & channel & transposes),
                        idle.eq(~unloads & channel & ~transposes),
                        load.eq(~unloads & ~channel & loads_again),
                    ]
            with m.If(unload & part_end & number.all()):
                m.d.sync += [
                    unload.eq(0),
                    idle.eq(over),
                    load.eq(~over & loads_again),
                    stepping.eq(~over & ~loads_again),
                ]
            with m.If(flush & number.all()):
                m.d.sync += [flush.eq(0), idle.eq(1)]
        m.d.comb += self.busy.eq(~idle)
        return m


class Count:
    """How often a loop goes on. It counts to -1: ``last`` is the sign, so that no comparison stands in front of a decision."""

    def __init__(self, m: Module, name: str, limit):
        self.first = Signal(signed(len(limit) + 1), name=f"{name}_first", reset_less=True)
        self.left = Signal.like(self.first, name=f"{name}_left")
        self.last = self.left[-1]
        m.d.sync += self.first.eq(limit - 2)

    def drive(self, m: Module, anew, moves) -> None:
        with m.If(moves):
            m.d.sync += self.left.eq(Mux(anew, self.first, self.left - 1))
