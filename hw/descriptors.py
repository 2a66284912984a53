"""Fetches descriptors ahead of their turn and has each one checked and ready when its turn comes."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.axi import axi_address, axi_read
from hw.bram import Bram
from hw.check import Check
from hw.commands import descriptor, item
from hw.logic import delayed
from hw.transfer import window
from spec.axi import ADDRESS_BITS, INCR, Axi
from spec.chip import Chip
from spec.isa import DESCRIPTOR_BYTES, DESCRIPTOR_WORDS, LAYOUT, ErrorCode
from spec.registers import RING_BITS

SLOTS = 8  # descriptors asked for ahead: what hides memory's latency; they share one block RAM's depth


class Descriptors(wiring.Component):
    """From the ring's head on, one after the other until stopped; each with what is wrong with it.

    A descriptor is one burst. Up to ``SLOTS`` are asked for and not yet begun; one is read out, checked and offered.
    Words behind a descriptor's last field are not read, so that short commands follow each other sooner.

    Errors: a descriptor that does not lie inside the window (or whose index is not below the ring's size) is not asked
    for; it and one that the bus fails are offered with FETCH. After an error nothing more is asked for.

    Latency: a descriptor that lies here is offered ``6 + beats of its fields`` cycles after the one before was taken.

    Members
    -------
    start : begin at ``head``; only while ``idle``
    stop : level: nothing more is asked for or offered; the bus' answers are taken and dropped
    idle : nothing is due from the bus; once stopped, it stays so
    head, base, size, window : held while descriptors are fetched; ``base`` is a multiple of a descriptor's bytes
    o : :py:`Out(stream.Signature(item))`
    words : of the descriptor that is offered
    ar, r : the bus
    """

    def __init__(self, chip: Chip, spec: Axi, target: str | None = None):
        self.chip = chip
        self.spec = spec
        self.target = target
        super().__init__({
            "start": In(1),
            "stop": In(1),
            "idle": Out(1),
            "head": In(RING_BITS),
            "base": In(ADDRESS_BITS),
            "size": In(RING_BITS),
            "window": In(window),
            "o": Out(stream.Signature(item)),
            "words": Out(descriptor),
            "ar": Out(stream.Signature(axi_address)),
            "r": In(stream.Signature(axi_read(spec))),
        })

    def elaborate(self, platform):
        m = Module()
        beat_bits = exact_log2(DESCRIPTOR_BYTES // self.spec.beat_bytes)
        m.submodules.buffer = buffer = Bram(width=self.spec.data_bits, depth=SLOTS << beat_bits, target=self.target)
        complete = Signal(SLOTS)  # may be read out
        failed = Signal(SLOTS)
        taken = Signal()  # the slot that is read out is free again
        self._ask(m, taken, complete, failed)
        self._answers(m, buffer, beat_bits, complete, failed)
        self._offer(m, buffer, beat_bits, taken, complete, failed)
        return m

    def _ask(self, m, taken, complete, failed):
        """Checks where the next descriptor lies, a cycle each for index and address, and asks for it."""
        slot_bits = exact_log2(SLOTS)
        index = Signal(RING_BITS)
        following = Signal(RING_BITS)
        first = Signal(ADDRESS_BITS)  # byte
        last = Signal(ADDRESS_BITS + 1)
        due = Signal(range(SLOTS + 1))  # bursts asked for and not answered in whole
        room = Signal(range(SLOTS + 1), init=SLOTS)
        slot = Signal(slot_bits)
        asked = Signal()
        beyond = Signal()
        below = exact_log2(DESCRIPTOR_BYTES)
        m.d.comb += [
            self.ar.p.len.eq(DESCRIPTOR_BYTES // self.spec.beat_bytes - 1),
            self.ar.p.size.eq(exact_log2(self.spec.beat_bytes)),
            self.ar.p.burst.eq(INCR),
            asked.eq(self.ar.valid & self.ar.ready),
        ]
        ended = Signal()
        m.d.comb += ended.eq(self.r.valid & self.r.ready & self.r.p.last)
        m.d.sync += [
            due.eq(due + asked - ended),
            room.eq(room + taken - asked),
        ]
        m.d.comb += self.idle.eq((due == 0) & ~self.ar.valid)
        with m.If(asked):
            m.d.sync += slot.eq(slot + 1)
        with m.FSM():
            with m.State("STOPPED"):
                m.d.sync += [index.eq(self.head), slot.eq(0), room.eq(SLOTS)]
                with m.If(self.start):
                    m.next = "PLACE"
            with m.State("PLACE"):
                m.d.sync += [
                    first.eq(self.base + (index << below)),
                    beyond.eq(index >= self.size),
                    following.eq(index + 1),
                ]
                m.next = "END"
                self._leave(m)
            with m.State("END"):
                m.d.sync += last.eq(first + (DESCRIPTOR_BYTES - 1))
                with m.If(following == self.size):
                    m.d.sync += following.eq(0)
                m.next = "WINDOW"
                self._leave(m)
            with m.State("WINDOW"):
                m.d.sync += beyond.eq(beyond | (first < self.window.base) | (last > self.window.limit))
                m.next = "ROOM"
                self._leave(m)
            with m.State("ROOM"):
                with m.If(~self.stop & (room != 0)):
                    with m.If(beyond):
                        m.next = "REFUSED"
                    with m.Else():
                        m.d.sync += [self.ar.valid.eq(1), self.ar.p.addr.eq(first)]
                        m.next = "ASK"
                self._leave(m)
            with m.State("ASK"):
                with m.If(self.ar.ready):
                    m.d.sync += [self.ar.valid.eq(0), index.eq(following)]
                    m.next = "PLACE"
            with m.State("REFUSED"):  # no burst for this one, and none behind it
                m.d.sync += [complete.bit_select(slot, 1).eq(1), failed.bit_select(slot, 1).eq(1)]
                m.next = "DONE"
                self._leave(m)
            with m.State("DONE"):
                self._leave(m)

    def _leave(self, m):
        with m.If(self.stop):
            m.next = "STOPPED"

    def _answers(self, m, buffer, beat_bits, complete, failed):
        """Beats go to the slots in their order; there is always room."""
        slot = Signal(exact_log2(SLOTS))
        beat = Signal(beat_bits)
        wrong = Signal()
        m.d.comb += self.r.ready.eq(1)
        m.d.sync += [
            buffer.w_en.eq(self.r.valid),
            buffer.w_addr.eq(Cat(beat, slot)),
            buffer.w_data.eq(self.r.p.data),
        ]
        with m.If(self.r.valid):
            m.d.sync += [beat.eq(beat + 1), wrong.eq(wrong | self.r.p.resp[1])]
            with m.If(self.r.p.last):
                m.d.sync += [
                    beat.eq(0),
                    wrong.eq(0),
                    slot.eq(slot + 1),
                    complete.bit_select(slot, 1).eq(~self.stop),
                    failed.bit_select(slot, 1).eq(wrong | self.r.p.resp[1]),
                ]
        with m.If(self.start):
            m.d.sync += slot.eq(0)

    def _offer(self, m, buffer, beat_bits, taken, complete, failed):
        """Reads a descriptor's beats into `words`, waits for the check, offers."""
        per_beat = self.spec.data_bits // 32
        m.submodules.check = check = Check(self.chip)
        slot = Signal(exact_log2(SLOTS))
        beat = Signal(beat_bits)
        reading = Signal()
        m.d.comb += buffer.r_addr.eq(Cat(beat, slot))
        arrives = delayed(m, reading, Bram.LATENCY, "reading", control=True)
        number = delayed(m, beat, Bram.LATENCY, "beat")
        words = Signal(descriptor, reset_less=True)
        for n in range(DESCRIPTOR_WORDS // per_beat):
            with m.If(arrives & (number == n)):
                m.d.sync += Cat(words[n * per_beat + k] for k in range(per_beat)).eq(buffer.r_data)
        m.d.comb += [self.words.eq(words), check.words.eq(words)]

        index = Signal(RING_BITS)
        last = Signal(beat_bits)  # beat that holds the command's last field
        opcode = words[0][:8]
        m.d.sync += last.eq(0)
        for code, places in LAYOUT.items():
            with m.If(opcode == code):
                m.d.sync += last.eq(max(place.word for place in places) // per_beat)
        known = Signal()  # `last` is this descriptor's
        m.d.sync += known.eq(arrives & delayed(m, arrives, 1, "second", control=True))
        rest = Signal(range(Check.LATENCY + 1))
        m.d.comb += [
            self.o.p.head.eq(words[0]),
            self.o.p.index.eq(index),
        ]
        above = Signal(RING_BITS)
        m.d.sync += [above.eq(index + 1), self.o.p.following.eq(Mux(above == self.size, 0, above))]
        with m.FSM():
            with m.State("STOPPED"):
                m.d.sync += [index.eq(self.head), slot.eq(0), complete.eq(0), reading.eq(0), self.o.valid.eq(0)]
                with m.If(self.start):
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.sync += [beat.eq(0), rest.eq(Check.LATENCY), self.o.p.error.eq(ErrorCode.FETCH)]
                with m.If(complete.bit_select(slot, 1)):
                    with m.If(failed.bit_select(slot, 1)):
                        m.next = "FAILED"
                    with m.Else():
                        m.d.sync += reading.eq(1)
                        m.next = "READ"
                self._leave(m)
            with m.State("FAILED"):  # time for `following`
                m.d.sync += self.o.valid.eq(1)
                m.next = "OFFER"
                self._leave(m)
            with m.State("READ"):
                m.d.sync += beat.eq(beat + 1)
                with m.If(arrives & known & (number >= last)):
                    m.d.sync += reading.eq(0)
                    m.next = "CHECK"
                self._leave(m)
            with m.State("CHECK"):
                m.d.sync += [rest.eq(rest - 1), self.o.p.error.eq(check.error)]
                with m.If(rest == 0):
                    m.d.sync += self.o.valid.eq(1)
                    m.next = "OFFER"
                self._leave(m)
            with m.State("OFFER"):
                with m.If(self.o.ready):
                    m.d.comb += taken.eq(1)
                    m.d.sync += [
                        self.o.valid.eq(0),
                        complete.bit_select(slot, 1).eq(0),
                        slot.eq(slot + 1),
                        index.eq(self.o.p.following),
                    ]
                    m.next = "WAIT"
                self._leave(m)
