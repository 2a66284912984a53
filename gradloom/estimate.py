"""``gradloom estimate``: how long an epoch would take, by format, without a machine or its simulation."""

from pathlib import Path

import click

from gradloom.console import bars, err, talk, wide, write_folder, write_json
from gradloom.options import INTERRUPTED, chip_option, json_option, memory_options, network_options, seed_option
from host.arrays import ARRAYS
from spec.chip import Chip
from spec.number import MAX_WIDTH, MIN_WIDTH

WIDTH = 130  # of a table where no terminal has one


class Numbers(click.ParamType):
    """``4:14`` or ``8,12,16``: whole numbers within bounds."""

    name = "numbers"

    def __init__(self, low: int, high: int):
        self.low, self.high = low, high

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        if isinstance(value, list):
            return value
        try:
            first, colon, last = value.partition(":")
            found = list(range(int(first), int(last) + 1)) if colon else [int(n) for n in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is neither a range like 4:14 nor numbers like 8,12,16", param, ctx)
        if not found or not self.low <= min(found) <= max(found) <= self.high:
            self.fail(f"{value!r} must name numbers from {self.low} to {self.high}", param, ctx)
        return found


@click.command()
@network_options
@click.option("--after", type=click.IntRange(0), default=20, show_default=True, help="Steps that golden takes before.")
@chip_option("sim64")
@click.option("--frac", type=Numbers(0, MAX_WIDTH - 1), default="4:14", show_default=True, help="Fraction bits of every tensor.")
@click.option("--width", type=Numbers(MIN_WIDTH, MAX_WIDTH), default="16", show_default=True, help="Bits of a word.")
@click.option("--mhz", type=click.FloatRange(1, 2000), default=100.0, show_default=True, help="Clock rate, as `gradloom synth` finds it.")
@click.option("--array", type=click.Choice([*ARRAYS]), default="dsp", show_default=True, help="Of which lanes: one of DSP multipliers, of a bit a cycle, of equal area.")
@memory_options
@click.option("--train", "trained", is_flag=True, help="Train the network in every format too, for its error.")
@click.option("--picture", type=Path, help="Draw time and error against fraction bits, as PNG.")
@seed_option
@json_option
def estimate(
    data: str,
    download: bool,
    net: str,
    batch: int | None,
    after: int,
    chip: Chip,
    frac: list[int],
    width: list[int],
    mhz: float,
    array: str,
    latency: int,
    bandwidth: float,
    trained: bool,
    picture: Path | None,
    seed: int,
    json_to: str | None,
) -> None:
    """Estimate the time of an epoch as a function of the number format.

    One step is carried out by the emulator, in golden's words, and its cycles are worked out from what every command finds: zeros,
    masks, bytes. docs/estimate.md says how, and how far that is from simulated hardware.
    """
    from golden.presets import settings_of
    from gradloom.estimating import Sweep, estimates
    from host.datasets import load
    from report.estimate import estimate_table, picture_of
    from tb.native.memory import Memory

    config = settings_of(net, seed=seed, batch=batch)
    samples = load(data, download=download)
    if picture is not None:
        write_folder(picture.parent)
    sweep = Sweep(config, chip, width, frac, Memory(read_latency=latency, bandwidth=bandwidth), after, array, mhz, trained)
    if not sweep.formats:
        raise ValueError(f"frac must be less than width: {min(frac)} of {max(width)} bits")
    told: list[dict] = []
    interrupted = False
    with bars() as progress:
        task = progress.add_task(f"estimate {net}", total=len(sweep.formats), note="")
        try:
            for row in estimates(sweep, samples):
                told.append(row)
                progress.update(task, advance=1, note=f"width {row['width']}, frac {row['frac']}")
        except KeyboardInterrupt:
            interrupted = True
    console = talk(json_to)
    title = f"{net} on {data}, batch {config.batch}, {chip.name} at {mhz:g} MHz, lanes of {array}"
    wide(console, WIDTH).print(estimate_table(title, told))
    shown = [row for row in told if row["reason"] is None]
    if picture is not None and shown:
        console.print(f"kept: {picture_of(title, shown, picture)}")
    write_json(told, json_to)
    if sum(row["differing_words"] for row in shown):
        err.print("words of the emulator differ from golden's")
        raise SystemExit(1)
    if interrupted:
        raise SystemExit(INTERRUPTED)
