"""Reading a synthesised netlist: which cells a unit takes, and which of its parts take them."""

import re
from collections import Counter

# What a cell of Yosys's netlist occupies, in four-input LUTs. A 16 x 4 distributed RAM is four,
# and the two of the slice that drives its write port.
LUTS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6}
LUT_RAM_BITS = 64


def count_cells(netlist: dict, top: str) -> Counter:
    """Cells by type of a flat netlist in Yosys's JSON."""
    cells = netlist["modules"][top]["cells"].values()
    return Counter(cell["type"] for cell in cells if cell["type"] != "$scopeinfo")


def luts(cells: Counter) -> int:
    return sum(weight * cells[cell] for cell, weight in LUTS.items())


def summary(cells: Counter) -> dict[str, int]:
    """Names and numbers that the reports use."""
    return {
        "lut4": luts(cells),
        "logic": cells["LUT4"],
        "carry": LUTS["CCU2C"] * cells["CCU2C"],
        "ram": LUTS["TRELLIS_DPR16X4"] * cells["TRELLIS_DPR16X4"],
        "ff": cells["TRELLIS_FF"],
        "dsp": cells["MULT18X18D"],
        "bram": cells["DP16KD"] + cells["PDPW16KD"],
    }


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


def tree(homes: dict[str, Counter], deepest: int = 3) -> list[dict[str, int | str]]:
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
        rows = [{"unit": unit, "count": counts[unit], **summary(sums[unit])}]
        return rows + [row for name in sorted(inside, key=lambda name: -luts(sums[name])) for row in below(name)]

    return below("")


def bits_in_luts(cells: Counter) -> int:
    """Bits of memories that became distributed RAM."""
    return LUT_RAM_BITS * cells["TRELLIS_DPR16X4"]


def dsp_registered(netlist: dict, top: str) -> bool:
    """Whether every multiplier has registers of its own at its operands and at its product."""
    cells = netlist["modules"][top]["cells"].values()
    registers = ("REG_INPUTA_CLK", "REG_INPUTB_CLK", "REG_OUTPUT_CLK")
    return all(
        cell["parameters"].get(register, "NONE") != "NONE"
        for cell in cells
        if cell["type"] == "MULT18X18D"
        for register in registers
    )
