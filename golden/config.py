"""What a training run is: samples, and the settings of a network and its optimizer."""

from dataclasses import dataclass, field, replace

import numpy as np

from golden.convert import convert
from golden.graph import Graph
from golden.layers import Formats
from golden.network import Network
from golden.networks import NETWORKS, build, mlp
from golden.optimizer import Sgd
from spec.number import Fixed, Rounding


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

    def tested_on(self, count: int) -> "Samples":
        """The same with the first ``count`` test samples alone; ValueError unless there are so many."""
        if not 1 <= count <= len(self.test_x):
            raise ValueError(f"test samples of {self.name} must be 1 to {len(self.test_x)}, not {count}")
        return replace(self, test_x=self.test_x[:count], test_y=self.test_y[:count])

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
    schedule: tuple[tuple[int, Formats], ...] = ()  # from this epoch on these formats instead, of a graph
    rounding: Rounding = Rounding.STOCHASTIC
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.net not in NETWORKS:
            raise ValueError(f"net must be one of {', '.join(NETWORKS)}, not {self.net!r}")
        first = [epoch for epoch, _ in self.schedule]
        if first != sorted(set(first)) or any(epoch < 1 for epoch in first):
            raise ValueError(f"schedule must have rising epochs from 1 on, not {first}")
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

    def formats_at(self, epoch: int) -> Formats | tuple[Formats, ...]:
        """The formats of an epoch, schedule applied."""
        begun = [formats for first, formats in self.schedule if first <= epoch]
        return begun[-1] if begun else self.formats

    def sizes(self, samples: Samples) -> tuple[int, ...]:
        """Inputs, hidden layers, classes."""
        return (samples.train_x.shape[1], *self.hidden, samples.classes)

    def network(self, samples: Samples) -> Network | Graph:
        """The network before its first step."""
        if self.net == "mlp":
            return Network(self.sizes(samples), self.inputs, self.layer_formats, self.seed)
        return self.graph(samples)

    def graph(self, samples: Samples) -> Graph:
        """The same as a graph of nodes, which machines run; that of "mlp" has keys, and so words, of its own."""
        if self.net == "mlp":
            return Graph(mlp(samples.shape, samples.classes, self.hidden), self.inputs, self.formats, self.seed)
        return Graph(build(self.net, samples.shape, samples.classes), self.inputs, self.formats, self.seed)

    def with_frac(self, frac: int, width: int = 16) -> "Config":
        """The same run with one format for every tensor, Gupta's <IL, FL> with FL = frac."""
        return replace(self, inputs=Fixed(width, frac), formats=Formats.uniform(frac, width))


# The demo on digits: two hidden layers, 16 bits, stochastic rounding; the defaults are its settings.
DEMO = Config()

# The same with three fraction bits everywhere: stochastic rounding still learns, nearest does not.
COARSE = DEMO.with_frac(3)
