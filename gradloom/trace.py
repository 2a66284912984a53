"""``gradloom trace``: one training step on a machine, layer by layer and phase by phase."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from gradloom.console import err, talk, wide, write_folder, write_json
from gradloom.options import chip_option, json_option, memory_options, network_options, seed_option
from host.profile import Share, convolutions, gains, totals
from spec.chip import Chip

WIDTH = 150  # of a table where no terminal has one


@click.command()
@network_options
@click.option("--after", type=click.IntRange(0), default=0, show_default=True, help="Steps that golden takes before.")
@click.option("--checkpoint", type=Path, help="Parameters and steps of this run instead; its batch may be another.")
@chip_option("sim64")
@click.option("--backend", type=click.Choice(["rtl", "estimate", "emulator"]), default="rtl", show_default=True)
@memory_options
@click.option("--ladder", is_flag=True, help="Take the step also without skipping zeros, without masks, without both.")
@click.option("--picture", type=Path, help="Draw which unit worked when, as PNG.")
@seed_option
@json_option
def trace(
    data: str,
    download: bool,
    net: str,
    batch: int | None,
    after: int,
    checkpoint: Path | None,
    chip: Chip,
    backend: str,
    latency: int,
    bandwidth: float,
    ladder: bool,
    picture: Path | None,
    seed: int,
    json_to: str | None,
) -> None:
    """Time one training step of a network: cycles, stalls by cause, densities and bytes of each layer and phase.

    Every tensor the step writes is compared with golden; a word that differs ends in status 1. With `estimate`
    nothing is simulated and times are worked out. The emulator has no clock: with it only counts and bytes are told.
    """
    from golden.presets import settings_of
    from gradloom.tracing import traced
    from host.datasets import load
    from report.trace import gains_table, timeline

    if ladder and backend == "emulator":
        raise ValueError("the emulator has no clock: --ladder needs --backend rtl or estimate")
    config = settings_of(net, seed=seed, batch=batch)
    samples = load(data, download=download)
    if picture is not None:
        write_folder(picture.parent)
    with err.status("compiling") as status:
        result = traced(config, samples, chip, backend, after, checkpoint, latency, bandwidth, ladder, status.update)
    title = f"{net} on {data}, batch {config.batch}, chip {chip.name} ({chip.total_lanes} lanes)"
    console = talk(json_to)
    print_trace(console, title, result.shares)
    cycles = totals(result.shares)
    if any(cycles.values()):
        for phase, values in convolutions(result.shares).items():
            told = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
            console.print(f"utilisation of 3x3 convolutions but the first, {phase}: {told}")
        told = ", ".join(f"{phase} {count:,}" for phase, count in cycles.items())
        console.print(f"cycles of the step: {sum(cycles.values()):,} ({told})")
    for name, steps in result.ladder.items():
        console.print(f"{name}: {sum(steps.values()):,} cycles")
    if result.ladder:
        wide(console, WIDTH).print(gains_table(gains(result.shares, result.ladder)))
    console.print(f"differing words: {result.differing_words} of {result.words_compared:,} compared")
    if picture is not None:
        console.print(f"kept: {timeline(title, result.spans, picture)}")
    write_json(result.to_json(), json_to)
    if result.differing_words:
        err.print(f"first: {result.first_difference}", result.wrong_command, sep="\n")
        raise SystemExit(1)


def print_trace(console: Console, title: str, shares: Sequence[Share]) -> None:
    """The table of a step."""
    from report.trace import trace_table

    wide(console, WIDTH).print(trace_table(title, [asdict(share) for share in shares]))
