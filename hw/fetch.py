"""Reads a row of A in bricks, drops its zeros and fills a row list."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.layouts import brick
from hw.logic import at_most_one, select
from spec.chip import BRICK, Chip
from spec.engine import Widths

BUFFERS = 2  # bricks asked for or waiting behind the one being read


def fetch_job(chip: Chip):
    widths = Widths(chip)
    return data.StructLayout(
        {"slot": ceil_log2(chip.slots), "address": widths.brick_address, "bricks": widths.list_bricks, "tail": BRICK}
    )


class Fetch(wiring.Component):
    """One job is one row of a tile: ``bricks`` bricks from ``address`` on, of the last one the words in ``tail``.

    A brick costs as many cycles as it has nonzeros, at least one; with ``skip`` low every word
    counts as nonzero. Words past the row's end cost nothing. A row without any nonzero becomes a list
    of one zero, so that every column still gets a sum.

    Stalls: bricks may come any number of cycles after they were asked for; at most ``BUFFERS`` are
    outstanding, so the answer needs no ready. The next job is accepted when the list is complete.

    Members
    -------
    i : :py:`In(stream.Signature(fetch_job))`
    skip, columns : fields of the command
    request : brick addresses; brick_valid, brick : the answers, in order
    w_enable, w_slot, w_address, w_k, w_a : pairs for the row lists; w_k is the word's number times ``columns``
    done, done_last : the list is complete; its length less one. ``w_slot`` tells which
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        widths = Widths(chip)
        super().__init__(
            {
                "i": In(stream.Signature(fetch_job(chip))),
                "skip": In(1),
                "columns": In(widths.column + 1),
                "request": Out(stream.Signature(widths.brick_address)),
                "brick_valid": In(1),
                "brick": In(brick(chip)),
                "w_enable": Out(1),
                "w_slot": Out(ceil_log2(chip.slots)),
                "w_address": Out(widths.list_address),
                "w_k": Out(widths.half_address),
                "w_a": Out(chip.width),
                "done": Out(1),
                "done_last": Out(widths.list_address),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, widths = self.chip, Widths(self.chip)
        busy = Signal()
        unasked = Signal(widths.list_bricks)  # bricks not asked for yet
        unread = Signal(widths.list_bricks)  # bricks not yet begun
        tail = Signal(BRICK)
        held = Signal(range(BUFFERS + 1))  # bricks asked for and not yet begun
        address = Signal(widths.brick_address)

        # Ask ahead.
        asked = Signal()
        begin = Signal()
        m.d.comb += [
            self.request.valid.eq((unasked != 0) & (held != BUFFERS)),
            self.request.p.eq(address),
            asked.eq(self.request.valid & self.request.ready),
        ]
        with m.If(asked):
            m.d.sync += [address.eq(address + 1), unasked.eq(unasked - 1)]
        m.d.sync += held.eq(held + asked - begin)

        # Bricks move toward the extractor; nonzero bits are found on the way.
        waiting = Signal(brick(chip), reset_less=True)
        waiting_valid = Signal()
        ready = Signal(brick(chip), reset_less=True)
        ready_valid = Signal()
        ready_nonzero = Signal(BRICK)
        shift_ready = Signal()
        m.d.comb += shift_ready.eq(~ready_valid | begin)
        with m.If(shift_ready):
            m.d.sync += [
                ready.eq(waiting),
                ready_valid.eq(waiting_valid),
                ready_nonzero.eq(Cat(word.any() | ~self.skip for word in waiting)),
            ]
        with m.If(self.brick_valid):
            m.d.sync += [waiting.eq(self.brick), waiting_valid.eq(1)]
        with m.Elif(shift_ready):
            m.d.sync += waiting_valid.eq(0)

        # Extract one nonzero a cycle.
        words = Signal(brick(chip), reset_less=True)
        pending = Signal(BRICK)
        base = Signal(widths.half_address)  # offset in the bank of the brick's first word
        rest = Signal(BRICK)
        inside = Signal(BRICK)
        nearly = Signal(init=1)  # at most one word is pending
        m.d.comb += [
            rest.eq(Cat(pending[n] & pending[:n].any() for n in range(BRICK))),
            inside.eq(Mux(unread == 1, tail, -1)),
            begin.eq(ready_valid & nearly & busy),
        ]
        started = Signal()  # a brick of this row has begun: its successor lies `columns * BRICK` further
        with m.If(begin):
            m.d.sync += [
                words.eq(ready),
                pending.eq(ready_nonzero & inside),
                nearly.eq(at_most_one(ready_nonzero & inside)),
                unread.eq(unread - 1),
                base.eq(Mux(started, base + (self.columns << ceil_log2(BRICK)), 0)),
                started.eq(1),
            ]
        with m.Else():
            m.d.sync += [pending.eq(rest), nearly.eq(at_most_one(rest))]

        number = Signal(ceil_log2(BRICK))
        for n in reversed(range(BRICK)):
            with m.If(pending[n]):
                m.d.comb += number.eq(n)

        # Offset = base + number * columns, over three registers.
        valid = [Signal(name=f"valid_{n}") for n in range(3)]
        value = [Signal(chip.width, name=f"value_{n}", reset_less=True) for n in range(3)]
        number_1 = Signal.like(number)
        base_1 = Signal.like(base)
        base_2 = Signal.like(base)
        part_2 = Signal.like(base)
        offset = Signal.like(base)
        m.d.sync += [
            valid[0].eq(pending.any()),
            value[0].eq(select(number, words)),
            number_1.eq(number),
            base_1.eq(base),
            valid[1].eq(valid[0]),
            value[1].eq(value[0]),
            part_2.eq(Mux(number_1[0], self.columns, 0) + Mux(number_1[1], self.columns << 1, 0)),
            base_2.eq(base_1 + Mux(number_1[2], self.columns << 2, 0)),
            valid[2].eq(valid[1]),
            value[2].eq(value[1]),
            offset.eq(base_2 + part_2),
        ]

        # Finish: when all is read and the registers are empty; an empty row gets its one zero.
        count = Signal(widths.list_address + 1)
        filler = Signal()
        quiet = Signal()
        m.d.comb += quiet.eq(busy & (unread == 0) & started & ~pending.any() & ~Cat(valid).any())
        with m.If(valid[2]):
            m.d.sync += count.eq(count + 1)
        m.d.sync += [
            filler.eq(quiet & (count == 0)),
            self.done.eq(quiet),
            self.done_last.eq(Mux(count == 0, 0, count - 1)),
        ]
        m.d.comb += [
            self.w_enable.eq(valid[2] | filler),
            self.w_address.eq(count),
            self.w_k.eq(Mux(filler, 0, offset)),
            self.w_a.eq(Mux(filler, 0, value[2])),
            self.i.ready.eq(~busy),
        ]
        with m.If(quiet):
            m.d.sync += busy.eq(0)
        with m.If(self.i.valid & ~busy):
            m.d.sync += [
                busy.eq(1),
                started.eq(0),
                count.eq(0),
                address.eq(self.i.p.address),
                unasked.eq(self.i.p.bricks),
                unread.eq(self.i.p.bricks),
                tail.eq(self.i.p.tail),
                self.w_slot.eq(self.i.p.slot),
            ]
        return m
