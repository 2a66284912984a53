"""``gradloom program``: a network as a file for a processor without Python."""

from itertools import islice
from pathlib import Path

import click

from gradloom.console import Refusal, err, write_folder
from gradloom.options import chip_option, network_options, seed_option
from spec.chip import Chip

LINE = 8  # words of a line of C


@click.command()
@network_options
@click.option("--batches", type=click.IntRange(0), default=4, show_default=True, help="Batches of samples in the image.")
@click.option("--checkpoint", type=Path, help="Parameters and steps of this run; the first ones if not given.")
@chip_option("ecp5-64")
@seed_option
@click.option("-o", "--out", "file", type=Path, required=True, help="File to write: C where it ends in .c, else bytes.")
def program(
    data: str,
    download: bool,
    net: str,
    batch: int | None,
    batches: int,
    checkpoint: Path | None,
    chip: Chip,
    seed: int,
    file: Path,
) -> None:
    """Write a network's program image: commands, parameters and samples for the bare-metal driver.

    The image holds a training step, with the optimizer's numbers of this epoch, and a prediction; docs/program-image.md
    describes it, and the driver that `generate --unit machine` writes carries it out. Every word is the one that `train` gives.
    """
    from golden.checkpoint import Checkpoint
    from golden.presets import settings_of
    from golden.trainer import batches as in_order
    from golden.trainer import described, steps_per_epoch
    from host.datasets import load
    from host.image import build_image

    config = settings_of(net, seed=seed, batch=batch)
    samples = load(data, download=download)
    graph, step = config.graph(samples), 0
    if checkpoint is not None:
        kept = Checkpoint.load(checkpoint)
        kept.check(described(config, samples))
        graph.restore(kept.state)
        step = kept.steps
    epoch, done = divmod(step, steps_per_epoch(config, samples))
    given = [
        (samples.words(samples.train_x[chosen], config.inputs), samples.train_y[chosen])
        for chosen in islice(in_order(samples, config, epoch), done, done + batches)
        if len(chosen) == config.batch  # the last of an epoch may be shorter
    ]
    plans = [config.sgd_at(epoch).plan(formats, config.batch) for formats in graph.formats]
    image = build_image(graph, chip, config.batch, plans, config.rounding, given, step)
    write_folder(file.parent)
    try:
        file.write_bytes(as_c(image, file.stem).encode() if file.suffix == ".c" else image)
    except OSError as error:
        raise Refusal(f"cannot write to {file}: {error.strerror}") from error
    err.print(f"{net} for chip {chip.name}, batch {config.batch}: {len(image):,} bytes, {len(given)} batches")
    click.echo(file)


def as_c(image: bytes, name: str) -> str:
    """An array of words ``name`` and its size in bytes, ``name_bytes``. ValueError for a name that C does not take."""
    if not name.isidentifier():
        raise ValueError(f"{name}.c: the file's name is the array's, and {name!r} cannot be a name in C")
    words = [f"0x{int.from_bytes(image[at : at + 4], 'little'):08x}" for at in range(0, len(image), 4)]
    lines = ["    " + ", ".join(words[at : at + LINE]) + "," for at in range(0, len(words), LINE)]
    head = ["#include <stdint.h>", "", f"extern const uint32_t {name}[], {name}_bytes;"]
    body = [f"const uint32_t {name}_bytes = {len(image)};", f"const uint32_t {name}[] = {{", *lines, "};"]
    return "\n".join([*head, *body, ""])
