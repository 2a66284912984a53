"""Time per epoch before there is a machine: one step's words from the emulator, its cycles worked out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from threadpoolctl import threadpool_limits

from golden.config import Config, Samples
from golden.layers import GoldenExecute
from golden.tally import Tally
from golden.trainer import evaluate, steps_per_epoch, train
from gradloom.tracing import Step, step_of
from host.arrays import ARRAYS
from host.driver import MEMORY, RING
from host.estimate import Bus, EstimatedMachine
from host.profile import totalled
from spec.chip import Chip

FOUND = (
    "steps_per_epoch", "cycles", "cycles_of_step", "cycles_bound", "bytes_of_step", "epoch_s", "error", "differing_words",
)  # of a row; null where the network refuses the format


@dataclass(frozen=True)
class Sweep:
    """What is estimated: one network and chip over formats. after : steps of golden before the one that is estimated."""

    config: Config
    chip: Chip
    widths: Sequence[int]
    fracs: Sequence[int]
    bus: Bus
    after: int
    array: str  # of host.arrays
    mhz: float
    trained: bool

    @property
    def formats(self) -> list[tuple[int, int]]:
        """Width and fraction bits, in order; those that a word cannot hold are left out."""
        return [(width, frac) for width in self.widths for frac in self.fracs if frac < width]


def estimates(sweep: Sweep, samples: Samples) -> Iterator[dict[str, Any]]:
    """A row for each format, in order; a network may refuse some: ``reason``."""
    for width, frac in sweep.formats:
        row: dict[str, Any] = {"net": sweep.config.net, "data": samples.name, "chip": sweep.chip.name, "array": sweep.array}
        row |= {"batch": sweep.config.batch, "mhz": sweep.mhz, "width": width, "frac": frac, "reason": None}
        try:
            row |= _estimate(sweep, samples, width, frac)
        except ValueError as refused:
            row |= dict.fromkeys(FOUND) | {"reason": str(refused)}
        yield row


def _estimate(sweep: Sweep, samples: Samples, width: int, frac: int) -> dict[str, Any]:
    config = sweep.config.with_frac(frac, width)
    chip = replace(sweep.chip, width=width, acc_width=max(sweep.chip.acc_width, 2 * width + 4))
    per_multiplication = ARRAYS[sweep.array](width)
    with threadpool_limits(1):
        step = step_of(config, samples, sweep.after)
        rows, tally = step.take(step.graph, EstimatedMachine(chip, MEMORY, RING, sweep.bus, per_multiplication))
        error = 1 - _accuracy(config, samples, step) if sweep.trained else None
    cycles, moved = totalled(rows)
    steps, whole = steps_per_epoch(config, samples), cycles.total()
    found = (
        steps,
        dict(cycles),
        whole,
        round(moved["macs"] * per_multiplication / chip.total_lanes),
        moved["bytes"],
        round(whole * steps / sweep.mhz / 1e6, 6),
        None if error is None else round(error, 4),
        tally.differing_words,
    )
    return dict(zip(FOUND, found, strict=True))


def _accuracy(config: Config, samples: Samples, step: Step) -> float:
    graph = config.graph(samples)
    train(config, samples, network=graph)
    return evaluate(graph, samples, Tally(GoldenExecute(width=config.inputs.width)))
