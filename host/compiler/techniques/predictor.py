"""The predictor of gradients as commands; golden.techniques.predictor. It shares lanes and memory with the layers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from golden.layers import Role
from golden.operators import SLOTS, ConvOperator, DenseOperator
from golden.optimizer import SgdPlan
from golden.techniques.prediction import scaled_maps, window
from golden.techniques.predictor import CONV, DENSE, Predictor
from host.compiler.convs import Layer
from host.compiler.elementwise import Affine, Sweep, emit_sweep, record_shape
from host.compiler.emit import Emitter, Span, pipeline
from host.compiler.errors import DoesNotFit
from host.compiler.memory import view
from host.compiler.scalars import unpack_sums
from host.compiler.update import emit_momentum
from host.program import Context, KeySymbol, Label, Value, key_symbol
from host.tensor import Tensor
from spec.chip import BRICK
from spec.isa import Kind
from spec.number import Rounding
from spec.product import ceil_div

if TYPE_CHECKING:
    from host.compiler.network import Network

PHASE = "predict"


def features_of(number: int) -> str:
    """The tensor of layer ``number``'s features."""
    return f"predictor.features.{number}"


def emit_features(net: "Network", number: int, out: Tensor, predictor: Predictor) -> Tensor:
    """What the predictor sees of layer ``number``, a sample for each channel: sums over batch and windows, their means by the host."""
    side, chip, label = predictor.size.side, net.chip, Label(number, PHASE, "features")
    image = out if len(out.shape) == 4 else view(out, (out.shape[0], 1, 1, out.channels))
    batch, height, width, channels = image.shape
    each, words = record_shape(chip, image.row_bricks)
    records = net.memory.add(f"predictor.sums.{number}", (side * side * each, words))
    windows = [(window(height, i, side), window(width, j, side)) for i in range(side) for j in range(side)]
    _window_sums(net.e, label, image, windows, records)
    features = net.memory.add(features_of(number), (channels, side, side, 1))
    counts = [batch * (ys.stop - ys.start) * (xs.stop - xs.start) for ys, xs in windows]

    def means(context: Context) -> None:
        parts = context.read(records.name).reshape(side * side, each, words)
        sums = np.array([unpack_sums(chip, part, channels)[0] for part in parts])
        maps = (2 * sums + np.array(counts)[:, None]) // (2 * np.array(counts)[:, None])
        context.write(features.name, scaled_maps(maps.T, chip.width).reshape(features.shape))

    net.e.host(label, means, (records.name,), (features.name,))
    return features


