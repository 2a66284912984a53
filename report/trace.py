"""A step's trace as a table and as a picture of its units over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

UNITS = ("product", "vector", "load", "store")
COLOURS = {"FP": "tab:blue", "BP": "tab:orange", "WG": "tab:green", "update": "tab:red"}


def trace_table(title: str, shares: Sequence[dict[str, Any]]) -> Table:
    """One line for each layer and phase."""
    table = Table(title=title, box=box.SIMPLE)
    for name in (
        "layer",
        "phase",
        "shape",
        "cycles",
        "ideal",
        "util.",
        "density",
        "masked",
        "KiB in",
        "KiB out",
        "stalls",
    ):
        left = name in ("layer", "phase", "stalls")
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "stalls")
    for s in shares:
        product = s["ideal_cycles"] > 0
        shown = {cause: count for cause, count in s["stall_cycles"].items() if 50 * count > s["cycles"] > 0}
        stalls = [f"{cause} {100 * count // s['cycles']}%" for cause, count in shown.items()]
        table.add_row(
            f"{s['layer']} {s['kind']}",
            s["phase"],
            f"{s['channels_in']}>{s['channels_out']}" + (f" k{s['kernel']}" if s["kernel"] > 1 else ""),
            f"{s['cycles']:,}" if s["cycles"] else "",
            f"{s['ideal_cycles']:,.0f}" if product else "",
            f"{s['utilisation']:.3f}" if product and s["cycles"] else "",
            f"{s['density']:.3f}" if product else "",
            f"{s['masked_share']:.3f}" if s["masked_share"] else "",
            f"{s['bytes_read'] / 1024:,.0f}",
            f"{s['bytes_written'] / 1024:,.0f}",
            ", ".join(stalls),
        )
    return table


def gains_table(rows: Sequence[dict[str, Any]]) -> Table:
    """What skipping zeros and masks save of each phase's products, beside the bound."""
    table = Table(title="products: speedup over the dense machine, and its bound", box=box.SIMPLE)
    for name in ("phase", "layer", "rung"):
        table.add_column(name)
    for name in ("speedup", "bound", "of bound"):
        table.add_column(name, justify="right")
    for row in rows:
        layer = "all" if row["layer"] < 0 else str(row["layer"])
        table.add_row(row["phase"], layer, row["rung"], *(f"{row[name]:.3f}" for name in ("speedup", "bound", "of_bound")))
    return table


def timeline(title: str, spans: Sequence[dict[str, Any]], picture: Path) -> Path:
    """Which unit worked when, coloured by phase: ``spans`` have unit, phase, begin and end in cycles. PNG to ``picture``."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(14, 3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for place, unit in enumerate(reversed(UNITS)):
        for phase, colour in COLOURS.items():
            bars = [(s["begin"], s["end"] - s["begin"]) for s in spans if s["unit"] == unit and s["phase"] == phase]
            axes.broken_barh(bars, (place - 0.4, 0.8), facecolors=colour)
    axes.set(title=title, xlabel="cycle", yticks=range(len(UNITS)), yticklabels=reversed(UNITS))
    axes.set_xlim(0, max((s["end"] for s in spans), default=1))
    handles = [Patch(color=colour, label=phase) for phase, colour in COLOURS.items()]
    figure.legend(handles=handles, ncols=len(handles), loc="outside lower center")
    figure.savefig(picture, dpi=130)
    return picture
