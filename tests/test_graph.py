"""Graphs of nodes: against float64, against the dense network, and against themselves computed otherwise."""

import io
import re

import numpy as np
import pytest
from golden_machine import GoldenMachine

import golden.conv
import golden.operators
import golden.optimizer
from golden.float_graph import FloatGraph
from golden.graph import Graph, uniform
from golden.layers import PHASES, Formats, GoldenExecute, Role, tensor_key
from golden.loss import cross_entropy
from golden.network import Network
from golden.networks import NETWORKS, build
from golden.nodes import AddNode, Architecture, Builder, DenseNode, FlattenNode, ReluNode
from golden.operators import Pass
from golden.optimizer import Sgd
from golden.tally import Tally
from host.rtl import RtlExecute
from spec.chip import load_chip
from spec.number import Fixed, Rounding

FINE = Formats(
    weights=Fixed(18, 15),
    activations=Fixed(18, 13),
    deltas=Fixed(18, 14),
    gradients=Fixed(18, 10),
    velocity=Fixed(18, 10),
)
SGD = Sgd(rate=0.05, momentum=0.8, decay=1e-3)

pytestmark = pytest.mark.usefixtures("one_thread")


def everything():
    """One of each kind of node: residual with projection, overlapping max-pool, average pool."""
    b = Builder((9, 9, 2))
    b.conv(4, 3, padding=1)
    start = b.relu()
    b.conv(6, 3, 2, padding=1, bias=False)
    body = b.norm()
    b.conv(6, 1, 2, bias=False, after=start)
    shortcut = b.norm()
    b.sum(body, shortcut)
    b.relu()
    b.maxpool(3, 1, padding=1)
    b.conv(5, 2)
    b.avgpool(2, 1)
    b.relu()
    b.avgpool()
    b.flatten()
    b.dense(7)
    b.relu()
    b.dense(3)
    return b.build("everything")


def batch(rng, architecture, size=6, frac=8):
    x = rng.integers(0, 1 << frac, (size, int(np.prod(architecture.input))))
    return x, rng.integers(0, architecture.classes, size)


def steps(graph, x, labels, count=2, execute=None, rounding=Rounding.STOCHASTIC, first=0):
    plans = [SGD.plan(formats, len(x)) for formats in graph.formats]
    done = [graph.step(execute or GoldenExecute(), x, labels, plans, rounding, first + i) for i in range(count)]
    return graph.digest(), done


def test_float_gradients_are_those_of_finite_differences(rng):
    architecture = everything()
    graph = FloatGraph.like(Graph(architecture, Fixed(18, 8), FINE, seed=3))
    for w in graph.weights.values():
        w += rng.normal(0, 0.05, w.shape)
    x, labels = batch(rng, architecture)
    x = x / 256
    _, gradients = graph.loss_and_gradients(x, labels)
    errors = []
    for number, w in graph.weights.items():
        for _ in range(6):
            at = tuple(rng.integers(0, w.shape))
            losses = []
            for step in (1e-6, -2e-6):
                w[at] += step
                losses.append(graph.loss_and_gradients(x, labels)[0])
            w[at] += 1e-6
            errors.append(abs((losses[0] - losses[1]) / 2e-6 - gradients[number][at]))
    # A step may cross a corner of ReLU or max-pool, rarely.
    assert sum(error > 1e-4 for error in errors) <= 2, errors


