"""Netlists of single units, for their benches."""

from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from hw.emit import emit
from spec.axi import Axi
from spec.chip import Chip
from spec.convert import Convert
from spec.engine import Widths
from spec.netlist import Netlist
from tb.benches import UNITS


@dataclass(frozen=True)
class Bench:
    """What :func:`tb.run.run` takes to try one unit."""

    module: str
    netlist: Netlist
    env: dict[str, str]


def build_unit(name: str, chip: Chip, folder: Path, target: str | None = None) -> Bench:
    """Write the Verilog of unit ``name`` of ``chip`` to ``folder``; with ``target``, of that target's primitives.

    Raises ValueError on a name that :data:`tb.benches.UNITS` does not hold.
    """
    if name not in UNITS:
        raise ValueError(f"unknown unit {name!r}; known units: {', '.join(UNITS)}")
    unit = UNITS[name]
    make = _named(unit.component)
    arguments = {key: _argument(value, chip) for key, value in unit.arguments.items()}
    env = {key.upper(): str(value) for key, value in arguments.items() if isinstance(value, int)}
    # A unit that is made from a spec of its own is described by it, and any other one by the chip.
    if target is not None and "target" in signature(make).parameters:
        arguments["target"] = target
    component = make(**arguments)
    for constant in ("LATENCY", "PAUSE"):
        if isinstance(getattr(component, constant, None), int):
            env[constant] = str(getattr(component, constant))
    spec = next((value for value in arguments.values() if isinstance(value, Convert | Axi)), chip)
    return Bench(unit.bench, emit(component, name, spec=spec, folder=folder), env)


def _named(path: str) -> Any:
    module, name = path.split(":")
    return getattr(import_module(module), name)


def _argument(value: str | int, chip: Chip) -> Any:
    if isinstance(value, int):
        return value
    if ":" in value:
        return _named(value)(chip)
    result: Any = {"chip": chip, "widths": Widths(chip)}[value.split(".")[0]]
    for attribute in value.split(".")[1:]:
        result = getattr(result, attribute)
    return result
