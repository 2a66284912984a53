"""The registers a host sees over AXI4-Lite, defined once.

``hw/registers.py``, the C header and the drivers derive from :data:`REGISTERS` and :data:`COUNTER_REGISTERS`.
A register is 32 bits at a multiple of four; a write takes all four bytes.
"""

from dataclasses import dataclass
from enum import Enum, IntFlag

from spec.engine import COUNTER_BITS, COUNTERS
from spec.version import VERSION

REGISTER_ADDRESS_BITS = 12
REGISTER_BITS = 32
ID_VALUE = int.from_bytes(b"GLom", "little")
RING_BITS = 24  # of an index into the ring
COUNTERS_AT = 0x100  # low words at even places, high words behind them


class Access(Enum):
    """What a host may do with a register."""

    READ = "read"
    WRITE = "write"  # reads as zero
    SETTING = "setting"  # read; written only while the machine is idle, otherwise the write is refused
    BOTH = "both"
    CLEAR = "clear"  # read; a one that is written clears the bit


class Control(IntFlag):
    """Bits of CONTROL; each acts once, when written as one."""

    START = 1  # from RING_HEAD on; waits until an earlier run's transfers have ended
    ABORT = 2  # issue nothing more, drop products and vector commands, stop when transfers have ended
    CLEAR = 4  # all counters to zero


class Status(IntFlag):
    """Bits of STATUS."""

    RUNNING = 1
    ENDED = 2  # END was reached; cleared by a start
    FAILED = 4  # stopped by an error; cleared by a start
    ABORTED = 8  # stopped by CONTROL.ABORT; cleared by a start
    LOAD = 1 << 4  # the unit has a command
    STORE = 1 << 5
    PRODUCT = 1 << 6
    VECTOR = 1 << 7
    BUS = 1 << 8  # a read or write of memory is not complete


class Irq(IntFlag):
    """Bits of IRQ_ENABLE and IRQ_STATUS; the line is high while a bit is set in both."""

    ENDED = 1
    FAILED = 2
    ABORTED = 4


@dataclass(frozen=True)
class Register:
    """One word of the map; bits above ``bits`` read as zero."""

    name: str
    offset: int
    access: Access
    bits: int = REGISTER_BITS
    doc: str = ""


REGISTERS = (
    Register("id", 0x00, Access.READ, doc=f"{ID_VALUE:#x}"),
    Register("version", 0x04, Access.READ, doc="major << 16 | minor << 8 | patch"),
    Register("chip", 0x08, Access.READ, doc="digest of the chip's parameters"),
    Register("control", 0x0C, Access.WRITE, len(Control)),
    Register("status", 0x10, Access.READ, len(Status)),
    Register("error", 0x14, Access.READ, 8, doc="spec.isa.ErrorCode"),
    Register("error_index", 0x18, Access.READ, RING_BITS, doc="of the descriptor that failed"),
    Register("irq_enable", 0x1C, Access.BOTH, len(Irq)),
    Register("irq_status", 0x20, Access.CLEAR, len(Irq)),
    Register("watchdog", 0x24, Access.BOTH, doc="cycles in which nothing moves before the machine stops; 0 is never"),
    Register(
        "ring_base", 0x28, Access.SETTING, doc="address of descriptor 0, a multiple of 128: low bits read as zero"
    ),
    Register("ring_size", 0x2C, Access.SETTING, RING_BITS, doc="descriptors; behind the last comes descriptor 0"),
    Register("ring_head", 0x30, Access.SETTING, RING_BITS, doc="next descriptor to issue, below the size"),
    Register("read_base", 0x34, Access.SETTING, doc="first byte that may be read, descriptors included"),
    Register("read_limit", 0x38, Access.SETTING, doc="last byte that may be read; zero after reset: nothing fits"),
    Register("write_base", 0x3C, Access.SETTING, doc="first byte that may be written"),
    Register("write_limit", 0x40, Access.SETTING, doc="last byte that may be written"),
)

# Counters of everything since the last CONTROL.CLEAR; those of products as in `spec.engine.COUNTERS`, summed.
MACHINE_COUNTERS = (
    "run_cycles",  # STATUS.RUNNING
    "load_cycles",  # the unit had a command
    "store_cycles",
    "product_cycles",
    "vector_cycles",
    "commands",  # issued, fences included
    "bricks_read",  # from memory by loads
    "bricks_written",  # to memory by stores
    "vector_saturations",
)
COUNTER_NAMES = (*MACHINE_COUNTERS, *(f"engine_{name}" for name in COUNTERS))
COUNTER_REGISTERS = {name: COUNTERS_AT + 8 * number for number, name in enumerate(COUNTER_NAMES)}
COUNTER_HIGH_BITS = COUNTER_BITS - REGISTER_BITS


def offset(name: str) -> int:
    """Where a register lies; that of a counter's low word. Raises KeyError for one that does not exist."""
    return ({register.name: register.offset for register in REGISTERS} | COUNTER_REGISTERS)[name]


def version_value() -> int:
    """What VERSION reads as."""
    major, minor, patch = (int(part) for part in VERSION.split("."))
    return major << 16 | minor << 8 | patch
