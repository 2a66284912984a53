"""Training shortcuts on machines: golden's words in memory after every step, and only the work that golden does."""

from dataclasses import replace

import numpy as np
import pytest
from machine_cases import MACHINE_CHIPS
from machine_player import build_case_machine
from technique_networks import beginning

from golden.graph import Graph
from golden.layers import GoldenExecute
from golden.optimizer import Sgd
from golden.policy import Composed, Policy
from golden.tally import Tally
from golden.techniques.approximation import Batches, Gradient, GradientApproximation
from golden.techniques.local import Dynamic, LocalizedLearning, Table
from golden.techniques.prediction import GradientPrediction, Groups, Guess
from golden.techniques.predictor import Shape
from golden.techniques.pruning import Keep, StructuredPruning, ThresholdPruning
from golden.techniques.sampling import Choice, ColumnRowSampling
from golden.techniques.similarity import InputSimilarity
from golden.techniques.tracking import WeightTracking
from host.compiler import DoesNotFit, Unsupported
from host.compiler.techniques.on_host import OnHost
from host.driver import MEMORY, RING, Driver
from host.machines import EmulatedMachine, NativeBackend
from spec.chip import CHIPS
from spec.isa import Opcode
from spec.number import Fixed, Rounding
from tb.native.machine_host import NativeMachine
from tb.native.memory import Memory

SGD = Sgd(rate=0.1, momentum=0.8, decay=1e-3)
BATCH, EPOCH = 6, 2

pytestmark = pytest.mark.usefixtures("one_thread")

POLICIES = {
    "spikes": lambda: GradientApproximation(Gradient.APPROXIMATED, Batches.ALL),
    "scaled spikes by sign": lambda: GradientApproximation(Gradient.APPROXIMATED, Batches.SIGN, scale=1 / 6),
    "random gradient": lambda: GradientApproximation(Gradient.RANDOM, Batches.ALL),
    "zero gradient in every other epoch": lambda: GradientApproximation(Gradient.ZERO, Batches.ALTERNATE),
    "top pairs": lambda: ColumnRowSampling(0.5),
    "uniform pairs": lambda: ColumnRowSampling(0.5, Choice.UNIFORM),
    "scaled pairs": lambda: ColumnRowSampling(0.4, Choice.NORMS, replace=True, scaled=True),
    "Bernoulli pairs": lambda: ColumnRowSampling(0.6, Choice.BERNOULLI, scaled=True),
    "local layers": lambda: LocalizedLearning(Table((2, 1, 3)), 0.05, supervised=True),
    "dynamic layers": lambda: LocalizedLearning(Dynamic(cap=3, alpha=10.0, past=1), 0.05),
    "frozen layers": lambda: LocalizedLearning(Table((0, 3)), learns=False),
    "predictions": lambda: GradientPrediction(Groups(1, ((1, 1, 9),))),
    "zeros for predictions": lambda: GradientPrediction(Groups(1, ((1, 1, 9),)), Guess.ZERO),
    "last gradient for predictions": lambda: GradientPrediction(Groups(1, ((1, 1, 9),)), Guess.LAST),
    "two of four": lambda: StructuredPruning(2, 4, rescale=True),
    "two of four, random": lambda: StructuredPruning(2, 4, Keep.RANDOM),
    "random threshold": lambda: ThresholdPruning(0.8),
    "tracked weights": lambda: WeightTracking(0.3),
    "shared results": lambda: InputSimilarity(3, rest=1),
    "pruned and tracked": lambda: Composed([StructuredPruning(2, 4), WeightTracking(0.3), ColumnRowSampling(0.5)]),
    "spikes by sign and a threshold": lambda: Composed([GradientApproximation(Gradient.APPROXIMATED), ThresholdPruning(0.5)]),
    "local layers and shared results": lambda: Composed([LocalizedLearning(Table((2,)), 0.05), InputSimilarity(3, rest=1)]),
    "pairs and spikes": lambda: Composed([ColumnRowSampling(0.5), GradientApproximation(Gradient.APPROXIMATED)]),
}


def network(channels=8, pool=False):
    """Three convolutions and two dense layers, batch norm behind the second, an addition around the third."""
    b = beginning(channels)
    before = b.last
    b.sum(before, b.conv(channels, 3, padding=1))
    b.relu()
    if pool:
        b.maxpool(2, 1)
    b.flatten()
    b.dense(16)
    b.relu()
    b.dense(3)
    return b.build("small")


