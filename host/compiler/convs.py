"""The three products of a convolution; a dense layer is one whose kernel is as large as its input."""

from dataclasses import dataclass, replace

from golden.layers import shift_between
from golden.operators import ConvOperator, DenseOperator
from host.compiler.elementwise import emit_row_gradient
from host.compiler.emit import Emitter, Span
from host.compiler.errors import Unsupported
from host.compiler.geometry import Window, backward_axis, forward_axis
from host.compiler.gradient import Gradient
from host.compiler.gradient_conv import Kernel
from host.compiler.gradient_matrix import emit_matrix_gradient
from host.compiler.gradient_plan import emit_conv_gradient
from host.compiler.memory import Memory, view
from host.compiler.product_emit import emit_product
from host.compiler.products import Block, Held, Part, WindowedProduct
from host.program import Label, Value
from host.tensor import Tensor
from spec.chip import BRICK
from spec.isa import MAX_TAPS, Kind
from spec.number import Fixed, Rounding


@dataclass(frozen=True)
class Layer:
    """One layer's shapes and formats. x, z : images (batch, lines, places, channels), as they lie in memory."""

    op: ConvOperator | DenseOperator
    kernel: Kernel
    x: Tensor
    z: Tensor
    weights: Tensor

    @classmethod
    def of(cls, op: ConvOperator | DenseOperator, x: Tensor, z: Tensor, weights: Tensor) -> "Layer":
        """``x`` may be flat or an image. Raises :class:`Unsupported` for a dense layer on too large an image."""
        if isinstance(op, ConvOperator):
            kernel, stride, padding = op.unit.kernel, op.unit.stride, op.unit.padding
            if x.channels != op.shapes[0][-1]:  # neighbours along x are channels, see `Network.folded`
                return cls(op, Kernel(kernel, 1, stride, padding, 0), x, z, weights)
            return cls(op, Kernel(kernel, kernel, stride, padding, padding), x, z, weights)
        batch = x.shape[0]
        if len(x.shape) == 2:
            x = view(x, (batch, 1, 1, x.channels))
        _, height, width, channels = x.shape
        if max(height, width) > MAX_TAPS:
            raise Unsupported(
                f"node {op.number}: a dense layer on {height} x {width} positions of {channels} channels needs a "
                f"multiple of {BRICK} channels, or at most {MAX_TAPS} x {MAX_TAPS} positions"
            )
        return cls(op, Kernel(height, width, 1, 0, 0), x, view(z, (batch, 1, 1, z.channels)), weights)

    @property
    def bias(self) -> bool:
        return self.weights.rows > self.taps * self.x.channels

    @property
    def taps(self) -> int:
        return self.kernel.y * self.kernel.x

    @property
    def straight(self) -> bool:
        """Weights lie as a product reads them: the rows of B of one tap right behind those of the tap before."""
        return self.x.channels <= BRICK or not self.x.channels % BRICK

    @property
    def matrix(self) -> bool:
        """Each position of the output sees one of the input."""
        return self.taps == 1 and self.kernel.stride == 1

    def forward(self, e: Emitter, memory: Memory, key: Value, rounding: Rounding, held: Span | None = None) -> None:
        """FP to ``z``. held : where the weights lie in the scratchpad as they lie in memory, if they do; see :attr:`straight`."""
        k, op = self.kernel, self.op
        _, height, width, channels = self.x.shape
        window = Window(
            forward_axis(height, self.z.shape[1], k.y, k.stride, k.padding),
            forward_axis(width, self.z.shape[2], k.x, k.stride, k.margin),
            self.x,
        )
        label = Label(op.number, "FP", "")
        have = op.reads[0].frac + op.formats.weights.frac

        def load_b(block: Block, part: Part, b: Span, spare: Span) -> None:
            here = replace(label, what="weights")
            across = self.weights.row_bricks
            shape = {"bricks": block.bricks, "memory_1": across, "scratch_1": block.bricks}
            if part.tap_k == channels:
                e.load(here, self.weights, block.brick, b, count_1=self.weights.rows, **shape)
                return
            brick = part.brick * BRICK * across + block.brick
            shape |= {"memory_2": channels * across, "scratch_2": part.tap_k * block.bricks}
            e.load(here, self.weights, brick, b, count_1=part.words, count_2=self.taps, **shape)
            if part.bias:
                last = self.taps * channels * across + block.brick
                e.load(here, self.weights, last, b, self.taps * part.tap_k * block.bricks, bricks=block.bricks)

        emit_product(
            e,
            WindowedProduct(
                label=label,
                window=window,
                result=self.z,
                one=memory.ones(1 << op.reads[0].frac) if self.bias else None,
                mask=None,
                key=key,
                shift=shift_between(f"layer {op.number} FP", have, op.formats.activations.frac),
                rounding=rounding,
                load_b=load_b,
                spare=lambda bricks, part: 0,
                padded=False,
                held=None if held is None else Held(held, self.weights.row_bricks),
            ),
        )

    def backward(
        self, e: Emitter, delta: Tensor, dx: Tensor, below: Fixed, mask: Tensor | None, key: Value, rounding: Rounding
    ) -> None:
        """BP from ``delta``, of z's shape, to ``dx``, of x's; under positive words of ``mask``, of x's shape too, or everywhere."""
        k, op = self.kernel, self.op
        _, height, width, channels = self.x.shape
        delta, dx = view(delta, self.z.shape), view(dx, self.x.shape)
        window = Window(
            backward_axis(height, self.z.shape[1], k.y, k.stride, k.padding),
            backward_axis(width, self.z.shape[2], k.x, k.stride, k.margin),
            delta,
        )
        label = Label(op.number, "BP", "")
        have = op.formats.deltas.frac + op.formats.weights.frac
        across = self.weights.row_bricks

        def load_b(block: Block, part: Part, b: Span, spare: Span) -> None:
            """The kernel mirrored, each tap transposed; some taps at a time."""
            tap, line = block.columns * part.bricks, part.tap_k * block.bricks
            some = spare.bricks // tap
            for first in range(0, self.taps, some):
                count = min(some, self.taps - first)
                row = (self.taps - first - count) * channels + block.brick * BRICK
                shape = {
                    "bricks": part.bricks,
                    "count_1": block.columns,
                    "memory_1": across,
                    "scratch_1": part.bricks,
                    "count_2": count,
                    "memory_2": channels * across,
                    "scratch_2": tap,
                }
                e.load(replace(label, what="weights"), self.weights, row * across + part.brick, spare, **shape)
                fields = {
                    "count": block.columns,
                    "bricks": part.bricks,
                    "lines": count,
                    "u_base": spare.base + (count - 1) * tap,
                    "u_stride": part.bricks,
                    "u_line": -tap,
                    "u_plane": 1,
                    "out_base": b.base + first * line,
                    "out_stride": block.bricks,
                    "out_block": 1,
                    "out_line": line,
                    "out_plane": BRICK * block.bricks,
                }
                e.vector(replace(label, what="transpose"), Kind.TRANSPOSE, fields, (spare,), (b,))

        emit_product(
            e,
            WindowedProduct(
                label=label,
                window=window,
                result=dx,
                one=None,
                mask=None if mask is None else view(mask, self.x.shape),
                key=key,
                shift=shift_between(f"layer {op.number} BP", have, below.frac),
                rounding=rounding,
                load_b=load_b,
                spare=lambda bricks, part: min(bricks * BRICK, channels) * part.bricks,
                padded=True,
            ),
        )

    def gradient(self, e: Emitter, memory: Memory, delta: Tensor, dw: Tensor, key: Value, rounding: Rounding) -> None:
        """WG to ``dw``, of the weights' shape."""
        op = self.op
        delta = view(delta, self.z.shape)
        have = op.reads[0].frac + op.formats.deltas.frac
        shift = shift_between(f"layer {op.number} WG", have, op.formats.gradients.frac)
        label = Label(op.number, "WG", "")
        g = Gradient(label, self.x, delta, dw, key, shift, rounding)
        if self.matrix:
            emit_matrix_gradient(e, g)
        else:
            emit_conv_gradient(e, g, self.kernel)
        if self.bias:
            ones = memory.ones(1 << op.reads[0].frac)
            bias = replace(label, what="bias")
            emit_row_gradient(e, bias, delta, ones, dw, self.taps * self.x.channels, key, shift, rounding)
