"""A host's requests over a serial line, carried out on the machine's registers and on memory; see docs/boards.md."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from hw.bram import Bram
from hw.frames import FrameReceiver, FrameSender, answer_byte, frame
from hw.on_chip_memory import memory_port
from hw.registers import control_bus
from hw.uart import Uart
from spec.boards import Design
from spec.link import (
    BOARD_REGISTERS,
    CRC_BYTES,
    HEADER_BYTES,
    LINK_VALUE,
    MAX_DATA,
    NO_SEQUENCE,
    QUEUE_BYTES,
    REGISTER_BYTES,
    WORD_BYTES,
    BoardRegister,
    Status,
)
from spec.registers import REGISTER_ADDRESS_BITS, REGISTER_BITS

WORD_BITS = 8 * WORD_BYTES


class UartBridge(wiring.Component):
    """Serial line, queue, frames, and :class:`Execute`.

    Members
    -------
    rx, tx : the line
    ctl : :py:`Out(control_bus)`, the machine's registers
    memory : :py:`Out(memory_port(...))`
    """

    def __init__(self, design: Design, target: str | None = None):
        self.design = design
        self.target = target
        super().__init__({
            "rx": In(1, init=1),
            "tx": Out(1, init=1),
            "ctl": Out(control_bus),
            "memory": Out(memory_port(design.memory_bytes // WORD_BYTES, WORD_BITS)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.uart = uart = Uart(self.design.divider)
        m.submodules.queue = queue = SyncFIFOBuffered(width=9, depth=QUEUE_BYTES)
        m.submodules.frames = frames = FrameReceiver(self.target)
        m.submodules.answers = answers = FrameSender()
        m.submodules.execute = execute = Execute(self.design)

        m.d.comb += [
            uart.rx.eq(self.rx),
            self.tx.eq(uart.tx),
            queue.w_en.eq(uart.valid),
            queue.w_data.eq(uart.byte),
            frames.i.valid.eq(queue.r_rdy),
            frames.i.p.eq(queue.r_data),
            queue.r_en.eq(frames.i.ready),
            frames.r_addr.eq(execute.r_addr),
            execute.r_data.eq(frames.r_data),
        ]
        # What the queue has no room for is lost; the CRC of its frame tells.
        connect(m, frames.o, execute.i)
        connect(m, execute.o, answers.i)
        connect(m, answers.o, uart.i)
        connect(m, execute.ctl, flipped(self.ctl))
        connect(m, execute.memory, flipped(self.memory))
        return m


class Execute(wiring.Component):
    """Carries out one request after the other and answers each, a damaged one too.

    A write with the sequence number of the request before it is answered as that was, and not carried out again. Everything is
    looked at before anything is done: only whole, intact and meaningful requests reach a bus.

    The machine and memory are trusted to answer.

    Members
    -------
    i : requests; each is taken when it has been answered
    r_addr, r_data : the data of the request that is offered
    o : :py:`Out(stream.Signature(answer_byte))`
    ctl, memory : see :class:`UartBridge`
    """

    def __init__(self, design: Design):
        self.design = design
        super().__init__({
            "i": In(stream.Signature(frame)),
            "r_addr": Out(range(MAX_DATA)),
            "r_data": In(8),
            "o": Out(stream.Signature(answer_byte)),
            "ctl": Out(control_bus),
            "memory": Out(memory_port(design.memory_bytes // WORD_BYTES, WORD_BITS)),
        })

    def elaborate(self, platform):
        m = Module()
        head = self.i.p.head
        writes, of_memory = head.op[0], head.op[1]
        words = Signal(8)  # that are to be moved behind the one under way
        word = Signal(WORD_BITS)
        index = Signal.like(self.memory.request.p.address)
        at = Signal.like(self.r_addr)
        byte = Signal(range(WORD_BYTES + Bram.LATENCY))  # of the word under way
        size = Signal(range(WORD_BYTES + 1))
        status, last_status = Signal(Status), Signal(Status)
        sequence, last_sequence = Signal(8), Signal(8)
        executed, has_data = Signal(), Signal()
        good, again, own = self._check(m, head, last_sequence)

        ctl, request = self.ctl, self.memory.request
        m.d.comb += [
            self.r_addr.eq(at),
            ctl.aw.p.addr.eq(head.address),
            ctl.w.p.data.eq(word[-REGISTER_BITS:]),
            ctl.w.p.strb.eq(~0),
            ctl.ar.p.addr.eq(head.address),
            request.p.write.eq(writes),
            request.p.address.eq(index),
            request.p.data.eq(word),
            size.eq(Mux(of_memory, WORD_BYTES, REGISTER_BYTES)),
        ]

        def answer(code):
            m.d.sync += status.eq(code)
            m.next = "SEQUENCE"

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [byte.eq(0), at.eq(0), words.eq(head.count), index.eq(head.address >> exact_log2(WORD_BYTES))]
                m.d.sync += [sequence.eq(head.sequence), executed.eq(0)]
                with m.If(self.i.valid):
                    m.next = "LOOK"
            with m.State("LOOK"):  # what `_check` finds out takes two cycles
                m.next = "CHECK"
            with m.State("CHECK"):
                with m.If(self.i.p.damaged):
                    m.d.sync += sequence.eq(NO_SEQUENCE)
                    answer(Status.DAMAGED)
                with m.Elif(~good):
                    answer(Status.BAD)
                with m.Elif(again):
                    answer(last_status)
                with m.Else():
                    m.d.sync += [executed.eq(1), last_sequence.eq(head.sequence)]
                    with m.If(writes):
                        m.next = "GATHER"
                    with m.Elif(of_memory):
                        answer(Status.OK)
                    with m.Elif(head.address[REGISTER_ADDRESS_BITS]):
                        m.d.sync += word.eq(own)
                        answer(Status.OK)
                    with m.Else():
                        m.d.sync += ctl.ar.valid.eq(1)
                        m.next = "READ"
            with m.State("GATHER"):
                m.d.sync += byte.eq(byte + 1)
                with m.If(byte < size):
                    m.d.sync += at.eq(at + 1)
                with m.If(byte >= Bram.LATENCY):
                    m.d.sync += word.eq(Cat(word[8:], self.r_data))
                with m.If(byte == size + Bram.LATENCY - 1):
                    m.d.sync += byte.eq(0)
                    with m.If(of_memory):
                        m.next = "PUT"
                    with m.Else():
                        m.d.sync += [ctl.aw.valid.eq(1), ctl.w.valid.eq(1)]
                        m.next = "WRITE"
            with m.State("PUT"):
                m.d.comb += request.valid.eq(1)
                with m.If(request.ready):
                    m.d.sync += [index.eq(index + 1), words.eq(words - 1)]
                    m.next = "GATHER"
                    with m.If(words == 0):
                        answer(Status.OK)
            with m.State("WRITE"):
                for channel in (ctl.aw, ctl.w):
                    with m.If(channel.ready):
                        m.d.sync += channel.valid.eq(0)
                m.d.comb += ctl.b.ready.eq(1)
                with m.If(ctl.b.valid):
                    answer(Mux(ctl.b.p.resp[1], Status.REFUSED, Status.OK))
            with m.State("READ"):
                with m.If(ctl.ar.ready):
                    m.d.sync += ctl.ar.valid.eq(0)
                m.d.comb += ctl.r.ready.eq(1)
                with m.If(ctl.r.valid):
                    m.d.sync += word.eq(ctl.r.p.data)
                    answer(Mux(ctl.r.p.resp[1], Status.REFUSED, Status.OK))
            with m.State("SEQUENCE"):
                m.d.comb += [self.o.valid.eq(1), self.o.p.data.eq(sequence)]
                m.d.sync += has_data.eq(~writes & (status == Status.OK))
                with m.If(executed):
                    m.d.sync += last_status.eq(status)
                with m.If(self.o.ready):
                    m.next = "STATUS"
            with m.State("STATUS"):
                m.d.comb += [self.o.valid.eq(1), self.o.p.data.eq(status), self.o.p.last.eq(~has_data)]
                with m.If(self.o.ready):
                    m.next = "DONE"
                    with m.If(has_data):
                        m.next = "BYTES"
                        with m.If(of_memory):
                            m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += request.valid.eq(1)
                with m.If(request.ready):
                    m.d.sync += index.eq(index + 1)
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.sync += word.eq(self.memory.data)
                with m.If(self.memory.valid):
                    m.next = "BYTES"
            with m.State("BYTES"):
                m.d.comb += [
                    self.o.valid.eq(1),
                    self.o.p.data.eq(word[:8]),
                    self.o.p.last.eq((byte == size - 1) & (words == 0)),
                ]
                with m.If(self.o.ready):
                    m.d.sync += [word.eq(word >> 8), byte.eq(byte + 1)]
                    with m.If(byte == size - 1):
                        m.d.sync += [byte.eq(0), words.eq(words - 1)]
                        m.next = "ASK"
                        with m.If(words == 0):
                            m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.i.ready.eq(1)
                m.next = "IDLE"
        return m

    def _check(self, m, head, last_sequence):
        """Two cycles behind an offered request: whether it makes sense, whether it was carried out before, and the
        board's own register that it reads."""
        registers = {
            BoardRegister.LINK: LINK_VALUE,
            BoardRegister.MEMORY: self.design.memory_bytes,
            BoardRegister.CLOCK: self.design.clock_hz,
        }
        writes, of_memory = head.op[0], head.op[1]
        words = self.design.memory_bytes // WORD_BYTES
        below = exact_log2(WORD_BYTES)
        within = below + (words - 1).bit_length()
        least = HEADER_BYTES + CRC_BYTES
        length = Signal.like(self.i.p.length)  # that it must have
        end = Signal(range(2 * words + 256))  # the last word
        aligned, known, machine, board = (Signal(name=name) for name in ("aligned", "known", "machine", "board"))
        m.d.sync += [
            length.eq(least + Mux(writes, Mux(of_memory, Cat(Const(0, below), head.count) + WORD_BYTES, REGISTER_BYTES), 0)),
            end.eq(head.address[below:within] + head.count),
            aligned.eq(~head.address[:below].any() & ~head.address[within:].any()),
            known.eq(~head.op[2:].any()),
            machine.eq(~head.address[REGISTER_ADDRESS_BITS:].any() & (head.count == 0)),
            board.eq(Cat(head.address == BOARD_REGISTERS + at for at in registers).any() & (head.count == 0) & ~writes),
        ]
        good, again, own = Signal(), Signal(), Signal(REGISTER_BITS)
        m.d.sync += [
            good.eq(known & (self.i.p.length == length) & Mux(of_memory, aligned & (end < words), machine | board)),
            again.eq(writes & (head.sequence == last_sequence)),
        ]
        with m.Switch(head.address[: exact_log2(REGISTER_BYTES) + 2]):
            for at, value in registers.items():
                with m.Case(at):
                    m.d.sync += own.eq(value)
        return good, again, own
