"""Time per epoch before there is a machine: one step's words from the emulator, its cycles worked out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from threadpoolctl import threadpool_limits

from golden.config import Config, Samples
from golden.layers import GoldenExecute
from golden.tally import Tally
from golden.trainer import evaluate, steps_per_epoch, train
from gradloom.tracing import Step, step_of
from host.driver import MEMORY, RING
from host.estimate import Bus, EstimatedMachine
from spec.chip import Chip

# Cycles of a multiplication in a lane, by bits of a word: those of this project's lanes, which are one DSP multiplier of 18 bits each; of
# lanes that take a bit a cycle; of lanes as large as one of 16 bits, if a multiplier's area is the square of its width.
ARRAYS = {
    "dsp": lambda width: ceil(width / 18) ** 2,
    "serial": lambda width: width,
    "area": lambda width: (width / 16) ** 2,
}


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
    array: str
    mhz: float
    trained: bool


def estimates(sweep: Sweep, samples: Samples) -> Iterator[dict[str, Any]]:
    """A row for each format, in order; formats that a word cannot hold are left out, and a network may refuse others: ``reason``."""
    for width in sweep.widths:
        for frac in sweep.fracs:
            if frac >= width:
                continue
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
    cycles: dict[str, int] = {}
    for row in rows:
        cycles[row.phase] = cycles.get(row.phase, 0) + row.cycles
    steps = steps_per_epoch(config, samples)
    macs = sum(row.product.macs_done for row in rows if row.product is not None)
    whole = sum(cycles.values())
    found = (
        steps,
        cycles,
        whole,
        round(macs * per_multiplication / chip.total_lanes),
        sum(row.bytes_read + row.bytes_written for row in rows),
        round(whole * steps / sweep.mhz / 1e6, 6),
        None if error is None else round(error, 4),
        tally.differing_words,
    )
    return dict(zip(FOUND, found, strict=True))


def _accuracy(config: Config, samples: Samples, step: Step) -> float:
    graph = config.graph(samples)
    train(config, samples, network=graph)
    return evaluate(graph, samples, Tally(GoldenExecute(width=config.inputs.width)))
