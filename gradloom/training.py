"""Training runs: on one backend, and the tour that compares them all."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.progress import Progress
from threadpoolctl import threadpool_limits

from golden.checkpoint import Checkpoint
from golden.float_reference import train_float
from golden.layers import PHASES, GoldenExecute
from golden.trainer import Config, EpochLog, Learner, Result, Samples, train
from gradloom.console import err
from host.backends import Machine
from host.driver import Driver
from host.machines import Backend
from host.profile import Share, profile
from host.rtl import PhaseCounters, RtlExecute
from host.trace import Recorder, Replay
from spec.number import Rounding

LINE = 50  # steps between two lines where no bar moves
COARSE_FRAC = 3  # golden.trainer.COARSE: stochastic rounding still learns here, nearest does not


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


def steps(config: Config, samples: Samples) -> int:
    """Steps of one epoch."""
    return -(-len(samples.train_x) // config.batch)


def run_golden(
    config: Config,
    samples: Samples,
    shown: Progress,
    title: str,
    recorder: Recorder | None = None,
    keeping: Keeping = Keeping(),
    network: Learner | None = None,
) -> Result:
    """Golden training with a progress bar."""
    task = shown.add_task(title, total=config.epochs * steps(config, samples), note="")

    def progress(done: int, total: int, loss: float) -> None:
        shown.update(task, total=total, completed=done, note=f"loss {loss:.3f}")

    with threadpool_limits(1):
        return train(config, samples, execute=recorder, network=network, progress=progress, **keeping.options())


def run_rtl(
    config: Config,
    samples: Samples,
    shown: Progress,
    title: str,
    execute: RtlExecute,
    reference: Replay | GoldenExecute | None,
) -> Result:
    """Training with every product on the engine; evaluations are counted apart from the phases."""
    per_epoch = steps(config, samples)
    task = shown.add_task(title, total=config.epochs * per_epoch, note="")

    def progress(done: int, total: int, loss: float) -> None:
        execute.evaluating = done % per_epoch == 0
        cycles = sum(counts.cycles for counts in execute.phases.values())
        shown.update(task, total=total, completed=done, note=f"loss {loss:.3f}, {cycles / 1e6:.1f} M cycles")

    def after_epoch(log: EpochLog, network: Learner) -> None:
        execute.evaluating = False
        if not err.is_terminal:  # where no bar moves, a line an epoch
            words = "" if reference is None else f", {log.differing_words} of {log.words_compared:,} words differ"
            err.print(
                f"{title}: epoch {log.epoch + 1} of {config.epochs}, accuracy {log.accuracy:.4f}{words}, {log.seconds:.0f} s"
            )

    with threadpool_limits(1):
        return train(
            config,
            samples,
            execute=execute,
            reference=reference,
            progress=progress,
            on_epoch=after_epoch,
        )


def run_machine(
    config: Config, samples: Samples, shown: Progress, title: str, backend: Backend, check: bool, keeping: Keeping
) -> tuple[Result, list[Share]]:
    """Training on a whole machine, and where its last step's cycles went; with ``check`` golden takes every step beside it."""
    driver = Driver(config.graph(samples), backend, check)
    task = shown.add_task(title, total=config.epochs * steps(config, samples), note="")

    latest = ""

    def progress(done: int, total: int, loss: float) -> None:
        nonlocal latest
        latest = f"loss {loss:.3f}" + (f", {driver.first_difference}" if driver.first_difference else "")
        shown.update(task, total=total, completed=done, note=f"{latest}{clock(0)}")
        if not err.is_terminal and done % LINE == 0:  # where no bar moves
            err.print(f"{title}: step {done} of {total}, {latest}")

    def clock(under_way: int) -> str:
        cycles = driver.counters.get("run_cycles", 0) + under_way
        return f", {cycles / 1e6:.1f} M cycles" if cycles else ""

    backend.progress = lambda cycles: shown.update(task, note=f"{latest}{clock(cycles)}")
    execute = GoldenExecute(backend.chip.width, backend.chip.acc_width)
    with threadpool_limits(1):
        result = train(config, samples, network=driver, execute=execute, progress=progress, **keeping.options())
    return result, profile(backend.chip, driver.graph, driver.trace()) if driver.stepped else []


