"""Training runs on one backend, with a progress bar."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import Progress
from threadpoolctl import threadpool_limits

from golden.checkpoint import Checkpoint
from golden.layers import PHASES, GoldenExecute
from golden.trainer import Config, EpochLog, Learner, Result, Samples, steps_per_epoch, train
from gradloom.pace import Pace
from host.driver import Driver
from host.machines import Backend
from host.profile import Share, profile


@dataclass(frozen=True)
class Keeping:
    """Where a run is kept and what it goes on from; the default keeps nothing and runs to the end."""

    file: Path | None = None
    every: int = 0
    resume: Checkpoint | None = None
    steps: int | None = None

    @classmethod
    def of(cls, file: Path | None, every: int, resume: Path | None, steps: int | None) -> "Keeping":
        """Raises ValueError when ``resume`` is not a checkpoint."""
        return cls(file, every, None if resume is None else Checkpoint.load(resume), steps)

    def options(self) -> dict[str, Any]:
        """What :func:`golden.trainer.train` is told."""
        file = self.file
        keep = None if file is None else lambda checkpoint: checkpoint.save(file)
        return {"keep": keep, "every": self.every, "resume": self.resume, "steps": self.steps}


def run_golden(
    config: Config,
    samples: Samples,
    shown: Progress,
    title: str,
    keeping: Keeping = Keeping(),
    network: Learner | None = None,
) -> Result:
    """Golden training with a progress bar."""
    task = shown.add_task(title, total=config.epochs * steps_per_epoch(config, samples), note="")

    def progress(done: int, total: int, loss: float) -> None:
        shown.update(task, total=total, completed=done, note=f"loss {loss:.3f}")

    with threadpool_limits(1):
        return train(config, samples, network=network, progress=progress, **keeping.options())


def run_machine(
    config: Config, samples: Samples, shown: Progress, title: str, backend: Backend, check: bool, keeping: Keeping
) -> tuple[Result, list[Share]]:
    """Training on a whole machine, and where its last step's cycles went; with ``check`` golden takes every step beside it."""
    driver = Driver(config.graph(samples), backend, check)
    task = shown.add_task(title, total=config.epochs * steps_per_epoch(config, samples), note="")
    pace = Pace(title)

    def progress(done: int, total: int, loss: float) -> None:
        note = f"loss {loss:.3f}" + (f", {driver.first_difference}" if driver.first_difference else "")
        cycles = sum(ran.cycles for ran in driver.stepped[1]) if driver.stepped else 0
        shown.update(task, total=total, completed=done, note=pace.step(done, total, cycles, note))

    backend.progress = lambda cycles: shown.update(task, note=pace.under_way(cycles))
    execute = GoldenExecute(backend.chip.width, backend.chip.acc_width)
    with threadpool_limits(1):
        result = train(config, samples, network=driver, execute=execute, progress=progress, **keeping.options())
    return result, profile(backend.chip, driver.graph, driver.trace()) if driver.stepped else []


def utilisation(log: EpochLog, lanes: int) -> dict[str, float]:
    """By phase: share of the lanes' cycles, those of vector commands and transfers included, that multiplied."""
    return {
        phase: round(log.macs_done[phase] / (lanes * log.cycles[phase]), 4) for phase in PHASES if log.cycles.get(phase)
    }
