"""The serial line: bits at a fixed rate to bytes and back, eight bits, no parity, one stop bit."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

# What comes off the line: nobody can make a sender wait.
line_byte = data.StructLayout({"data": 8, "bad": 1})


class UartReceiver(wiring.Component):
    """Bytes off the line. Each bit is looked at once, in its middle.

    A low level of less than half a bit is no start. ``bad`` is a byte without its stop bit; the line must then be high before
    the next byte can begin, so that a line held low gives one bad byte.
    Latency: two cycles through the synchroniser, then half a bit less than ten bits, and one cycle.

    Members
    -------
    rx : the line, of any clock
    valid, byte : a pulse for each byte
    """

    def __init__(self, divider: int):
        self.divider = divider
        super().__init__({"rx": In(1, init=1), "valid": Out(1), "byte": Out(line_byte)})

    def elaborate(self, platform):
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, line, init=1)
        bits = Signal(8, reset_less=True)
        number = Signal(range(10))  # of the bit that is looked at next; 0 is the start
        left = Signal(range(self.divider))
        m.d.sync += self.valid.eq(0)
        m.d.sync += left.eq(left - 1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [left.eq(self.divider // 2 - 1), number.eq(0)]
                with m.If(~line):
                    m.next = "BITS"
            with m.State("BITS"):
                with m.If(left == 0):
                    m.d.sync += [left.eq(self.divider - 1), number.eq(number + 1), bits.eq(Cat(bits[1:], line))]
                    with m.If((number == 0) & line):
                        m.next = "IDLE"
                    with m.If(number == 9):
                        m.d.sync += [self.valid.eq(1), self.byte.data.eq(bits), self.byte.bad.eq(~line)]
                        m.next = "HIGH"
                        with m.If(line):
                            m.next = "IDLE"
            with m.State("HIGH"):
                m.d.sync += [left.eq(self.divider // 2 - 1), number.eq(0)]
                with m.If(line):
                    m.next = "IDLE"
        return m


class UartTransmitter(wiring.Component):
    """Bytes onto the line, one after the other without a pause.

    Members
    -------
    i : :py:`In(stream.Signature(8))`; ready in the last cycle of a stop bit and while nothing is sent
    tx : the line
    """

    def __init__(self, divider: int):
        self.divider = divider
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        bits = Signal(9, init=0x1FF)  # those that follow
        left = Signal(range(self.divider))
        number = Signal(range(10))  # of bits that follow
        last = Signal()  # cycle of a bit
        m.d.comb += [last.eq(left == 0), self.i.ready.eq(last & (number == 0))]
        with m.If(~last):
            m.d.sync += left.eq(left - 1)
        with m.Elif(number != 0):
            m.d.sync += [left.eq(self.divider - 1), number.eq(number - 1), Cat(self.tx, bits).eq(Cat(bits, Const(1, 1)))]
        with m.Elif(self.i.valid):
            m.d.sync += [
                left.eq(self.divider - 1),
                number.eq(9),
                self.tx.eq(0),
                bits.eq(Cat(self.i.p, Const(1, 1))),
            ]
        return m


class Uart(wiring.Component):
    """Both directions of a line of ``divider`` clocks a bit; members as of :class:`UartReceiver` and :class:`UartTransmitter`."""

    def __init__(self, divider: int):
        self.divider = divider
        super().__init__({
            "rx": In(1, init=1),
            "valid": Out(1),
            "byte": Out(line_byte),
            "i": In(stream.Signature(8)),
            "tx": Out(1, init=1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = UartReceiver(self.divider)
        m.submodules.transmitter = transmitter = UartTransmitter(self.divider)
        wiring.connect(m, wiring.flipped(self.i), transmitter.i)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.valid.eq(receiver.valid),
            self.byte.eq(receiver.byte),
            self.tx.eq(transmitter.tx),
        ]
        return m