def driven(policy, count, backend=None, pool=False, channels=8, check=True, resident=False):
    """A machine after some steps by ``policy``, the tally of its comparisons, and the programs carried out."""
    rng = np.random.default_rng(5)
    backend = backend or EmulatedMachine(CHIPS["tiny"], MEMORY, RING)
    graph = Graph(network(channels, pool), Fixed(backend.chip.width, 8), seed=3)
    on = Driver(graph, backend, check=check)
    on.follow(policy, EPOCH, resident)
    plans = [SGD.plan(formats, BATCH) for formats in graph.formats]
    tally = Tally(GoldenExecute())
    programs = []
    for step in range(count):
        x, labels = rng.integers(0, 256, (BATCH, 6 * 6 * 4)), rng.integers(0, 3, BATCH)
        on.step(tally, x, labels, plans, Rounding.STOCHASTIC, step)
        programs.append(on.stepped[0])
    return on, tally, programs


def products(program):
    """Nodes and phases that products were carried out for."""
    return {
        (command.label.layer, command.label.phase)
        for part in program.parts
        for command in getattr(part, "commands", ())
        if command.opcode == Opcode.PRODUCT
    }


@pytest.mark.parametrize("name", POLICIES)
def test_machines_follow_a_policy_in_goldens_words(name):
    on, tally, _ = driven(POLICIES[name](), 6)
    assert (tally.differing_words, tally.first_difference) == (0, "")
    assert tally.words_compared > 6 * sum(w.size for w in on.graph.weights.values())


def test_pooled_maps_of_few_channels_have_goldens_words():
    """Channels that do not fill a brick, and an input gradient without a mask."""
    for name in ("spikes", "local layers", "predictions"):
        _, tally, _ = driven(POLICIES[name](), 3, pool=True, channels=5)
        assert (tally.differing_words, tally.first_difference) == (0, "")


@pytest.mark.parametrize(("filters", "kept"), [(4, True), (12, False)])
def test_a_predictors_weights_stay_in_the_scratchpad(filters, kept):
    """Loaded once in a predicted batch, in a true one with every layer; of a dense layer whose rows do not lie as a product wants them always so."""
    chip = replace(CHIPS["tiny"], scratch_depth=4096)
    loads = []
    for resident in (False, True):
        policy = GradientPrediction(Groups(1, ((1, 1, 9),)), size=Shape(3, filters))
        on, tally, programs = driven(policy, 3, EmulatedMachine(chip, MEMORY, RING), resident=resident)
        assert (tally.differing_words, tally.first_difference) == (0, "")
        tensors = [on.program(BATCH, None).tensors[f"predictor.weights{node}"] for node in (0, 3)]
        loads.append([weights_loaded(program, tensors) for program in programs])
        if resident:
            ends = {at.fields["scratch"] + at.fields["bricks"] for at in commands(programs[2]) if at.label.what == "weights that stay"}
            assert max(ends) == chip.scratch_bricks
    (first, later), (held, held_later) = ((some[0], some[2]) for some in loads)
    layers = len(LAYERS)
    assert (first, later) == (held, 2 * layers)
    assert held_later == (2 if kept else 2 + layers)


def test_columns_of_weights_that_stay_are_read_block_by_block(monkeypatch):
    """As if a block of a brick were the cheapest."""
    monkeypatch.setattr("host.compiler.product_plan._cost", lambda chip, p, one: one.bricks)
    policy = GradientPrediction(Groups(1, ((1, 1, 9),)), size=Shape(3, 4))
    _, tally, programs = driven(policy, 3, resident=True)
    assert (tally.differing_words, tally.first_difference) == (0, "")
    held = {c.fields["b_base"] for c in commands(programs[2]) if c.opcode == Opcode.PRODUCT and c.label.phase == "predict"}
    assert len(held) > 5


def test_weights_that_do_not_fit_beside_the_layers_are_refused():
    small = EmulatedMachine(replace(CHIPS["tiny"], scratch_depth=64), MEMORY, RING)
    with pytest.raises(DoesNotFit, match=r"^node 0: the predictor of gradients takes 343 bricks of scratchpad, chip tiny has 256: 87"):
        driven(GradientPrediction(Groups(1, ((1, 1, 9),)), size=Shape(3, 4)), 3, small, resident=True)


def commands(program):
    return [command for part in program.parts for command in getattr(part, "commands", ())]


def weights_loaded(program, tensors):
    """Loads that begin within one of the tensors' first rows."""
    starts = {tensor.at(0) for tensor in tensors}
    return sum(command.opcode == Opcode.LOAD and command.fields.get("address") in starts for command in commands(program))


