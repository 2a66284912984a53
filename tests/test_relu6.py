"""ReLU with a limit: clipped words pass no gradient, and what they would have got is never computed."""

import numpy as np
import pytest

from golden.float_graph import FloatGraph
from golden.graph import Graph
from golden.layers import Formats, GoldenExecute
from golden.nodes import Builder
from golden.optimizer import Sgd
from golden.tally import Tally
from golden.techniques.sampling import ColumnRowSampling
from host.driver import MEMORY, RING, Driver, without_masks
from host.machines import EmulatedMachine
from spec.chip import CHIPS
from spec.number import Fixed, Rounding

pytestmark = pytest.mark.usefixtures("one_thread")
SGD = Sgd(rate=0.05, momentum=0.8)
LIMIT = 1.5  # low enough to be reached often


def network(limit=LIMIT):
    """A limit before a convolution, a pool, a dense layer; behind a batch norm and an addition; read twice."""
    b = Builder((6, 6, 2))
    b.conv(8, 3, padding=1)
    first = b.relu(limit)
    b.conv(8, 3, padding=1, bias=False)
    b.norm()
    b.sum(b.relu(limit), first)
    b.relu(limit)
    b.maxpool(2, 2)
    b.flatten()
    b.dense(12)
    b.relu(limit)
    b.dense(3)
    return b.build("limited")


def graph(limit=LIMIT, **formats):
    return Graph(network(limit), Fixed(16, 8), Formats(**formats), seed=2)


def batch(rng):
    return rng.integers(0, 256, (5, 72)), rng.integers(0, 3, 5)


def seen_of(graph, x, labels, execute=None):
    seen = {}
    graph.observe = seen.__setitem__
    plans = [SGD.plan(formats, len(x)) for formats in graph.formats]
    graph.step(execute or GoldenExecute(), x, labels, plans, Rounding.NEAREST, 0)
    graph.observe = None
    return seen


def test_words_end_at_the_limit_and_masks_follow(rng):
    g = graph()
    x, labels = batch(rng)
    tally = Tally(GoldenExecute())
    seen = seen_of(g, x, labels, tally)
    cap = round(LIMIT * 1024)
    for number in (1, 4, 6, 10):
        out, given = seen[f"out.{number}"], g.operators[number].node.reads[0]
        assert (out == np.clip(seen[f"out.{given}"], 0, cap)).all()
        assert (out == cap).any()
    inner = (seen["out.1"] > 0) & (seen["out.1"] < cap)
    assert not seen["part.2.0.1"][~inner].any()
    assert seen["part.2.0.1"][inner].any()
    assert tally.phases["BP"].unmasked < tally.phases["BP"].outputs


def test_gradients_are_those_of_the_float_twin(rng):
    """With fine formats golden's gradients are the float twin's, but for the places where rounding crosses a limit."""
    fine = {"weights": Fixed(16, 13), "activations": Fixed(16, 12), "deltas": Fixed(16, 13), "gradients": Fixed(16, 9)}
    g = graph(**fine)
    x, labels = batch(rng)
    twin = FloatGraph.like(g)
    _, wanted = twin.loss_and_gradients(x / 256, labels)
    seen = seen_of(g, x, labels)
    for number in (9, 11):
        scale = np.abs(wanted[number]).max()
        assert np.abs(seen[f"gradient.{number}"] / 512 - wanted[number]).max() < 0.05 * scale + 2 / 512


@pytest.mark.parametrize("policy", [None, ColumnRowSampling(0.5)], ids=["exact", "sampled"])
@pytest.mark.parametrize("masks", [True, False], ids=["masked", "whole"])
def test_machines_have_goldens_words(rng, policy, masks):
    g = graph() if masks else without_masks(graph())
    on = Driver(g, EmulatedMachine(CHIPS["tiny"], MEMORY, RING), check=True)
    if policy is not None:
        on.follow(policy, 1)
    tally = Tally(GoldenExecute())
    for step in range(2):
        x, labels = batch(rng)
        on.step(tally, x, labels, [SGD.plan(f, 5) for f in on.formats], Rounding.STOCHASTIC, step)
    assert (tally.differing_words, tally.first_difference) == (0, "")
    assert tally.words_compared > 5000


@pytest.mark.parametrize(
    ("limit", "reason"),
    [(-1.0, "relu: limit must be more than 0, not -1.0"), (40.0, "ReLU's limit 40.0 must be 2 to 32767 in words of .*, not 40960")],
)
def test_a_limit_that_cannot_be_is_refused(limit, reason):
    with pytest.raises(ValueError, match=reason):
        graph(limit)
