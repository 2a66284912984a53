"""Kernel rescaling: pre-train the same network with smaller kernels on smaller images, then resize its kernels and go on.

de Gusmao, Francini, Lepsoy and Magli 2016, "Fast Training of Convolutional Neural Networks via Kernel Rescaling" (arXiv:1610.03623),
table 1 and equation 5. Bilinear, as there. The factor is ``1 / s**2`` with s = target / pre: it keeps a kernel's sum, which the other
direction makes about five times too large.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod

import numpy as np

from golden.config import Config, Samples
from golden.graph import Graph
from golden.nodes import AddNode, Architecture, ConvNode, Node, NodeError
from golden.operators import BatchNormOperator, ConvOperator, DenseOperator, FlattenOperator, Operator
from golden.techniques.layers import refused

SMALLER = {1: 1, 3: 2, 5: 3, 7: 5, 11: 7}  # the paper's table 1, target to pre


def smaller(architecture: Architecture, size: int) -> Architecture:
    """The same network with smaller kernels, for images of ``size`` by ``size``; ValueError with the reason where its shapes do not fit.

    Padding that keeps an image's size does so too; even kernels, which cannot, enlarge it and shrink it in turn. Where that leaves the two
    operands of a sum of different sizes, the last convolution in front of it keeps its kernel (both ours).
    """
    keeps: set[int] = set()
    while True:
        nodes = _smaller_nodes(architecture, keeps)
        try:
            return Architecture(f"{architecture.name}-{size}", (size, size, architecture.input[2]), nodes)
        except ValueError as error:
            conv = _uneven(nodes, error)
            if conv is None or conv in keeps:
                raise ValueError(f"kernel rescaling cannot make {architecture.name} smaller: {error}") from error
            keeps.add(conv)


def _uneven(nodes: Sequence[Node], error: ValueError) -> int | None:
    """The last convolution in front of the sum that failed; None where something else did."""
    if not isinstance(error, NodeError) or not isinstance(nodes[error.number], AddNode):
        return None
    number = nodes[error.number].reads[0]
    while number >= 0 and not isinstance(nodes[number], ConvNode):
        number = nodes[number].reads[0]
    return number if number >= 0 else None


def _smaller_nodes(architecture: Architecture, keeps: Collection[int]) -> tuple[Node, ...]:
    nodes: list[Node] = []
    enlarges = True
    for number, node in enumerate(architecture.nodes):
        if isinstance(node, ConvNode) and number not in keeps:
            if node.kernel not in SMALLER:
                sizes = ", ".join(map(str, SMALLER))
                raise ValueError(f"kernel rescaling knows kernels of {sizes}, not {node.kernel}, of node {number}")
            kernel, padding = SMALLER[node.kernel], 0
            if node.padding and 2 * node.padding == node.kernel - 1:
                padding = kernel // 2 if kernel % 2 or enlarges else 0
                enlarges ^= not kernel % 2
            elif node.padding:
                raise ValueError(f"kernel rescaling needs padding of 0 or half a kernel, not {node.padding}, of node {number}")
            node = replace(node, kernel=kernel, padding=padding)
        nodes.append(node)
    return tuple(nodes)


def weights_between(source: int, target: int) -> tuple[np.ndarray, int]:
    """Bilinear interpolation from ``source`` to ``target`` places, centres on centres, constant beyond the ends: (target, source) integers
    over a common denominator."""
    below = 2 * target
    table = np.zeros((target, source), np.int64)
    for place in range(target):
        at = min(max((2 * place + 1) * source - target, 0), below * (source - 1))
        low, part = divmod(at, below)
        table[place, low] += below - part
        if part:
            table[place, low + 1] += part
    return table, below


def resized(maps: np.ndarray, shape: tuple[int, int], *, keeps_sum: bool = False) -> np.ndarray:
    """Maps (h, w, ...) of words at ``shape``, rounded once, half up; with ``keeps_sum`` times ``h * w`` over the new ``h * w``."""
    (rows, over_y), (columns, over_x) = (weights_between(n, to) for n, to in zip(maps.shape[:2], shape, strict=True))
    sums = np.einsum("iy,jx,yx...->ij...", rows, columns, maps.astype(np.int64))
    over = over_y * over_x
    if keeps_sum:
        sums, over = sums * prod(maps.shape[:2]), over * prod(shape)
    return (2 * sums + over) // (2 * over)


def images(pixels: np.ndarray, shape: tuple[int, int, int], size: int) -> np.ndarray:
    """Samples (count, features) of ``shape`` as samples of ``size`` by ``size``."""
    maps = pixels.reshape(-1, *shape).transpose(1, 2, 0, 3)
    return resized(maps, (size, size)).transpose(2, 0, 1, 3).reshape(len(pixels), -1)


def grow(small: Graph, target: Graph) -> None:
    """``target`` takes over the weights of ``small``, made by :func:`smaller` of its architecture.

    Kernels are resized, and the rows of a dense layer behind a flattened image as if they were a kernel; biases and the rest are copied.
    Momentum is dropped, and running statistics begin anew (the paper does not say).
    """
    for own, other in zip(target.operators, small.operators, strict=True):
        if type(own) is not type(other) or own.formats != other.formats:
            raise refused("kernel rescaling", small, f"node {own.number} is another than in {target.architecture.name}")
        if own.number in target.weights:
            target.weights[own.number] = _grown((target, small), own, other, small.weights[own.number])
            target.velocity[own.number] = np.zeros_like(target.weights[own.number])
        if isinstance(own, BatchNormOperator):
            target.running[own.number] = own.unit.first_running(own.shape[-1])


def _grown(graphs: tuple[Graph, Graph], own: Operator, other: Operator, words: np.ndarray) -> np.ndarray:
    if isinstance(own, ConvOperator) and isinstance(other, ConvOperator):
        before, after = (other.unit.kernel,) * 2, (own.unit.kernel,) * 2
    elif isinstance(own, DenseOperator) and own.shapes != other.shapes:
        number = own.node.reads[0]
        while not isinstance(graphs[0].operators[number], FlattenOperator):
            number = graphs[0].operators[number].node.reads[0]
        after, before = ((shape[0], shape[1]) for shape in (graph.operators[number].shapes[0] for graph in graphs))
    else:
        return words.copy()
    columns = words.shape[1]
    size = prod(before)
    channels = len(words) // size
    kernel = words[: size * channels].reshape(*before, channels, columns)
    grown = resized(kernel, after, keeps_sum=True).reshape(-1, columns)
    return np.concatenate([grown, words[size * channels :]])


@dataclass(frozen=True)
class Stage:
    """Epochs ``first`` to ``last``, the last one left out, of a run: what is trained in them, on what. begin : done before the first step."""

    graph: Graph
    samples: Samples
    first: int
    last: int
    begin: Callable[[], None] = lambda: None


def stages(config: Config, samples: Samples, carries: bool = True) -> list[Stage]:
    """The network with smaller kernels on images of two thirds the side, until an epoch before the first drop of the rate (half of the epochs
    where there is none); then the network itself, whose first weights are those that were grown, or, without ``carries``, its own.

    ValueError with the reason for a network, or a number of epochs, of which that cannot be done.
    """
    graph = config.graph(samples)
    if not any(isinstance(op, ConvOperator) for op in graph.operators):
        raise refused("kernel rescaling", graph, "it has no convolution")
    drops = [epoch for epoch, _ in config.rate_drops if epoch < config.epochs]
    switch = max(1, min(drops) - 1 if drops else config.epochs // 2)
    if switch >= config.epochs:
        raise refused("kernel rescaling", graph, f"two epochs at least are needed, not {config.epochs}")
    side = round(samples.shape[0] * 2 / 3)
    few = replace(
        samples,
        shape=(side, side, samples.shape[2]),
        train_x=images(samples.train_x, samples.shape, side),
        test_x=images(samples.test_x, samples.shape, side),
    )
    small = Graph(smaller(graph.architecture, side), config.inputs, config.formats, config.seed)
    begin = partial(grow, small, graph) if carries else lambda: None
    return [Stage(small, few, 0, switch), Stage(graph, samples, switch, config.epochs, begin)]
