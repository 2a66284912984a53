"""A predictor on lanes of its own: what of its time a step sees."""

import pytest

from host.overlap import exposed
from host.program import Label
from host.timeline import Row
from spec.isa import Opcode, Unit


def rows(*costs):
    """Rows of (layer, phase, cycles)."""
    return [
        Row(0, n, Label(layer, phase, ""), Opcode.PRODUCT, Unit.PRODUCT, 0, 0, cycles, 0, 0, 0, {}, None)
        for n, (layer, phase, cycles) in enumerate(costs)
    ]


FORWARD = [(0, "FP", 10), (0, "predict", 6), (1, "FP", 10), (1, "predict", 6)]


@pytest.mark.parametrize(
    ("costs", "awaited", "cycles"),
    [
        ([*FORWARD, (0, "update", 1), (1, "update", 1)], False, 4),  # of layer 1, beside the updates
        ([*FORWARD, (0, "update", 1), (1, "update", 1)], True, 5),  # its update waits
        ([*FORWARD, (1, "update", 1), (0, "update", 1)], True, 6),  # and the other's behind it
        ([*FORWARD, (1, "FP", 30), (1, "update", 1)], True, 0),
        ([(0, "FP", 10), (0, "predict", 25), (1, "FP", 10), (1, "predict", 6)], True, 21),  # the second waits for the first
        ([(0, "FP", 10)], True, 0),
    ],
)
def test_only_what_nothing_hides_is_seen(costs, awaited, cycles):
    assert exposed(rows(*costs), awaited) == cycles
