"""What the flow must know of a family of FPGAs and of one part of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

LARGE = 8000


class SynthError(ValueError):
    """A synthesis that cannot be run or did not finish; says what and why."""


@dataclass(frozen=True, kw_only=True)
class Ring:
    """Primitives that stand around a unit so that it can be routed without pins: :mod:`synth.edge`.

    Each is Verilog with ``{name}``, its input ``{d}`` and its output ``{q}`` to fill in.
    """

    flip_flop: str  # on clock `clk`
    reset: str = "assign {q} = {d};"  # what brings reset on to a global net
    buffer: str = "assign {q} = {d};"  # behind a pin, where a family wants it spelled out
    constraints: Mapping[str, str] = field(default_factory=dict)  # suffix of file `ring` to its text


@dataclass(frozen=True, kw_only=True)
class Placer:
    """A nextpnr and how it is asked. ``used`` names what its report counts for each of a unit's resources."""

    package: str  # of the Python index
    flags: tuple[str, ...]
    large: tuple[str, ...] = ()  # more flags, for a design of LARGE look-up tables as Yosys counts them
    used: Mapping[str, tuple[str, ...]]  # "luts", "ff", "dsp", "bram" to nextpnr's names; all of them are added up
    with_ring: tuple[str, ...] = ("ff",)  # those that hold the ring's flip-flops

    def effort(self, luts: int) -> tuple[str, ...]:
        """The flags for a design of so many look-up tables."""
        return self.flags + (self.large if luts >= LARGE else ())

    def count(self, cells: Mapping[str, int]) -> dict[str, int]:
        """A unit's resources, from nextpnr's cells."""
        return {kind: sum(cells.get(name, 0) for name in names) for kind, names in self.used.items()}


@dataclass(frozen=True, kw_only=True)
class Dsp:
    """A multiplier cell: a parameter that has the value beside it in ``unregistered`` leaves a register out."""

    weight: int = 1
    unregistered: Mapping[str, str] = field(default_factory=dict)
    accumulates: Callable[[dict], bool] = lambda cell: False


@dataclass(frozen=True, kw_only=True)
class Family:
    """How Yosys maps to a family, what its cells occupy, and how it is placed and routed.

    ``script`` is what Yosys runs on the design after ``proc``, with ``{top}`` and ``{flags}`` filled in. Where it holds ``{memories}`` all
    memories are collected and none is mapped; what they are is written down there.
    """

    name: str  # also the name by which `hw` knows the primitives of the family
    script: str
    lut_inputs: int
    logic: Mapping[str, int]  # cells of logic, and the look-up tables each one takes
    carry: Mapping[str, int]
    lut_ram: Mapping[str, tuple[int, int]]  # look-up tables and bits
    flip_flops: tuple[str, ...]  # beginnings of cell names
    dsp: Mapping[str, Dsp]
    bram: Mapping[str, float]
    estimated: bool = False  # synth/estimate.py knows the cells
    ring: Ring | None = None
    placer: Placer | None = None  # None: utilisation of the netlist only


@dataclass(frozen=True, kw_only=True)
class Target:
    """One part in one package and speed grade, as ``source`` says; capacities as the tools count."""

    name: str
    family: Family
    luts: int
    ff: int
    dsp: int
    bram: int
    source: str  # data sheet, and the table
    speed: str | int | None = None
    flags: tuple[str, ...] = ()  # of the placer
    yosys: str = ""  # further options of the synthesis command

    def share(self, used: Mapping[str, int]) -> dict[str, float]:
        """Of the part's look-up tables, flip-flops, multipliers and block RAMs."""
        return {kind: round(used[kind] / getattr(self, kind), 4) for kind in ("luts", "ff", "dsp", "bram")}