LAYERS = {0: {"FP", "WG"}, 2: {"FP", "BP", "WG"}, 5: {"FP", "BP", "WG"}, 9: {"FP", "BP", "WG"}, 11: {"FP", "BP", "WG"}}


def of(layers):
    return {(layer, phase) for layer, phases in layers.items() for phase in phases}


def test_only_wanted_products_are_carried_out():
    """A zero gradient costs no WG, what learns locally or not at all no BP, a predicted batch neither."""
    _, _, exact = driven(GradientApproximation(Gradient.ZERO, Batches.ALTERNATE), 4)
    assert products(exact[0]) == of(LAYERS)
    assert products(exact[2]) == of(LAYERS) - {(2, "WG")}
    _, _, local = driven(LocalizedLearning(Table((0, 2)), 0.05), 4)
    assert products(local[0]) == of(LAYERS)
    assert products(local[2]) == of(LAYERS) - {(2, "BP"), (5, "BP")}
    _, _, frozen = driven(LocalizedLearning(Table((0, 2)), learns=False), 4)
    assert products(frozen[2]) == of(LAYERS) - {(2, "BP"), (5, "BP"), (0, "WG"), (2, "WG")}
    _, _, predicted = driven(GradientPrediction(Groups(1, ((1, 1, 9),)), Guess.ZERO), 4)
    assert products(predicted[2]) == {(layer, "FP") for layer in LAYERS}
    assert products(predicted[3]) == of(LAYERS)


def test_a_sign_decides_which_product_runs():
    """Of a layer's two variants one is carried out; over some steps each of them is."""
    _, _, programs = driven(GradientApproximation(Gradient.ZERO, Batches.SIGN), 8, check=False)
    assert {(2, "WG") in products(program) for program in programs} == {True, False}


def test_a_state_is_taken_up_by_another_machine():
    policy = POLICIES["dynamic layers"]
    rng = np.random.default_rng(2)
    batches = [(rng.integers(0, 256, (BATCH, 6 * 6 * 4)), rng.integers(0, 3, BATCH)) for _ in range(6)]

    def machine():
        on = Driver(Graph(network(), Fixed(16, 8), seed=3), EmulatedMachine(CHIPS["tiny"], MEMORY, RING))
        on.follow(policy(), EPOCH)
        return on

    def steps(on, some):
        plans = [SGD.plan(formats, BATCH) for formats in on.formats]
        for step in some:
            on.step(Tally(GoldenExecute()), *batches[step], plans, Rounding.STOCHASTIC, step)
        return on

    whole, first = steps(machine(), range(6)), steps(machine(), range(3))
    later = machine()
    later.restore(first.state())
    assert steps(later, range(3, 6)).digest() == whole.digest()
    assert {n: w.tolist() for n, w in later.state().items()} == {n: w.tolist() for n, w in whole.state().items()}


def test_a_policy_without_commands_is_refused():
    class Louder(Policy):
        def passes_on(self, p, op, dx):
            return 2 * dx

    on = Driver(Graph(network(), Fixed(16, 8)), EmulatedMachine(CHIPS["tiny"], MEMORY, RING))
    with pytest.raises(Unsupported, match="no machine carries out Louder yet"):
        on.follow(Louder(), EPOCH)
    with pytest.raises(Unsupported, match="no machine carries out Louder yet"):
        OnHost(Louder())


def test_a_policy_comes_before_the_first_step():
    on, _, _ = driven(POLICIES["top pairs"](), 1)
    with pytest.raises(ValueError, match="from the first step on"):
        on.follow(POLICIES["top pairs"](), EPOCH)


@pytest.fixture(scope="module")
def native():
    chip = MACHINE_CHIPS["tiny"]
    with NativeMachine(chip, build_case_machine(chip), MEMORY, Memory(stall=0.2, jitter=5)) as machine:
        yield machine


@pytest.mark.rtl
@pytest.mark.parametrize("name", POLICIES)
def test_generated_hardware_follows_a_policy_in_goldens_words(native, name):
    _, tally, _ = driven(POLICIES[name](), 4, NativeBackend(native, RING))
    assert (tally.differing_words, tally.first_difference) == (0, "")


@pytest.mark.rtl
def test_generated_hardware_reads_weights_where_they_stay(native):
    policy = GradientPrediction(Groups(1, ((1, 1, 9),)), size=Shape(3, 4))
    on, tally, _ = driven(policy, 3, NativeBackend(native, RING), resident=True)
    assert on.lowering.held
    assert (tally.differing_words, tally.first_difference) == (0, "")
