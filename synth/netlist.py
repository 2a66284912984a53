"""Reading a synthesised netlist: which cells a unit takes, and which of its parts take them."""

import re
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from itertools import count

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


def tree(homes: dict[str, Counter], family: Family, deepest: int = 3) -> list[dict[str, int | str]]:
    """What each unit of the hierarchy takes, those inside it included, from :func:`cells_by_instance`.

    Instances that differ only in a number count together: ``group_0`` to ``group_3`` are one row, ``group_*``, whose
    ``count`` is 4. Rows are in the order of the tree, the largest of neighbours first.
    """
    sums: dict[str, Counter] = {}
    counts: Counter = Counter()
    for instance, cells in homes.items():
        parts = [re.sub(r"_\d+(?=_|$)", "_*", part) for part in instance.split(".") if part]
        counts[".".join(parts)] += 1
        for depth in range(min(len(parts), deepest) + 1):
            sums.setdefault(".".join(parts[:depth]), Counter()).update(cells)

    def below(unit: str) -> list[dict[str, int | str]]:
        inside = [name for name in sums if name and name != unit and name.rpartition(".")[0] == unit]
        rows = [{"unit": unit, "count": counts[unit], **summary(sums[unit], family)}]
        return rows + [
            row for name in sorted(inside, key=lambda name: -luts(sums[name], family)) for row in below(name)
        ]

    return below("")


GLOBAL_BUFFER = "DCCA"


def buffer_resets(netlist: dict, top: str, least: int = 1000) -> list[str]:
    """Give resets made of logic that clear ``least`` flip-flops or more a global net of their own; their names.

    Such a net takes 16 ns through the fabric of an ECP5, the one family where this changes anything. Like ``rst`` itself it is then not timed: it must be held for some cycles,
    while nothing moves. Tables that read the net stay where it comes from; the buffer gets a copy of the register and of the table
    behind it, so that the placer can put those beside the buffer: the way there is timed. Changes ``netlist``.
    """
    module = netlist["modules"][top]
    cells = module["cells"]
    drivers = {
        bit: name
        for name, cell in cells.items()
        if cell["type"] != GLOBAL_BUFFER
        for port, bits in cell["connections"].items()
        if cell["port_directions"].get(port) == "output"
        for bit in bits
    }
    cleared = Counter(bit for cell in cells.values() for bit in _reset_pins(cell))
    free = count(
        1 + max((bit for net in module["netnames"].values() for bit in net["bits"] if isinstance(bit, int)), default=1)
    )
    names = {bit: name for name, net in module["netnames"].items() for bit in net["bits"]}
    found = sorted(bit for bit, readers in cleared.items() if bit in drivers and readers >= least)
    for number, bit in enumerate(found):
        buffered = next(free)
        for cell in cells.values():
            if bit in _reset_pins(cell):
                cell["connections"]["LSR"] = [buffered]
        pins = {"CLKI": [_second_source(module, drivers, bit, free)], "CE": ["1"], "CLKO": [buffered]}
        directions = {"CLKI": "input", "CE": "input", "CLKO": "output"}
        cells[f"reset_buffer_{number}"] = {
            "hide_name": 0,
            "type": GLOBAL_BUFFER,
            "parameters": {},
            "attributes": {},
            "port_directions": directions,
            "connections": pins,
        }
        module["netnames"][f"reset_net_{number}"] = {"hide_name": 0, "bits": [buffered], "attributes": {}}
    return [names[bit] for bit in found]


def _second_source(module: dict, drivers: dict, bit: int, free: Iterator[int]) -> int:
    """The same as ``bit`` from a copy of the flip-flop that drives it, or of the table and of the flip-flops before that."""
    cells = module["cells"]
    if bit not in drivers or cells[drivers[bit]]["type"] not in ("LUT4", "TRELLIS_FF"):
        return bit
    cell = deepcopy(cells[drivers[bit]])
    copied = next(free)
    for port, (before, *_) in cell["connections"].items():
        if cell["port_directions"][port] == "output":
            cell["connections"][port] = [copied]
        elif cell["type"] == "LUT4" and before in drivers and cells[drivers[before]]["type"] == "TRELLIS_FF":
            cell["connections"][port] = [_second_source(module, drivers, before, free)]
    cells[f"{drivers[bit]}_{copied}"] = cell
    module["netnames"][f"reset_source_{copied}"] = {"hide_name": 0, "bits": [copied], "attributes": {}}
    return copied


def _reset_pins(cell: dict) -> list:
    return cell["connections"].get("LSR", []) if cell["type"] == "TRELLIS_FF" else []
