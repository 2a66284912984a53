"""A path through a netlist in the terms of the Python that described it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

INSTANCE = re.compile(r"^unit\.")
SLOWEST = 40  # registers listed


def read_sources(verilog: Path) -> dict[str, dict[str, str]]:
    """Module to signal to ``file:line``, from the file that :func:`hw.emit.emit` leaves beside its Verilog; empty without."""
    path = Path(verilog).with_name("sources.json")
    return json.loads(path.read_text()) if path.is_file() else {}


class Sources:
    """Finds the signal of the source that a net of the flat netlist is named after."""

    def __init__(self, netlist: dict, top: str, sources: dict[str, dict[str, str]]):
        cells = netlist["modules"][top]["cells"]
        self._modules = {"": top} | {
            name: cell["attributes"].get("module", "") for name, cell in cells.items() if cell["type"] == "$scopeinfo"
        }
        self._sources = sources

    def locate(self, net: str) -> str | None:
        """``instance.signal file:line`` of the declared signal whose name begins the net's, longest first; None for no such."""
        parts = INSTANCE.sub("", net).split(".")
        for depth in range(len(parts) - 1, -1, -1):
            instance = ".".join(parts[:depth])
            signals = self._sources.get(self._modules.get(instance, ""), {})
            rest = re.split(r"[.\[]", ".".join(parts[depth:]))[0]
            while rest and rest not in signals:
                rest = rest.rpartition("_")[0]
            if rest:
                return f"{instance}.{rest}".removeprefix(".") + f" {signals[rest]}"
        return None

    def slowest(self, arrivals: Mapping[str, float], period: float) -> list[dict[str, Any]]:
        """The registers in which the slowest paths end: nanoseconds of the slowest, and ends later than ``period``."""
        found: dict[str, list[float]] = {}
        for cell, arrival in arrivals.items():
            name = re.split(r"[\[$]", INSTANCE.sub("", cell))[0]
            found.setdefault(self.locate(cell) or name, []).append(arrival)
        rows = [
            {"end": end, "ns": round(max(all_ns), 2), "late": sum(ns > period for ns in all_ns), "ends": len(all_ns)}
            for end, all_ns in found.items()
        ]
        return sorted(rows, key=lambda row: -row["ns"])[:SLOWEST]

    def path(self, nets: list[str]) -> list[str]:
        """The signals that a path passes, in order, each run of one signal's nets once."""
        passed: list[str] = []
        for net in nets:
            place = self.locate(net)
            if place and passed[-1:] != [place]:
                passed.append(place)
        return passed
