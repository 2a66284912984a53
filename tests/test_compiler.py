"""Compiled programs on an emulated machine: every tensor of every step against the tensor-level golden model."""

import random
from dataclasses import replace

import numpy as np
import pytest
from compiler_cases import (
    ODD,
    SGD,
    chip_named,
    driver,
    random_chip,
    random_formats,
    random_network,
    train,
)

from golden.emulator_scratch import EmulatorError
from golden.graph import Graph
from golden.layers import Formats
from golden.networks import build
from golden.nodes import Builder
from golden.optimizer import Sgd
from host.compiler import DoesNotFit, Unsupported, compile_predict, compile_step
from host.program import Command, HostStep, Run, Symbol
from spec.chip import Chip, load_chip
from spec.isa import DESCRIPTOR_BYTES, Opcode, Unit, encode
from spec.number import Fixed, Rounding

CHIPS = ("tiny", "odd", "sim64", "ecp5-64")

pytestmark = pytest.mark.usefixtures("one_thread")


def graph_of(name: str, shape: tuple[int, int, int], seed: int = 3) -> Graph:
    return Graph(build(name, shape, 10), Fixed(16, 8), Formats(), seed=seed)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_four_chips_train_the_same_weights(name, seed):
    digests = set()
    for chip in CHIPS:
        rng = np.random.default_rng(seed)
        on = driver(graph_of(name, (8, 8, 1)), chip_named(chip), np.random.default_rng(seed))
        train(on, 6, rng, steps=2)
        digests.add(on.digest())
    assert len(digests) == 1


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(("name", "shape"), [("lenet5", (28, 28, 1)), ("gupta-cnn", (28, 28, 1))])
def test_networks_of_the_literature(name, shape, chip, rng):
    train(driver(graph_of(name, shape), chip_named(chip), rng), 2, rng)


@pytest.mark.parametrize(("chip", "batch"), [("ecp5-64", 2), ("odd", 1)])
def test_resnet20(chip, batch, rng):
    train(driver(graph_of("resnet20", (32, 32, 3)), chip_named(chip), rng), batch, rng)


@pytest.mark.parametrize("number", range(16))
def test_random_networks_on_random_chips(number, seed):
    r = random.Random(1000 * seed + number)
    for _ in range(20):
        try:
            architecture = random_network(r)
            graph = Graph(architecture, Fixed(16, 8), [random_formats(r) for _ in architecture.nodes], seed=number)
            on = driver(graph, random_chip(r), np.random.default_rng(number))
            train(on, r.randint(1, 9), np.random.default_rng(number))
            return
        except ValueError as error:  # a network that cannot be, or does not fit the chip
            if isinstance(error, EmulatorError):
                raise
    pytest.fail("no network fits")


def test_weights_larger_than_the_scratchpad(rng):
    """Reductions of both passes in parts, masked and not, with and without bias."""
    small = Chip(name="small", groups=2, lanes=4, bank_depth=256, list_depth=64, scratch_banks=1, scratch_depth=256)
    b = Builder((4, 4, 20))
    b.conv(40, 3, padding=1)
    b.relu()
    b.conv(41, 3, 2, padding=1, bias=False)
    b.norm()
    b.flatten()
    b.dense(90)
    b.relu()
    b.dense(3)
    graph = Graph(b.build("large"), Fixed(16, 8), Formats(), seed=1)
    on = driver(graph, small, rng)
    train(on, 3, rng)
    starts = [
        command.fields["start"]
        for part in on.program(3, [SGD.plan(f, 3) for f in on.formats], Rounding.STOCHASTIC).parts
        if isinstance(part, Run)
        for command in part.commands
        if command.opcode == Opcode.PRODUCT and command.label.phase in ("FP", "BP")
    ]
    assert 0 in starts


def test_wide_words():
    width, rng = 18, np.random.default_rng(1)
    formats = Formats(**{name: Fixed(width, frac + 2) for name, frac in FRACS.items()})
    chip = replace(load_chip("sim64"), name="wide", width=width, scratch_depth=2048)
    graph = Graph(build("cnn", (8, 8, 1), 10), Fixed(width, 8), formats, seed=2)
    on = driver(graph, chip, rng)
    train(on, 3, rng)
    with pytest.raises(Unsupported, match="cnn: words have 18 bits, chip tiny's have 16"):
        compile_predict(graph, load_chip("tiny"), 1)


FRACS = {"weights": 13, "activations": 10, "deltas": 13, "gradients": 10, "velocity": 10}


def test_without_decay_and_with_plans_that_change(rng):
    on = driver(graph_of("mlp", (4, 4, 1)), load_chip("tiny"), rng)
    for rate in (0.1, 0.02):
        train(on, 4, rng, sgd=Sgd(rate=rate, momentum=0.5))
    assert len(on._compiled) == 2  # training and prediction: a rate is no part of a program


def test_taps_that_meet_nothing(rng):
    """A kernel larger than the image and its padding's share, and a stride past its end: gradients of zero."""
    b = Builder((2, 2, 3))
    b.conv(5, 4, 4, padding=3)
    b.conv(4, 3, 3, padding=2, bias=False)
    b.flatten()
    b.dense(3)
    graph = Graph(b.build("edge"), Fixed(16, 8), Formats(), seed=1)
    train(driver(graph, load_chip("tiny"), rng), 3, rng)


