"""Asks for the bricks of a row of A, tap by tap."""

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.layouts import command, row
from hw.taps import Taps
from spec.chip import BRICK, Chip
from spec.engine import DIMENSION_BITS, Widths


class Counts(enum.Enum, shape=2):
    """Which words of a brick belong to the row."""

    ALL = 0
    TAIL = 1  # those of a tap's last brick
    ONE = 2
    NONE = 3


def fetch_job(chip: Chip):
    return data.StructLayout({"slot": ceil_log2(chip.slots), "skip": DIMENSION_BITS, "row": row(chip)})


def token(chip: Chip):
    """What is known of a brick that has been asked for."""
    return data.StructLayout(
        {
            "slot": ceil_log2(chip.slots),
            "k": Widths(chip).half_address,  # row of B within the tile that its first word meets
            "counts": Counts,
            "last": 1,  # of the row
        }
    )


class Bricks(wiring.Component):
    """One job is one row of a tile: of the row's bricks, tap by tap, ``command.a_tile`` behind the first ``skip``.

    Taps outside the operand have no bricks but count as many. A row without any asks for one brick of which no word counts.

    Latency: eight cycles from a job to its first request where no tap is left out; a tap that is left out costs a cycle.
    Stalls: requests wait while ``room`` is low; it falls only with a request. The next job is taken when the last tap
    has been found, so that its first one is found while bricks of this one are asked for.

    Members
    -------
    i : :py:`In(stream.Signature(fetch_job))`
    command : the window and the tiling
    room : a brick may be asked for
    request : brick addresses; token : with a request's transfer, what is to be known of its brick
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        super().__init__(
            {
                "i": In(stream.Signature(fetch_job(chip))),
                "command": In(command(chip)),
                "room": In(1),
                "request": Out(stream.Signature(Widths(chip).brick_address)),
                "token": Out(token(chip)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, widths, command = self.chip, Widths(self.chip), self.command
        m.submodules.taps = taps = Taps(chip)
        tap = taps.o.p
        m.d.comb += taps.command.eq(command)

        skip = Signal(DIMENSION_BITS)  # bricks to leave out
        more = Signal()  # a whole tap at least
        have = Signal(DIMENSION_BITS)  # bricks of this tap that are not left out
        over = Signal(signed(DIMENSION_BITS + 1))  # of the tile, behind this tap, less one
        k, k_next = Signal(widths.half_address), Signal(widths.half_address)
        slot = Signal(ceil_log2(chip.slots))

        # A tap that was found, and the one whose bricks are asked for. The first waits until it is known whether it is its
        # row's last: until the next one is seen, or the row's end.
        found = Signal()
        ended = Signal()  # it is its row's last
        found_slot = Signal.like(slot, reset_less=True)
        found_address = Signal(widths.brick_address, reset_less=True)
        found_left = Signal(widths.list_bricks, reset_less=True)
        found_k = Signal(widths.half_address, reset_less=True)
        found_counts = Signal(Counts, reset_less=True)  # words of its last brick
        nothing = Signal()  # no tap has been found in this row
        asking = Signal()
        asking_slot = Signal.like(slot, reset_less=True)
        asking_last = Signal(reset_less=True)
        address = Signal(widths.brick_address, reset_less=True)
        left = Signal(widths.list_bricks, reset_less=True)
        only = Signal()  # one brick is left
        here_k = Signal(widths.half_address, reset_less=True)
        counts = Signal(Counts, reset_less=True)

        # Find taps that lie in the operand and in the tile.
        fits = Signal()  # the tile does not end before the tap does
        looking, seeking = Signal(), Signal()  # the states in which taps are taken, in registers of their own: they reach many
        here = Signal()  # a tap of the tile is seen
        passes = Signal()  # the tile begins behind the tap that is seen
        wanted, take, moves = Signal(), Signal(), Signal()
        free = Signal(init=1)  # for the next job: `taps` are when the row has been stopped
        closes = Signal()  # the row ends with the tap that is seen
        m.d.comb += [
            fits.eq(~over[-1] | over.all()),
            here.eq(taps.o.valid & looking),
            taps.i.p.eq(self.i.p.row),
            passes.eq(more & ~tap.bias),
            closes.eq(over[-1] | tap.final),
            wanted.eq(looking & (~asking | ~found | ~(ended | tap.inside))),
            take.eq(taps.o.valid & wanted),
            taps.o.ready.eq(wanted | (seeking & passes)),
            taps.i.valid.eq(self.i.valid & free),
            self.i.ready.eq(free),
            moves.eq(found & ~asking & (ended | (here & tap.inside))),
        ]
        m.d.sync += taps.stop.eq(0)
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.i.valid & free):
                    m.d.sync += [free.eq(0), nothing.eq(1), slot.eq(self.i.p.slot), seeking.eq(1)]
                    m.next = "SEEK"
            with m.State("SEEK"):  # the tap in which the tile begins
                with m.If(taps.o.valid & ~passes):
                    m.d.sync += seeking.eq(0)
                    m.next = "BEGIN"
            with m.State("BEGIN"):  # `have` settles
                m.next = "BEGUN"
            with m.State("BEGUN"):  # and `over`
                m.d.sync += looking.eq(1)
                m.next = "TAPS"
            with m.State("TAPS"):
                with m.If(take & closes):
                    m.d.sync += [looking.eq(0), taps.stop.eq(1)]
                    m.next = "IDLE"
        with m.If(taps.stop):
            m.d.sync += free.eq(1)
        with m.If(free):
            m.d.sync += [skip.eq(self.i.p.skip), more.eq(self.i.p.skip >= command.a_bricks)]
        with m.Elif(taps.o.valid & taps.o.ready):
            m.d.sync += [skip.eq(Mux(looking, 0, skip - command.a_bricks)), more.eq(skip >= command.a_bricks << 1)]
        with m.If(take | ~looking):  # before the first tap they settle
            m.d.sync += [
                have.eq(command.a_bricks - Mux(looking, 0, skip)),
                over.eq(Mux(looking, over - command.a_bricks, command.a_tile - have - 1)),
                k.eq(Mux(looking, k_next, 0)),
                k_next.eq(command.tap_k + Mux(looking, k_next, -(skip << ceil_log2(BRICK)))),
            ]
        with m.If(moves | (take & closes)):
            m.d.sync += ended.eq(take & closes)
        with m.If(take & (tap.inside | (closes & nothing))):
            m.d.sync += [found.eq(1), nothing.eq(0)]
        with m.Elif(moves):
            m.d.sync += found.eq(0)
        with m.If(~found | moves):  # before a tap is found, anything
            m.d.sync += [
                found_slot.eq(slot),
                found_address.eq(tap.address + skip),
                found_left.eq(Mux(tap.bias | ~tap.inside, 1, Mux(over[-1], have + over + 1, have))),
                found_k.eq(k),
                found_counts.eq(Mux(tap.bias, Counts.ONE, Mux(fits, Counts.TAIL, Counts.ALL))),
            ]
            with m.If(~tap.inside):
                m.d.sync += found_counts.eq(Counts.NONE)

        # Ask for their bricks.
        m.d.comb += [
            self.request.valid.eq(asking & self.room),
            self.request.p.eq(address),
            self.token.slot.eq(asking_slot),
            self.token.k.eq(here_k),
            self.token.counts.eq(Mux(only, counts, Counts.ALL)),
            self.token.last.eq(only & asking_last),
        ]
        with m.If(asking & self.room & self.request.ready):
            m.d.sync += asking.eq(~only)
        with m.Elif(moves):
            m.d.sync += asking.eq(1)
        with m.If(~asking):  # before bricks are asked for, those of the tap that was found
            m.d.sync += [
                asking_slot.eq(found_slot),
                asking_last.eq(ended),
                address.eq(found_address),
                here_k.eq(found_k),
                left.eq(found_left),
                only.eq(found_left == 1),
                counts.eq(found_counts),
            ]
        with m.Elif(self.room & self.request.ready):
            m.d.sync += [address.eq(address + 1), here_k.eq(here_k + BRICK), left.eq(left - 1), only.eq(left == 2)]
        return m