@pytest.mark.parametrize("seed", range(4))  # fixed: rounding may flip a ReLU or a maximum, and then gradients differ
def test_fine_formats_give_the_float_gradients(seed):
    rng = np.random.default_rng(seed)
    architecture = everything()
    graph = Graph(architecture, Fixed(18, 12), FINE, seed=4)
    real = FloatGraph.like(graph)
    x, labels = batch(rng, architecture, size=12, frac=12)
    p = Pass(GoldenExecute(width=18), Rounding.NEAREST, 4, 0, training=True)
    tensors, kept = graph.forward(p, x)
    loss = cross_entropy(tensors[-1], labels, FINE.activations, FINE.deltas, Rounding.NEAREST, 0)
    gradients = graph._backward(p, kept, loss.delta)
    real_loss, wanted = real.loss_and_gradients(x / 4096, labels)
    assert loss.loss / (1 << 16) == pytest.approx(real_loss, rel=2e-3)
    assert p.saturations == 0
    assert set(gradients) == set(wanted) == set(graph.weights)
    for number, gradient in gradients.items():
        got = gradient * FINE.gradients.step
        # Rounding the tensors on the way; a wrong term is an error of the order of one.
        assert np.linalg.norm(got - wanted[number]) <= 0.03 * np.linalg.norm(wanted[number]) + 0.01, number


def test_inference_uses_the_running_statistics(rng):
    architecture = everything()
    graph = Graph(architecture, Fixed(18, 12), FINE, seed=5)
    real = FloatGraph.like(graph)
    x, _ = batch(rng, architecture, size=12, frac=12)
    for _ in range(3):
        kept = graph.forward(Pass(GoldenExecute(width=18), Rounding.NEAREST, 0, 0, training=True), x)[1]
        for number, old in graph.running.items():
            graph.running[number] = graph.operators[number].unit.run(old, *kept[number].saved)
        real.forward(x / 4096, training=True)
    z = graph.predict(GoldenExecute(width=18), x) * FINE.activations.step
    np.testing.assert_allclose(z, real.forward(x / 4096)[0], atol=0.02)


def test_an_mlp_of_nodes_has_the_words_of_the_dense_network(rng):
    """Rounded to nearest, so that keys do not matter; the keys of the two differ."""
    network = Network((20, 9, 6, 3), Fixed(16, 8), [Formats()] * 3, seed=2)
    graph = Graph(Architecture("mlp", (4, 5, 1), _mlp_nodes((9, 6, 3))), Fixed(16, 8), seed=2)
    for number, words in zip(graph.weights, network.weights, strict=True):
        graph.weights[number] = words.copy()
    x, labels = batch(rng, graph.architecture, size=16)
    plans = [SGD.plan(Formats(), 16)] * 3
    for step in range(3):
        ours = graph.step(GoldenExecute(), x, labels, plans, Rounding.NEAREST, step)
        theirs = network.step(GoldenExecute(), x, labels, plans, Rounding.NEAREST, step)
        assert ours == theirs
    for number, words, velocity in zip(graph.weights, network.weights, network.velocity, strict=True):
        np.testing.assert_array_equal(graph.weights[number], words)
        np.testing.assert_array_equal(graph.velocity[number], velocity)
    np.testing.assert_array_equal(graph.predict(GoldenExecute(), x), network.predict(GoldenExecute(), x))


def _mlp_nodes(units):
    b = Builder((4, 5, 1))
    b.flatten()
    for n in units[:-1]:
        b.dense(n)
        b.relu()
    b.dense(units[-1])
    return tuple(b.nodes)


def test_equal_seeds_give_equal_words_however_products_are_cut_and_masked(rng, monkeypatch):
    architecture = everything()
    x, labels = batch(rng, architecture)
    digest, done = steps(Graph(architecture, Fixed(16, 8), seed=1), x, labels)
    assert done[0] != done[1]
    assert steps(Graph(architecture, Fixed(16, 8), seed=1), x, labels)[0] == digest
    assert steps(Graph(architecture, Fixed(16, 8), seed=2), x, labels)[0] != digest
    # Masking is done by the product or after it.
    unmasked = Graph(architecture, Fixed(16, 8), seed=1)
    assert [op.number for op in unmasked.operators if op.positive] == [2, 4, 8, 9, 12, 16]
    for op in unmasked.operators:
        op.positive = False
    assert steps(unmasked, x, labels)[0] == digest
    monkeypatch.setattr(golden.conv, "PATCH_WORDS", 50)
    tally = Tally(GoldenExecute(), GoldenExecute())
    assert steps(Graph(architecture, Fixed(16, 8), seed=1), x, labels, execute=tally)[0] == digest
    assert tally.differing_words == 0
    assert 0 < tally.phases["BP"].mask_density < 1


