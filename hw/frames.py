"""Bytes of a line to requests and answers to bytes: SLIP frames with a CRC, see docs/boards.md."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

from hw.bram import Bram
from hw.uart import line_byte
from spec.link import (
    CRC_BYTES,
    END,
    ESCAPE,
    ESCAPED_END,
    ESCAPED_ESCAPE,
    HEADER_BYTES,
    MAX_DATA,
    MAX_REQUEST,
)

LENGTHS = range(MAX_REQUEST + 2)  # one more is too long
frame_head = data.StructLayout({"sequence": 8, "op": 8, "count": 8, "address": 32})
frame = data.StructLayout({"head": frame_head, "length": len(LENGTHS).bit_length(), "damaged": 1})
answer_byte = data.StructLayout({"data": 8, "last": 1})


class FrameReceiver(wiring.Component):
    """Frames off a line, one at a time; ``o`` is offered behind the frame's last byte and its data stay until it is taken.

    Empty frames are passed over. Latency: a byte takes two cycles, a frame is offered two cycles behind its end.
    Errors: ``damaged`` is a frame with a wrong CRC, a bad byte, a bad escape, or more than ``MAX_REQUEST`` bytes; its other
    fields hold anything.

    Members
    -------
    i : bytes as they come
    o : head and length (CRC included) of a frame
    r_addr, r_data : the bytes behind the head, :attr:`hw.bram.Bram.LATENCY` cycles later
    """

    def __init__(self, target: str | None = None):
        self.target = target
        super().__init__({
            "i": In(stream.Signature(line_byte)),
            "o": Out(stream.Signature(frame)),
            "r_addr": In(range(MAX_DATA)),
            "r_data": Out(8),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        m.submodules.bytes = memory = Bram(width=8, depth=MAX_DATA, target=self.target)
        here = Signal()
        item = Signal(line_byte, reset_less=True)
        escaped, damaged, begun, intact = Signal(), Signal(), Signal(), Signal()
        place = Signal(range(MAX_DATA + CRC_BYTES + 1))  # of the next byte behind the head
        length = self.o.p.length
        byte = Signal(8)
        take, store = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~here),
            take.eq(here & ~self.o.valid),
            byte.eq(Mux(escaped, Mux(item.data == ESCAPED_END, END, ESCAPE), item.data)),
            crc.data.eq(byte),
            crc.valid.eq(store),
            memory.r_addr.eq(self.r_addr),
            self.r_data.eq(memory.r_data),
        ]
        # A byte is at least two cycles behind the one before it, so that the CRC's verdict has a cycle of its own.
        m.d.sync += intact.eq(crc.match_detected)
        m.d.sync += [memory.w_en.eq(0), memory.w_addr.eq(place), memory.w_data.eq(byte)]
        with m.If(self.i.valid & ~here):
            m.d.sync += [here.eq(1), item.eq(self.i.p)]
        with m.If(take):
            m.d.sync += [here.eq(0), escaped.eq(0), begun.eq(1), damaged.eq(damaged | item.bad)]
            with m.If(item.bad):
                pass
            with m.Elif(item.data == END):
                m.d.comb += crc.start.eq(1)
                m.d.sync += [begun.eq(0), damaged.eq(0), self.o.valid.eq(begun)]
                m.d.sync += self.o.p.damaged.eq(damaged | escaped | ~intact | (length == LENGTHS[-1]))
            with m.Elif(~escaped & (item.data == ESCAPE)):
                m.d.sync += escaped.eq(1)
            with m.Else():
                m.d.comb += store.eq(1)
                with m.If(escaped & (item.data != ESCAPED_END) & (item.data != ESCAPED_ESCAPE)):
                    m.d.sync += damaged.eq(1)
        with m.If(store):
            with m.If(length != LENGTHS[-1]):
                m.d.sync += length.eq(length + 1)
            with m.If(length < HEADER_BYTES):
                m.d.sync += self.o.p.head.eq(Cat(self.o.p.head.as_value()[8:], byte))
            with m.Elif(place < MAX_DATA):
                m.d.sync += [memory.w_en.eq(1), place.eq(place + 1)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [self.o.valid.eq(0), length.eq(0), place.eq(0)]
        return m


class FrameSender(wiring.Component):
    """Answers onto a line: END, the bytes, their CRC, END, with escapes where they must be. A byte a cycle.

    Members
    -------
    i : :py:`In(stream.Signature(answer_byte))`; the byte marked ``last`` ends a frame
    o : :py:`Out(stream.Signature(8))`
    """

    def __init__(self):
        super().__init__({"i": In(stream.Signature(answer_byte)), "o": Out(stream.Signature(8))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        rest = Signal(8 * CRC_BYTES)
        left = Signal(range(CRC_BYTES + 1))  # bytes of the CRC
        byte = Signal(8)
        second = Signal()  # of the two that an escaped byte becomes
        special, taken, moves = Signal(), Signal(), Signal()
        m.d.comb += [
            special.eq((byte == END) | (byte == ESCAPE)),
            moves.eq(self.o.valid & self.o.ready),
            taken.eq(moves & (~special | second)),
        ]

        def send(source):
            m.d.comb += [byte.eq(source), self.o.p.eq(byte)]
            with m.If(second):
                m.d.comb += self.o.p.eq(Mux(byte == END, ESCAPED_END, ESCAPED_ESCAPE))
            with m.Elif(special):
                m.d.comb += self.o.p.eq(ESCAPE)
            with m.If(moves):
                m.d.sync += second.eq(special & ~second)

        with m.FSM():
            with m.State("BEGIN"):
                m.d.comb += [self.o.valid.eq(self.i.valid), self.o.p.eq(END), crc.start.eq(1)]
                with m.If(self.i.valid & self.o.ready):
                    m.next = "BODY"
            with m.State("BODY"):
                send(self.i.p.data)
                m.d.comb += [
                    self.o.valid.eq(self.i.valid),
                    self.i.ready.eq(self.o.ready & (~special | second)),
                    crc.data.eq(byte),
                    crc.valid.eq(taken),
                ]
                with m.If(taken & self.i.p.last):
                    m.next = "SUM"
            with m.State("SUM"):
                m.d.sync += [rest.eq(crc.crc), left.eq(CRC_BYTES - 1)]
                m.next = "CRC"
            with m.State("CRC"):
                send(rest[:8])
                m.d.comb += self.o.valid.eq(1)
                with m.If(taken):
                    m.d.sync += [rest.eq(rest >> 8), left.eq(left - 1)]
                    with m.If(left == 0):
                        m.next = "END"
            with m.State("END"):
                m.d.comb += [self.o.valid.eq(1), self.o.p.eq(END)]
                with m.If(self.o.ready):
                    m.next = "BEGIN"
        return m
