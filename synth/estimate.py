"""Which paths of a synthesised ECP5 netlist are long, before any placement: seconds where placing takes minutes.

Cells have the delays of nextpnr's speed grade 6. A wire costs what one to as many cells costs on average in routed
designs, so that an estimate is good to name paths and to compare them, and no promise of a clock rate: docs/synth.md.
"""

import re
from collections import Counter
from dataclasses import dataclass

# Nanoseconds.
CLOCK_TO_Q, BRAM_TO_Q, BRAM_LATCH_TO_Q, DSP_TO_P = 0.52, 0.9, 5.6, 0.75
LUT, WIDE_MUX, CARRY_IN, CARRY, CARRY_OUT, CARRY_SUM, ENABLE = 0.24, 0.15, 0.45, 0.07, 0.44, 0.55, 0.2

_INPUTS = {"LUT4": "ABCD", "PFUMX": ("ALUT", "BLUT", "C0"), "L6MUX21": ("D0", "D1", "SD")}
_LOCAL = {"ALUT", "BLUT", "D0", "D1"}  # inputs of wide multiplexers that are no wires of the fabric
_CARRY_INPUTS = ("A0", "B0", "C0", "D0", "A1", "B1", "C1", "D1")
_CLOCKS = ("CLK", "CLKA", "CLKB", "CLK0", "WCK")
_LOGIC = {*_INPUTS, "CCU2C", "TRELLIS_DPR16X4", "$scopeinfo"}


@dataclass(frozen=True)
class Path:
    """One way from a register to an end, and how many ends like it are as late or less."""

    ns: float
    end: str  # register and its input: DI, CE, LSR or a primitive's pin
    start: str
    through: tuple[str, ...]  # nets on the way, with the number of their readers
    ends: int


class Estimate:
    """Arrival times of all nets of a flat netlist in Yosys's JSON."""

    def __init__(self, netlist: dict, top: str):
        module = netlist["modules"][top]
        self.cells = {name: cell for name, cell in module["cells"].items() if cell["type"] != "$scopeinfo"}
        self.names = _names(module["netnames"])
        self.drivers: dict[int, tuple[str, str]] = {}
        self.readers: Counter = Counter()
        for name, cell in self.cells.items():
            for port, bits in cell["connections"].items():
                output = cell["port_directions"][port] == "output"
                for bit in bits:
                    if not isinstance(bit, int):
                        continue
                    if output:
                        self.drivers[bit] = name, port
                    elif port not in _CLOCKS:
                        self.readers[bit] += 1
        self.arrivals: dict[int, tuple[float, int | None]] = {}

    def paths(self, count: int = 20) -> list[Path]:
        """The slowest ends, one of each register or memory whatever its bit."""
        ends = sorted(self._ends(), reverse=True)
        alike = Counter(_bitless(end) for _, end, _ in ends)
        found: dict[str, Path] = {}
        for ns, end, net in ends:
            if len(found) == count:
                break
            if _bitless(end) not in found:
                start, *through = self._way(net)
                found[_bitless(end)] = Path(round(ns, 2), end, start, tuple(through), alike[_bitless(end)])
        return list(found.values())

    def _ends(self):
        for name, cell in self.cells.items():
            if cell["type"] in _LOGIC:
                continue
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "output" or port in _CLOCKS:
                    continue
                for bit in bits:
                    if isinstance(bit, int) and bit in self.drivers:
                        ns = self._arrival(bit)
                        direct = port == "DI" and self.cells[self.drivers[bit][0]]["type"] in _LOGIC
                        ns += 0 if direct else self._wire(bit) + (ENABLE if port in {"CE", "LSR"} else 0)
                        register = cell["connections"].get("Q", [None])[0]
                        yield ns, f"{self.names.get(register, name)}.{port}", bit

    def _wire(self, net: int) -> float:
        readers = self.readers[net]
        return 0.75 + 0.13 * min(readers, 8) ** 0.75 + 0.12 * max(0, readers - 8) ** 0.5

    def _arrival(self, net: int) -> float:
        """Without recursion: paths through carry chains are deeper than Python's stack."""
        stack = [net]
        while stack:
            here = stack[-1]
            waits = [source for source, _ in self._sources(here) if source not in self.arrivals]
            if here in self.arrivals:
                stack.pop()
            elif waits and len(stack) < len(self.drivers):
                stack += waits
            else:
                late = [(self.arrivals[source][0] + ns, source) for source, ns in self._sources(here)]
                self.arrivals[here] = max(late) if late else (self._start(here), None)
                stack.pop()
        return self.arrivals[net][0]

    def _sources(self, net: int) -> list[tuple[int, float]]:
        """Nets that this one follows from, with the time from their arrival to its own."""
        if net not in self.drivers:
            return []
        name, port = self.drivers[net]
        cell = self.cells[name]
        pins = cell["connections"]
        kind = cell["type"]
        ways: list[tuple[int, float]] = []
        if kind in _INPUTS:
            ns = LUT if kind == "LUT4" else WIDE_MUX
            ways = [(pins[pin][0], ns + (0 if pin in _LOCAL else self._wire(pins[pin][0]))) for pin in _INPUTS[kind]]
        elif kind == "CCU2C":
            late = _CARRY_INPUTS[:4] if port == "S0" else _CARRY_INPUTS
            ns = CARRY_IN if port == "COUT" else CARRY_SUM
            ways = [(pins[pin][0], ns + self._wire(pins[pin][0])) for pin in late]
            ways += [(pins["CIN"][0], CARRY if port == "COUT" else CARRY_OUT)]
        elif kind == "TRELLIS_DPR16X4":
            ways = [(bit, LUT + self._wire(bit)) for bit in pins["RAD"]]
        return [(bit, ns) for bit, ns in ways if isinstance(bit, int)]

    def _start(self, net: int) -> float:
        if net not in self.drivers:
            return 0.0
        cell = self.cells[self.drivers[net][0]]
        match cell["type"]:
            case "TRELLIS_FF":
                return CLOCK_TO_Q
            case "DP16KD" | "PDPW16KD":
                return BRAM_TO_Q if cell["parameters"].get("REGMODE_B") == "OUTREG" else BRAM_LATCH_TO_Q
            case "MULT18X18D":
                return DSP_TO_P
        return 0.0

    def _way(self, net: int | None) -> list[str]:
        way = []
        while net is not None:
            name, readers = self.names.get(net, "?"), self.readers[net]
            way.append(f"{name} ({readers})" if readers > 1 else name)
            net = self.arrivals[net][1]
        return way[::-1]


def _names(netnames: dict) -> dict[int, str]:
    """One name for each net: the shortest that a person gave, without the tools' additions where there is one."""
    names: dict[int, str] = {}
    for name, net in netnames.items():
        for place, bit in enumerate(net["bits"]):
            if isinstance(bit, int):
                full = f"{name}[{place}]" if len(net["bits"]) > 1 else name
                if bit not in names or (len(full), full) < (len(names[bit]), names[bit]):
                    names[bit] = full
    return names


def _bitless(end: str) -> str:
    return re.sub(r"\d+", "#", end)
