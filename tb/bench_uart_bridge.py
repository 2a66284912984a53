"""The bridge from line to buses, against a model that reads the same bytes: every request, every fault of a line, several at once, writes once."""

import cocotb
from cocotb.triggers import RisingEdge

from spec.boards import least_design
from spec.chip import Chip
from spec.link import (
    BOARD_REGISTERS,
    CRC_BYTES,
    END,
    HEADER_BYTES,
    LINK_VALUE,
    MAX_DATA,
    MAX_REQUEST,
    NO_SEQUENCE,
    QUEUE_BYTES,
    Frames,
    Op,
    Request,
    Status,
    checked,
)
from tb.kit import Stream, cycles, generator, guard, load_spec, start
from tb.line_faults import spoil
from tb.serial_line import BAD, Listener, send_line

LATENCY = 4  # of the memory's answers
REGISTERS = {0x0C: 1, 0x10: 2, 0x28: 3, 0x44: 4}  # those that the machine has here
BITS = 10


class Surroundings:
    """Registers and memory beside the bridge; what was written is noted, in order."""

    def __init__(self, dut, rng, stall):
        self.dut, self.rng, self.stall = dut, rng, stall
        self.design = least_design(load_spec(Chip))
        self.registers = dict(REGISTERS)
        self.memory = bytearray(rng.bytes(self.design.memory_bytes))
        self.writes = []
        if stall:  # without stalls nothing waits, and looking at every cycle takes long
            for name in ("ctl__aw", "ctl__w", "ctl__ar", "memory__request"):
                cocotb.start_soon(guard(Stream(dut, name)))
        for part in (self._register_writes, self._register_reads, self._memory):
            cocotb.start_soon(part())

    async def _wait(self):
        while self.rng.random() < self.stall:
            await RisingEdge(self.dut.clk)

    async def _one(self, stream):
        """Its fields; nothing is looked at while nothing comes, which is most of the time."""
        if not stream.valid.value:
            await RisingEdge(stream.valid)
        await self._wait()
        stream.ready.value = 1
        await RisingEdge(self.dut.clk)
        fields = dict(zip(stream.fields, stream.raw(), strict=True))
        stream.ready.value = 0
        await RisingEdge(self.dut.clk)  # from here on `valid` is that of the next
        return fields

    async def _answer(self, stream, **fields):
        edge = RisingEdge(self.dut.clk)
        await self._wait()
        stream.valid.value = 1
        stream.drive(tuple(fields[name] for name in stream.fields))
        await edge
        while not stream.ready.value:
            await edge
        stream.valid.value = 0

    async def _register_writes(self):
        aw, w, b = (Stream(self.dut, f"ctl__{name}") for name in ("aw", "w", "b"))
        while True:
            address, data = (await self._one(aw))["addr"], await self._one(w)
            assert data["strb"] == 15
            known = address in self.registers
            if known:
                self.registers[address] = data["data"]
            self.writes.append((address, data["data"]))
            await self._answer(b, resp=0 if known else 2)

    async def _register_reads(self):
        ar, r = Stream(self.dut, "ctl__ar"), Stream(self.dut, "ctl__r")
        while True:
            address = (await self._one(ar))["addr"]
            value = self.registers.get(address)
            await self._answer(r, data=value or 0, resp=2 if value is None else 0)

    async def _memory(self):
        edge, request = RisingEdge(self.dut.clk), Stream(self.dut, "memory__request")
        while True:
            fields = await self._one(request)
            place = slice(8 * fields["address"], 8 * fields["address"] + 8)
            if fields["write"]:
                self.memory[place] = fields["data"].to_bytes(8, "little")
                continue
            for _ in range(LATENCY - 2):
                self.dut.memory__data.value = int.from_bytes(self.rng.bytes(8))
                await edge
            self.dut.memory__valid.value = 1
            self.dut.memory__data.value = int.from_bytes(self.memory[place], "little")
            await edge
            self.dut.memory__valid.value = 0


