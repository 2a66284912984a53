"""What units take on which parts and how fast they are: a table over targets and chips, and a picture of one run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from report.measured import replace_between

BEGIN, END = "<!-- synthesised -->", "<!-- end of synthesised -->"
SHOWN = 14  # units of a picture; the others are one bar

# Unit, chip, target, placements: a row each. Presets of parts are in spec/chip.py.
RUNS = (
    ("machine", "ecp5-1x64", "ecp5-85k", 3),
    ("engine", "ecp5-1x64", "ecp5-85k", 3),
    ("machine", "ecp5-128", "ecp5-85k", 1),
    ("engine", "ecp5-128", "ecp5-85k", 1),
    ("machine", "ecp5-96", "ecp5-85k", 1),
    ("group", "ecp5-64", "ecp5-85k", 3),
    ("machine", "ecp5-16", "ecp5-25k", 1),
    ("machine", "lifcl-40", "lifcl-40", 1),
    ("engine", "gw2a-18", "gw2a-18", 1),
    ("lanes", "up5k", "ice40-up5k", 3),
    ("group", "ecp5-64", "xc7a100t", 1),
    ("group", "ecp5-64", "xczu3eg", 1),
)


def commands() -> dict[str, str]:
    """File to the command that writes it, in the order of the table."""
    return {
        f"{unit}-{chip}-{target}": f"gradloom synth --unit {unit} --chip {chip} --target {target} --seeds {seeds}"
        for unit, chip, target, seeds in RUNS
    }


def table(folder: Path) -> str:
    """Markdown; a run whose file is missing is not in it."""
    columns = [
        *("target", "unit", "chip", "lanes", "LUTs", "LUTs a lane", "flip-flops", "multipliers", "block RAM"),
        *("Fmax, MHz", "spread, seeds", "longest path ends in"),
    ]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    versions: dict[str, str] = {}
    for file in commands():
        path = folder / f"{file}.json"
        if path.is_file():
            result = json.loads(path.read_text())
            versions |= result["versions"]
            lines.append(f"| {' | '.join(_row(result))} |")
    tools = ", ".join(f"{package} {version}" for package, version in sorted(versions.items()))
    return "\n".join([*lines, "", f"Tools: {tools}."])


def _row(result: Mapping[str, Any]) -> list[str]:
    def used(kind: str) -> str:
        return f"{result[kind]:,} ({result['share'][kind]:.0%})"

    seeds = len(result["fmax_by_seed"])
    path = result["critical_path_source"]
    return [
        f"`{result['target']}`",
        result["unit"],
        f"`{result['chip']}`",
        str(result["lanes"]),
        used("luts") + ("" if result["lut_inputs"] == 4 else f", of {result['lut_inputs']} inputs"),
        str(result["luts_per_lane"]),
        used("ff"),
        f"{used('dsp')}, {result['dsp_registered']} registered"
        + (f", {result['dsp_accumulating']} sum up" if result["dsp_accumulating"] else ""),
        used("bram"),
        f"{result['fmax_mhz']:.1f}" if seeds else "not routed",
        f"{result['fmax_spread']:.1f}, {seeds}" if seeds else "",
        f"`{path[-1]}`" if path else "",
    ]


def update(page: Path, folder: Path) -> None:
    """Put the table between the marks of ``page``; raises ValueError where the marks are missing."""
    replace_between(page, BEGIN, END, table(folder))


def synthesis_picture(result: Mapping[str, Any], picture: Path) -> Path:
    """Look-up tables by unit and, of a routed run, endpoints by slack. PNG to ``picture``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    slacks = result["slack_histogram"]
    figure = Figure(figsize=(12 if slacks else 7, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    all_axes = figure.subplots(1, 2 if slacks else 1, squeeze=False)[0]
    names, counts = area_bars(result["by_unit"])
    axes = all_axes[0]
    axes.barh(names[::-1], counts[::-1])
    axes.set(xlabel="look-up tables", title=f"{result['unit']} of {result['chip']} on {result['target']}")
    if slacks:
        axes = all_axes[1]
        edges = [low / 1000 for low, _, _ in slacks]
        widths = [(high - low) / 1000 for low, high, _ in slacks]
        axes.bar(edges, [count for _, _, count in slacks], width=widths, align="edge")
        axes.set(
            xlabel=f"slack, ns, at {result['frequency_mhz']} MHz asked",
            ylabel="endpoints",
            title=f"Fmax {result['fmax_mhz']:.1f} MHz, seed {result['seed']}",
        )
    figure.savefig(picture, dpi=130)
    return picture


def area_bars(by_unit: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[int]]:
    """Names and look-up tables of the units that take most by themselves, largest first; the others are the last bar."""
    own = {row["unit"]: row["luts"] for row in by_unit}
    for row in by_unit:
        if row["unit"]:
            own[row["unit"].rpartition(".")[0]] -= row["luts"]
    rows = sorted(((name or "(top)", count) for name, count in own.items() if count > 0), key=lambda row: -row[1])
    rest = sum(count for _, count in rows[SHOWN:])
    shown = rows[:SHOWN] + ([(f"{len(rows) - SHOWN} others", rest)] if rest else [])
    return [name for name, _ in shown], [count for _, count in shown]
