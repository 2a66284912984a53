"""Train a network on raw words, with any executor of products, and log what happened."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from golden.convert import convert
from golden.graph import Graph
from golden.keyed import random_bits
from golden.layers import PHASES, Execute, Formats, GoldenExecute, Role, tensor_key
from golden.loss import LOSS_FRAC
from golden.network import Network
from golden.networks import NETWORKS, build
from golden.optimizer import Sgd
from golden.tally import Tally
from spec.number import Fixed, Rounding

TEST_BATCH = 256  # samples predicted at once


@dataclass(frozen=True)
class Samples:
    """A data set: pixels uint8 (n, features) with value ``pixel * 2**-frac``, labels int64 (n,)."""

    name: str
    shape: tuple[int, int, int]  # height, width, channels of an image
    classes: int
    frac: int
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    def words(self, pixels: np.ndarray, fixed: Fixed) -> np.ndarray:
        """int64 words of ``fixed``: exact when it has the bits, else rounded to nearest."""
        extra = fixed.frac - self.frac
        words, _ = convert(
            pixels.astype(np.int64) << max(extra, 0), max(-extra, 0), Rounding.NEAREST, width=fixed.width
        )
        return words


@dataclass(frozen=True, kw_only=True)
class Config:
    """One training run; equal configs on equal samples give equal words on every machine."""

    net: str = "mlp"  # or another of golden.networks.NETWORKS
    hidden: tuple[int, ...] = (256, 64)  # of mlp
    epochs: int = 12
    batch: int = 32
    sgd: Sgd = field(default=Sgd(rate=0.16, momentum=0.8, decay=1e-4))
    rate_drops: tuple[tuple[int, float], ...] = ((8, 0.2),)  # from this epoch on the rate is multiplied by this
    inputs: Fixed = field(default=Fixed(16, 8))
    formats: Formats | tuple[Formats, ...] = field(default=Formats())  # of every layer or node, or one each
    rounding: Rounding = Rounding.STOCHASTIC
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.net not in NETWORKS:
            raise ValueError(f"net must be one of {', '.join(NETWORKS)}, not {self.net!r}")
        if not 0 <= self.seed < 1 << 32:
            raise ValueError(f"seed must be 0 to {(1 << 32) - 1}, not {self.seed}")

    @property
    def layer_formats(self) -> tuple[Formats, ...]:
        if isinstance(self.formats, Formats):
            return (self.formats,) * (len(self.hidden) + 1)
        return self.formats

    def sgd_at(self, epoch: int) -> Sgd:
        """The optimizer of an epoch, rate drops applied."""
        rate = self.sgd.rate
        for first, factor in self.rate_drops:
            if epoch >= first:
                rate *= factor
        return replace(self.sgd, rate=rate)

    def sizes(self, samples: Samples) -> tuple[int, ...]:
        """Inputs, hidden layers, classes."""
        return (samples.train_x.shape[1], *self.hidden, samples.classes)

    def network(self, samples: Samples) -> Network | Graph:
        """The network before its first step."""
        if self.net == "mlp":
            return Network(self.sizes(samples), self.inputs, self.layer_formats, self.seed)
        return Graph(build(self.net, samples.shape, samples.classes), self.inputs, self.formats, self.seed)

    def with_frac(self, frac: int) -> "Config":
        """The same run with one format for every tensor, Gupta's <IL, FL> with FL = frac."""
        return replace(self, inputs=Fixed(16, frac), formats=Formats.uniform(frac))


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


@dataclass
class Result:
    """A finished or interrupted run."""

    config: Config
    network: Network | Graph
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

    def to_dict(self) -> dict:
        """Everything but the weights, for JSON."""
        return {
            "config": asdict(self.config),
            "history": [asdict(log) for log in self.history],
            "accuracy": self.accuracy,
            "interrupted": self.interrupted,
            "words_compared": self.words_compared,
            "differing_words": self.differing_words,
            "first_difference": self.first_difference,
        }