class Model:
    """What the contract says, of the bytes of a line with their marks."""

    def __init__(self, around):
        self.design = around.design
        self.registers, self.memory = dict(around.registers), bytearray(around.memory)
        self.writes, self.answers = [], []
        self.last = None, Status.OK
        self._frame, self._bad = bytearray(), False

    def hear(self, line):
        for byte in line:
            if byte & BAD:
                self._bad = True
            elif byte != END:
                self._frame.append(byte)
            else:
                if self._frame or self._bad:
                    body = None if self._bad else checked(bytes(self._frame))
                    damaged = body is None or len(body) > MAX_REQUEST - CRC_BYTES
                    self.answers.append(bytes([NO_SEQUENCE, Status.DAMAGED]) if damaged else self._request(body))
                self._frame, self._bad = bytearray(), False

    def _request(self, body):
        if len(body) < HEADER_BYTES or not self._sensible(body):
            # Too short for a sequence number in its place: what the bridge says there is not laid down.
            return (body[:1] if len(body) >= HEADER_BYTES else b"?") + bytes([Status.BAD])
        sequence, op = body[0], Op(body[1])
        if op & 1 and sequence == self.last[0]:
            return bytes([sequence, self.last[1]])
        status, data = self._carry_out(op, body[2] + 1, int.from_bytes(body[3:7], "little"), body[7:])
        self.last = sequence, status
        return bytes([sequence, status]) + data

    def _sensible(self, body):
        op, count, address = body[1], body[2] + 1, int.from_bytes(body[3:7], "little")
        if op > 3:
            return False
        if op & 2:
            inside = address % 8 == 0 and address + 8 * count <= self.design.memory_bytes
            return inside and len(body) == HEADER_BYTES + (8 * count if op & 1 else 0)
        own = not op & 1 and address in (BOARD_REGISTERS, BOARD_REGISTERS + 4, BOARD_REGISTERS + 8)
        return (address < BOARD_REGISTERS or own) and count == 1 and len(body) == HEADER_BYTES + (4 if op & 1 else 0)

    def _carry_out(self, op, count, address, data):
        if op == Op.WRITE_MEMORY:
            self.memory[address : address + len(data)] = data
            return Status.OK, b""
        if op == Op.READ_MEMORY:
            return Status.OK, bytes(self.memory[address : address + 8 * count])
        if op == Op.WRITE_REGISTER:
            self.writes.append((address, int.from_bytes(data, "little")))
            if address not in self.registers:
                return Status.REFUSED, b""
            self.registers[address] = int.from_bytes(data, "little")
            return Status.OK, b""
        own = {0: LINK_VALUE, 4: self.design.memory_bytes, 8: self.design.clock_hz}
        value = own.get(address - BOARD_REGISTERS, self.registers.get(address))
        return (Status.REFUSED, b"") if value is None else (Status.OK, value.to_bytes(4, "little"))


