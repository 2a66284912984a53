"""Reads a row of A in bricks, drops its zeros and fills a row list."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import ceil_log2

from hw.bricks import Bricks, Counts, fetch_job, token
from hw.fifo import Fifo
from hw.layouts import brick, command
from hw.logic import at_most_one, cleared, delayed
from hw.multiplier import Multiplier
from spec.chip import BRICK, Chip
from spec.engine import Widths
from spec.number import MAX_WIDTH
from spec.product import ceil_div

BUFFERS = 4  # bricks asked for or waiting behind the one being read


class Fetch(wiring.Component):
    """One job is one row of a tile: its bricks as :class:`hw.bricks.Bricks` finds them.

    A brick costs as many cycles as it has nonzeros, at least one; with ``skip`` low every word
    counts as nonzero. Words past a tap's end cost nothing. A row without any nonzero becomes a list
    of one zero, so that every column still gets a sum.

    Stalls: bricks may come any number of cycles after they were asked for; at most ``BUFFERS`` are
    outstanding, so the answer needs no ready. The next job is accepted when the last tap has been found, while
    bricks of earlier ones are asked for and their lists written.

    Members
    -------
    i : :py:`In(stream.Signature(fetch_job))`
    command : the window, the tiling, ``skip`` and ``columns``
    request : brick addresses; brick_valid, brick : the answers, in order
    w_enable, w_slot, w_address, w_k, w_a : pairs for the row lists; w_k is the word's row of B in the tile times ``columns``
    done, done_slot, done_last : a list is complete; its length less one
    """

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        widths = Widths(chip)
        slot = ceil_log2(chip.slots)
        super().__init__(
            {
                "i": In(stream.Signature(fetch_job(chip))),
                "command": In(command(chip)),
                "request": Out(stream.Signature(widths.brick_address)),
                "brick_valid": In(1),
                "brick": In(brick(chip)),
                "w_enable": Out(1),
                "w_slot": Out(slot),
                "w_address": Out(widths.list_address),
                "w_k": Out(widths.half_address),
                "w_a": Out(chip.width),
                "done": Out(1),
                "done_slot": Out(slot),
                "done_last": Out(widths.list_address),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, widths, command = self.chip, Widths(self.chip), self.command
        fours = ceil_div(chip.width, 4)
        held = Signal(range(BUFFERS + 1))  # bricks asked for and not yet begun
        room = Signal(init=1)  # for one more
        asked = Signal()
        begin = Signal()
        m.submodules.bricks = bricks = Bricks(chip)
        m.submodules.tokens = tokens = Fifo(token(chip), BUFFERS)
        connect(m, flipped(self.i), bricks.i)
        connect(m, bricks.request, flipped(self.request))
        m.d.comb += [
            bricks.command.eq(command),
            bricks.room.eq(room),
            asked.eq(self.request.valid & self.request.ready),
            tokens.i.valid.eq(asked),
            tokens.i.p.eq(bricks.token),
        ]
        m.d.sync += [held.eq(held + asked - begin), room.eq(Mux(asked, begin | (held < BUFFERS - 1), begin | (held < BUFFERS)))]

        # Bricks move toward the extractor; what counts in them is found on the way.
        shift = Signal(init=1)  # `ready` is free in this cycle; it and `begin` reach many registers, so they are decided early
        places = BUFFERS - 1  # the last one is `waiting`
        valids = [Signal(name=f"valid_{n}") for n in range(places)]
        loads = [Signal(name=f"loads_{n}", init=1) for n in range(places)]  # a place is empty, or its brick moves on; decided a cycle early
        shifts = Signal()  # `shift` in the next cycle
        came, comes = self.brick, self.brick_valid
        for n in range(places):
            emptied = [loads[k] & ~(valids[k - 1] if k else self.brick_valid) for k in range(n, places)]
            m.d.sync += loads[n].eq(shifts | Cat(emptied).any())
            place = Signal(brick(chip), name=f"place_{n}", reset_less=True)
            some_set = [word[low : low + 4].any() for word in came for low in range(0, 4 * fours, 4)]
            some = Signal(BRICK * fours, name=f"some_{n}", reset_less=True)  # some of four bits are set
            with m.If(loads[n]):
                m.d.sync += [place.eq(came), valids[n].eq(comes)]
                if n == places - 1:
                    m.d.sync += some.eq(Cat(some_set))
            came, comes = place, valids[n]
        waiting, waiting_valid, waiting_some = place, valids[-1], some
        tail = Signal(BRICK)  # words of a tap's last brick
        m.d.sync += tail.eq(Cat(command.a_tail > n for n in range(BRICK)))
        known = tokens.o.p
        counting = Signal(BRICK)
        with m.Switch(known.counts):
            with m.Case(Counts.ALL):
                m.d.comb += counting.eq(-1)
            with m.Case(Counts.TAIL):
                m.d.comb += counting.eq(tail)
            with m.Case(Counts.ONE):
                m.d.comb += counting.eq(1)
        ready = Signal(brick(chip), reset_less=True)
        ready_nonzero = Signal(BRICK)
        ready_token = Signal(token(chip), reset_less=True)
        following_valid = Signal()  # `ready` holds a brick in the next cycle
        nonzero = Cat(waiting_some.word_select(n, fours).any() | ~command.skip for n in range(BRICK))
        m.d.comb += [following_valid.eq(waiting_valid | ~shift), tokens.o.ready.eq(shift & waiting_valid)]
        with m.If(shift):
            m.d.sync += [ready.eq(waiting), ready_token.eq(known), ready_nonzero.eq(nonzero & counting)]

        # Extract one nonzero a cycle; a brick begins behind the last one of the brick before.
        words = Signal(brick(chip), reset_less=True)
        begun = Signal(token(chip), reset_less=True)
        source = Signal(BRICK)  # of the first one
        below = Signal(BRICK)  # some bit below this one is set
        lower = Signal()
        rest = Signal(BRICK)
        going = Signal()  # there is a rest
        nearly = Signal()  # in the next cycle nothing is left behind the first one
        stays = Signal(init=1)  # the opposite of `begin`, for `words` alone
        over = Signal()  # the row ends with this cycle's word, or without one
        m.d.comb += [
            shifts.eq(~following_valid | nearly),
            nearly.eq(Mux(begin, at_most_one(ready_nonzero), at_most_one(rest))),
            source.eq(Mux(begin, ready_nonzero, rest)),
            lower.eq(source[:4].any()),
            below.eq(Cat(source[:n].any() if n < 4 else lower | source[4:n].any() for n in range(BRICK))),
        ]
        m.d.sync += [
            begin.eq(following_valid & nearly),
            stays.eq(~(following_valid & nearly)),
            shift.eq(shifts),
            rest.eq(source & below),
            going.eq(~nearly),
            over.eq(nearly & Mux(begin, ready_token.last, going & begun.last)),
        ]
        with m.If(~stays):
            m.d.sync += words.eq(ready)
        with m.If(begin):
            m.d.sync += begun.eq(ready_token)

        # All words but the first one are cleared; its row of B is multiplied meanwhile.
        m.submodules.multiplier = multiplier = Multiplier(MAX_WIDTH, target=self.target)
        late = 1 + Multiplier.LATENCY
        away = Signal(BRICK, init=-1)  # not the first one; all of them if there is none
        value = Signal(chip.width, reset_less=True)
        k = Signal(widths.half_address, reset_less=True)
        m.d.sync += away.eq(~source | below)
        kept = [cleared(m, away[n], words[n], f"kept_{n}") for n in range(BRICK)]
        number = Cat(Cat(~away[n] for n in range(BRICK) if n >> bit & 1).any() for bit in range(ceil_log2(BRICK)))
        m.d.sync += [value.eq(reduce(or_, kept)), k.eq(begun.k + number)]
        m.d.comb += [multiplier.a.eq(k), multiplier.b.eq(command.columns)]

        # A list is complete with the row's last word; an empty row gets its one zero.
        count = Signal(widths.list_address)
        none = Signal(init=1)
        some = delayed(m, ~away.all(), late, "some", control=True)
        ended = delayed(m, over, late, "over", control=True)
        m.d.comb += [
            self.w_enable.eq(some | (ended & none)),
            self.w_slot.eq(delayed(m, begun.slot, late, "slot")),
            self.w_address.eq(count),
            self.w_k.eq(multiplier.p),
            self.w_a.eq(delayed(m, value, late - 2, "value")),
        ]
        m.d.sync += self.done.eq(ended)
        with m.If(self.w_enable):
            m.d.sync += [count.eq(count + 1), none.eq(0), self.done_last.eq(count)]
        with m.If(ended):
            m.d.sync += [count.eq(0), none.eq(1), self.done_slot.eq(self.w_slot)]
        return m
