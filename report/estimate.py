"""Estimates of epochs as a table and as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

PHASES = ("FP", "BP", "WG", "update")


def estimate_table(title: str, rows: Sequence[dict[str, Any]]) -> Table:
    """A row for each format."""
    table = Table(title=title)
    for name in ("width", "frac", *(f"{phase} kcycles" for phase in PHASES), "kcycles a step", "bound", "KB a step", "s an epoch"):
        table.add_column(name, justify="right")
    trained = any(row["error"] is not None for row in rows)
    if trained:
        table.add_column("error", justify="right")
    refused: list[str] = []
    for row in rows:
        told = [str(row["width"]), str(row["frac"])]
        if row["reason"] is not None:
            refused.append(f"width {row['width']}, frac {row['frac']}: {row['reason']}")
            continue
        told += [f"{row['cycles'].get(phase, 0) / 1e3:,.1f}" for phase in PHASES]
        told += [f"{row['cycles_of_step'] / 1e3:,.1f}", f"{row['cycles_bound'] / 1e3:,.1f}", f"{row['bytes_of_step'] / 1e3:,.0f}"]
        told.append(f"{row['epoch_s']:,.4f}")
        table.add_row(*told, *([f"{row['error']:.4f}"] if trained else []))
    table.caption = "\n".join(refused) or None
    return table


def picture_of(title: str, rows: Sequence[dict[str, Any]], file: Path) -> Path:
    """Time of an epoch, and the error where networks were trained, against fraction bits; a line for each width."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    trained = any(row["error"] is not None for row in rows)
    errors = axes.twinx() if trained else None
    for number, width in enumerate(dict.fromkeys(row["width"] for row in rows)):
        own = [row for row in rows if row["width"] == width]
        frac = [row["frac"] for row in own]
        axes.plot(frac, [row["epoch_s"] for row in own], "o-", color=f"C{number}", label=f"{width} bits: time")
        if errors is not None:
            errors.plot(frac, [row["error"] for row in own], "s--", color=f"C{number}", markerfacecolor="white", label=f"{width} bits: error")
    axes.set_xlabel("fraction bits")
    axes.set_ylabel("seconds of an epoch (filled)")
    axes.set_ylim(bottom=0)
    if errors is not None:
        errors.set_ylabel("test error (hollow)")
        errors.set_ylim(0, 1)
    axes.set_title(title, fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="upper left")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)
    return file
