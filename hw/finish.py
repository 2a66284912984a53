"""Turns a row of complete sums into words of C and writes them brick by brick."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from hw.chain import Chain
from hw.convert import Converter
from hw.fifo import Fifo
from hw.layouts import brick, command, tile
from hw.logic import delayed, select
from hw.multiplier import Multiplier
from hw.visits import FACTOR_BITS, finish_job
from spec.chip import BRICK, Chip
from spec.engine import SUM_LATENCY, Widths
from spec.product import MASK_COLUMNS

JOBS = 3  # rows whose sums are complete and that wait
BRICKS_AHEAD = 4  # bricks begun and not yet written: one being filled, the others waiting


def write_request(chip: Chip):
    return data.StructLayout({"address": Widths(chip).brick_address, "words": brick(chip)})


class Finish(wiring.Component):
    """One row at a time, one word a cycle, through the group's Convert.

    Columns the mask drops are written as zero, and so are the words past the last column. Reading
    starts a brick only when ``BRICKS_AHEAD`` leaves room for it, so nothing downstream ever stalls.

    Members
    -------
    i : :py:`In(stream.Signature(finish_job))`; up to ``JOBS`` rows wait here
    command, tiles : what is computed
    read_* : the partial sums, see :class:`hw.drain.Drain`
    request, brick_valid, brick : mask bricks
    o : :py:`Out(stream.Signature(write_request))`
    finished, finished_half : all sums of a row have been read
    saturated : a word was clipped, one pulse each
    idle : nothing is under way
    """

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        widths = Widths(chip)
        super().__init__(
            {
                "i": In(stream.Signature(finish_job(chip))),
                "command": In(command(chip)),
                "tiles": In(tile(chip)).array(2),
                "read_enable": Out(1),
                "read_address": Out(widths.psum_address),
                "read_ready": In(1),
                "read_data": In(signed(chip.acc_width)),
                "request": Out(stream.Signature(widths.brick_address)),
                "brick_valid": In(1),
                "brick": In(brick(chip)),
                "o": Out(stream.Signature(write_request(chip))),
                "finished": Out(1),
                "finished_half": Out(1),
                "saturated": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, widths, command = self.chip, Widths(self.chip), self.command

        m.submodules.jobs = jobs = Chain(finish_job(chip), JOBS)
        connect(m, flipped(self.i), jobs.i)
        job = Signal(finish_job(chip))
        now = Signal(tile(chip))
        m.d.comb += now.eq(select(job.half, self.tiles))

        # Where the row starts: three products, one after the other.
        m.submodules.multiplier = multiplier = Multiplier(FACTOR_BITS, target=self.target)
        product = Signal(range(3))
        wait = Signal(range(Multiplier.LATENCY + 1))
        index = Signal(32)
        word_address = Signal(widths.psum_address)
        mask_address = Signal(widths.brick_address)
        brick_address = Signal(widths.brick_address)  # where the next brick of C goes
        m.d.comb += multiplier.a.eq(job.row)
        with m.Switch(product):
            with m.Case(0):
                m.d.comb += multiplier.b.eq(command.index_stride)
            with m.Case(1):
                m.d.comb += multiplier.b.eq(command.c_stride)
            with m.Default():
                m.d.comb += multiplier.b.eq(command.mask_stride)

        left = Signal(widths.psum_address + 1)  # columns not read yet
        # this column counts, is the last, is past it
        inside = Signal()
        final = Signal()
        ended = Signal()
        phase = Signal(range(BRICK))  # word of the brick
        bits = Signal(MASK_COLUMNS)
        bits_left = Signal(range(MASK_COLUMNS + 1))
        ahead = Signal(range(BRICKS_AHEAD + 1))
        written = Signal()
        begun = Signal()  # a brick's first word is read
        read = Signal()
        keep = Signal()
        room = Signal()
        m.d.comb += [
            room.eq((phase != 0) | (ahead != BRICKS_AHEAD)),
            keep.eq(inside & (~command.masked | bits[0])),
            self.read_address.eq(word_address),
            begun.eq(read & (phase == 0)),
        ]
        m.d.sync += ahead.eq(ahead + begun - written)

        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += jobs.o.ready.eq(1)
                m.d.sync += job.eq(jobs.o.p)
                with m.If(jobs.o.valid):
                    m.d.sync += [product.eq(0), wait.eq(0)]
                    m.next = "MULTIPLY"
            with m.State("MULTIPLY"):
                m.d.sync += wait.eq(wait + 1)
                with m.If(wait == Multiplier.LATENCY):
                    m.d.sync += [wait.eq(0), product.eq(product + 1)]
                    with m.Switch(product):
                        with m.Case(0):
                            m.d.sync += index.eq(now.index_base + multiplier.p)
                        with m.Case(1):
                            m.d.sync += brick_address.eq(now.c_base + multiplier.p)
                        with m.Default():
                            m.d.sync += mask_address.eq(now.mask_base + multiplier.p)
                    with m.If(product == Mux(command.masked, 2, 1)):
                        m.d.sync += [
                            left.eq(now.n_length),
                            inside.eq(1),
                            final.eq(now.n_length == 1),
                            ended.eq(0),
                            word_address.eq(job.base << ceil_log2(chip.lanes)),
                            phase.eq(0),
                        ]
                        m.next = "READ"
                        with m.If(command.masked):
                            m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += self.request.valid.eq(1)
                m.d.sync += bits_left.eq(MASK_COLUMNS)
                with m.If(self.request.ready):
                    m.d.sync += mask_address.eq(mask_address + 1)
                    m.next = "MASK"
            with m.State("MASK"):
                m.d.sync += bits.eq(Cat(word[:8] for word in self.brick))
                with m.If(self.brick_valid):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += [
                    self.read_enable.eq(room),
                    read.eq(room & self.read_ready),
                ]
                with m.If(read):
                    m.d.sync += [
                        phase.eq(phase + 1),
                        word_address.eq(word_address + 1),
                        index.eq(index + 1),
                        left.eq(left - 1),
                        inside.eq(inside & ~final),
                        final.eq(left == 2),
                        ended.eq(ended | final),
                        bits.eq(bits >> 1),
                        bits_left.eq(bits_left - 1),
                    ]
                    with m.If(begun):
                        m.d.sync += brick_address.eq(brick_address + 1)
                    with m.If((phase == BRICK - 1) & (final | ended)):
                        m.d.comb += self.finished.eq(1)
                        m.next = "IDLE"
                    with m.Elif(command.masked & (bits_left == 1)):
                        m.next = "ASK"
        m.d.comb += [
            self.request.p.eq(mask_address),
            self.finished_half.eq(job.half),
            self.idle.eq(fsm.ongoing("IDLE") & ~jobs.o.valid & (ahead == 0)),
        ]

        # Convert; a dropped column is a sum of zero.
        m.submodules.converter = converter = Converter(widths.convert)
        total = Signal(signed(chip.acc_width), reset_less=True)
        with m.If(delayed(m, keep, SUM_LATENCY, "keep")):
            m.d.sync += total.eq(self.read_data)
        with m.Else():
            m.d.sync += total.eq(0)
        late = SUM_LATENCY + 1
        m.d.comb += [
            converter.shift.eq(command.shift),
            converter.rounding.eq(command.rounding),
            converter.key.eq(command.key),
            converter.i.valid.eq(delayed(m, read, late, "read", control=True)),
            converter.i.p.acc.eq(total),
            converter.i.p.index.eq(delayed(m, index, late, "index")),
            converter.o.ready.eq(1),
            self.saturated.eq(converter.o.valid & converter.o.p.saturated),
        ]

        # Gather eight words; the bricks behind may wait to be written, each with its address.
        m.submodules.addresses = addresses = Fifo(widths.brick_address, BRICKS_AHEAD + 1)
        m.submodules.bricks = bricks = Chain(write_request(chip), BRICKS_AHEAD - 1)
        connect(m, bricks.o, flipped(self.o))
        gathered = Signal(brick(chip), reset_less=True)
        count = Signal(range(BRICK))
        full = Signal()
        move = Signal()
        m.d.comb += [
            addresses.i.p.eq(brick_address),
            addresses.i.valid.eq(begun),
            bricks.i.valid.eq(full),
            bricks.i.p.words.eq(gathered),
            bricks.i.p.address.eq(addresses.o.p),
            move.eq(full & bricks.i.ready),
            addresses.o.ready.eq(move),
            written.eq(self.o.valid & self.o.ready),
        ]
        word_valid = converter.o.valid
        with m.If(word_valid):
            m.d.sync += [gathered.eq(Cat(*list(gathered)[1:], converter.o.p.word)), count.eq(count + 1)]
        m.d.sync += full.eq((full & ~move) | (word_valid & (count == BRICK - 1)))
        return m
