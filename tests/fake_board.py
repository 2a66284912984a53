"""A board in Python, its machine an emulator: what stands at the other end of a line in tests without hardware."""

import numpy as np

from golden.emulator import Emulator
from spec.chip import Chip
from spec.isa import ErrorCode
from spec.link import BOARD_REGISTERS, END, LINK_VALUE, NO_SEQUENCE, Frames, Op, Request, Status, slip
from spec.registers import COUNTER_REGISTERS, ID_VALUE, REGISTERS, Access, Control, Irq, offset
from tb.line_faults import spoil

NAMES = {r.offset: r for r in REGISTERS}


class FakeBoard:
    """A :class:`host.link.Line`. Each frame is spoilt with probability ``bad``, either way; ``deaf`` answers nothing.

    most : bytes of requests that were on their way at once. starts : of the machine.
    """

    def __init__(self, chip: Chip, size: int, bad: float = 0.0, seed: int = 0, deaf: bool = False):
        self.chip, self.bad, self.deaf = chip, bad, deaf
        self.rng = np.random.default_rng(seed)
        self.memory = np.zeros(size, np.uint8)
        self.registers = dict.fromkeys([*NAMES, *COUNTER_REGISTERS.values()], 0)
        self.registers |= {offset("id"): ID_VALUE, offset("chip"): int(chip.digest, 16)}
        self.emulator = Emulator(chip, self.memory)
        self.most = self.starts = 0
        self.written: list[tuple[int, int]] = []
        self._frames, self._out = Frames(), bytearray()
        self._last = 0, Status.OK
        self._waiting = 0

    @property
    def in_waiting(self) -> int:
        return len(self._out)

    def read(self, size: int) -> bytes:
        self._waiting = 0
        data, self._out = bytes(self._out[:size]), self._out[size:]
        return data

    def write(self, data: bytes) -> int:
        self._waiting += len(data)
        self.most = max(self.most, self._waiting)
        for body in self._frames.feed(self._line(data)):
            if not self.deaf:
                self._out += self._line(slip(self._answer(body)))
        return len(data)

    def _line(self, frame: bytes) -> bytes:
        if self.rng.random() >= self.bad:
            return frame
        return bytes(byte for byte, mark in spoil([(byte, 0) for byte in frame], self.rng) if not mark)

    def _answer(self, body: bytes | None) -> bytes:
        if body is None:
            return bytes([NO_SEQUENCE, Status.DAMAGED])
        sequence = body[0]
        request = Request(Op(body[1]), int.from_bytes(body[3:7], "little"), body[2] + 1, body[7:])
        if request.op & 1 and sequence == self._last[0]:
            return bytes([sequence, self._last[1]])
        status, data = self._carry_out(request)
        self._last = sequence, status
        return bytes([sequence, status]) + data

    def _carry_out(self, request: Request) -> tuple[Status, bytes]:
        at, size = request.address, 8 * request.count
        if request.op & 2:
            if at + size > len(self.memory):
                return Status.BAD, b""
            if request.op == Op.READ_MEMORY:
                return Status.OK, self.memory[at : at + size].tobytes()
            self.memory[at : at + size] = np.frombuffer(request.data, np.uint8)
            return Status.OK, b""
        own = {BOARD_REGISTERS: LINK_VALUE, BOARD_REGISTERS + 4: len(self.memory), BOARD_REGISTERS + 8: 1_000_000}
        if request.op == Op.READ_REGISTER:
            value = (self.registers | own).get(at)
            return (Status.REFUSED, b"") if value is None else (Status.OK, value.to_bytes(4, "little"))
        if at not in NAMES or NAMES[at].access is Access.READ:
            return Status.REFUSED, b""
        value = int.from_bytes(request.data, "little")
        self.written.append((at, value))
        if at == offset("irq_status"):
            self.registers[at] &= ~value
        elif at == offset("control"):
            if value & Control.START:
                self._start()
        else:
            self.registers[at] = value
        return Status.OK, b""

    def _start(self) -> None:
        self.starts += 1
        of = {name: self.registers[offset(name)] for name in ("ring_base", "ring_size", "ring_head")}
        stop = self.emulator.run(of["ring_base"], of["ring_size"], of["ring_head"])
        self.registers[offset("run_cycles")] += 1000
        self.registers[offset("error")], self.registers[offset("error_index")] = int(stop.code), stop.index
        self.registers[offset("irq_status")] = int(Irq.ENDED if stop.code == ErrorCode.NONE else Irq.FAILED)


def noise(rng: np.random.Generator, count: int) -> bytes:
    """Bytes that mean nothing, an END among them."""
    return rng.bytes(count) + bytes([END])
