"""Train a network on raw words, with any executor of products, and log what happened."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from golden.checkpoint import Checkpoint, plain
from golden.config import COARSE as COARSE
from golden.config import DEMO as DEMO
from golden.config import Config, Samples
from golden.keyed import random_bits
from golden.layers import PHASES, Execute, Formats, GoldenExecute, Role, tensor_key
from golden.loss import LOSS_FRAC
from golden.network import StepResult
from golden.optimizer import SgdPlan
from golden.tally import Tally
from spec.number import Fixed, Rounding
from spec.product import ceil_div

TEST_BATCH = 256  # samples predicted at once


class Learner(Protocol):
    """What :func:`train` trains: a network on golden words, or one in a machine's memory."""

    @property
    def inputs(self) -> Fixed: ...

    @property
    def formats(self) -> tuple[Formats, ...]: ...

    def predict(self, execute: Tally, x: np.ndarray) -> np.ndarray: ...

    def step(
        self,
        execute: Tally,
        x: np.ndarray,
        labels: np.ndarray,
        plans: Sequence[SgdPlan],
        rounding: Rounding,
        step: int,
    ) -> StepResult:
        """One step; what it computes goes through ``execute`` or is counted there."""

    def state(self) -> dict[str, np.ndarray]: ...

    def restore(self, state: Mapping[str, np.ndarray]) -> None: ...

    def digest(self) -> str: ...


@runtime_checkable
class Reformatting(Protocol):
    """A learner whose formats may change between steps."""

    def reformat(self, formats: Formats | Sequence[Formats]) -> None: ...


@dataclass(frozen=True)
class EpochLog:
    """One epoch. Dictionaries are by phase; densities are shares of words that are not zero."""

    epoch: int
    rate: float
    loss: float  # mean over the epoch's training samples
    train_accuracy: float  # while training, before each update
    accuracy: float  # of the test samples, after the epoch
    saturations: dict[str, int]  # FP, BP, WG; update: loss gradient and optimizer; test: evaluation
    density: dict[str, float]  # of the streamed operand A
    mask_density: float  # share of BP's outputs that are computed
    macs_dense: dict[str, int]  # m * k * n
    macs_done: dict[str, int]  # without zeros of A and masked outputs
    words_compared: int  # against the reference executor, evaluation included
    differing_words: int
    digest: str  # SHA-256 of weights and velocities
    seconds: float
    cycles: dict[str, int] = field(default_factory=dict)  # of a machine: by phase, evaluation apart
    test_samples: int = 0  # that accuracy is of; 0 where an older checkpoint does not say


@dataclass
class Result:
    """A finished or interrupted run."""

    config: Config
    network: Learner
    history: list[EpochLog] = field(default_factory=list)
    interrupted: bool = False
    first_difference: str = ""  # the product where execute and reference first differed

    @property
    def accuracy(self) -> float:
        """Test accuracy after the last whole epoch; 0 before the first."""
        return self.history[-1].accuracy if self.history else 0.0

    @property
    def words_compared(self) -> int:
        return sum(log.words_compared for log in self.history)

    @property
    def differing_words(self) -> int:
        return sum(log.differing_words for log in self.history)


def steps_per_epoch(config: Config, samples: Samples) -> int:
    return ceil_div(len(samples.train_x), config.batch)


def batches(samples: Samples, config: Config, epoch: int) -> Iterator[np.ndarray]:
    """Indices of an epoch's batches, in keyed order; the last batch may be shorter."""
    key = tensor_key(config.seed, epoch, 0, Role.SHUFFLE)
    order = np.argsort(random_bits(key, np.arange(len(samples.train_x))), kind="stable")
    for first in range(0, len(order), config.batch):
        yield order[first : first + config.batch]


@dataclass
class _Epoch:
    """What the epoch under way has added up."""

    done: int = 0  # steps
    samples: int = 0
    loss: int = 0
    correct: int = 0
    saturations: int = 0  # of loss gradient and update
    seconds: float = 0.0


