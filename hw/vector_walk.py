"""Steps of a vector command: which bricks are read for each, where its result goes."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.fifo import Fifo, Skid
from hw.vector_layouts import vector_command, vector_step
from hw.vector_loop import CHANNEL, IMAGE_LINE, LINE, ROW, START, TAP, TAP_LINE, VectorLoop, is_window, loop_item
from hw.vector_window import StrideSums, WindowAxis
from spec.chip import BRICK, Chip
from spec.engine import Widths
from spec.isa import Kind

STAGES = 7
STEPS = 16  # that wait for their bricks, where they wait in a small memory


class VectorWalk(wiring.Component):
    """The items of :class:`hw.vector_loop.VectorLoop` with their addresses.

    No multiplier: every loop has an address of its own, to which it adds its step when it goes on, and which it takes from the
    loop around it when it begins anew. Loops follow each other as stages of a pipeline, the outermost first, so between two
    registers lies one sum and one choice. The pipeline stands still while ``o`` does.

    Taps outside the operand and holes take a cycle and give no step, but for a row's last: it completes the result.

    Latency: 13 cycles from ``start`` to the first step, 28 for windows. One step a cycle.

    Members
    -------
    command : holds while ``busy``
    start : a pulse
    busy : steps are left
    o : :py:`Out(stream.Signature(vector_step))`
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        super().__init__({
            "command": In(vector_command(chip)),
            "start": In(1),
            "busy": Out(1),
            "o": Out(stream.Signature(vector_step(chip))),
        })

    def elaborate(self, platform):
        m = Module()
        command, chip = self.command, self.chip
        kind = command.kind
        bits = Widths(chip).brick_address
        m.submodules.loop = loop = VectorLoop(chip)
        m.submodules.skid = skid = Fifo(vector_step(chip), STEPS) if chip.compact else Skid(vector_step(chip))
        connect(m, skid.o, flipped(self.o))
        advance = Signal()
        m.d.comb += [
            loop.command.eq(command),
            loop.start.eq(self.start),
            advance.eq(skid.i.ready),
        ]
        # Loops go on while the pipeline stands still, until an item waits: what stops the pipeline reaches many registers.
        m.submodules.ahead = ahead = Skid(loop_item)
        m.d.comb += [
            ahead.i.valid.eq(loop.item.valid),
            ahead.i.p.eq(loop.item),
            loop.advance.eq(ahead.i.ready),
            ahead.o.ready.eq(advance),
        ]

        # Constants of the command.
        flags = {
            "window": is_window(kind),
            "transposes": kind == Kind.TRANSPOSE,
            "masks": kind == Kind.MASK,
            "back": kind == Kind.MAX_BACK,
            "finds": kind == Kind.MAX,
            "rowlike": ~kind.matches(Kind.TRANSPOSE, Kind.MASK),
            "records": (kind == Kind.REDUCE) & ~command.start,
            "loaded": kind.matches(Kind.AFFINE, Kind.MEAN) | ((kind == Kind.REDUCE) & ~command.start),
            "keeps": (kind == Kind.REDUCE) & ~command.convert,
            "single": kind == Kind.REDUCE,  # one result for all positions
            "reads_v": Mux(kind == Kind.MAX_BACK, 1, kind.matches(Kind.AFFINE, Kind.REDUCE) & command.has_v),
        }

        def constant(name, value, width=None):
            register = Signal(width or len(value), name=name, reset_less=True)
            m.d.sync += register.eq(value)
            return register

        f = {name: constant(name, value) for name, value in flags.items()}
        products = StrideSums(m, command, self.start, loop.setup, bits, chip.width)
        tail = constant("tail", Mux(command.count[:3] == 0, BRICK, command.count[:3]), 4)
        delta = constant("delta", command.v_base - command.u_base, bits)
        steps_u = {
            CHANNEL: Mux(f["transposes"], command.u_plane, 1),
            LINE: Mux(f["transposes"], command.u_line, Mux(f["window"], command.step_b, command.u_stride)),
            IMAGE_LINE: products.y,
            ROW: Mux(f["transposes"], command.u_stride << 3, Mux(f["masks"], 1, products.x)),
            TAP_LINE: command.step_y,
            TAP: Mux(f["transposes"], command.u_stride, command.step_x),
        }
        steps_u = {number: constant(f"step_u_{number}", step, bits) for number, step in steps_u.items()}
        out_channel = constant("out_channel", Mux(f["transposes"], command.out_plane, 1), bits)
        out_line = constant(
            "out_line", Mux(f["transposes"], command.out_line, Mux(f["single"], 0, command.out_stride)), bits
        )
        index_row = constant("index_row", Mux(f["single"], 0, command.index_stride), 32)

        # Items on their way; a stage's registers are those that belong to the item in it.
        # What is not valid begins nothing, but for the cycle after a reset.
        coming = Signal(loop_item)
        m.d.comb += [coming.eq(ahead.o.p), coming.valid.eq(ahead.o.valid)]
        items = [coming]
        for stage in range(1, STAGES):
            item = Signal(loop_item, name=f"item_{stage}")
            with m.If(advance):
                m.d.sync += item.eq(items[-1])
            items.append(item)

        def begins(stage, *loops):
            """Some of ``loops`` goes on with the item that enters ``stage``."""
            return Cat(items[stage - 1].begins[loop] for loop in loops).any()

        def anew(stage, loop):
            """``loop`` begins anew with the item that enters ``stage``."""
            return items[stage - 1].anew[loop]

        def pointer(stage, name, width, outer, first, goes, step):
            """A loop's own address in ``stage``: taken from outside when one of the loops ``first`` begins or goes on."""
            register = Signal(width, name=name, reset_less=True)
            with m.If(advance):
                with m.If(first):
                    m.d.sync += register.eq(outer)
                with m.Elif(goes):
                    m.d.sync += register.eq(register + step)
            return register

        def carried(signal, stages, name):
            """A register of an earlier stage, moved on with its item."""
            for n in range(stages):
                late = Signal(signal.shape(), name=f"{name}_{n}", reset_less=True)
                with m.If(advance):
                    m.d.sync += late.eq(signal)
                signal = late
            return signal

        # Where the window lies, and which loops reach another position of the operand.
        axes = []
        for name, stage, line_loop, tap_loop in (("y", 2, IMAGE_LINE, TAP_LINE), ("x", 3, ROW, TAP)):
            m.submodules[f"axis_{name}"] = axis = WindowAxis()
            m.d.comb += [
                axis.advance.eq(advance),
                axis.origin.eq(command[f"origin_{name}"]),
                axis.phase.eq(command[f"phase_{name}"]),
                axis.size.eq(command[f"in_{name}"]),
                axis.dilation.eq(command.dilation),
                axis.stride.eq(command.stride),
                axis.line_first.eq(anew(stage, line_loop)),
                axis.line_goes.eq(begins(stage, line_loop)),
                axis.tap_first.eq(anew(stage + 1, tap_loop)),
                axis.tap_goes.eq(begins(stage + 1, tap_loop)),
            ]
            axes.append(axis)
        y, x = axes
        plain = ~f["window"]
        moves = {
            CHANNEL: 1,
            LINE: 1,
            IMAGE_LINE: y.line_moves,
            ROW: x.line_moves | plain,
            TAP_LINE: carried(y.tap_moves, 1, "y_moves"),
            TAP: carried(x.tap_moves, 1, "x_moves") | plain,
        }
        inside = Signal()
        m.d.comb += inside.eq(carried(y.inside, 2, "y_inside") & carried(x.inside, 1, "x_inside"))

        # u, one stage for each loop.
        u = command.u_base
        for stage, loop_number in enumerate((CHANNEL, LINE, IMAGE_LINE, ROW, TAP_LINE, TAP), start=1):
            goes = begins(stage, loop_number) & moves[loop_number]
            u = pointer(stage, f"u_{stage}", bits, u, anew(stage, loop_number), goes, steps_u[loop_number])

        # v, or the places of MAX; the result; the rounding index. They have a step for each row.
        rows = ROW, IMAGE_LINE, LINE
        v = pointer(5, "v_channel", bits, command.v_base, begins(5, START), begins(5, CHANNEL), 1)
        v = pointer(6, "v_row", bits, v, anew(6, LINE), begins(6, *rows), command.v_stride)
        index = pointer(5, "index_channel", 32, command.index_base, begins(5, START), begins(5, CHANNEL), BRICK)
        index = pointer(6, "index_row_at", 32, index, anew(6, LINE), begins(6, *rows), index_row)
        of_block = Signal(3)  # MASK: bricks of the position before this one, modulo eight
        with m.If(advance & anew(4, IMAGE_LINE)):
            m.d.sync += of_block.eq(0)
        with m.Elif(advance & begins(4, ROW)):
            m.d.sync += of_block.eq(of_block + 1)
        line_goes = begins(4, LINE) | (f["rowlike"] & begins(4, ROW, IMAGE_LINE))
        block_goes = begins(5, ROW) & (f["transposes"] | (of_block == 0))
        out = pointer(3, "out_channel_at", bits, command.out_base, begins(3, START), begins(3, CHANNEL), out_channel)
        out = pointer(4, "out_line_at", bits, out, anew(4, LINE), line_goes, out_line)
        out = pointer(
            5, "out_block_at", bits, out, f["rowlike"] | anew(5, IMAGE_LINE), block_goes,
            Mux(f["transposes"], command.out_block, 1),
        )  # fmt: skip
        within = f["transposes"] & begins(6, TAP)
        out = pointer(6, "out_at", bits, out, ~within, within, command.out_stride)
        block_end = carried(of_block, 2, "of_block").all()

        # The tap's number, counted down for MAX_BACK; the brick's in a block of TRANSPOSE.
        row_first = anew(6, TAP_LINE)
        place = pointer(
            6, "place", chip.width, Mux(f["back"], products.last_tap, 0), row_first, begins(6, TAP, TAP_LINE),
            Mux(f["back"], -1, 1),
        )  # fmt: skip
        at = pointer(6, "at", 3, 0, anew(6, TAP), begins(6, TAP), 1)
        now = items[-1]

        # Scalars and sums lie one behind the other.
        load_at, unload_at = (Signal(bits, name=f"{name}_at", reset_less=True) for name in ("load", "unload"))
        with m.If(loop.setup):
            m.d.sync += [
                load_at.eq(Mux(f["records"], command.out_base, command.table_base)),
                unload_at.eq(command.out_base),
            ]
        with m.Elif(advance):
            with m.If(now.load):
                again = command.uniform & ~f["records"] & now.part_end
                m.d.sync += load_at.eq(Mux(again, command.table_base, load_at + 1))
            with m.If(now.unload):
                m.d.sync += unload_at.eq(unload_at + 1)

        # The step itself.
        computes = now.computes
        absent = now.row_end & (at >= tail)  # a brick past the line's end
        seen = Mux(f["window"], inside, ~(f["transposes"] & absent))
        result = Mux(f["single"], now.channel_end & ~f["keeps"], now.taps_end)
        last = Mux(f["transposes"], 1, Mux(f["masks"], now.row_end | block_end, result))
        passes = Signal()
        pending = Signal()  # none of the row's taps has passed
        first = Signal()
        m.d.comb += [
            first.eq(now.anew[TAP_LINE] | pending),
            # `seen | last`, as windows have them: much hangs on it.
            passes.eq(now.valid & (~computes | inside | now.taps_end | ~f["window"])),
        ]
        with m.If(advance & now.valid & computes):
            m.d.sync += pending.eq(first & ~passes)
        step, tag = skid.i.p, skid.i.p.tag
        m.d.comb += [
            skid.i.valid.eq(passes),
            step.u.eq(Mux(now.load, load_at, u)),
            step.v.eq(Mux(f["back"], u + delta, v)),
            tag.load.eq(now.load),
            tag.unload.eq(now.unload),
            tag.flush.eq(now.flush),
            tag.read_u.eq(Mux(now.load, f["loaded"], computes & seen)),
            tag.read_v.eq(computes & seen & f["reads_v"]),
            tag.first.eq(first),
            tag.last.eq(computes & last),
            tag.part_end.eq(now.part_end),
            tag.place.eq(place),
            tag.index.eq(Mux(f["finds"], v, index)),
            tag.out.eq(Mux(now.unload, unload_at, out)),
            self.busy.eq(loop.busy | Cat(item.valid for item in items).any() | skid.o.valid),
        ]
        return m