def _window_sums(e: Emitter, label: Label, x: Tensor, windows: list[tuple[slice, slice]], records: Tensor) -> None:
    batch, height, width, _ = x.shape
    across, each = x.row_bricks, records.bricks // len(windows)
    largest = max((ys.stop - ys.start) * (xs.stop - xs.start) for ys, xs in windows) * across
    images = min(batch, (e.chip.scratch_bricks - 2 * each) // (2 * largest))
    if images < 1:
        needed = 2 * (largest + each)
        raise DoesNotFit(label.layer, "features of an image", needed, e.chip.scratch_bricks, "bricks of scratchpad", e.chip.name)
    names = {f"u{i}": images * largest for i in (0, 1)} | {f"records{i}": each for i in (0, 1)}
    spans = e.layout(label, names)

    def job(tile: int, number: int, first: int) -> Iterator[None]:
        ys, xs = windows[number]
        lines, places, count = ys.stop - ys.start, xs.stop - xs.start, min(images, batch - first)
        here = replace(label, tile=f"window {number} images {first}+{count}")
        u, sums = spans[f"u{tile % 2}"], spans[f"records{number % 2}"]
        brick = ((first * height + ys.start) * width + xs.start) * across
        shape = {"bricks": places * across, "count_1": lines, "memory_1": width * across, "scratch_1": places * across}
        shape |= {"count_2": count, "memory_2": height * width * across, "scratch_2": lines * places * across}
        e.load(replace(here, what="load"), x, brick, u, **shape)
        yield
        fields = {"count": count * lines * places, "bricks": across, "u_base": u.base, "u_stride": across, "out_base": sums.base}
        e.vector(replace(here, what="sums"), Kind.REDUCE, fields | {"start": int(not first)}, (u,), (sums,))
        yield
        if first + count == batch:
            e.store(replace(here, what="store sums"), records, number * each, sums, bricks=each)

    tiles = [(number, first) for number in range(len(windows)) for first in range(0, batch, images)]
    pipeline(e, (job(tile, *which) for tile, which in enumerate(tiles)), 2)


@dataclass
class Guesser:
    """Its forward pass for the filters of layer ``number``, and the step after it."""

    net: "Network"
    number: int
    features: Tensor
    outputs: int
    predictor: Predictor
    first: int  # number of its first node, for keys
    held: Mapping[int, Span] = field(default_factory=dict)  # by node, weights that lie in the scratchpad

    def __post_init__(self) -> None:
        graph, (filters, side, _, _) = self.predictor.graph(self.outputs), self.features.shape
        self.graph = graph
        conv, _, _, dense = graph.operators
        assert isinstance(conv, ConvOperator)
        assert isinstance(dense, DenseOperator)
        self.conv, self.dense = conv, dense
        self.hidden = self._add("hidden", (filters, side, side, self.predictor.size.filters))
        self.said = self._add("said", (filters, dense.shape[0]))

    def _add(self, what: str, shape: tuple[int, ...]) -> Tensor:
        return self.net.memory.add(f"predictor.{what}.{self.number}", shape)

    def key(self, node: int, role: Role) -> KeySymbol:
        return key_symbol(SLOTS * (self.first + node), role)

    def _words(self, kind: str, node: int) -> Tensor:
        return self.net.memory.tensors[f"predictor.{kind}{node}"]

    def _layers(self) -> tuple[Layer, Layer]:
        return (
            Layer.of(self.conv, self.features, self.hidden, self._words("weights", CONV)),
            Layer.of(self.dense, self.hidden, self.said, self._words("weights", DENSE)),
        )

    def forward(self, training: bool) -> None:
        """To ``said``: its words have :data:`golden.techniques.predictor.FRAC` fraction bits."""
        e, memory = self.net.e, self.net.memory
        rounding = self.net.rounding if training else Rounding.NEAREST
        keys: list[Value] = [self.key(node, Role.ACTIVATION) if training else 0 for node in (CONV, DENSE)]
        with e.told_as(self.number, PHASE):
            conv, dense = self._layers()
            conv.forward(e, memory, keys[0], rounding, self.held.get(CONV) if conv.straight else None)
            step = Affine("h", "h", None, "same", 0, 0, relu=True)
            label, table = Label(self.number, PHASE, "relu"), {"same": memory.scalars(1)}
            emit_sweep(e, Sweep(label, {"h": self.hidden}, {"h": self.hidden}, table, [step], Rounding.FLOOR))
            dense.forward(e, memory, keys[1], rounding, self.held.get(DENSE) if dense.straight else None)

    def learn(self, target: Tensor) -> None:
        """A step of mean square error against ``target``, of ``said``'s shape."""
        net, e, memory = self.net, self.net.e, self.net.memory
        label = Label(self.number, PHASE, "error")
        self.forward(training=True)
        with e.told_as(self.number, PHASE):
            delta, below = self._add("error", self.said.shape), self._add("below", self.hidden.shape)
            step = Affine("error", "said", "target", "minus", 0, 0)
            reads, tables = {"said": self.said, "target": target}, {"minus": memory.scalars(1, -1)}
            emit_sweep(e, Sweep(label, reads, {"error": delta}, tables, [step], Rounding.NEAREST))
            conv, dense = self._layers()
            gradients = {CONV: self._add("gradient.conv", conv.weights.shape)}
            gradients[DENSE] = self._add("gradient.dense", (dense.weights.rows, self.said.channels))
            dense.gradient(e, memory, delta, gradients[DENSE], self.key(DENSE, Role.GRADIENT), net.rounding)
            given = self.dense.belows[0]
            assert given is not None
            dense.backward(e, delta, below, given, self.hidden, self.key(DENSE, Role.DELTA), net.rounding)
            conv.gradient(e, memory, below, gradients[CONV], self.key(CONV, Role.GRADIENT), net.rounding)
            plans = self.predictor.plans(self.graph, self.features.shape[0])
            for node, plan in zip((CONV, DENSE), plans, strict=True):
                self._update(node, gradients[node], plan)

    def _update(self, node: int, gradient: Tensor, plan: SgdPlan) -> None:
        """Of the outputs that the layer has; the plan never changes, so its numbers are part of the program."""
        shifts: dict[str, tuple[Value, Value]] = {
            "velocity": (self.key(node, Role.VELOCITY), plan.velocity.shift),
            "weights": (self.key(node, Role.WEIGHT), plan.weights.shift),
        }
        tables = {name: self.net.memory.scalars(own.s0, own.s1) for name, own in (("velocity", plan.velocity), ("weights", plan.weights))}
        words = self._words("weights", node), self._words("velocity", node)
        emit_momentum(self.net.e, Label(self.number, PHASE, "update"), *words, gradient, tables, shifts, self.net.rounding)


def emit_held(e: Emitter, layer: int, weights: Mapping[int, Tensor], spans: Mapping[int, Span]) -> None:
    """The predictor's weights, by node, to where they stay."""
    for node, span in spans.items():
        e.load(Label(layer, PHASE, "weights that stay"), weights[node], 0, span, bricks=span.bricks)


def emit_turned(e: Emitter, label: Label, source: Tensor, rows: int, out: Tensor, out_rows: int) -> None:
    """``out[j, i] = source[i, j]`` for the first ``rows`` of source and ``out_rows`` of out; words of out behind them in a brick are zero."""
    across, deep = source.row_bricks, ceil_div(rows, BRICK)
    planes = ceil_div(out_rows, BRICK)
    some, blocks = planes, deep  # of a tile
    room = e.chip.scratch_bricks // 2

    def size(some: int, blocks: int) -> int:
        return 2 * BRICK * some * blocks

    while size(some, blocks) > room:
        if blocks == 1 and some == 1:
            raise DoesNotFit(label.layer, "a block that is turned", 2 * size(1, 1), e.chip.scratch_bricks, "bricks of scratchpad", e.chip.name)
        some, blocks = (ceil_div(some, 2), blocks) if some >= blocks else (some, ceil_div(blocks, 2))
    spans = e.layout(label, {f"{name}{i}": BRICK * some * blocks for name in ("u", "out") for i in (0, 1)})

    def job(tile: int, plane: int, block: int) -> Iterator[None]:
        here = replace(label, tile=f"columns {plane * BRICK} rows {block * BRICK}")
        own, high = min(some, planes - plane), min(blocks, deep - block)
        count = min(high * BRICK, rows - block * BRICK)
        u, turned = spans[f"u{tile % 2}"], spans[f"out{tile % 2}"]
        brick = block * BRICK * across + plane
        e.load(replace(here, what="load"), source, brick, u, bricks=own, count_1=count, memory_1=across, scratch_1=own)
        yield
        fields = {"count": count, "bricks": own, "lines": 1, "u_base": u.base, "u_stride": own, "u_plane": 1}
        fields |= {"out_base": turned.base, "out_stride": high, "out_block": 1, "out_plane": BRICK * high}
        e.vector(replace(here, what="transpose"), Kind.TRANSPOSE, fields, (u,), (turned,))
        yield
        stored = min(own * BRICK, out_rows - plane * BRICK)
        place = plane * BRICK * out.row_bricks + block
        e.store(replace(here, what="store"), out, place, turned, bricks=high, count_1=stored, memory_1=out.row_bricks, scratch_1=high)

    tiles = [(plane, block) for plane in range(0, planes, some) for block in range(0, deep, blocks)]
    pipeline(e, (job(tile, *which) for tile, which in enumerate(tiles)), 2)
