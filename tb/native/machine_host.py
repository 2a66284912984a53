"""The generated machine as a Python object: Verilog compiled by Verilator, a memory beside it, called through ctypes."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spec.chip import Chip
from spec.engine import COUNTERS
from spec.isa import DESCRIPTOR_BYTES, ErrorCode
from spec.registers import COUNTER_NAMES, COUNTER_REGISTERS, Control, Irq, Status, offset
from tb.native.memory import Counts, Memory, Settings

CHUNK = 1 << 17  # cycles between two looks at progress and Ctrl-C
LIMIT = 1 << 32  # cycles
EVENT = np.dtype([
    ("issued", np.uint64),  # cycle
    ("done", np.uint64),
    ("read_beats", np.uint64),  # on the bus meanwhile, whoever asked for them
    ("write_beats", np.uint64),
    ("counters", np.uint64, len(COUNTERS)),  # of a product, in the order of spec.engine.COUNTERS
    ("unit", np.uint32),  # number of the unit's bit in spec.isa.Unit
    ("tag", np.uint32),
])


class MachineStuck(RuntimeError):
    """A program that did not end in the cycles it was given."""


class RegisterRefused(ValueError):
    """A register that answered an access with an error."""


@dataclass(frozen=True)
class Outcome:
    """How a run of the ring stopped."""

    status: Status
    error: ErrorCode
    index: int  # of the descriptor that failed
    cycles: int  # from START to the interrupt


class NativeMachine:
    """One machine of ``chip`` and the memory behind it.

    library : the shared library that :func:`tb.native.machine.build_machine` made of the chip's Verilog.
    memory : its bytes, uint8, which the machine changes in place, or how many there are. They lie at ``origin``.
    how : when the memory answers; may be changed by :meth:`behave`.

    Both windows are all of the memory until registers say otherwise.
    """

    def __init__(
        self, chip: Chip, library: Path, memory: np.ndarray | int, how: Memory | None = None, *, origin: int = 0
    ):
        self.chip = chip
        self.bytes = np.zeros(memory, np.uint8) if isinstance(memory, int) else memory
        if self.bytes.dtype != np.uint8 or self.bytes.ndim != 1 or not self.bytes.flags.c_contiguous:
            raise ValueError("memory must be one array of uint8")
        self.origin = origin
        self._lib = _load(library)
        settings = Settings.of(how or Memory())
        self._handle = ctypes.c_void_p(
            self._lib.machine_new(self.bytes.ctypes.data, origin, len(self.bytes), ctypes.byref(settings))
        )
        self.set_windows()

    def close(self) -> None:
        if self._handle:
            self._lib.machine_free(self._handle)
            self._handle = ctypes.c_void_p()

    def __enter__(self) -> "NativeMachine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def cycles(self) -> int:
        """Clock cycles since power-up."""
        return int(self._lib.machine_cycles(self._handle))

    def reset(self) -> None:
        """The reset line; memory keeps its bytes, windows are all of it."""
        self._lib.machine_reset(self._handle)
        self.set_windows()

    def behave(self, how: Memory) -> None:
        """Change when the memory answers."""
        self._lib.machine_settings(self._handle, ctypes.byref(Settings.of(how)))

    def rest(self, units: bool) -> None:
        """Whether units without a command are left out of a cycle, as they are from the start; see tb/native/gating.py."""
        self._lib.machine_rest(self._handle, units)

    def fail(self, first: int, end: int, response: int = 2, *, writes: bool = False) -> None:
        """Bursts (of reads: beats) that touch addresses ``first`` to ``end`` are answered by ``response``."""
        self._lib.machine_fail(self._handle, writes, first, end, response)

    def mend(self) -> None:
        """No address fails any more."""
        for writes in (False, True):
            self._lib.machine_fail(self._handle, writes, 0, 0, 0)

    def write(self, register: str, value: int) -> None:
        """Raises :class:`RegisterRefused` where the machine refuses."""
        response = self._lib.machine_write(self._handle, offset(register), value)
        if response:
            raise RegisterRefused(f"register {register}: write of {value:#x} was answered by {response}")

    def read(self, register: str) -> int:
        """A register, or a whole counter."""
        value = self._read(register, offset(register))
        if register in COUNTER_REGISTERS:
            value |= self._read(register, offset(register) + 4) << 32
        return value

    def _read(self, register: str, address: int) -> int:
        value = ctypes.c_uint32()
        response = self._lib.machine_read(self._handle, address, ctypes.byref(value))
        if response:
            raise RegisterRefused(f"register {register}: read at {address:#x} was answered by {response}")
        return value.value

    def counters(self) -> dict[str, int]:
        """All counters since they were last cleared."""
        return {name: self.read(name) for name in COUNTER_NAMES}

    def set_windows(self, read: tuple[int, int] | None = None, write: tuple[int, int] | None = None) -> None:
        """First byte and the first behind the last; all of the memory unless given."""
        for name, window in (("read", read), ("write", write)):
            first, end = window or (self.origin, self.origin + len(self.bytes))
            self.write(f"{name}_base", first)
            self.write(f"{name}_limit", end - 1)

    def load(self, ring: int, program: bytes) -> int:
        """Descriptors to memory at address ``ring``; how many."""
        at = ring - self.origin
        self.bytes[at : at + len(program)] = np.frombuffer(program, np.uint8)
        return len(program) // DESCRIPTOR_BYTES

    def start(self, ring: int, count: int, head: int = 0) -> None:
        """Begin with descriptor ``head`` of the ring of ``count`` at address ``ring``; interrupts are on."""
        for name, value in (("ring_base", ring), ("ring_size", count), ("ring_head", head)):
            self.write(name, value)
        self.write("irq_status", int(Irq.ENDED | Irq.FAILED | Irq.ABORTED))
        self.write("irq_enable", int(Irq.ENDED | Irq.FAILED | Irq.ABORTED))
        self.write("control", int(Control.START))

    def wait(self, limit: int = LIMIT, progress: Callable[[int], None] | None = None) -> Outcome:
        """Until the interrupt. progress : called now and then with the cycles so far.

        Raises :class:`MachineStuck` past ``limit`` cycles.
        """
        began = self.cycles
        while not self._lib.machine_run(self._handle, min(CHUNK, limit)):
            spent = self.cycles - began
            if progress:
                progress(spent)
            if spent >= limit:
                raise MachineStuck(f"no end after {spent} cycles, status {Status(self.read('status'))!r}")
        cycles = self.cycles - began
        status, error = Status(self.read("status")), ErrorCode(self.read("error"))
        return Outcome(status, error, self.read("error_index"), cycles)

    def run(
        self,
        ring: int,
        count: int,
        head: int = 0,
        limit: int = LIMIT,
        progress: Callable[[int], None] | None = None,
    ) -> Outcome:
        """:meth:`start`, then :meth:`wait`."""
        self.start(ring, count, head)
        return self.wait(limit, progress)

    def idle(self, cycles: int) -> None:
        """Let clock cycles pass."""
        self._lib.machine_idle(self._handle, cycles)

    def take_events(self) -> np.ndarray:
        """Commands that ended since the last call, in the order of their issue: an array of :data:`EVENT`."""
        events = np.zeros(int(self._lib.machine_events(self._handle)), EVENT)
        return events[: int(self._lib.machine_take_events(self._handle, events.ctypes.data))]

    def bus(self) -> Counts:
        """Beats and bursts since power-up, and rules of AXI that were broken."""
        counts = Counts()
        self._lib.machine_counts(self._handle, ctypes.byref(counts))
        return counts


def _load(library: Path) -> ctypes.CDLL:
    lib = ctypes.CDLL(str(library))
    pointer, u32, u64, integer = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int
    signatures = {
        "new": (pointer, [pointer, u64, u64, pointer]),
        "free": (None, [pointer]),
        "reset": (None, [pointer]),
        "rest": (None, [pointer, integer]),
        "cycles": (u64, [pointer]),
        "settings": (None, [pointer, pointer]),
        "counts": (None, [pointer, pointer]),
        "fail": (None, [pointer, integer, u64, u64, ctypes.c_uint8]),
        "write": (integer, [pointer, u32, u32]),
        "read": (integer, [pointer, u32, pointer]),
        "run": (integer, [pointer, u64]),
        "idle": (None, [pointer, u64]),
        "events": (u64, [pointer]),
        "take_events": (u64, [pointer, pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, f"machine_{name}")
        function.restype, function.argtypes = result, arguments
    return lib
