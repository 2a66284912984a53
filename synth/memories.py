"""Which memories of a design became block RAM, and which did not though they should have.

A memory that is read behind a register is meant for block RAM (:class:`hw.bram.Bram`). Small
queues are read in the cycle of their address, which no block RAM can do: they are meant for look-up
tables. Primitives that the source instantiates are no memories any more, so they cannot go wrong here.
"""

import re
from dataclasses import dataclass
from pathlib import Path

CELL = re.compile(r"cell \$mem_v2 .*?\n  end\n", re.DOTALL)
PARAMETER = re.compile(r"parameter (?:signed )?\\(\w+) (.*)")
MAPPED = re.compile(r"mapping memory (\S+) via (\S+)")


@dataclass(frozen=True)
class Stored:
    """One memory: ``via`` is the mapper's name of what holds it, ``""`` for flip-flops."""

    name: str
    bits: int
    synchronous: bool
    via: str

    @property
    def in_block(self) -> bool:
        """Names of block RAMs and of look-up tables in use as memory, as Yosys's libraries have them."""
        return bool(self.via) and not re.search(r"DPR|LUTRAM|RAM16|DISTRIBUTED", self.via)


def read_memories(dump: Path, log: Path) -> list[Stored]:
    """Memories as the collected design has them (``dump``) and where the mapper's ``log`` says that they went."""
    # The log puts the name of the one module that flattening left in front.
    vias = {name.partition(".")[2]: via for name, via in MAPPED.findall(log.read_text(errors="replace"))}
    stored = []
    for cell in CELL.findall(dump.read_text()):
        parameters = dict(PARAMETER.findall(cell))
        name = parameters["MEMID"].strip('"').lstrip("\\")
        bits = _number(parameters["SIZE"]) * _number(parameters["WIDTH"])
        enables = parameters["RD_CLK_ENABLE"].partition("'")[2]
        stored.append(Stored(name, bits, bool(enables) and "0" not in enables, vias.get(name, "")))
    return stored


def _number(value: str) -> int:
    return int(value.partition("'")[2], 2) if "'" in value else int(value)
