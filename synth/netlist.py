"""Reading a synthesised netlist: which cells a unit takes, and which of its parts take them."""

import re
from collections import Counter

from synth.part import Family


def count_cells(netlist: dict, top: str) -> Counter:
    """Cells by type of a flat netlist in Yosys's JSON."""
    cells = netlist["modules"][top]["cells"].values()
    return Counter(cell["type"] for cell in cells if cell["type"] != "$scopeinfo")


def luts(cells: Counter, family: Family) -> int:
    """Look-up tables that the cells occupy."""
    weights = dict(family.logic) | dict(family.carry) | {cell: size for cell, (size, _) in family.lut_ram.items()}
    return sum(weight * cells[cell] for cell, weight in weights.items())


def summary(cells: Counter, family: Family) -> dict[str, int]:
    """Names and numbers that the reports use; unknown cells count as nothing."""

    def total(weights) -> int:
        return sum(weight * cells[cell] for cell, weight in weights.items())

    return {
        "luts": luts(cells, family),
        "logic": total(family.logic),
        "carry": total(family.carry),
        "ram": total({cell: size for cell, (size, _) in family.lut_ram.items()}),
        "ff": sum(count for cell, count in cells.items() if cell.startswith(family.flip_flops)),
        "dsp": total({cell: dsp.weight for cell, dsp in family.dsp.items()}),
        "bram": -int(-total(family.bram) // 1),  # half blocks of one kind share a block
    }


def lut_ram_bits(cells: Counter, family: Family) -> int:
    """Bits of memory that the look-up tables in use as memory could hold."""
    return sum(bits * cells[cell] for cell, (_, bits) in family.lut_ram.items())


def dsp_use(netlist: dict, top: str, family: Family) -> dict[str, int]:
    """Multipliers with all their registers in use, and those whose own adder sums up."""
    registered = accumulating = 0
    for cell in netlist["modules"][top]["cells"].values():
        dsp = family.dsp.get(cell["type"])
        if dsp is not None:
            registered += all(_parameter(cell, name) != off for name, off in dsp.unregistered.items())
            accumulating += dsp.accumulates(cell)
    return {"registered": registered, "accumulating": accumulating}


def _parameter(cell: dict, name: str) -> str:
    """A parameter as in the Verilog: Yosys writes numbers as strings of bits."""
    value = str(cell["parameters"].get(name, ""))
    return str(int(value, 2)) if value and set(value) <= {"0", "1"} else value.strip()


def units(netlist: dict, top: str, family: Family) -> dict[str, dict[str, int]]:
    """What the instances of each unit take together, without those inside them: name without numbers to :func:`summary`.

    ``instances`` says how many there are; units without a cell are left out.
    """
    cells: dict[str, Counter] = {}
    instances: Counter = Counter()
    for instance, own in cells_by_instance(netlist, top).items():
        unit = re.sub(r"_\d+(?=\.|$)", "", instance)
        cells.setdefault(unit, Counter()).update(own)
        instances[unit] += 1
    totals = {unit: {"instances": instances[unit], **summary(own, family)} for unit, own in cells.items() if own}
    return dict(sorted(totals.items(), key=lambda item: -item[1]["luts"]))


def cells_by_instance(netlist: dict, top: str) -> dict[str, Counter]:
    """Cells by the instance they came from, ``""`` for the top itself.

    Yosys names each cell after a net next to it and marks every flattened instance, so the
    longest instance path that starts a cell's name is its home. Logic merged across a
    boundary counts on one side of it: sums are exact, single rows good to a few LUTs.
    """
    module = netlist["modules"][top]
    scopes = {name for name, cell in module["cells"].items() if cell["type"] == "$scopeinfo"}
    homes: dict[str, Counter] = {"": Counter()} | {scope: Counter() for scope in sorted(scopes)}
    for name, cell in module["cells"].items():
        if cell["type"] == "$scopeinfo":
            continue
        home = name
        while home and home not in scopes:
            home = home.rpartition(".")[0]
        homes[home][cell["type"]] += 1
    return homes
