"""A C header with what a driver must know of an engine: constants, command fields, counters."""

from dataclasses import asdict

from spec.chip import BRICK, Chip
from spec.engine import COUNTER_BITS, COUNTERS, Widths
from spec.number import Rounding
from spec.product import MASK_COLUMNS, MAX_SHIFT
from spec.version import VERSION


def header(chip: Chip) -> str:
    """The text of ``engine.h``; every number comes from :mod:`spec`."""
    lines = [
        f"/* gradloom {VERSION}: engine of chip {chip.name}, {chip.groups} groups of {chip.lanes} lanes. Generated. */",
        "#ifndef GRADLOOM_ENGINE_H",
        "#define GRADLOOM_ENGINE_H",
        "",
        "/* The chip. Depths in words unless the name says otherwise. */",
        *(_define(name, value) for name, value in asdict(chip).items() if name != "name"),
        _define("brick", BRICK, "words of a brick; addresses and strides count bricks"),
        _define("scratch_bricks", chip.scratch_bricks),
        _define("mask_columns", MASK_COLUMNS, "columns of C whose mask bits share a brick"),
        _define("max_shift", MAX_SHIFT),
        "",
        "/* Values of the field `rounding`. */",
        *(_define(f"rounding_{mode.name}", int(mode)) for mode in Rounding),
        "",
        "/* A command: fields of command__payload, first bit and width. */",
    ]
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
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def _define(name: str, value: int, comment: str = "") -> str:
    return f"#define GRADLOOM_{name.upper()} {value}" + (f" /* {comment} */" if comment else "")
