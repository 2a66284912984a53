"""Which layers a technique applies to."""

from typing import TYPE_CHECKING

from golden.conv import Conv
from golden.layers import Dense
from golden.operators import Operator, ProductOperator

if TYPE_CHECKING:
    from golden.graph import Graph


def product_layers(graph: "Graph") -> list[ProductOperator]:
    """Convolutions and dense layers, in order."""
    return [op for op in graph.operators if isinstance(op, ProductOperator)]


def convolutions(graph: "Graph", least: int = 1) -> list[ProductOperator]:
    """Convolutions whose kernel is at least ``least``, in order."""
    return [op for op in product_layers(graph) if isinstance(op.unit, Conv) and op.unit.kernel >= least]


def rows_of_weights(op: Operator) -> tuple[int, int, bool]:
    """How a layer's weights lie: positions of the kernel, input channels, whether a row for the bias follows."""
    assert isinstance(op, ProductOperator)
    channels = op.shapes[0][-1]
    if isinstance(op.unit, Dense):
        return 1, channels, True
    return op.unit.kernel**2, channels, op.unit.bias


def refused(technique: str, graph: "Graph", reason: str) -> ValueError:
    """Why a technique cannot work on a network."""
    return ValueError(f"{technique} cannot train {graph.architecture.name}: {reason}")
