"""C headers with what a driver must know: of an engine its command's fields and counters, of a machine descriptors and registers."""

from collections.abc import Iterable
from dataclasses import asdict
from enum import IntEnum, IntFlag

from spec.chip import BRICK, Chip
from spec.engine import COUNTER_BITS, COUNTERS, Widths
from spec.isa import (
    DESCRIPTOR_BYTES,
    DESCRIPTOR_WORDS,
    LAYOUT,
    ErrorCode,
    Kind,
    Opcode,
    Unit,
    brick_bytes,
    entry_bricks,
    record_bricks,
)
from spec.number import Rounding
from spec.product import MASK_COLUMNS, MAX_SHIFT
from spec.registers import COUNTER_REGISTERS, ID_VALUE, REGISTERS, Access, Control, Irq, Status
from spec.version import VERSION


def header(chip: Chip) -> str:
    """The text of ``engine.h``; every number comes from :mod:`spec`."""
    lines = ["/* A command: fields of command__payload, first bit and width. */"]
    offset = 0
    for name, width in Widths(chip).command_fields():
        lines += [_define(f"command_{name}_lsb", offset), _define(f"command_{name}_bits", width)]
        offset += width
    lines += [
        _define("command_bits", offset),
        "",
        f"/* Counters of the last command, {COUNTER_BITS} bits each, in the order of their ports. */",
        *(_define(f"counter_{name}", number) for number, name in enumerate(COUNTERS)),
        _define("counter_count", len(COUNTERS)),
        _define("counter_bits", COUNTER_BITS),
    ]
    return _framed(chip, "engine", lines)


def machine_header(chip: Chip) -> str:
    """The text of ``machine.h``: registers, and where each command's fields lie in a descriptor."""
    lines = [
        "/* Bricks in memory and in tables. */",
        _define("brick_bytes", brick_bytes(chip)),
        _define("entry_bricks", entry_bricks(chip), "of one channel's scalars"),
        _define("record_bricks", record_bricks(chip), "of one channel's sums"),
        "",
        "/* Registers: byte offsets. */",
        *(_define(f"reg_{r.name}", r.offset, f"{ACCESS[r.access]}{': ' if r.doc else ''}{r.doc}") for r in REGISTERS),
        _define("id_value", ID_VALUE),
        _define("chip_digest", int(chip.digest, 16), "what reg_chip reads as"),
        *_members("control", Control),
        *_members("status", Status),
        *_members("irq", Irq),
        "",
        f"/* Counters, {COUNTER_BITS} bits: the low word, and behind it the high word of when the low one was read. */",
        *(_define(f"count_{name}", at) for name, at in COUNTER_REGISTERS.items()),
        "",
        "/* Descriptors: 32-bit words, lowest byte first. */",
        _define("descriptor_bytes", DESCRIPTOR_BYTES),
        _define("descriptor_words", DESCRIPTOR_WORDS),
        *_members("opcode", Opcode),
        *_members("unit", Unit),
        *_members("kind", Kind),
        *_members("error", ErrorCode),
    ]
    groups = {"head": Opcode.END, "transfer": Opcode.LOAD, "product": Opcode.PRODUCT, "vector": Opcode.VECTOR}
    for group, opcode in groups.items():
        lines += ["", f"/* Fields of {group}: word, first bit in it, width. */"]
        for place in LAYOUT[opcode]:
            if (place.word == 0) == (group == "head"):
                low, high = place.field.bounds(chip)
                name = f"{group}_{place.field.name}"
                lines += [
                    _define(f"{name}_word", place.word, f"{low} to {high}"),
                    _define(f"{name}_lsb", place.lsb),
                    _define(f"{name}_bits", place.field.bits),
                ]
    return _framed(chip, "machine", lines)


ACCESS = {
    Access.READ: "read only",
    Access.WRITE: "written only",
    Access.SETTING: "written while idle",
    Access.BOTH: "read and written",
    Access.CLEAR: "ones clear",
}


def _framed(chip: Chip, unit: str, lines: list[str]) -> str:
    """A header of ``unit``: the chip's numbers, then ``lines``."""
    head = [
        f"/* gradloom {VERSION}: {unit} of chip {chip.name}, {chip.groups} groups of {chip.lanes} lanes. Generated. */",
        f"#ifndef GRADLOOM_{unit.upper()}_H",
        f"#define GRADLOOM_{unit.upper()}_H",
        "",
        "/* The chip. Depths in words unless the name says otherwise. */",
        *(_define(name, value) for name, value in asdict(chip).items() if name != "name"),
        _define("brick", BRICK, "words of a brick; addresses and strides count bricks"),
        _define("scratch_bricks", chip.scratch_bricks),
        _define("mask_columns", MASK_COLUMNS, "columns of C whose mask bits share a brick"),
        _define("max_shift", MAX_SHIFT),
        "",
        "/* Values of the field `rounding`. */",
        *_members("rounding", Rounding),
        "",
    ]
    return "\n".join([*head, *lines, "", "#endif"]) + "\n"


def _members(prefix: str, members: Iterable[IntEnum | IntFlag]) -> list[str]:
    return [_define(f"{prefix}_{member.name}", int(member)) for member in members]


def _define(name: str, value: int, comment: str = "") -> str:
    return f"#define GRADLOOM_{name.upper()} {value}" + (f" /* {comment} */" if comment else "")
