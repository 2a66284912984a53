"""What a network is made of: nodes, their shapes, and who reads whom. No numbers yet."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from golden.conv import check_window, out_size

SAMPLES = -1  # the number under which nodes read the network's input

Shape = tuple[int, ...]  # of one sample: (h, w, c), or (features,)


@dataclass(frozen=True, kw_only=True)
class Node:
    """``reads`` : the nodes whose outputs it takes, by their place in the graph, or SAMPLES."""

    reads: tuple[int, ...]
    rectifies: ClassVar[bool] = False  # no word of its output is negative
    chooses: ClassVar[bool] = False  # its output's words are words it reads

    def shape(self, *reads: Shape) -> Shape:
        """Of its output, given those it reads; ValueError for what it cannot take. Default: the same."""
        return reads[0]


@dataclass(frozen=True, kw_only=True)
class ConvNode(Node):
    """A convolution to ``channels``, kernel 1 to 11, stride 1 to 4, padding less than the kernel."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0
    bias: bool = True

    def shape(self, *reads: Shape) -> Shape:
        check_window("conv", self.kernel, self.stride, self.padding)
        return (*_window(_image("conv", reads[0]), self.kernel, self.stride, self.padding)[:2], self.channels)


@dataclass(frozen=True, kw_only=True)
class DenseNode(Node):
    """Every one of ``units`` sees every feature."""

    units: int

    def shape(self, *reads: Shape) -> Shape:
        if len(reads[0]) != 1:
            raise ValueError(f"dense: input must be flat, not of shape {reads[0]}")
        return (self.units,)


@dataclass(frozen=True, kw_only=True)
class BatchNormNode(Node):
    """Normalises every channel over batch and positions; gamma and beta are learned."""


@dataclass(frozen=True, kw_only=True)
class ReluNode(Node):
    """Negative words become zero; with a ``limit`` (ReLU6's is 6) words above it become the limit, and neither passes a gradient."""

    limit: float | None = None
    rectifies: ClassVar[bool] = True

    def shape(self, *reads: Shape) -> Shape:
        if self.limit is not None and not self.limit > 0:
            raise ValueError(f"relu: limit must be more than 0, not {self.limit}")
        return reads[0]


@dataclass(frozen=True, kw_only=True)
class MaxPoolNode(Node):
    """The largest word of each window."""

    kernel: int
    stride: int
    padding: int = 0
    chooses: ClassVar[bool] = True

    def shape(self, *reads: Shape) -> Shape:
        return _window(_image("maxpool", reads[0]), self.kernel, self.stride, self.padding)


@dataclass(frozen=True, kw_only=True)
class AvgPoolNode(Node):
    """The mean of each window; kernel 0 is the whole image."""

    kernel: int = 0
    stride: int = 1

    def shape(self, *reads: Shape) -> Shape:
        image = _image("avgpool", reads[0])
        return _window(image, self.kernel or image[0], self.stride, 0)


@dataclass(frozen=True, kw_only=True)
class AddNode(Node):
    """The sum of two tensors of one shape."""

    def shape(self, *reads: Shape) -> Shape:
        if len(reads) != 2 or reads[0] != reads[1]:
            raise ValueError(f"add: must read two tensors of one shape, not {', '.join(map(str, reads))}")
        return reads[0]


@dataclass(frozen=True, kw_only=True)
class FlattenNode(Node):
    """An image as one row of features, in the order (y, x, c)."""

    chooses: ClassVar[bool] = True

    def shape(self, *reads: Shape) -> Shape:
        height, width, channels = _image("flatten", reads[0])
        return (height * width * channels,)


class NodeError(ValueError):
    """A node that cannot take what it reads; ``number`` is its place."""

    def __init__(self, name: str, number: int, error: ValueError):
        super().__init__(f"{name}: node {number}: {error}")
        self.number = number


@dataclass(frozen=True)
class Architecture:
    """A network without numbers: the last node's output are the logits.

    input : (h, w, c) of a sample. Nodes read only nodes before them.
    Raises ValueError, naming the node, for a graph that cannot be computed.
    """

    name: str
    input: Shape
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        shapes = self.shapes
        if not self.nodes or not isinstance(self.nodes[-1], DenseNode):
            raise ValueError(f"{self.name}: the last node must be dense, its outputs are the logits")
        read = {number for node in self.nodes for number in node.reads}
        for number in range(len(shapes) - 1):
            if number not in read:
                raise ValueError(f"{self.name}: nobody reads node {number}")

    @property
    def shapes(self) -> list[Shape]:
        """Of every node's output, without the batch."""
        shapes: list[Shape] = []
        for number, node in enumerate(self.nodes):
            for source in node.reads:
                if not SAMPLES <= source < number:
                    raise ValueError(f"{self.name}: node {number} must read a node before it, not {source}")
            try:
                shapes.append(node.shape(*(self.input if i == SAMPLES else shapes[i] for i in node.reads)))
            except ValueError as error:
                raise NodeError(self.name, number, error) from error
        return shapes

    @property
    def classes(self) -> int:
        return self.shapes[-1][0]


class Builder:
    """Nodes one after the other: each method adds one that reads ``after``, by default the last, and returns its number."""

    def __init__(self, shape: Sequence[int]):
        self.input: Shape = tuple(shape)
        self.nodes: list[Node] = []

    @property
    def last(self) -> int:
        return len(self.nodes) - 1  # before the first node: SAMPLES

    def add(self, node: Node) -> int:
        self.nodes.append(node)
        return self.last

    def conv(
        self,
        channels: int,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        *,
        bias: bool = True,
        after: int | None = None,
    ) -> int:
        reads = (self.last if after is None else after,)
        return self.add(
            ConvNode(reads=reads, channels=channels, kernel=kernel, stride=stride, padding=padding, bias=bias)
        )

    def dense(self, units: int) -> int:
        return self.add(DenseNode(reads=(self.last,), units=units))

    def norm(self) -> int:
        return self.add(BatchNormNode(reads=(self.last,)))

    def relu(self, limit: float | None = None) -> int:
        return self.add(ReluNode(reads=(self.last,), limit=limit))

    def maxpool(self, kernel: int, stride: int, padding: int = 0) -> int:
        return self.add(MaxPoolNode(reads=(self.last,), kernel=kernel, stride=stride, padding=padding))

    def avgpool(self, kernel: int = 0, stride: int = 1) -> int:
        return self.add(AvgPoolNode(reads=(self.last,), kernel=kernel, stride=stride))

    def flatten(self) -> int:
        return self.add(FlattenNode(reads=(self.last,)))

    def sum(self, one: int, other: int) -> int:
        return self.add(AddNode(reads=(one, other)))

    def build(self, name: str) -> Architecture:
        return Architecture(name, self.input, tuple(self.nodes))


def _image(what: str, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ValueError(f"{what}: input must be an image, not of shape {shape}")
    return shape[0], shape[1], shape[2]


def _window(image: tuple[int, int, int], kernel: int, stride: int, padding: int) -> Shape:
    return (out_size(image[0], kernel, stride, padding), out_size(image[1], kernel, stride, padding), image[2])