class Bench:
    def __init__(self, dut, rng, stall):
        self.dut, self.rng = dut, rng
        self.around = Surroundings(dut, rng, stall)
        self.model = Model(self.around)
        self.listener = Listener(dut, self.around.design.divider)
        cocotb.start_soon(self.listener.run())
        self.frames, self.heard, self.answers, self.checked = Frames(), 0, [], 0

    async def settle(self, bits=60):
        """Until nothing has come for a while."""
        before = -1
        while before != len(self.listener.bytes):
            before = len(self.listener.bytes)
            await cycles(self.dut, bits * self.around.design.divider)
        self.answers += list(self.frames.feed(self.listener.bytes[self.heard :]))
        self.heard = len(self.listener.bytes)

    async def say(self, line, *, stall=0.0):
        await send_line(self.dut, line, self.around.design.divider, self.rng, stall)
        self.model.hear(line)

    async def agree(self, bits=60):
        await self.settle(bits)
        got, want = self.answers[self.checked :], self.model.answers[self.checked :]
        assert len(got) == len(want), f"{got} is not {want}"
        for one, other in zip(got, want, strict=True):
            assert one is not None
            alike = one == other or (other[:1] == b"?" and one[1:] == other[1:])
            assert alike, f"{got} is not {want}"
        self.checked = len(self.answers)
        assert self.around.writes == self.model.writes
        assert self.around.registers == self.model.registers
        assert self.around.memory == self.model.memory

    def request(self):
        """One of any kind, most of them sensible."""
        rng, size = self.rng, self.around.design.memory_bytes
        op = Op(int(rng.integers(0, 4)))
        if op & 2:
            count = int(rng.integers(1, 9))
            address = 8 * int(rng.integers(0, size // 8 - count + 1))
            if rng.random() < 0.2:
                address += int(rng.choice([1, 4, 8 * count, size - address - 8 * count + 8, 1 << 20, 1 << 31]))
        else:
            count = 1 if rng.random() < 0.9 else 2
            places = [*REGISTERS, 0x40, 0xFFC, 0x1000, 0x1004, 0x1008, 0x100C, 0x2004, 1 << 24]
            address = int(rng.choice(places))
        data = rng.bytes(8 * count if op & 2 else 4) if op & 1 else b""
        if rng.random() < 0.1:
            data += rng.bytes(int(rng.integers(1, 9)))
        return Request(op, address & 0xFFFF_FFFF, count, data)


async def begin(dut, stall):
    await start(dut)
    dut.rx.value = 1  # low until now, which may be taken for a byte
    bench = Bench(dut, generator(), stall)
    await cycles(dut, 100)
    await send_line(dut, [END], bench.around.design.divider)
    await bench.settle(200)
    bench.answers.clear()
    return bench


@cocotb.test(timeout_time=100, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.6])
async def carries_out_what_makes_sense(dut, stall):
    bench = await begin(dut, stall)
    for n in range(64):
        await bench.say(bench.request().frame(n % 255 + 1), stall=0.05)
        if n % 8 == 7:
            await bench.agree()
    await bench.agree()


@cocotb.test(timeout_time=100, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.6])
async def does_nothing_that_was_not_asked_on_a_bad_line(dut, stall):
    """Bits, bytes and stop bits go wrong, frames end early: every frame is answered as the model says, nothing else is written, and
    the next whole frame is carried out."""
    bench = await begin(dut, stall)
    for n in range(90):
        frame = [(byte, 0) for byte in bench.request().frame(n % 255 + 1)]
        if bench.rng.random() < 0.6:
            frame = spoil(frame, bench.rng)
        await bench.say([byte | BAD * mark for byte, mark in frame])
        if n % 6 == 5:
            await bench.say([END])
            await bench.agree()
    assert Status.DAMAGED in [answer[1] for answer in bench.answers]
    assert Status.OK in [answer[1] for answer in bench.answers]


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def answers_several_at_once(dut):
    """As many as the queue takes, answers longer than requests and the other way round."""
    bench = await begin(dut, 0.3)
    sequence = 0
    for longest in (True, False):
        line = b""
        while True:
            sequence = sequence % 255 + 1
            count = int(bench.rng.integers(1, 20))
            address = 8 * int(bench.rng.integers(0, bench.around.design.memory_bytes // 8 - count))
            data = b"" if longest else bench.rng.bytes(8 * count)
            frame = Request(Op.READ_MEMORY if longest else Op.WRITE_MEMORY, address, count, data).frame(sequence)
            if len(line) + len(frame) > (QUEUE_BYTES // 4 if longest else QUEUE_BYTES):
                break
            line += frame
        await bench.say(line)
        await bench.agree(300)  # the longest write takes some 400 cycles where memory stalls


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def moves_the_most_words(dut):
    bench = await begin(dut, 0.0)
    data = bench.rng.bytes(MAX_DATA)
    await bench.say(Request(Op.WRITE_MEMORY, 1024, 256, data).frame(1))
    await bench.say(Request(Op.READ_MEMORY, 1024, 256).frame(2))
    await bench.agree(2000)
    assert bench.answers[-1][2:] == data


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def writes_once(dut):
    """The same write twice is one; not so behind another request, and not so a read, which answers what no write left behind."""
    bench = await begin(dut, 0.0)
    write = Request(Op.WRITE_REGISTER, 0x10, data=b"\x01\x02\x03\x04")
    for request, sequence in (
        (write, 7), (write, 7), (write, 7), (write, 8), (Request(Op.READ_REGISTER, 0x28), 8),
        (Request(Op.READ_REGISTER, 0x10), 8), (write, 9), (Request(Op.WRITE_REGISTER, 0x40, data=bytes(4)), 10),
        (Request(Op.WRITE_REGISTER, 0x40, data=bytes(4)), 10),
    ):  # fmt: skip
        await bench.say(request.frame(sequence))
    await bench.agree()
    assert [address for address, _ in bench.around.writes] == [0x10, 0x10, 0x10, 0x40]


@cocotb.test(timeout_time=100, timeout_unit="ms")
async def gets_over_a_host_that_sends_too_much(dut):
    """What overflows the queue is lost; every answer is whole, nothing is written but what was asked, and then all is as before."""
    bench = await begin(dut, 0.0)
    read = Request(Op.READ_MEMORY, 0, 10)
    line = b"".join(read.frame(n % 255 + 1) for n in range(250))
    await send_line(dut, [*line, END], bench.around.design.divider)
    await bench.settle(200)
    await send_line(bench.dut, [END], bench.around.design.divider)  # the last end may have been lost like any byte
    await bench.settle(200)
    assert None not in bench.answers
    statuses = {answer[1] for answer in bench.answers}
    assert statuses == {Status.OK, Status.DAMAGED}
    assert not bench.around.writes
    bench.answers, bench.checked = [], 0
    await bench.say(read.frame(3))
    await bench.agree()