def train(
    config: Config,
    samples: Samples,
    *,
    execute: Execute | None = None,
    reference: Execute | None = None,
    network: Learner | None = None,
    resume: Checkpoint | None = None,
    keep: Callable[[Checkpoint], None] | None = None,
    every: int = 0,
    steps: int | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    on_epoch: Callable[[EpochLog, Learner], None] | None = None,
) -> Result:
    """Train; every product goes through ``execute`` (golden by default).

    reference : executes every product too; the words of both are compared and counted.
    network : trained instead of the one that ``config`` describes; a machine's brings its own executor.
    resume : go on from there, to the bits of a run that was never interrupted. ValueError if it is of another run.
    keep : given a checkpoint after every ``every`` steps, at an interruption and at the end.
    steps : stop after so many steps in all, those before ``resume`` included; the last epoch is then shorter.
    progress : called after each step with steps done, steps in all and the loss of the batch.
    on_epoch : called after each epoch.
    KeyboardInterrupt ends the run and returns what there is: whole epochs in the history,
    the network as of the last whole step.
    """
    execute = execute or GoldenExecute(width=config.inputs.width)
    network = network or config.network(samples)
    result = Result(config, network)
    per_epoch = steps_per_epoch(config, samples)
    total = config.epochs * per_epoch if steps is None else min(steps, config.epochs * per_epoch)
    run = described(config, samples)
    trained, sums = Tally(execute, reference), _Epoch()
    if resume is not None:
        resume.check(run)
        history = len(resume.history)
        before = history if (resume.sums or {}).get("epoch", {}).get("done") else max(0, history - 1)
        _reformat(network, config, before, 0)
        network.restore(resume.state)
        result.history += [EpochLog(**log) for log in resume.history]
        if resume.sums:
            sums = _Epoch(**resume.sums["epoch"])
            trained.restore(resume.sums["tally"])

    def moment() -> Checkpoint:
        counts = {"epoch": asdict(sums), "tally": trained.snapshot()}
        whole = [asdict(log) for log in result.history]
        return Checkpoint(run, network.state(), len(whole) * per_epoch + sums.done, counts, tuple(whole))

    latest = moment()
    try:
        for epoch in range(len(result.history), config.epochs):
            if not (resume is not None and epoch == before):
                _reformat(network, config, epoch, epoch - 1)
            sgd = config.sgd_at(epoch)
            plans = [sgd.plan(formats, config.batch) for formats in network.formats]
            begun = epoch * per_epoch
            last = min(per_epoch, total - begun)
            if last <= 0:
                break
            for i, chosen in enumerate(batches(samples, config, epoch)):
                if not sums.done <= i < last:
                    continue
                start = time.perf_counter()
                x = samples.words(samples.train_x[chosen], config.inputs)
                done = network.step(trained, x, samples.train_y[chosen], plans, config.rounding, begun + i)
                sums.loss += done.loss
                sums.correct += done.correct
                sums.samples += done.samples
                sums.saturations += done.saturations
                sums.seconds += time.perf_counter() - start
                sums.done += 1
                if keep is not None:
                    latest = moment()
                    if every and (begun + sums.done) % every == 0:
                        keep(latest)
                if progress:
                    progress(begun + sums.done, total, done.loss / done.samples / (1 << LOSS_FRAC))
            tested = Tally(execute, reference)
            log = _log(config, samples, network, epoch, sums, trained, tested)
            result.first_difference = result.first_difference or trained.first_difference or tested.first_difference
            result.history.append(log)
            if last == per_epoch:  # an epoch cut short goes on where it stopped
                trained, sums = Tally(execute, reference), _Epoch()
                latest = moment()
            if on_epoch:
                on_epoch(log, network)
    except KeyboardInterrupt:
        result.interrupted = True
    result.first_difference = result.first_difference or trained.first_difference
    if keep is not None:
        keep(latest)
    return result


def described(config: Config, samples: Samples) -> dict[str, object]:
    """What a checkpoint says of its run; a schedule only where there is one."""
    settings = {name: value for name, value in asdict(config).items() if name != "schedule" or value}
    return plain(settings | {"data": samples.name, "samples": len(samples.train_x)})


def _reformat(network: Learner, config: Config, epoch: int, before: int) -> None:
    """The formats of ``epoch`` for a network in those of epoch ``before``."""
    formats = config.formats_at(epoch)
    if formats == config.formats_at(max(before, 0)):
        return
    if not isinstance(network, Reformatting):
        raise ValueError(f"net {config.net} cannot change its formats while it is trained: a graph can")
    network.reformat(formats)


def _log(
    config: Config, samples: Samples, network: Learner, epoch: int, sums: _Epoch, trained: Tally, tested: Tally
) -> EpochLog:
    """An epoch's log, test samples predicted."""
    start = time.perf_counter()
    accuracy = evaluate(network, samples, tested)
    return EpochLog(
        epoch=epoch,
        rate=config.sgd_at(epoch).rate,
        loss=sums.loss / sums.samples / (1 << LOSS_FRAC),
        train_accuracy=sums.correct / sums.samples,
        accuracy=accuracy,
        saturations={phase: trained.phases[phase].saturations for phase in PHASES}
        | {"update": sums.saturations, "test": sum(tested.phases[phase].saturations for phase in PHASES)},
        density={phase: trained.phases[phase].density for phase in PHASES},
        mask_density=trained.phases["BP"].mask_density,
        macs_dense={phase: trained.phases[phase].macs_dense for phase in PHASES},
        macs_done={phase: trained.phases[phase].macs_done for phase in PHASES},
        words_compared=trained.words_compared + tested.words_compared,
        differing_words=trained.differing_words + tested.differing_words,
        digest=network.digest(),
        seconds=sums.seconds + time.perf_counter() - start,
        cycles=trained.cycles | ({"test": sum(tested.cycles.values())} if tested.cycles else {}),
        test_samples=len(samples.test_x),
    )


def evaluate(network: Learner, samples: Samples, execute: Tally) -> float:
    """Share of the test samples that ``network`` classifies right."""
    correct = 0
    for first in range(0, len(samples.test_x), TEST_BATCH):
        x = samples.words(samples.test_x[first : first + TEST_BATCH], network.inputs)
        z = network.predict(execute, x)
        correct += int(np.count_nonzero(z.argmax(axis=1) == samples.test_y[first : first + TEST_BATCH]))
    return correct / len(samples.test_x)
