"""One step on a machine, and what it cost."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from golden.checkpoint import Checkpoint
from golden.emulator_scratch import EmulatorError
from golden.graph import Graph
from golden.layers import GoldenExecute
from golden.optimizer import SgdPlan
from golden.tally import Tally
from golden.trainer import Config, Samples, batches, described, steps_per_epoch, train
from gradloom.backend import opened
from host.driver import MEMORY, RING, Driver, without_masks
from host.locate import Lockstep, WrongCommand
from host.machines import Backend, EmulatedMachine
from host.profile import Share, merged, profile
from host.timeline import Row
from spec.chip import Chip

LADDER = {"dense": (False, False), "input": (True, False), "output": (False, True), "both": (True, True)}  # skip, masks


@dataclass(frozen=True)
class Traced:
    """What :func:`traced` found. ladder : for each of :data:`LADDER`, if asked for, cycles by layer and phase."""

    shares: list[Share]
    ladder: dict[str, dict[tuple[int, str], int]]
    spans: list[dict]  # of every command, for a picture
    words_compared: int
    differing_words: int
    first_difference: str
    wrong_command: str  # the first, if words differ

    def to_json(self) -> list[dict]:
        """A row for each layer and phase."""
        rows = []
        for share in self.shares:
            cycles = {name: steps.get((share.layer, share.phase), 0) for name, steps in self.ladder.items()}
            rows.append(asdict(share) | ({"ladder": cycles} if cycles else {}))
        return rows


@dataclass(frozen=True)
class Step:
    """A step to be taken again and again."""

    config: Config
    graph: Graph
    x: np.ndarray
    labels: np.ndarray
    number: int
    epoch: int

    @property
    def plans(self) -> list[SgdPlan]:
        return [self.config.sgd_at(self.epoch).plan(formats, self.config.batch) for formats in self.graph.formats]

    def driven(self, graph: Graph, backend: Backend, skip: bool = True) -> tuple[Driver, Tally]:
        """A driver that has taken the step, every tensor compared."""
        driver = Driver(graph, backend, check=True, skip=skip)
        tally = Tally(GoldenExecute(backend.chip.width, backend.chip.acc_width))
        driver.step(tally, self.x, self.labels, self.plans, self.config.rounding, self.number)
        return driver, tally

    def take(self, graph: Graph, backend: Backend, skip: bool = True) -> tuple[list[Row], Tally]:
        driver, tally = self.driven(graph, backend, skip)
        return driver.trace(), tally

    def first_wrong(self, backend: Backend) -> str:
        """The first command of the step that ``backend`` carries out wrongly; nothing if there is none."""
        both = Lockstep(backend)
        driver = Driver(self.graph, both)
        both.used = driver.program(len(self.x), self.plans, self.config.rounding).memory_bytes
        try:
            driver.step(Tally(GoldenExecute()), self.x, self.labels, self.plans, self.config.rounding, self.number)
        except (WrongCommand, EmulatorError) as error:
            return str(error)
        return ""


def traced(
    config: Config,
    samples: Samples,
    chip: Chip,
    backend: str,
    after: int = 0,
    checkpoint: Path | None = None,
    latency: int = 50,
    bandwidth: float = 8.0,
    ladder: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Traced:
    """One step, with the weights that ``after`` steps of golden leave, or with those of a checkpoint.

    It is taken twice, by the machine and by the emulator, which counts the multiplications that had to be done; with
    ``ladder`` also without skipping zeros, without masks, and without both. progress : told now and then what is going on.
    """
    wrong = ""
    with threadpool_limits(1), opened(backend, chip, latency, bandwidth, exact=True) as machine:
        step = step_of(config, samples, after, checkpoint)
        progress("emulator")
        counted, tally = step.take(step.graph, EmulatedMachine(chip, MEMORY, RING))
        timed, steps, tallies = counted, {}, [tally]
        if backend != "emulator":
            progress(backend)
            machine.progress = lambda cycles: progress(f"{backend}, a run of {cycles / 1e6:.1f} M cycles so far")
            timed, tally = step.take(step.graph, machine)
            tallies.append(tally)
            if tally.differing_words:
                wrong = step.first_wrong(machine)
            for name, (skip, masks) in LADDER.items() if ladder else ():
                if name == "both":
                    rows = timed
                else:
                    progress(f"{backend}: {name}")
                    rows, tally = step.take(step.graph if masks else without_masks(step.graph), machine, skip)
                    tallies.append(tally)
                steps[name] = _cycles(rows)
    rows = merged(timed, counted)
    return Traced(
        shares=profile(chip, step.graph, rows),
        ladder=steps,
        spans=[
            {"unit": (row.unit.name or "").lower(), "phase": row.phase, "begin": row.issued, "end": row.done}
            for row in rows
        ],
        words_compared=sum(tally.words_compared for tally in tallies),
        differing_words=sum(tally.differing_words for tally in tallies),
        first_difference=next((tally.first_difference for tally in tallies if tally.first_difference), ""),
        wrong_command=wrong,
    )


def step_of(config: Config, samples: Samples, after: int, checkpoint: Path | None = None) -> Step:
    """The step behind ``after`` steps of golden, or behind those of a checkpoint, whose run may have had another batch."""
    graph, run = config.graph(samples), config
    if checkpoint is not None:
        if after:
            raise ValueError(f"after is {after}: a checkpoint has steps of its own")
        kept = Checkpoint.load(checkpoint)
        run = replace(config, batch=kept.run.get("batch", config.batch))
        if config.batch > run.batch:
            raise ValueError(f"batch must be at most the checkpoint's, {run.batch}, not {config.batch}")
        kept.check(described(run, samples))
        graph.restore(kept.state)
        after = kept.steps
    elif after:
        train(config, samples, network=graph, steps=after)
    epoch, first = divmod(after, steps_per_epoch(run, samples))
    chosen = next(rows for number, rows in enumerate(batches(samples, run, epoch)) if number == first)[: config.batch]
    x = samples.words(samples.train_x[chosen], config.inputs)
    return Step(config, graph, x, samples.train_y[chosen], after, epoch)


def _cycles(rows: Sequence[Row]) -> dict[tuple[int, str], int]:
    result: dict[tuple[int, str], int] = {}
    for row in rows:
        key = row.label.layer, row.phase
        result[key] = result.get(key, 0) + row.cycles
    return result
