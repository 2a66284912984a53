"""``gradloom train``: a network on the golden model, on an emulated machine, or on the generated hardware."""

from dataclasses import asdict, replace
from pathlib import Path

import click

from golden.trainer import Config, Result
from gradloom.console import bars, err, talk, write_folder, write_json
from gradloom.options import INTERRUPTED, chip_option, json_option, seed_option
from spec.chip import Chip
from spec.number import Rounding


@click.command()
@click.option("--data", default="digits", show_default=True, help="digits, mnist, fashion-mnist or cifar10.")
@click.option("--download", is_flag=True, help="Fetch a data set that is missing to build/data.")
@click.option(
    "--net",
    default="mlp",
    show_default=True,
    help="mlp, cnn (small, for digits), lenet5, gupta-cnn, gupta-cifar, resnet20 or vgg11.",
)
@click.option("--backend", type=click.Choice(["golden", "rtl"]), default="golden", show_default=True)
@chip_option("sim64")
@click.option("--epochs", type=int, help="[default: the network's; mlp 12, cnn 8]")
@click.option("--steps", type=click.IntRange(1), help="Stop after so many steps in all.")
@click.option("--batch", type=click.IntRange(1), help="Samples of one step.  [default: the network's]")
@click.option(
    "--rounding",
    type=click.Choice([mode.name.lower() for mode in Rounding]),
    default="stochastic",
    show_default=True,
)
@click.option("--frac", type=int, help="One format with so many fraction bits for every tensor.")
@click.option("--check", is_flag=True, help="Compare every word of the engine with golden.")
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
    chip: Chip,
    epochs: int | None,
    steps: int | None,
    batch: int | None,
    rounding: str,
    frac: int | None,
    check: bool,
    checkpoint: Path | None,
    every: int,
    resume: Path | None,
    seed: int,
    json_to: str | None,
) -> None:
    """Train a network on 16-bit words, on the golden model or on the generated engine.

    Equal seeds give equal words on both. Ctrl-C keeps the epochs that are complete; with a checkpoint the run goes on
    later as if it had never stopped, whatever ended it.
    """
    from golden.layers import GoldenExecute
    from gradloom.training import Keeping, phases_dict, run_golden, run_rtl
    from host.datasets import load
    from host.rtl import RtlExecute

    config = _config(net, seed, rounding, epochs, batch, frac)
    kept = checkpoint or resume
    if kept is not None:
        write_folder(kept.parent)
    keeping = Keeping.of(kept, every, resume, steps)
    samples = load(data, download=download)
    execute = None
    if backend == "golden":
        with bars() as shown:
            result = run_golden(config, samples, shown, "golden", keeping=keeping)
    else:
        from gradloom.machine import native_engine

        with native_engine(chip) as machine, bars() as shown:
            execute = RtlExecute(machine)
            reference = GoldenExecute(width=chip.width, acc_width=chip.acc_width) if check else None
            result = run_rtl(config, samples, shown, f"RTL, chip {chip.name}", execute, reference, keeping)
    told: dict = {"data": data, "net": net, "backend": backend}
    if execute:
        told |= {"chip": chip.name, "lanes": chip.total_lanes, **phases_dict(execute)}
    _tell(result, told, check and execute is not None, json_to)
    if kept is not None and result.interrupted:
        err.print(f"kept: {kept}; go on with --resume {kept}")
    if result.differing_words:
        raise SystemExit(1)
    if result.interrupted:
        raise SystemExit(INTERRUPTED)


def _config(net: str, seed: int, rounding: str, epochs: int | None, batch: int | None, frac: int | None) -> Config:
    from golden.presets import preset

    config = replace(preset(net), seed=seed, rounding=Rounding[rounding.upper()])
    if epochs is not None:
        config = replace(config, epochs=epochs)
    if batch is not None:
        config = replace(config, batch=batch)
    return config if frac is None else config.with_frac(frac)


def _tell(result: Result, told: dict, checked: bool, json_to: str | None) -> None:
    """A line for each epoch, and the same as JSON: a list of epochs."""
    console = talk(json_to)
    for log in result.history:
        console.print(
            f"epoch {log.epoch + 1:2}  loss {log.loss:.4f}  test accuracy {log.accuracy:.4f}  {log.digest[:12]}"
        )
    if checked:
        console.print(f"differing words: {result.differing_words} of {result.words_compared:,} compared")
    settings = asdict(result.config)
    write_json([{**told, **asdict(log), "config": settings} for log in result.history], json_to)
