"""Reads a row of A in bricks, drops its zeros and fills a row list."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.layouts import brick
from hw.logic import at_most_one, cleared
from hw.multiplier import Multiplier
from spec.chip import BRICK, Chip
from spec.engine import Widths
from spec.number import MAX_WIDTH
from spec.product import ceil_div

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

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
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
        fours = ceil_div(chip.width, 4)
        busy = Signal()
        unasked = Signal(widths.list_bricks)  # bricks not asked for yet
        unmoved = Signal(widths.list_bricks)  # bricks that have not moved up
        last_comes = Signal()  # only one has not
        tail = Signal(BRICK)
        held = Signal(range(BUFFERS + 1))  # bricks asked for and not yet begun
        address = Signal(widths.brick_address)

        # Ask ahead.
        asked = Signal()
        begin = Signal()
        asking = Signal()  # something is left to ask for
        m.d.comb += [
            self.request.valid.eq(asking & (held != BUFFERS)),
            self.request.p.eq(address),
            asked.eq(self.request.valid & self.request.ready),
        ]
        with m.If(asked):
            m.d.sync += [address.eq(address + 1), unasked.eq(unasked - 1), asking.eq(unasked != 1)]
        m.d.sync += held.eq(held + asked - begin)

        # Bricks move toward the extractor; what counts in them is found on the way.
        waiting = Signal(brick(chip), reset_less=True)
        waiting_valid = Signal()
        waiting_some = Signal(BRICK * fours)  # some of four bits are set
        ready = Signal(brick(chip), reset_less=True)
        ready_nonzero = Signal(BRICK)
        ready_last = Signal()
        shift = Signal(init=1)  # `ready` is free in this cycle; it and `begin` reach many registers, so they are decided early
        following_valid = Signal()  # `ready_valid` of the next cycle
        m.d.comb += following_valid.eq(waiting_valid | ~shift)
        nonzero = Cat(waiting_some.word_select(n, fours).any() | ~self.skip for n in range(BRICK))
        with m.If(shift):
            m.d.sync += [
                ready.eq(waiting),
                ready_last.eq(last_comes),
                ready_nonzero.eq(nonzero & (tail | ~last_comes.replicate(BRICK))),
            ]
            with m.If(waiting_valid):
                m.d.sync += [unmoved.eq(unmoved - 1), last_comes.eq(unmoved == 2)]
        with m.If(self.brick_valid):
            some_set = [word[low : low + 4].any() for word in self.brick for low in range(0, 4 * fours, 4)]
            m.d.sync += [waiting.eq(self.brick), waiting_valid.eq(1), waiting_some.eq(Cat(some_set))]
        with m.Elif(shift):
            m.d.sync += waiting_valid.eq(0)

        # Extract one nonzero a cycle; a brick begins behind the last one of the brick before.
        words = Signal(brick(chip), reset_less=True)
        source = Signal(BRICK)  # of the first one
        below = Signal(BRICK)  # some bit below this one is set
        lower = Signal()
        rest = Signal(BRICK)
        last_begun = Signal()
        brick_number = Signal(widths.list_address - ceil_log2(BRICK))
        following_number = Signal.like(brick_number)
        nearly = Signal()  # in the next cycle nothing is left behind the first one
        stays = Signal(init=1)  # the opposite of `begin`, for `words` alone
        m.d.comb += [
            nearly.eq(Mux(begin, at_most_one(ready_nonzero), at_most_one(rest))),
            source.eq(Mux(begin, ready_nonzero, rest)),
            lower.eq(source[:4].any()),
            below.eq(Cat(source[:n].any() if n < 4 else lower | source[4:n].any() for n in range(BRICK))),
        ]
        m.d.sync += [
            begin.eq(following_valid & nearly),
            stays.eq(~(following_valid & nearly)),
            shift.eq(~following_valid | nearly),
            rest.eq(source & below),
        ]
        with m.If(~stays):
            m.d.sync += words.eq(ready)
        with m.If(begin):
            m.d.sync += [
                last_begun.eq(ready_last),
                brick_number.eq(following_number),
                following_number.eq(following_number + 1),
            ]

        # All words but the first one are cleared; its number is multiplied meanwhile.
        m.submodules.multiplier = multiplier = Multiplier(MAX_WIDTH, target=self.target)
        away = Signal(BRICK, init=-1)  # not the first one; all of them if there is none
        value = Signal(chip.width, reset_less=True)
        valid = Signal(Multiplier.LATENCY)
        some = Signal()
        m.d.comb += some.eq(~away.all())
        m.d.sync += away.eq(~source | below)
        kept = [cleared(m, away[n], words[n], f"kept_{n}") for n in range(BRICK)]
        number = Cat(Cat(~away[n] for n in range(BRICK) if n >> bit & 1).any() for bit in range(ceil_log2(BRICK)))
        m.d.sync += [value.eq(reduce(or_, kept)), valid.eq(Cat(some, valid))]
        m.d.comb += [multiplier.a.eq(Cat(number, brick_number)), multiplier.b.eq(self.columns)]

        # Finish when the last word is stored; an empty row gets its one zero.
        count = Signal(widths.list_address)
        none = Signal()
        over = Signal()  # nothing is left to extract
        quiet = Signal(2)  # nothing is left to store, after two cycles
        filler = Signal()
        m.d.comb += over.eq(last_begun & ~some)
        with m.If(over):
            m.d.sync += [last_begun.eq(0), brick_number.eq(0), following_number.eq(0)]
        with m.If(self.w_enable):
            m.d.sync += [count.eq(count + 1), none.eq(0), self.done_last.eq(count)]
        m.d.sync += [quiet.eq(Cat(over, quiet)), filler.eq(quiet[-1] & none), self.done.eq(quiet[-1])]
        m.d.comb += [
            self.w_enable.eq(valid[-1] | filler),
            self.w_address.eq(count),
            self.w_k.eq(multiplier.p),
            self.w_a.eq(value),
            self.i.ready.eq(~busy),
        ]
        with m.If(quiet[-1]):
            m.d.sync += busy.eq(0)
        with m.If(self.i.valid & ~busy):
            m.d.sync += [
                busy.eq(1),
                none.eq(1),
                count.eq(0),
                self.done_last.eq(0),
                address.eq(self.i.p.address),
                asking.eq(1),
                unasked.eq(self.i.p.bricks),
                unmoved.eq(self.i.p.bricks),
                last_comes.eq(self.i.p.bricks == 1),
                tail.eq(self.i.p.tail),
                self.w_slot.eq(self.i.p.slot),
            ]
        return m
