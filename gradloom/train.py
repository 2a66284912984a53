"""``gradloom train``: a network on the golden model, on an emulated machine, or on the generated hardware."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from golden.layers import Formats
from golden.trainer import Config, Result
from gradloom.console import Refusal, bars, err, talk, write_folder, write_json
from gradloom.options import (
    INTERRUPTED,
    batch_option,
    board_option,
    chip_option,
    data_options,
    json_option,
    seed_option,
)
from gradloom.trace import print_trace
from host.profile import Share
from spec.boards import Board
from spec.chip import Chip
from spec.number import Rounding


@click.command()
@data_options
@click.option(
    "--net",
    default="mlp",
    show_default=True,
    help="mlp, cnn (small, for digits), lenet5, gupta-cnn, gupta-cifar, resnet20 or vgg11.",
)
@click.option(
    "--backend",
    type=click.Choice(["golden", "rtl", "emulator", "board"]),
    default="golden",
    show_default=True,
    help="NumPy on tensors, generated hardware, its commands in NumPy, or a board.",
)
@board_option(required=False)
@click.option("--port", help="The board's serial port.")
@chip_option("sim64")
@click.option("--epochs", type=int, help="[default: the network's; mlp 12, cnn 8]")
@click.option("--steps", type=click.IntRange(1), help="Stop after so many steps in all.")
@click.option("--hidden", help="Units of mlp's hidden layers, with commas between them.  [default: 256,64]")
@click.option("--test-samples", type=int, help="Test on the first so many samples of the test set.  [default: all]")
@batch_option
@click.option(
    "--rounding",
    type=click.Choice([mode.name.lower() for mode in Rounding]),
    default="stochastic",
    show_default=True,
)
@click.option("--frac", type=int, help="One format with so many fraction bits for every tensor.")
@click.option(
    "--frac-from",
    metavar="EPOCH:FRAC",
    multiple=True,
    help="From this epoch on one format with so many fraction bits; several times for a schedule.",
)
@click.option("--check", is_flag=True, help="Compare every tensor of every step in the machine's memory with golden.")
@click.option("--trace", "with_trace", is_flag=True, help="Print where the last step's cycles went.")
@click.option("--checkpoint", type=Path, help="Keep the run in this file: at Ctrl-C, at the end, and every so often.")
@click.option("--every", type=click.IntRange(1), default=100, show_default=True, help="Steps between two checkpoints.")
@click.option("--resume", type=Path, help="Go on from this checkpoint, to the same bits; it is kept up to date.")
@seed_option
@json_option
def train(
    data: str,
    download: bool,
    net: str,
    backend: str,
    on_board: Board | None,
    port: str | None,
    chip: Chip,
    epochs: int | None,
    steps: int | None,
    hidden: str | None,
    test_samples: int | None,
    batch: int | None,
    rounding: str,
    frac: int | None,
    frac_from: tuple[str, ...],
    check: bool,
    with_trace: bool,
    checkpoint: Path | None,
    every: int,
    resume: Path | None,
    seed: int,
    json_to: str | None,
) -> None:
    """Train a network on 16-bit words, on the golden model or on the generated machine.

    Equal seeds give equal words everywhere. Ctrl-C keeps the epochs that are complete; with a checkpoint the run goes on
    later as if it had never stopped, whatever ended it.
    """
    from gradloom.backend import opened, opened_port
    from gradloom.training import Keeping, run_golden, run_machine
    from host.datasets import load

    config = _config(net, seed, rounding, epochs, batch, frac, hidden)
    config = replace(config, schedule=_schedule(frac_from))
    kept = checkpoint or resume
    if kept is not None:
        write_folder(kept.parent)
    keeping = Keeping.of(kept, every, resume, steps)
    samples = load(data, download=download)
    if test_samples is not None:
        samples = samples.tested_on(test_samples)
    title = "golden"
    told: dict[str, Any] = {"data": data, "net": net, "backend": backend}
    shares: list[Share] = []
    if backend == "golden":
        with bars() as shown:
            result = run_golden(config, samples, shown, title, keeping=keeping, network=config.graph(samples))
    else:
        running = opened_port(on_board, port) if backend == "board" else opened(backend, chip)
        with running as machine, bars() as shown:
            chip = machine.chip
            title = f"{backend}, chip {chip.name}"
            told |= {"chip": chip.name, "lanes": chip.total_lanes}
            result, shares = run_machine(config, samples, shown, title, machine, check, keeping)
    _tell(result, told, check and backend != "golden", json_to)
    if with_trace and shares:
        print_trace(talk(json_to), f"last step on {title}", shares)
    if kept is not None and result.interrupted:
        err.print(f"kept: {kept}; go on with --resume {kept}")
    if result.differing_words:
        raise SystemExit(1)
    if result.interrupted:
        raise SystemExit(INTERRUPTED)


def _config(
    net: str,
    seed: int,
    rounding: str,
    epochs: int | None,
    batch: int | None,
    frac: int | None,
    hidden: str | None,
) -> Config:
    from golden.presets import preset

    config = replace(preset(net), seed=seed, rounding=Rounding[rounding.upper()])
    if epochs is not None:
        config = replace(config, epochs=epochs)
    if batch is not None:
        config = replace(config, batch=batch)
    if hidden is not None:
        config = replace(config, hidden=_units(net, hidden))
    return config if frac is None else config.with_frac(frac)


def _schedule(given: tuple[str, ...]) -> tuple[tuple[int, Formats], ...]:
    schedule = []
    for text in given:
        epoch, _, frac = text.partition(":")
        if not (epoch.isdecimal() and frac.isdecimal()):
            raise Refusal(f"--frac-from must be EPOCH:FRAC, two numbers, not {text!r}")
        schedule.append((int(epoch), Formats.uniform(int(frac))))
    return tuple(schedule)


def _units(net: str, hidden: str) -> tuple[int, ...]:
    if net != "mlp":
        raise Refusal(f"--hidden is for mlp, not {net}")
    units = tuple(int(part) if part.strip().isdecimal() else 0 for part in hidden.split(","))
    if min(units) < 1:
        raise Refusal(f"--hidden must be numbers of at least 1 with commas between them, not {hidden!r}")
    return units


def _tell(result: Result, told: dict[str, Any], checked: bool, json_to: str | None) -> None:
    """A line for each epoch, and the same as JSON: a list of epochs."""
    from gradloom.training import utilisation

    console = talk(json_to)
    for log in result.history:
        console.print(
            f"epoch {log.epoch + 1:2}  loss {log.loss:.4f}  test accuracy {log.accuracy:.4f}  {log.digest[:12]}"
        )
    if checked:
        first = f"; first: {result.first_difference}" if result.first_difference else ""
        console.print(f"differing words: {result.differing_words} of {result.words_compared:,} compared{first}")
    settings = asdict(result.config)
    epochs = []
    for log in result.history:
        own = asdict(log)
        if log.cycles:
            own["utilisation"] = utilisation(log, told["lanes"])
        else:
            del own["cycles"]
        epochs.append({**told, **own, "config": settings})
    write_json(epochs, json_to)
