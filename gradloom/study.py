"""``gradloom study``: every training shortcut beside the exact baseline and its null control."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradloom.console import bars, err, talk, wide, write_folder, write_json
from gradloom.options import INTERRUPTED, chip_option, json_option, network_options, seed_option
from spec.chip import Chip

if TYPE_CHECKING:
    from gradloom.studying import Job

WIDTH = 170  # of the table where no terminal has one


@click.command()
@click.argument("name")
@network_options
@click.option("--epochs", type=click.IntRange(1), help="Of every run.  [default: the network's]")
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Runs of each variant.")
@chip_option("sim64")
@click.option("--workers", type=click.IntRange(0), help="Local processes; 0 works in this one.  [default: one for each core]")
@click.option("--scheduler", metavar="ADDRESS", help="A running Dask scheduler instead of local processes.")
@click.option("--out", type=Path, default=Path("build/study"), show_default=True, help="Keeps results; what is there is not done again.")
@seed_option
@json_option
def study(
    name: str,
    data: str,
    download: bool,
    net: str,
    epochs: int | None,
    batch: int | None,
    seeds: int,
    chip: Chip,
    workers: int | None,
    scheduler: str | None,
    out: Path,
    seed: int,
    json_to: str | None,
) -> None:
    """Train with a shortcut, its null control and exactly, and time the steps of each on a machine.

    NAME is a study or `all`. Every variant trains golden's words with several seeds; of each one's run a simulated machine takes the
    first step of every kind and some others, compared word by word. Results are kept one by one: a run that was interrupted goes on.
    """
    from golden.presets import settings_of
    from golden.workers import cores
    from gradloom.backend import opened
    from gradloom.studying import planned, rows
    from host.datasets import load
    from report.study import picture, study_table

    config = settings_of(net, seed=seed, epochs=epochs, batch=batch)
    samples = load(data, download=download)
    config.graph(samples)  # an unknown shape is refused before anything runs
    jobs = planned(name, config, data, seeds, chip)
    folder = write_folder(out / f"{data}-{net}").resolve()
    with err.status(f"compiling {chip.name}"), opened("rtl", chip, exact=True):
        pass
    results: dict[Job, dict[str, Any]] = {}
    interrupted = False
    with bars() as progress:
        task = progress.add_task(f"study {name}", total=len(jobs), note="")
        try:
            for job, result in _done(jobs, folder, cores() if workers is None else workers, scheduler):
                results[job] = result
                progress.update(task, advance=1, note=f"{job.variant.technique}: {job.variant.name}")
        except KeyboardInterrupt:
            interrupted = True
    told = rows(name, results, config, data)
    console = talk(json_to)
    wide(console, WIDTH).print(study_table(f"{net} on {data}, {config.epochs} epochs, {seeds} seeds, {chip.name}", told))
    if not interrupted:
        console.print(f"kept: {picture(told, folder / f'{name}.png')}")
    write_json(told, json_to)
    differing = sum(row["differing_words"] for row in told)
    if differing:
        err.print(f"{differing} words of a machine differ from golden's")
        raise SystemExit(1)
    if interrupted:
        err.print("interrupted: what is done is kept, the same command goes on")
        raise SystemExit(INTERRUPTED)


def _done(
    jobs: list["Job"], folder: Path, workers: int, scheduler: str | None
) -> Iterator[tuple["Job", dict[str, Any]]]:
    """Jobs and their results as they come; timings, the longest, begin first."""
    from gradloom.studying import kept

    order = sorted(jobs, key=lambda job: job.kind)
    if not workers and scheduler is None:
        for job in order:
            yield job, kept(job, folder)
        return
    from distributed import Client, LocalCluster, as_completed

    with ExitStack() as stack:
        if scheduler is None:
            cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
            )
            stack.enter_context(cluster)
        client = stack.enter_context(Client(scheduler or cluster))
        futures = {client.submit(kept, job, folder, pure=False): job for job in order}
        for future in as_completed(list(futures)):
            yield futures[future], future.result()
