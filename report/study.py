"""Rows of a study as a table and as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

PHASES = ("FP", "BP", "WG", "update", "predict")


def study_table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    """A row for each variant; a dash where nothing was measured, and why below the table's row."""
    table = Table(title=title)
    for name in ("technique", "variant", "role"):
        table.add_column(name)
    for name in ("accuracy", "std", *(f"{phase} kcycles" for phase in PHASES), "speedup", "bound", "MB", "energy"):
        table.add_column(name, justify="right")
    before = ""
    for row in rows:
        if row["technique"] != before:
            table.add_section()
        before = row["technique"]
        cycles = row["cycles"] or {}
        table.add_row(
            row["technique"],
            row["variant"] + (f"\n[dim]{row['reason']}[/dim]" if row["reason"] else ""),
            row["role"],
            _told(row["accuracy_mean"], "{:.4f}"),
            _told(row["accuracy_std"], "{:.4f}"),
            *(_told(cycles.get(phase), "{:,.0f}", 1e-3) for phase in PHASES),
            _told(row["speedup"], "{:.3f}"),
            _told(row["cycles_bound"], "{:,.0f}", 1e-3),
            _told(row["bytes"], "{:,.0f}", 1e-6),
            _told(row["energy_relative"], "{:.3f}"),
        )
    return table


def _told(value: float | None, how: str, scale: float = 1.0) -> str:
    return "-" if value is None else how.format(value * scale)


def picture(rows: Sequence[dict[str, Any]], file: Path) -> Path:
    """Accuracy against speedup: techniques filled, their controls hollow, lines from one to the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    shown = [row for row in rows if row["speedup"] is not None and row["accuracy_mean"] is not None]
    names = list(dict.fromkeys(row["technique"] for row in shown))
    for number, name in enumerate(names):
        own = [row for row in shown if row["technique"] == name]
        colour = f"C{number % 10}"
        axes.plot([row["speedup"] for row in own], [row["accuracy_mean"] for row in own], color=colour, linewidth=0.6, alpha=0.5)
        for row in own:
            filled = colour if row["role"] != "control" else "white"
            label = name if row is own[0] else None
            error = row["accuracy_std"] or 0
            axes.errorbar(row["speedup"], row["accuracy_mean"], error, fmt="o", color=colour, markerfacecolor=filled, label=label)
    axes.set_xlabel("speedup in cycles over the exact baseline")
    axes.set_ylabel("test accuracy")
    axes.set_title("filled: technique or baseline, hollow: null control")
    axes.grid(alpha=0.3)
    if shown:
        axes.legend(fontsize=8)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)
    return file
