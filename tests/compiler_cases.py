"""Networks, chips and machines for tests of compiled programs."""

import random

import numpy as np

from golden.graph import Graph
from golden.layers import Formats, GoldenExecute
from golden.nodes import Architecture, Builder
from golden.optimizer import Sgd
from golden.tally import Tally
from host.driver import MEMORY, RING, Driver
from host.machines import EmulatedMachine
from spec.chip import Chip, load_chip
from spec.number import Fixed, Rounding

ODD = Chip(
    name="odd",
    groups=3,
    lanes=8,
    slots=2,
    bank_depth=512,
    list_depth=128,
    psum_depth=512,
    scratch_banks=2,
    scratch_depth=2048,
)
NAMED = ("tiny", "sim64", "ecp5-64")
SGD = Sgd(rate=0.05, momentum=0.8, decay=1e-3)


def chip_named(name: str) -> Chip:
    return ODD if name == "odd" else load_chip(name)


def driver(graph: Graph, chip: Chip, rng: np.random.Generator) -> Driver:
    """A checked driver of an emulated machine whose memories hold rubbish at first."""
    machine = EmulatedMachine(chip, MEMORY, RING)
    limit = 1 << (chip.width - 1)
    machine.emulator.scratch[...] = rng.integers(-limit, limit, machine.emulator.scratch.shape)
    machine.memory[: 1 << 22] = rng.integers(0, 256, 1 << 22)
    return Driver(graph, machine, check=True)


def batch_of(graph: Graph, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Samples, a third of their words zero, and labels."""
    x = rng.integers(0, 1 << 8, (size, int(np.prod(graph.architecture.input))))
    x[rng.random(x.shape) < 0.3] = 0
    return x, rng.integers(0, graph.architecture.classes, size)


def train(on: Driver, batch: int, rng: np.random.Generator, steps: int = 1, sgd: Sgd = SGD) -> None:
    """Checked steps, then a prediction; every word that differs from golden's is an assertion."""
    tally = Tally(GoldenExecute(width=on.graph.inputs.width))
    for step in range(steps):
        x, labels = batch_of(on.graph, batch, rng)
        plans = [sgd.plan(formats, batch) for formats in on.formats]
        before = on.graph.digest()
        done = on.step(tally, x, labels, plans, Rounding.STOCHASTIC, step)
        assert on.first_difference is None, str(on.first_difference)
        assert tally.words_compared > 0
        assert on.digest() == on.graph.digest() != before
        assert done.samples == batch
    want = on.graph.predict(GoldenExecute(width=on.graph.inputs.width), x)
    np.testing.assert_array_equal(on.predict(tally, x), want)


def random_network(r: random.Random) -> Architecture:
    """A few layers of every kind on small images, not always square."""
    shape = [r.randint(3, 12), r.randint(3, 12)]
    b = Builder((*shape, r.choice([1, 2, 3, 8, 9])))

    def shrink(kernel: int, stride: int, padding: int) -> None:
        shape[:] = [(size + 2 * padding - kernel) // stride + 1 for size in shape]

    def conv(channels: int, kernel: int, stride: int, padding: int) -> None:
        b.conv(channels, kernel, stride, padding, bias=r.random() < 0.5)
        shrink(kernel, stride, padding)

    def any_conv(channels: int) -> None:
        kernel = r.randint(1, min(5, *shape))
        conv(channels, kernel, r.choice([1, 1, 2, 3, 4]), r.randint(0, kernel - 1))

    for _ in range(r.randint(1, 4)):
        kind = r.choice(["conv", "conv", "conv", "max", "mean", "residual"])
        if kind == "conv":
            any_conv(r.choice([1, 3, 4, 8, 10, 16, 17]))
            if r.random() < 0.5:
                b.norm()
        elif kind == "residual":
            any_conv(channels := r.choice([3, 8, 12]))
            start = b.relu() if r.random() < 0.5 else b.last
            kernel = r.choice([1, 3]) if min(shape) >= 3 else 1
            conv(channels, kernel, 1, kernel // 2)
            b.sum(b.last, start)
        elif min(shape) >= 2:
            kernel = r.randint(2, min(3, *shape))
            if kind == "max":
                stride, padding = r.randint(1, 3), r.randint(0, 1)
                b.maxpool(kernel, stride, padding)
                shrink(kernel, stride, padding)
            else:
                b.avgpool(kernel, 2)
                shrink(kernel, 2, 0)
        if r.random() < 0.7:
            b.relu()
    if shape[0] == shape[1] and r.random() < 0.3:
        b.avgpool()
    b.flatten()
    if r.random() < 0.5:
        b.dense(r.choice([5, 8, 20]))
        if r.random() < 0.5:
            b.norm()
        b.relu()
    b.dense(r.choice([2, 3, 10]))
    return b.build("random")


def random_chip(r: random.Random) -> Chip:
    if r.random() < 0.5:
        return chip_named(r.choice([*NAMED, "odd"]))
    return Chip(
        name="random",
        groups=r.randint(1, 9),
        lanes=r.choice([2, 4, 8, 16]),
        slots=r.randint(2, 4),
        bank_depth=r.choice([256, 512, 1024]),
        list_depth=r.choice([64, 128, 512]),
        psum_depth=r.choice([256, 512, 1024]),
        scratch_banks=r.choice([1, 2, 4]),
        scratch_depth=r.choice([128, 256, 512, 1024, 4096]),
    )


def random_formats(r: random.Random) -> Formats:
    return Formats(
        weights=Fixed(16, r.randint(11, 13)),
        activations=Fixed(16, r.randint(8, 11)),
        deltas=Fixed(16, r.randint(11, 14)),
        gradients=Fixed(16, r.randint(7, 10)),
        velocity=Fixed(16, r.randint(7, 10)),
    )
