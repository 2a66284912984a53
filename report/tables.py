"""Measured results as tables for a terminal."""

from rich.table import Table

PHASES = ("FP", "BP", "WG")


def accuracy_table(result: dict) -> Table:
    """What each run of the demo reached."""
    table = Table(title=f"Accuracy on {result['data']} after {result['epochs']} epochs")
    table.add_column("run")
    table.add_column("test accuracy", justify="right")
    for name, key in (
        ("float64", "accuracy_float"),
        ("golden, 16 bits, stochastic rounding", "accuracy_golden"),
        (f"RTL, {result['lanes']} lanes ({result['chip']}), the same", "accuracy_rtl"),
        ("golden, 5 fraction bits, stochastic", "accuracy_coarse_stochastic"),
        ("golden, 5 fraction bits, nearest", "accuracy_coarse_nearest"),
    ):
        table.add_row(name, f"{result[key]:.4f}")
    return table


def phase_table(result: dict) -> Table:
    """Cycles, multiplications and densities of the three phases, from the machine's counters."""
    table = Table(title="What the machine did, per phase")
    for name in ("", *PHASES):
        table.add_column(name, justify="left" if not name else "right")
    table.add_row("cycles, vector commands and transfers included", *(f"{result['cycles'][p]:,}" for p in PHASES))
    table.add_row("multiplications of a dense machine", *(f"{result['macs_dense'][p]:,}" for p in PHASES))
    table.add_row("multiplications done", *(f"{result['macs_done'][p]:,}" for p in PHASES))
    for title, key in (("density of A, last epoch", "density"), ("utilisation, last epoch", "utilisation")):
        table.add_row(title, *(f"{result[key].get(phase, 0):.3f}" for phase in PHASES))
    return table


def value_table(title: str, result: dict) -> Table:
    """One row a number; what is not a number or a word is left to the JSON."""
    table = Table(title=title, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in result.items():
        if isinstance(value, bool | str):
            table.add_row(name, str(value))
        elif isinstance(value, int):
            table.add_row(name, f"{value:,}")
        elif isinstance(value, float):
            table.add_row(name, f"{value:.4f}" if abs(value) < 1000 else f"{value:,.0f}")
    return table
