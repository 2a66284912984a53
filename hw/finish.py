"""Turns a row of complete sums into words of C and writes them brick by brick."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from hw.chain import Chain
from hw.convert import Converter
from hw.fifo import Fifo
from hw.layouts import brick, command, tile
from hw.logic import cleared, delayed, select
from hw.multiplier import Multiplier
from hw.visits import FACTOR_BITS, finish_job
from spec.chip import BRICK, Chip
from spec.engine import SUM_LATENCY, Widths
from spec.product import MASK_COLUMNS

JOBS = 3  # rows whose sums are complete and that wait
BRICKS_AHEAD = 4  # bricks begun and not yet written: one being filled, the others waiting; a power of two
ROWS_AHEAD = 4  # segments with words in Convert


def write_request(chip: Chip):
    return data.StructLayout({"address": Widths(chip).brick_address, "words": brick(chip)})


class Finish(wiring.Component):
    """One row at a time, one word a cycle, through the Convert that ``sources`` groups share; segment by segment.

    Groups are asked for a row in turn, one a cycle.

    Columns the mask drops are written as zero, and so are the words past the last column. Reading
    starts a brick only when ``BRICKS_AHEAD`` leaves room for it, so nothing downstream ever stalls.

    Members
    -------
    i : one :py:`In(stream.Signature(finish_job))` per group; up to ``JOBS`` rows of each wait here
    command, tiles : what is computed
    restart : group 0 is asked first again, so that what follows takes the same time whenever it comes; nothing is under way
    read_* : the partial sums, see :class:`hw.drain.Drain`; every group gets the address, and the answer is that of the row's group
    request, brick_valid, brick : mask bricks
    o : :py:`Out(stream.Signature(write_request))`
    finished, finished_half : all sums of a row have been read; one bit per group
    saturated : a word was clipped, one pulse each
    idle : nothing is under way
    """

    def __init__(self, chip: Chip, sources: int, target: str | None = None):
        self.chip = chip
        self.sources = sources
        self.target = target
        widths = Widths(chip)
        super().__init__(
            {
                "i": In(stream.Signature(finish_job(chip))).array(sources),
                "command": In(command(chip)),
                "restart": In(1),
                "tiles": In(tile(chip)).array(2),
                "read_enable": Out(1),
                "read_address": Out(widths.psum_address),
                "read_ready": In(sources),
                "read_data": In(signed(chip.acc_width)).array(sources),
                "request": Out(stream.Signature(widths.brick_address)),
                "brick_valid": In(1),
                "brick": In(brick(chip)),
                "o": Out(stream.Signature(write_request(chip))),
                "finished": Out(sources),
                "finished_half": Out(1),
                "saturated": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, widths, command = self.chip, Widths(self.chip), self.command

        jobs = [Chain(finish_job(chip), JOBS) for _ in range(self.sources)]
        for n, chain in enumerate(jobs):
            m.submodules[f"jobs_{n}"] = chain
            connect(m, flipped(self.i[n]), chain.i)
        source = Signal(range(max(2, self.sources)), reset_less=True)  # whose turn it is, and whose row it is
        following = Signal.like(source)
        offered = Signal()
        m.d.comb += [
            following.eq(Mux(source == self.sources - 1, 0, source + 1)),
            offered.eq(select(source, [chain.o.valid for chain in jobs])),
        ]
        job = Signal(finish_job(chip))
        now = Signal(tile(chip))
        m.d.comb += now.eq(select(job.half, self.tiles))

        # Where the row starts: three products, one after the other. `product` has one zero.
        m.submodules.multiplier = multiplier = Multiplier(FACTOR_BITS, target=self.target)
        product = Signal(3)
        wait = Signal(range(Multiplier.LATENCY + 2))
        strides = command.index_stride, command.c_stride, command.mask_stride
        bases = [(job.half if h == 0 else ~job.half, self.tiles[h]) for h in range(2)]
        parts = [
            cleared(m, absent | product[n], getattr(here, field), f"{field}_{h}")
            for h, (absent, here) in enumerate(bases)
            for n, field in enumerate(("index_base", "c_base", "mask_base"))
        ]
        base = Signal(32)
        start = Signal(32)
        row_index = Signal(32)
        c_address = Signal(widths.brick_address)
        mask_row = Signal(widths.brick_address)
        m.d.comb += [
            multiplier.a.eq(job.row),
            multiplier.b.eq(
                reduce(or_, (cleared(m, product[n], stride, f"factor_{n}") for n, stride in enumerate(strides)))
            ),
            start.eq(base + multiplier.p),
        ]
        # All bits of an index take long to add, and it is not wanted before the next product is there.
        summed, indexed = Signal(32, reset_less=True), Signal()
        m.d.sync += [base.eq(reduce(or_, parts)), summed.eq(start), indexed.eq(0)]
        with m.If(indexed):
            m.d.sync += row_index.eq(summed)

        column = Signal(widths.psum_address)
        above = Signal(widths.column)  # address of a sum, less the lane
        last_column = Signal(widths.psum_address)
        last_brick = Signal()  # the row ends in this one
        last_masked = Signal()  # the mask's brick ends with this one
        ended = Signal()  # past the last column
        first = Signal()  # no sum has been read
        turn = Signal()  # the brick's first sum comes
        brick_end = Signal()  # its last one
        lane_end = Signal()  # the last lane's
        mask_address = Signal(widths.brick_address)
        bits = Signal(MASK_COLUMNS)
        away = Signal(8, init=~1 & 0xFF)  # all ones but for this brick's eight of `bits`
        ahead = Signal(range(BRICKS_AHEAD + 1))
        written = Signal()
        reading = Signal()
        waiting = Signal()  # for a brick of the mask; a register of its own, as it loads many
        free = Signal()  # the partial sums are, from the drain
        read = Signal()
        lane_bits = ceil_log2(chip.lanes)

        # Where the next segment begins settles while this one is read.
        segment = Signal(widths.column)  # address of its first sum, less the lane
        x_left, y_left = Signal.like(command.seg_x), Signal.like(command.seg_y)
        last_x, last_segment = Signal(), Signal()
        next_segment, next_index, next_c = Signal.like(segment), Signal.like(row_index), Signal.like(c_address)
        m.d.sync += [
            last_x.eq(x_left == 1),
            last_segment.eq((x_left == 1) & (y_left == 1)),
            next_segment.eq(segment + command.columns),
            next_index.eq(row_index + Mux(last_x, command.seg_index_y, command.seg_index_x)),
            next_c.eq(c_address + Mux(last_x, command.seg_c_y, command.seg_c_x)),
        ]
        m.d.comb += [
            read.eq(reading & free & ~(turn & ahead[-1])),  # `ahead` has its top bit alone when there is no room
            self.read_enable.eq(read),
            self.read_address.eq(Cat(column[:lane_bits], above)),
        ]
        m.d.sync += [
            free.eq(select(source, list(self.read_ready))),
            ahead.eq(ahead + (read & turn) - written),
            # Settled long before a brick's last sum, the only time they count.
            last_column.eq(now.n_length - 1),
            last_brick.eq(column[3:] == last_column[3:]),
            last_masked.eq(command.masked & column[3:6].all()),
            mask_address.eq(mask_row + column[6:]),
            self.finished.eq(0),
        ]

        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += [chain.o.ready.eq(source == n) for n, chain in enumerate(jobs)]
                m.d.sync += [job.eq(select(source, [chain.o.p for chain in jobs])), product.eq(0b110), wait.eq(0)]
                m.d.sync += [column.eq(0), ended.eq(0), first.eq(1), turn.eq(1), brick_end.eq(0), lane_end.eq(0)]
                m.d.sync += [away.eq(away.init), x_left.eq(command.seg_x), y_left.eq(command.seg_y)]
                with m.If(offered):
                    m.next = "MULTIPLY"
                with m.Else():
                    m.d.sync += source.eq(following)
            with m.State("MULTIPLY"):
                m.d.sync += [wait.eq(wait + 1), above.eq(job.base), segment.eq(job.base)]
                with m.If(wait == Multiplier.LATENCY + 1):
                    m.d.sync += [wait.eq(0), product.eq(product.rotate_left(1))]
                    with m.If(~product[0]):
                        m.d.sync += indexed.eq(1)
                    with m.If(~product[1]):
                        m.d.sync += c_address.eq(start)
                        with m.If(~command.masked):
                            m.d.sync += reading.eq(1)
                            m.next = "READ"
                    with m.If(~product[2]):
                        m.d.sync += mask_row.eq(start)
                        m.next = "TURN"
            with m.State("TURN"):  # of `mask_address`
                m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += self.request.valid.eq(1)
                with m.If(self.request.ready):
                    m.d.sync += waiting.eq(1)
                    m.next = "MASK"
            with m.State("MASK"):
                with m.If(self.brick_valid):
                    m.d.sync += [waiting.eq(0), reading.eq(1)]
                    m.next = "READ"
            with m.State("READ"):
                with m.If(read & brick_end):
                    with m.If(last_brick):
                        m.d.sync += reading.eq(0)
                        m.next = "NEXT"
                        with m.If(last_segment):
                            m.d.sync += [self.finished.eq(1 << source), source.eq(following)]
                            m.next = "IDLE"
                    with m.Elif(last_masked):
                        m.d.sync += reading.eq(0)
                        m.next = "TURN"
            with m.State("NEXT"):
                m.d.sync += [
                    column.eq(0),
                    ended.eq(0),
                    first.eq(1),
                    above.eq(next_segment),
                    segment.eq(next_segment),
                    row_index.eq(next_index),
                    c_address.eq(next_c),
                    x_left.eq(Mux(last_x, command.seg_x, x_left - 1)),
                    y_left.eq(y_left - last_x),
                    reading.eq(1),
                ]
                m.next = "READ"
        with m.If(self.restart):
            m.d.sync += source.eq(0)
        with m.If(waiting):
            m.d.sync += bits.eq(Cat(word[:8] for word in self.brick))
        with m.If(read):
            m.d.sync += [
                column.eq(column + 1),
                first.eq(0),
                turn.eq(brick_end),
                brick_end.eq(column[:3] == BRICK - 2),
                lane_end.eq(column[:lane_bits] == chip.lanes - 2),
            ]
            with m.If(lane_end):
                m.d.sync += above.eq(above + 1)
            with m.If(column == last_column):
                m.d.sync += ended.eq(1)
            with m.If(column[:3].all()):
                m.d.sync += away.eq(away.rotate_left(1))
        m.d.comb += [
            self.request.p.eq(mask_address),
            self.finished_half.eq(job.half),
            self.idle.eq(fsm.ongoing("IDLE") & ~Cat(chain.o.valid for chain in jobs).any() & (ahead == 0)),
        ]

        # The column's bit of the mask: the brick's eight, then one of them, as the sum arrives.
        eight = Signal(8)
        drop = Signal()
        eights = [cleared(m, away[n], bits[8 * n : 8 * n + 8], f"eight_{n}") for n in range(8)]
        m.d.sync += [
            eight.eq(reduce(or_, eights)),
            drop.eq(delayed(m, ended, 2, "ended") | (command.masked & ~select(delayed(m, column[:3], 2, "bit"), list(eight)))),
        ]

        # Convert; a dropped column is a sum of zero.
        m.submodules.converter = converter = Converter(widths.convert, chip.compact)
        late = SUM_LATENCY + 1
        index = Signal(32, reset_less=True)
        segment_index = Signal(32, reset_less=True)  # `row_index` of the segment whose sums arrive
        with m.If(delayed(m, read & first, SUM_LATENCY - 1, "begun", control=True)):
            m.d.sync += segment_index.eq(row_index)
        arriving = Signal(signed(chip.acc_width))
        m.d.comb += arriving.eq(select(delayed(m, source, SUM_LATENCY, "source"), list(self.read_data)))
        m.d.sync += index.eq(segment_index + delayed(m, column, SUM_LATENCY, "column"))
        m.d.comb += [
            converter.shift.eq(command.shift),
            converter.rounding.eq(command.rounding),
            converter.key.eq(command.key),
            converter.i.valid.eq(delayed(m, read, late, "read", control=True)),
            converter.i.p.acc.eq(cleared(m, drop, arriving, "total")),
            converter.i.p.index.eq(index),
            converter.o.ready.eq(1),
            self.saturated.eq(converter.o.valid & converter.o.p.saturated),
        ]

        # Gather eight words; the bricks behind may wait to be written. The row's address waits for its first word.
        m.submodules.rows = rows = Chain(widths.brick_address, ROWS_AHEAD)
        gathered = Signal(brick(chip), reset_less=True)
        address = Signal(widths.brick_address, reset_less=True)
        count = Signal(range(BRICK))
        full = Signal()
        begins = Signal()
        m.d.comb += [
            rows.i.p.eq(c_address),
            rows.i.valid.eq(read & first),
            begins.eq(delayed(m, read & first, late + widths.convert.LATENCY, "first", control=True)),
            rows.o.ready.eq(begins),
            written.eq(self.o.valid & self.o.ready),
        ]
        word_valid = converter.o.valid
        with m.If(word_valid):
            m.d.sync += [gathered.eq(Cat(*list(gathered)[1:], converter.o.p.word)), count.eq(count + 1)]
        with m.If(word_valid & (count == 0)):
            m.d.sync += address.eq(Mux(begins, rows.o.p, address + 1))
        filled = Signal()
        m.d.comb += filled.eq(word_valid & (count == BRICK - 1))
        self._places(m, full, filled, Cat(address, gathered))
        return m

    def _places(self, m, full, filled, brick):
        """Where complete bricks wait: ``filled`` a cycle before ``full``, which stays until the brick has moved on."""
        chip = self.chip
        if chip.compact:
            m.submodules.bricks = bricks = Fifo(write_request(chip), BRICKS_AHEAD)  # always has room
            connect(m, bricks.o, flipped(self.o))
            m.d.comb += [bricks.i.valid.eq(full), bricks.i.p.eq(brick)]
            m.d.sync += full.eq(filled)
            return
        # A brick moves to the next place when that is empty, so no path leads through the places, and an empty one
        # may load anything.
        valids = [Signal(name=f"place_{n}_valid") for n in range(BRICKS_AHEAD - 1)]
        m.d.sync += full.eq((full & valids[0]) | filled)
        brick_valid = full
        for n, valid in enumerate(valids):
            place = Signal(write_request(chip), name=f"place_{n}", reset_less=True)
            with m.If(~valid):
                m.d.sync += [place.eq(brick), valid.eq(brick_valid)]
            with m.Elif(~valids[n + 1] if n + 1 < len(valids) else self.o.ready):
                m.d.sync += valid.eq(0)
            brick_valid, brick = valid, place
        m.d.comb += [self.o.valid.eq(brick_valid), self.o.p.eq(brick)]
