"""One network on one machine, by hand: load data, step, predict, read tensors, counters and where the cycles went."""

import numpy as np

from golden.config import Config, Samples
from golden.layers import GoldenExecute
from golden.network import StepResult
from golden.tally import PhaseTally, Tally
from golden.trainer import batches, steps_per_epoch
from host.driver import Driver
from host.machines import Backend
from host.profile import Share, profile


class Session:
    """``config``'s network for ``samples`` in the memory of ``backend``; steps are those of :func:`golden.trainer.train`.

    check : golden takes every step beside it; ``differing_words`` of ``words_compared`` words in memory differ.
    steps : taken so far; it makes the keys of the next.
    """

    def __init__(self, config: Config, samples: Samples, backend: Backend, check: bool = False):
        self.config, self.samples = config, samples
        self.driver = Driver(config.graph(samples), backend, check)
        self.steps = 0
        self._tally = Tally(GoldenExecute(backend.chip.width, backend.chip.acc_width))

    def step(self, pixels: np.ndarray | None = None, labels: np.ndarray | None = None) -> StepResult:
        """One training step on pixels (n, features) and labels (n,), or on the run's next batch.

        The result's loss is the batch's sum with :data:`golden.loss.LOSS_FRAC` fraction bits.
        """
        if pixels is None or labels is None:
            chosen = self._next()
            pixels, labels = self.samples.train_x[chosen], self.samples.train_y[chosen]
        sgd = self.config.sgd_at(self.epoch)
        plans = [sgd.plan(formats, self.config.batch) for formats in self.driver.formats]
        x = self.samples.words(pixels, self.config.inputs)
        done = self.driver.step(self._tally, x, labels, plans, self.config.rounding, self.steps)
        self.steps += 1
        return done

    @property
    def per_epoch(self) -> int:
        return steps_per_epoch(self.config, self.samples)

    @property
    def epoch(self) -> int:
        return self.steps // self.per_epoch

    def _next(self) -> np.ndarray:
        return list(batches(self.samples, self.config, self.epoch))[self.steps % self.per_epoch]

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """The class of each of (n, features) pixels."""
        x = self.samples.words(pixels, self.config.inputs)
        return self.driver.predict(Tally(GoldenExecute()), x).argmax(axis=1)

    @property
    def weights(self) -> dict[int, np.ndarray]:
        """By node, from memory; batch norm's gamma over beta."""
        return {number: self.driver.state()[f"weights{number}"] for number in self.driver.graph.weights}

    @property
    def velocity(self) -> dict[int, np.ndarray]:
        return {number: self.driver.state()[f"velocity{number}"] for number in self.driver.graph.weights}

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all that the last step or prediction left in memory."""
        return {} if self.driver.last is None else {n: t.shape for n, t in self.driver.last[0].tensors.items()}

    def read(self, name: str) -> np.ndarray:
        """Words of one of :attr:`tensors`; KeyError for another name."""
        return self.driver.read(name)

    def write(self, name: str, words: np.ndarray) -> None:
        """The reverse of :meth:`read`."""
        self.driver.write(name, words)

    @property
    def counters(self) -> dict[str, int]:
        """The machine's counters, summed over all steps and predictions; none on an emulator."""
        return dict(self.driver.counters)

    @property
    def phases(self) -> dict[str, PhaseTally]:
        """Counts of the steps' products."""
        return self._tally.phases

    @property
    def words_compared(self) -> int:
        return self._tally.words_compared

    @property
    def differing_words(self) -> int:
        return self._tally.differing_words

    def trace(self) -> list[Share]:
        """Where the last step's cycles went; one entry for each layer and phase."""
        return profile(self.driver.backend.chip, self.driver.graph, self.driver.trace())