def utilisation(log: EpochLog, lanes: int) -> dict[str, float]:
    """By phase: share of the lanes' cycles, those of vector commands and transfers included, that multiplied."""
    return {
        phase: round(log.macs_done[phase] / (lanes * log.cycles[phase]), 4) for phase in PHASES if log.cycles.get(phase)
    }


def phases_dict(execute: RtlExecute) -> dict:
    """On-chip counters by phase, as the JSON names them."""

    def each(value: Callable[[PhaseCounters], float]) -> dict[str, float]:
        return {phase: value(execute.phases[phase]) for phase in PHASES}

    return {
        "cycles": each(lambda counts: counts.cycles),
        "cycles_dense": each(lambda counts: counts.cycles_dense),
        "density": each(lambda counts: round(counts.density, 4)),
        "mask_density": each(lambda counts: round(counts.mask_density, 4)),
        "utilisation": each(lambda counts: round(counts.utilisation, 4)),
        "utilisation_steady": each(lambda counts: round(counts.utilisation_steady, 4)),
        "macs_dense": each(lambda counts: counts.macs_dense),
        "macs_done": each(lambda counts: counts.macs_done),
    }


def run_demo(config: Config, samples: Samples, machine: Machine, shown: Progress) -> dict:
    """The tour: float, golden, RTL against an independent golden run, and nearest rounding in a coarse format.

    The golden run is recorded: every word of every product and, at every step, all weights. The
    RTL run starts from the same seed and its words are compared with the recorded ones; it is
    never corrected. KeyboardInterrupt ends the RTL run; what was measured until then is returned.
    """
    start = time.perf_counter()
    result: dict = {"chip": machine.chip.name, "lanes": machine.chip.total_lanes, "data": samples.name}
    coarse = config.with_frac(COARSE_FRAC)

    with threadpool_limits(1):
        floats = train_float(config, samples)
    result["accuracy_float"] = floats[-1].accuracy
    recorder = Recorder(GoldenExecute(width=config.inputs.width))
    golden = run_golden(config, samples, shown, "golden", recorder)
    result["accuracy_golden"] = golden.accuracy
    stochastic = run_golden(coarse, samples, shown, "3 fraction bits, stochastic")
    nearest = run_golden(replace(coarse, rounding=Rounding.NEAREST), samples, shown, "3 fraction bits, nearest")
    if golden.interrupted or stochastic.interrupted or nearest.interrupted:
        raise KeyboardInterrupt  # the engine has done nothing yet
    result["accuracy_coarse_stochastic"] = stochastic.accuracy
    result["accuracy_coarse_nearest"] = nearest.accuracy

    execute = RtlExecute(machine, dense=True)
    replay = Replay(recorder.records)
    began = time.perf_counter()
    rtl = run_rtl(config, samples, shown, f"RTL, {machine.chip.name}", execute, replay)
    digests = [ours.digest != theirs.digest for ours, theirs in zip(rtl.history, golden.history, strict=False)]
    result |= {
        "accuracy_rtl": rtl.accuracy,
        "differing_words": rtl.differing_words + replay.differing_words,
        "words_compared": rtl.words_compared + replay.words_compared,
        "differing_epoch_digests": sum(digests),
        "first_difference": rtl.first_difference or replay.first_difference,
        **phases_dict(execute),
        "saturations": execute.saturations,
        "epochs": len(rtl.history),
        "interrupted": rtl.interrupted,
        "seconds_rtl": round(time.perf_counter() - began, 1),
        "seconds": round(time.perf_counter() - start, 1),
        "history": {
            "float": [log.accuracy for log in floats],
            "golden": [log.accuracy for log in golden.history],
            "rtl": [log.accuracy for log in rtl.history],
            "3 fraction bits, stochastic": [log.accuracy for log in stochastic.history],
            "3 fraction bits, nearest": [log.accuracy for log in nearest.history],
        },
        "loss": {"float": [log.loss for log in floats], "rtl": [log.loss for log in rtl.history]},
    }
    return result
