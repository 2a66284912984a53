"""Which memories of a design became block RAM, and which did not though they should have.

Memories of :class:`hw.bram.Bram` are meant for block RAM and are told by their name. Others are small queues, meant for
look-up tables. Primitives that the source instantiates are no memories any more, so they cannot go wrong here.
"""

import re
from dataclasses import dataclass
from pathlib import Path

BLOCK_RAM = "block_ram"  # what hw/bram.py calls its memory
CELL = re.compile(r"cell \$mem_v2 .*?\n  end\n", re.DOTALL)
PARAMETER = re.compile(r"parameter (?:signed )?\\(\w+) (.*)")
MAPPED = re.compile(r"mapping memory (\S+) via (\S+)")


@dataclass(frozen=True)
class Stored:
    """One memory: ``via`` is the mapper's name of what holds it, ``""`` for flip-flops."""

    name: str
    bits: int
    via: str

    @property
    def for_block(self) -> bool:
        """Meant for block RAM."""
        return self.name.rpartition(".")[2] == BLOCK_RAM

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
        stored.append(Stored(name, bits, vias.get(name, "")))
    return stored


def _number(value: str) -> int:
    return int(value.partition("'")[2], 2) if "'" in value else int(value)