@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "lies"),
    [(1, 5, 1, (7, 5, 5)), (2, 4, 1, (7, 6, 8)), (3, 3, 1, (7, 7, 3)), (1, 3, 2, (7, 7, 1)), (8, 3, 1, (7, 7, 8))],
)
def test_samples_of_few_channels_lie_as_lines_of_the_kernel(channels, kernel, stride, lies, rng):
    """Where a position takes no more bricks: what a tap along y sees is one position's channels."""
    b = Builder((7, 7, channels))
    b.conv(5, kernel, stride, padding=1)
    b.flatten()
    b.dense(3)
    graph = Graph(b.build("few"), Fixed(16, 8), Formats(), seed=1)
    on = driver(graph, load_chip("tiny"), rng)
    train(on, 3, rng)
    assert on._place.tensors["x"].shape[1:] == lies


def test_flat_features_that_are_no_bricks(rng):
    b = Builder((5, 4, 3))
    b.conv(5, 2)
    b.flatten()
    b.relu()
    b.dense(4)
    graph = Graph(b.build("flat"), Fixed(16, 8), Formats(), seed=1)
    train(driver(graph, load_chip("tiny"), rng), 3, rng)


def test_waits_are_needed(rng):
    """Without its waits a program races: the emulator that checks it is not blind."""
    on = driver(graph_of("cnn", (8, 8, 1)), load_chip("tiny"), rng)
    plans = [SGD.plan(formats, 2) for formats in on.formats]
    program = on.program(2, plans, Rounding.STOCHASTIC)
    parts = [
        part if isinstance(part, HostStep) else Run(tuple(replace(command, wait=Unit(0)) for command in part.commands))
        for part in program.parts
    ]
    on._compiled = {kind: replace(program, parts=parts) for kind in on._compiled}
    with pytest.raises(EmulatorError, match="race: "):
        train(on, 2, rng)


def test_loads_overlap_products():
    graph = graph_of("cnn", (8, 8, 1))
    program = compile_step(graph, load_chip("sim64"), 64, [SGD.plan(f, 64) for f in graph.formats])
    overlapped = products = 0
    for part in program.parts:
        if isinstance(part, HostStep):
            continue
        for command, following in zip(part.commands, part.commands[1:], strict=False):
            if command.opcode == Opcode.PRODUCT:
                products += 1
                overlapped += following.opcode in (Opcode.LOAD, Opcode.STORE) and Unit.PRODUCT not in following.wait
    assert overlapped >= products // 2


def test_symbols_are_patched_as_if_encoded(rng):
    graph = graph_of("mlp", (4, 4, 1))
    program = compile_step(graph, load_chip("tiny"), 2, [SGD.plan(f, 2) for f in graph.formats])
    run = next(part for part in reversed(program.parts) if isinstance(part, Run))
    names = {symbol.name for symbol in run.symbols}
    values = {name: int(rng.integers(0, 1 << 32 if name.startswith("key") else 33)) for name in names}

    def encoded(number: int, command: Command) -> bytes:
        fields = {n: values[v.name] if isinstance(v, Symbol) else v for n, v in command.fields.items()}
        return encode(command.opcode, command.wait, number, **fields)

    want = b"".join(encoded(number, command) for number, command in enumerate(run.commands))
    assert run.descriptors(values) == want
    assert len(want) <= program.longest_run
    assert len(want) % DESCRIPTOR_BYTES == 0
    with pytest.raises(ValueError, match=r"optimizer.4.weights.shift must be 0 to 63, not 64"):
        run.descriptors(values | {"optimizer.4.weights.shift": 64})


def test_listing_names_layer_phase_and_waits():
    graph = graph_of("mlp", (4, 4, 1))
    program = compile_step(graph, load_chip("tiny"), 2, [SGD.plan(f, 2) for f in graph.formats])
    lines = list(program.listing())
    assert len(lines) == program.commands + sum(isinstance(part, HostStep) for part in program.parts)
    assert any(" FP " in line and " product " in line and " L " in line for line in lines)
    assert any("host: reads out.5, writes delta.5" in line for line in lines)


def test_what_does_not_fit_is_named():
    small = Chip(
        name="small",
        groups=2,
        lanes=4,
        bank_depth=256,
        list_depth=64,
        psum_depth=256,
        scratch_banks=1,
        scratch_depth=16,
    )
    graph = graph_of("mlp", (8, 8, 1))
    with pytest.raises(DoesNotFit) as error:
        compile_predict(graph, small, 4)
    assert str(error.value) == (
        "node 1: FP of one line with 8 rows of weights takes 19 bricks of scratchpad, chip small has 16: "
        "3 bricks of scratchpad too many"
    )
    assert (error.value.layer, error.value.needed, error.value.room) == (1, 19, 16)


def test_dense_on_wide_images_of_odd_channels_is_refused():
    b = Builder((12, 12, 3))
    b.conv(3, 1)
    b.flatten()
    b.dense(2)
    graph = Graph(b.build("wide"), Fixed(16, 8), Formats())
    with pytest.raises(
        Unsupported, match=r"node 2: a dense layer on 12 x 12 positions of 3 channels needs a multiple of 8"
    ):
        compile_predict(graph, ODD, 1)
