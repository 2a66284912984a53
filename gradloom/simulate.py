"""Runs the cocotb bench of a unit."""

from gradloom.machine import chip_folder
from gradloom.units import build_unit
from spec.chip import Chip
from tb import toolchain
from tb.benches import benches
from tb.run import run


class BenchError(ValueError):
    """A bench that does not exist; lists those that do."""


def names() -> dict[str, str]:
    """Unit to the module of its bench, in the order of :mod:`tb.benches`."""
    return benches()


def simulate(unit: str, chip: Chip, seed: int, waves: bool) -> tuple[int, int]:
    """Build ``unit`` of ``chip`` and run its bench; tests run and failed.

    Raises :class:`BenchError` on an unknown unit, :class:`tb.toolchain.ToolError` when a tool fails.
    """
    if unit not in benches():
        raise BenchError(f"unknown bench {unit!r}; benches: {', '.join(benches())}")
    toolchain.check_tools()
    bench = build_unit(unit, chip, chip_folder(chip) / "units" / unit)
    return run(bench.module, bench.netlist, seed, env=bench.env, waves=waves)
