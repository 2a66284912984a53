"""A board behind a serial port as a :class:`host.machines.Backend`."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

import serial

from host.link import Link, LinkError
from host.machines import MachineError, Ran
from spec.boards import Board
from spec.chip import Chip
from spec.isa import DESCRIPTOR_BYTES, ErrorCode
from spec.link import BOARD_REGISTERS, LINK_VALUE, MAX_DATA, WORD_BYTES, BoardRegister, Op, Request
from spec.registers import COUNTER_NAMES, ID_VALUE, Control, Irq, offset

ENDS = int(Irq.ENDED | Irq.FAILED | Irq.ABORTED)
READ_SECONDS = 0.1  # that a read of the port waits for a byte
WRITE_SECONDS = 10.0


class BoardBackend:
    """``chip`` at the other end of ``link``; memory begins at address 0, a run's descriptors lie at its end.

    What the board cannot tell, when each command ended, is left out. A KeyboardInterrupt in :meth:`run` stops the machine.
    Raises :class:`host.link.LinkError` when nobody answers or somebody else does.
    """

    def __init__(self, link: Link, chip: Chip):
        self.link, self.chip = link, chip
        self.progress: Callable[[int], None] | None = None
        self._runs: list[Ran] = []
        own = [BOARD_REGISTERS + at for at in (BoardRegister.LINK, BoardRegister.MEMORY, BoardRegister.CLOCK)]
        # The first request is a read: see docs/boards.md, "Once".
        version, self.memory_bytes, self.clock_hz = self._read_registers(own)
        if version != LINK_VALUE:
            raise LinkError(f"{link.name}: speaks {version:#010x}, not {LINK_VALUE:#010x}: a bitstream of another version")
        machine, digest = self._read_registers([offset("id"), offset("chip")])
        if machine != ID_VALUE or digest != int(chip.digest, 16):
            raise LinkError(
                f"{link.name}: the board holds chip {digest:08x}, not {chip.name} ({chip.digest}): another bitstream"
            )
        self._stop()
        for name, value in (("base", 0), ("limit", self.memory_bytes - 1)):
            self._write_register(f"read_{name}", value)
            self._write_register(f"write_{name}", value)
        self._write_register("irq_enable", ENDS)
        self._counters = self._read_counters()

    def room(self, run: int) -> int:
        return self.memory_bytes - run

    def read(self, address: int, count: int) -> bytes:
        requests = [
            Request(Op.READ_MEMORY, at, min(MAX_DATA, address + count - at) // WORD_BYTES)
            for at in range(address, address + count, MAX_DATA)
        ]
        return b"".join(self.link.ask(requests))

    def write(self, address: int, data: bytes) -> None:
        pieces = [(at, data[at : at + MAX_DATA]) for at in range(0, len(data), MAX_DATA)]
        self.link.ask([
            Request(Op.WRITE_MEMORY, address + at, len(piece) // WORD_BYTES, piece) for at, piece in pieces
        ])

    def run(self, descriptors: bytes) -> None:
        ring = self.memory_bytes - len(descriptors)
        self.write(ring, descriptors)
        for name, value in (("ring_base", ring), ("ring_size", len(descriptors) // DESCRIPTOR_BYTES), ("ring_head", 0)):
            self._write_register(name, value)
        self._write_register("irq_status", ENDS)
        self._write_register("control", Control.START)
        try:
            while not self._read_registers([offset("irq_status")])[0]:
                if self.progress:
                    self.progress(self._since(["run_cycles"])["run_cycles"])
        except KeyboardInterrupt:
            self._stop()
            raise
        code, index = self._read_registers([offset("error"), offset("error_index")])
        told = self._since(COUNTER_NAMES)
        self._counters = {name: self._counters[name] + count for name, count in told.items()}
        self._runs.append(Ran([], told["run_cycles"], told))
        if code != ErrorCode.NONE:
            raise MachineError(ErrorCode(code), index)

    def take(self) -> list[Ran]:
        runs, self._runs = self._runs, []
        return runs

    def _stop(self) -> None:
        """Whatever an earlier host left running."""
        self._write_register("control", Control.ABORT)
        until = time.monotonic() + 10 * self.link.patience
        while self._read_registers([offset("status")])[0] & 1:
            if time.monotonic() > until:
                raise LinkError(f"{self.link.name}: the machine does not stop; reset the board")

    def _since(self, names: list[str] | tuple[str, ...]) -> dict[str, int]:
        """By how much counters have grown since the last run; less than 2**32 each, so that their low words tell."""
        values = self._read_registers([offset(name) for name in names])
        return {name: value - self._counters[name] & 0xFFFF_FFFF for name, value in zip(names, values, strict=True)}

    def _read_counters(self) -> dict[str, int]:
        return dict(zip(COUNTER_NAMES, self._read_registers([offset(name) for name in COUNTER_NAMES]), strict=True))

    def _read_registers(self, places: list[int]) -> list[int]:
        answers = self.link.ask([Request(Op.READ_REGISTER, at) for at in places])
        return [int.from_bytes(data, "little") for data in answers]

    def _write_register(self, name: str, value: int) -> None:
        self.link.ask([Request(Op.WRITE_REGISTER, offset(name), data=int(value).to_bytes(4, "little"))])


@contextmanager
def opened_board(board: Board, chip: Chip, port: str) -> Generator[BoardBackend, None, None]:
    """The board at serial port ``port``, nobody else's meanwhile. Raises :class:`host.link.LinkError`."""
    try:
        line = serial.Serial(port, board.baud, timeout=READ_SECONDS, write_timeout=WRITE_SECONDS, exclusive=True)
    except (serial.SerialException, ValueError) as error:
        raise LinkError(f"cannot open serial port {port}: {error}") from error
    with line:
        line.reset_input_buffer()
        yield BoardBackend(Link(line, port), chip)
