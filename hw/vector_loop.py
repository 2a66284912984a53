"""The vector unit's loops: what one step after another begins, and when a command's steps end."""

from amaranth.hdl import Module, Mux, Signal, signed
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
        with m.If(self.setup):
            m.d.sync += [
                window.eq(is_window(kind)),
                transposes.eq(kind == Kind.TRANSPOSE),
                masks.eq(kind == Kind.MASK),
                rowlike.eq(~kind.matches(Kind.TRANSPOSE, Kind.MASK)),
                loads_first.eq(~kind.matches(Kind.TRANSPOSE, Kind.MASK, Kind.MAX)),
                loads_again.eq((reduces & ~command.start) | (scaled & ~command.uniform)),
                load_parts.eq(
                    (reduces & ~command.start & (record_bricks(chip) > 1)) | (scaled & (entry_bricks(chip) > 1))
                ),
                unloads.eq(reduces & ~command.convert),
            ]
            m.d.sync += blocks.eq((command.count + BRICK - 1)[3:])
        limits = [
            Mux(masks, 1, command.bricks),
            Mux(transposes, command.lines, command.count),
            Mux(window, command.out_y, 1),
            Mux(transposes, blocks, Mux(masks, command.bricks, Mux(window, command.out_x, 1))),
            Mux(window, command.taps_y, 1),
            Mux(transposes, BRICK, Mux(window, command.taps_x, 1)),
        ]
        names = ("channel", "line", "image_line", "row", "tap_line", "tap")
        counts = [Count(m, self.setup, name, limit) for name, limit in zip(names, limits, strict=True)]
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
        begins = Signal(BEGINS)
        steps = Signal()  # counters go on
        reload = Signal()  # all begin anew
        for n, count in enumerate(counts):
            goes = following[n + CHANNEL]
            if n + CHANNEL == LINE:
                goes = goes | (rowlike & (following[ROW] | following[IMAGE_LINE]))
            count.drive(m, reload | (steps & following[CHANNEL : n + CHANNEL].any()), steps & goes)

        # Kinds of items other than steps; signals of their own, as a choice hangs on them.
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

        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.sync += [timer.eq(0), number.eq(0), second.eq(0)]
                with m.If(self.start):
                    m.next = "SETUP"
            with m.State("SETUP"):
                m.d.comb += self.setup.eq(1)
                m.d.sync += [timer.eq(timer + 1), begins.eq(1 << START)]
                with m.If(timer == Mux(window, WINDOW_SETUP, PLAIN_SETUP)):
                    m.d.comb += reload.eq(1)
                    with m.If(loads_first):
                        m.next = "LOAD"
                    with m.Else():
                        m.next = "STEP"
            with m.State("LOAD"):
                m.d.comb += [item.valid.eq(1), load.eq(1)]
                with m.If(self.advance & part_end & number.all()):
                    m.next = "STEP"
            with m.State("STEP"):
                m.d.comb += [item.valid.eq(1), item.begins.eq(begins), steps.eq(self.advance)]
                with m.If(self.advance):
                    m.d.sync += [begins.eq(following), over.eq(channel)]
                    with m.If(rows_end):
                        with m.If(unloads):
                            m.next = "UNLOAD"
                        with m.Elif(channel & transposes):
                            m.next = "FLUSH"
                        with m.Elif(channel):
                            m.next = "IDLE"
                        with m.Elif(loads_again):
                            m.next = "LOAD"
            with m.State("UNLOAD"):
                m.d.comb += [item.valid.eq(1), unload.eq(1)]
                with m.If(self.advance & part_end & number.all()):
                    with m.If(over):
                        m.next = "IDLE"
                    with m.Elif(loads_again):
                        m.next = "LOAD"
                    with m.Else():
                        m.next = "STEP"
            with m.State("FLUSH"):
                m.d.comb += [item.valid.eq(1), flush.eq(1)]
                with m.If(self.advance & number.all()):
                    m.next = "IDLE"
        m.d.comb += self.busy.eq(~fsm.ongoing("IDLE"))
        return m


class Count:
    """How often a loop goes on. It counts to -1: ``last`` is the sign, so that no comparison stands in front of a decision."""

    def __init__(self, m: Module, setup, name: str, limit):
        self.first = Signal(signed(len(limit) + 1), name=f"{name}_first", reset_less=True)
        self.left = Signal.like(self.first, name=f"{name}_left")
        self.last = self.left[-1]
        with m.If(setup):
            m.d.sync += self.first.eq(limit - 2)

    def drive(self, m: Module, reload, goes) -> None:
        with m.If(reload | goes):
            m.d.sync += self.left.eq(Mux(reload, self.first, self.left - 1))
