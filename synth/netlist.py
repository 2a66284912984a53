"""Reading a synthesised netlist: which cells a unit takes, and which of its parts take them."""

from collections import Counter

# What a cell of Yosys's netlist occupies, in four-input LUTs. A 16 x 4 distributed RAM is four,
# and the two of the slice that drives its write port.
LUTS = {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6}


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
