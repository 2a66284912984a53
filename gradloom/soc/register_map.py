"""The register map as every description of it needs it: fields, what a reset leaves, what an access does."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from spec.chip import Chip
from spec.engine import COUNTER_BITS
from spec.isa import ErrorCode
from spec.registers import (
    COUNTER_REGISTERS,
    ID_VALUE,
    REGISTER_BITS,
    REGISTERS,
    Access,
    Control,
    Irq,
    Status,
    version_value,
)

BYTES = 4096  # of the slave's range
BITS: dict[str, type[IntFlag]] = {"control": Control, "status": Status, "irq_enable": Irq, "irq_status": Irq}
VALUES: dict[str, type[IntEnum]] = {"error": ErrorCode}
# As IP-XACT and SVD call it, and what a write changes where that is not what it says.
STANDARD_ACCESS = {
    Access.READ: ("read-only", ""),
    Access.WRITE: ("write-only", ""),
    Access.SETTING: ("read-write", ""),
    Access.BOTH: ("read-write", ""),
    Access.CLEAR: ("read-write", "oneToClear"),
}
DOC = {
    "control": "ones act once: start from ring_head on, abort, clear the counters",
    "status": "what runs, how the last run stopped",
    "error": "why the last run failed",
    "irq_enable": "the line is high while a bit is set here and in irq_status",
    "irq_status": "how runs stopped; a one that is written clears its bit",
}


@dataclass(frozen=True)
class Bits:
    """A field of a register; ``values`` are those with a name."""

    name: str
    lsb: int
    width: int
    values: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Entry:
    """One word of the map, a counter's high word included."""

    name: str
    offset: int
    access: Access
    doc: str
    reset: int
    fields: tuple[Bits, ...]


def entries(chip: Chip) -> Iterator[Entry]:
    """All registers in the order of their offsets."""
    resets = {"id": ID_VALUE, "version": version_value(), "chip": int(chip.digest, 16)}
    for register in REGISTERS:
        name, bits = register.name, register.bits
        if name in BITS:
            fields = tuple(Bits(str(m.name).lower(), int(m).bit_length() - 1, 1) for m in BITS[name])
        else:
            values = tuple((m.name.lower(), int(m)) for m in VALUES[name]) if name in VALUES else ()
            fields = (Bits("value" if bits == REGISTER_BITS or name in VALUES else name, 0, bits, values),)
        yield Entry(name, register.offset, register.access, DOC.get(name, register.doc), resets.get(name, 0), fields)
    high = COUNTER_BITS - REGISTER_BITS
    for name, at in COUNTER_REGISTERS.items():
        yield Entry(name, at, Access.READ, "low word; reading it keeps the high word", 0, (Bits("value", 0, REGISTER_BITS),))
        yield Entry(f"{name}_high", at + 4, Access.READ, "of the counter read last", 0, (Bits("value", 0, high),))


ACCESS = {
    Access.READ: "read",
    Access.WRITE: "write",
    Access.SETTING: "read, write while idle",
    Access.BOTH: "read, write",
    Access.CLEAR: "read, ones clear",
}


def table(chip: Chip) -> str:
    """The map in Markdown, for docs/registers.md; what depends on the chip is left out."""
    lines = ["| offset | register | access | bits | |", "|---|---|---|---|---|"]
    for entry in entries(chip):
        bits = ", ".join(f"{_range(f)} `{f.name}`" for f in entry.fields)
        if len(entry.fields) == 1 and entry.fields[0].name in ("value", entry.name):
            bits = _range(entry.fields[0])
        values = "; ".join(f"{value} {name}" for f in entry.fields for name, value in f.values)
        doc = entry.doc.replace("|", "\\|") + (f": {values}" if values else "")
        lines.append(f"| {entry.offset:#05x} | `{entry.name}` | {ACCESS[entry.access]} | {bits} | {doc} |")
    return "\n".join(lines) + "\n"


def _range(field: Bits) -> str:
    return f"{field.lsb}" if field.width == 1 else f"{field.lsb + field.width - 1}:{field.lsb}"