def test_words_are_pinned():
    """Two steps of one of everything: a change of any word of any tensor on the way shows here."""
    rng = np.random.default_rng(0)
    architecture = everything()
    digest, _ = steps(Graph(architecture, Fixed(16, 8), seed=1), *batch(rng, architecture))
    assert digest == "5930fc15a39a27b6d026d06f904cdbcb4347fc1ae65acf7abe8928668f795a97"


def test_a_step_never_uses_a_key_twice(rng, monkeypatch):
    keys = []

    def spy(*given):
        keys.append((given, tensor_key(*given)))
        return keys[-1][1]

    architecture = everything()
    graph = Graph(architecture, Fixed(16, 8), seed=1)
    monkeypatch.setattr(golden.operators, "tensor_key", spy)
    monkeypatch.setattr(golden.optimizer, "tensor_key", spy)
    steps(graph, *batch(rng, architecture), count=1)
    assert len(keys) > 40
    assert len({key for _, key in keys}) == len(keys)
    assert {(seed, step) for (seed, step, _, _), _ in keys} == {(1, 0)}
    for role in (Role.GRADIENT, Role.DECAYED, Role.VELOCITY, Role.WEIGHT):
        assert {layer for (_, _, layer, of), _ in keys if of == role} == {4 * number for number in graph.weights}


def test_a_restored_graph_goes_on_as_if_never_stopped(rng):
    architecture = everything()
    x, labels = batch(rng, architecture)
    straight, _ = steps(Graph(architecture, Fixed(16, 8), seed=1), x, labels, count=4)
    first = Graph(architecture, Fixed(16, 8), seed=1)
    steps(first, x, labels, count=2)
    file = io.BytesIO()
    np.savez(file, **first.state())
    file.seek(0)
    second = Graph(architecture, Fixed(16, 8), seed=1)
    second.restore(np.load(file))
    assert second.digest() == first.digest()
    assert steps(second, x, labels, count=2, first=2)[0] == straight
    assert first.digest() != straight  # restored arrays are copies
    state = first.state()
    with pytest.raises(ValueError, match=r"^everything: weights0 must have shape \(19, 4\), not \(18, 4\)$"):
        second.restore(state | {"weights0": state["weights0"][1:]})
    del state["running3"]
    with pytest.raises(ValueError, match=r"^everything: state must hold the same tensors, these differ: running3$"):
        second.restore(state)


def test_interruption_inside_a_step_leaves_the_step_before(rng):
    class Interrupted(GoldenExecute):
        calls = 0

        def __call__(self, a, b, **options):
            self.calls += 1
            if self.calls == 9:
                raise KeyboardInterrupt
            return super().__call__(a, b, **options)

    architecture = everything()
    x, labels = batch(rng, architecture)
    graph = Graph(architecture, Fixed(16, 8), seed=1)
    before = graph.digest()
    with pytest.raises(KeyboardInterrupt):
        steps(graph, x, labels, execute=Interrupted())
    assert graph.digest() == before


