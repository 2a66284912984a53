"""Reading nextpnr's JSON report and log."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from synth.edge import CLOCK
from synth.part import SynthError

_BAR = re.compile(r"^Info: \[\s*(-?\d+),\s*(-?\d+)\) \|(\**)(\+?)", re.MULTILINE)
_LEGEND = re.compile(r"^Info: +legend: \* represents (\d+) endpoint", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One placement: its clock rate, what it used and the path that limits it."""

    fmax_mhz: float
    used: dict[str, int]  # cells by nextpnr's name for their place
    critical_path: list[str]  # one line per step, delays in nanoseconds
    nets: list[str]  # of the critical path, and the cell that it ends in
    slacks: list[list[int]] = field(default_factory=list)  # from and to in picoseconds, endpoints; nextpnr rounds these
    arrivals: dict[str, float] = field(default_factory=dict)  # nanoseconds of the slowest path from register to register, by the cell it ends in


def read_timing(report: Path, log: Path | None = None) -> Timing:
    """Read a report; raises :class:`SynthError` where no path starts and ends at the clock."""
    content = json.loads(report.read_text())
    clocks = {name: clock for name, clock in content["fmax"].items() if CLOCK in name}
    if len(clocks) != 1:
        raise SynthError(f"{report}: expected one clock, found {', '.join(content['fmax']) or 'none'}")
    [(clock, result)] = clocks.items()
    steps = next(path["path"] for path in content["critical_paths"] if path["from"] == path["to"] == f"posedge {clock}")
    return Timing(
        fmax_mhz=float(result["achieved"]),
        used={name: place["used"] for name, place in content["utilization"].items() if place["used"]},
        critical_path=_path(steps),
        nets=[step["net"] for step in steps if step["type"] == "routing"] + [steps[-1]["to"]["cell"]],
        slacks=slack_histogram(log.read_text(errors="replace")) if log else [],
        arrivals=_arrivals(content.get("detailed_net_timings", []), f"posedge {clock}"),
    )


def _arrivals(nets: list[dict], edge: str) -> dict[str, float]:
    arrivals: dict[str, float] = {}
    for net in nets:
        for end in net["endpoints"] if net["event"] == edge else ():
            if end["event"] == edge:
                arrivals[end["cell"]] = max(arrivals.get(end["cell"], 0.0), end["delay"][1])
    return arrivals


def read_placed(log: Path) -> Timing:
    """Read the log of a design that was placed and not routed, whose report says nothing of the clock."""
    text = log.read_text(errors="replace")
    rates = re.findall(rf"Max frequency for clock '[^']*{CLOCK}[^']*': ([0-9.]+) MHz", text)
    if not rates:
        raise SynthError(f"{log}: no clock rate")
    used = {
        name: int(count) for name, count in re.findall(r"^Info: \s+(\w+): +(\d+)/ *\d+ +\d+%", text, re.M) if int(count)
    }
    return Timing(fmax_mhz=float(rates[-1]), used=used, critical_path=[], nets=[])


def slack_histogram(log: str) -> list[list[int]]:
    """The last histogram of a log: from, to (ps against the clock that was asked for) and endpoints.

    nextpnr draws bars: a star stands for so many endpoints, a plus for fewer.
    """
    legends = list(_LEGEND.finditer(log))
    if not legends:
        return []
    per_star = int(legends[-1][1])
    bars = _BAR.findall(log[legends[-1].end() :])
    return [
        [int(low), int(high), per_star * len(stars) + (per_star + 1) // 2 * len(plus)]
        for low, high, stars, plus in bars
    ]


def _path(steps: list[dict]) -> list[str]:
    lines, total, logic = [], 0.0, 0.0
    for step in steps:
        total += step["delay"]
        place = f"{step['to']['cell']}.{step['to']['port']}".removeprefix("unit.")
        if step["type"] == "logic":
            logic += step["delay"]  # a carry chain is one line, not one per bit
        elif step["type"] != "routing" or step["delay"] > 0:
            if logic:
                lines.append(f"{logic:5.2f} {total - step['delay']:6.2f} logic")
                logic = 0.0
            net = f" {step['net'].removeprefix('unit.')} ->" if step["type"] == "routing" else ""
            lines.append(f"{step['delay']:5.2f} {total:6.2f} {step['type']}{net} {place}")
    return lines