def batches(samples: Samples, config: Config, epoch: int) -> Iterator[np.ndarray]:
    """Indices of an epoch's batches, in keyed order; the last batch may be shorter."""
    key = tensor_key(config.seed, epoch, 0, Role.SHUFFLE)
    order = np.argsort(random_bits(key, np.arange(len(samples.train_x))), kind="stable")
    for first in range(0, len(order), config.batch):
        yield order[first : first + config.batch]


def train(
    config: Config,
    samples: Samples,
    *,
    execute: Execute | None = None,
    reference: Execute | None = None,
    progress: Callable[[int, int, float], None] | None = None,
    on_epoch: Callable[[EpochLog, Network | Graph], None] | None = None,
) -> Result:
    """Train; every product goes through ``execute`` (golden by default).

    reference : executes every product too; the words of both are compared and counted.
    progress : called after each step with steps done, steps in all and the loss of the batch.
    on_epoch : called after each epoch.
    KeyboardInterrupt ends the run and returns what there is: whole epochs in the history,
    the network as of the last whole step.
    """
    execute = execute or GoldenExecute(width=config.inputs.width)
    network = config.network(samples)
    result = Result(config, network)
    per_epoch = -(-len(samples.train_x) // config.batch)
    try:
        for epoch in range(config.epochs):
            trained, tested = Tally(execute, reference), Tally(execute, reference)
            try:
                log = _epoch(config, samples, network, epoch, per_epoch, trained, tested, progress)
            finally:
                result.first_difference = result.first_difference or trained.first_difference or tested.first_difference
            result.history.append(log)
            if on_epoch:
                on_epoch(log, network)
    except KeyboardInterrupt:
        result.interrupted = True
    return result


def _epoch(
    config: Config,
    samples: Samples,
    network: Network | Graph,
    epoch: int,
    per_epoch: int,
    trained: Tally,
    tested: Tally,
    progress: Callable[[int, int, float], None] | None,
) -> EpochLog:
    start = time.perf_counter()
    sgd = config.sgd_at(epoch)
    plans = [sgd.plan(formats, config.batch) for formats in network.formats]
    loss = correct = updates_saturated = 0
    for i, chosen in enumerate(batches(samples, config, epoch)):
        step = epoch * per_epoch + i
        x = samples.words(samples.train_x[chosen], config.inputs)
        done = network.step(trained, x, samples.train_y[chosen], plans, config.rounding, step)
        loss += done.loss
        correct += done.correct
        updates_saturated += done.saturations
        if progress:
            progress(step + 1, config.epochs * per_epoch, done.loss / done.samples / (1 << LOSS_FRAC))

    count = len(samples.train_x)
    accuracy = evaluate(network, samples, tested)
    return EpochLog(
        epoch=epoch,
        rate=sgd.rate,
        loss=loss / count / (1 << LOSS_FRAC),
        train_accuracy=correct / count,
        accuracy=accuracy,
        saturations={phase: trained.phases[phase].saturations for phase in PHASES}
        | {"update": updates_saturated, "test": sum(tested.phases[phase].saturations for phase in PHASES)},
        density={phase: trained.phases[phase].density for phase in PHASES},
        mask_density=trained.phases["BP"].mask_density,
        macs_dense={phase: trained.phases[phase].macs_dense for phase in PHASES},
        macs_done={phase: trained.phases[phase].macs_done for phase in PHASES},
        words_compared=trained.words_compared + tested.words_compared,
        differing_words=trained.differing_words + tested.differing_words,
        digest=network.digest(),
        seconds=time.perf_counter() - start,
    )


def evaluate(network: Network | Graph, samples: Samples, execute: Execute) -> float:
    """Share of the test samples that ``network`` classifies right."""
    correct = 0
    for first in range(0, len(samples.test_x), TEST_BATCH):
        x = samples.words(samples.test_x[first : first + TEST_BATCH], network.inputs)
        z = network.predict(execute, x)
        correct += int(np.count_nonzero(z.argmax(axis=1) == samples.test_y[first : first + TEST_BATCH]))
    return correct / len(samples.test_x)


# The demo on digits: two hidden layers, 16 bits, stochastic rounding; the defaults are its settings.
DEMO = Config()

# The same with three fraction bits everywhere: stochastic rounding still learns, nearest does not.
COARSE = DEMO.with_frac(3)