@pytest.mark.parametrize(
    ("name", "shape", "parameters"),
    [
        ("mlp", (8, 8, 1), 65 * 256 + 257 * 64 + 65 * 10),
        ("cnn", (8, 8, 1), 9 * 16 + 32 + 144 * 16 + 32 + 257 * 10),
        ("lenet5", (28, 28, 1), 61706),
        ("lenet5", (32, 32, 1), 61706),
        ("gupta-cnn", (28, 28, 1), 26 * 8 + 201 * 16 + 257 * 128 + 129 * 10),
        ("gupta-cifar", (32, 32, 3), 76 * 64 + 2 * 1601 * 64 + 1025 * 10),
        ("resnet20", (32, 32, 3), 272474),
        ("vgg11", (32, 32, 3), 9228362),
    ],
)
def test_networks_have_the_parameters_of_their_papers(name, shape, parameters):
    architecture = build(name, shape, 10)
    assert architecture.name == name
    assert architecture.classes == 10
    graph = Graph(architecture, Fixed(16, 8))
    assert sum(words.size for words in graph.weights.values()) == parameters


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"vgg11"}))
def test_every_network_takes_a_step(rng, name):
    shape = {"mlp": (8, 8, 1), "cnn": (8, 8, 1), "lenet5": (28, 28, 1), "gupta-cnn": (28, 28, 1)}.get(name, (32, 32, 3))
    architecture = build(name, shape, 10)
    graph = Graph(architecture, Fixed(16, 8), seed=1)
    x, labels = batch(rng, architecture, size=2)
    before = {number: words.copy() for number, words in graph.weights.items()}
    steps(graph, x, labels, count=1)
    for number, words in graph.weights.items():
        assert (words != before[number]).any(), number


def test_guptas_formats_go_everywhere():
    architecture = build("gupta-cnn", (28, 28, 1), 10)
    graph = Graph(architecture, Fixed(16, 8), uniform(architecture, 14, outputs=Fixed(16, 10)))
    assert {str(f.weights) for f in graph.formats} == {"<2,14>"}
    assert {str(f.activations) for f in graph.formats} == {"<6,10>"}


READ = {"reads": (-1,)}


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ([FlattenNode(**READ)], "n: the last node must be dense, its outputs are the logits"),
        ([DenseNode(units=3, **READ)], "n: node 0: dense: input must be flat, not of shape (4, 4, 1)"),
        ([FlattenNode(**READ), DenseNode(units=3, reads=(1,))], "n: node 1 must read a node before it, not 1"),
        ([FlattenNode(**READ), ReluNode(**READ), DenseNode(units=3, reads=(0,))], "n: nobody reads node 1"),
        (
            [FlattenNode(**READ), AddNode(reads=(0, -1)), DenseNode(units=3, reads=(1,))],
            "n: node 1: add: must read two tensors of one shape, not (16,), (4, 4, 1)",
        ),
    ],
)
def test_graphs_that_cannot_be_computed_are_refused(nodes, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Architecture("n", (4, 4, 1), tuple(nodes))


def test_formats_and_names_that_do_not_fit_are_refused():
    architecture = build("mlp", (2, 2, 1), 3)
    with pytest.raises(ValueError, match=r"^mlp: formats must be one for each of 6 nodes, not 2$"):
        Graph(architecture, Fixed(16, 8), [Formats()] * 2)
    text = "mlp: formats of node 0 must have the samples' width 18, not 16"
    with pytest.raises(ValueError, match=f"^{text}$"):
        Graph(architecture, Fixed(18, 8))
    with pytest.raises(ValueError, match=r"^unknown network 'lenet'; known networks: mlp, cnn, lenet5, "):
        build("lenet", (28, 28, 1), 10)
    with pytest.raises(ValueError, match=r"^gupta-cnn: node 3: kernel must be at most 2, 2 and its padding, not 5$"):
        build("gupta-cnn", (8, 8, 1), 10)


def test_a_driver_that_cuts_products_to_fit_has_the_same_words(rng):
    """The driver of the generated machine, on the golden one: blocks of C, bricks, packed masks."""
    architecture = everything()
    x, labels = batch(rng, architecture)
    digest, _ = steps(Graph(architecture, Fixed(16, 8), seed=1), x, labels)
    driver = RtlExecute(GoldenMachine(load_chip("tiny")))
    assert steps(Graph(architecture, Fixed(16, 8), seed=1), x, labels, execute=driver)[0] == digest
    assert {counts.products > 0 for phase, counts in driver.phases.items() if phase in PHASES} == {True}
