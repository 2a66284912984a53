"""A convolution's three products on raw integer words: forward, input gradient, weight gradient.

Tensors are NHWC. The products are matrix products on patches, copied out here only: a machine
generates the addresses instead. Both compute the same sums under the same rounding indices.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from golden.convert import narrow
from golden.layers import Execute, Formats, shift_between, takes_rows
from golden.product import Rows, Turned, check_words, nonzeros
from golden.tiles import COLUMNS, convolve, correlate, panels_of
from golden.workers import blocks, each
from spec.number import Fixed, Rounding

MAX_KERNEL, MAX_STRIDE = 11, 4
PATCH_WORDS = 1 << 23  # words of patches held at a time; no word shows the cut
SHARE = 1 << 18  # words of patches that a core copies at a time


def patches(
    x: np.ndarray, kernel: int, stride: int = 1, padding: int = 0, one: int | None = None, bits: int = 18
) -> np.ndarray:
    """x (batch, h, w, c) to (batch * oh * ow, kernel * kernel * c): what each output position sees.

    A row's words are in the order (ky, kx, c); padding is zeros. With ``one`` a last column of
    that word follows, for the bias. oh is ``out_size(h, ...)``, ow likewise. Words of ``bits``
    bits come out in as few bytes as hold them, since they are copied and read many times; a
    ValueError for others.
    """
    batch, height, width, channels = x.shape
    oh, ow = out_size(height, kernel, stride, padding), out_size(width, kernel, stride, padding)
    length, line = kernel * kernel * channels, kernel * channels
    out = np.empty((batch, oh, ow, length + (one is not None)), narrow(bits))

    def images(some: slice) -> None:
        check_words("x", x[some], bits)
        padded = np.zeros((some.stop - some.start, height + 2 * padding, width + 2 * padding, channels), narrow(bits))
        padded[:, padding : padding + height, padding : padding + width] = x[some]
        # Every line of a window, (kx, c), lies in one piece.
        image, row, column, word = padded.strides
        lines = as_strided(
            padded, (len(padded), oh, ow, kernel, line), (image, stride * row, stride * column, row, word)
        )
        out[some, ..., :length].reshape(lines.shape)[...] = lines
        if one is not None:
            out[some, ..., length] = one

    each(images, blocks(batch, max(1, SHARE // max(oh * ow * length, 1))))
    return out.reshape(-1, out.shape[3])


@dataclass(frozen=True)
class Windows(Rows):
    """:func:`patches` of these arguments, rows made when they are needed."""

    x: np.ndarray  # in one piece, of the type :func:`golden.convert.narrow`
    kernel: int
    stride: int
    padding: int
    one: int | None
    bits: int

    @classmethod
    def of(cls, x: np.ndarray, *how: Any) -> "Windows":
        """ValueError for words outside ``bits`` bits."""
        bits = how[-1]
        check_words("x", x, bits)
        return cls(np.ascontiguousarray(x, narrow(bits)), *how)

    @cached_property
    def positions(self) -> tuple[int, int]:
        """Along the two sides."""
        height, width = (out_size(size, self.kernel, self.stride, self.padding) for size in self.x.shape[1:3])
        return height, width

    @cached_property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        oh, ow = self.positions
        return len(self.x) * oh * ow, self.kernel**2 * self.x.shape[3] + (self.one is not None)

    @property
    def unit(self) -> int:  # type: ignore[override]
        """Rows of an image."""
        return self.positions[0] * self.positions[1]

    def by(self, b: np.ndarray) -> Callable[[slice, np.ndarray], object]:
        bias = np.zeros(-(-b.shape[1] // COLUMNS) * COLUMNS)
        if self.one is not None:
            bias[: b.shape[1]] = self.one * b[-1].astype(np.int64)
            b = b[:-1]
        panels = panels_of(b)
        return lambda some, out: convolve(self._images(some), *self._window, panels, bias, out)

    def turned_by(self, b: np.ndarray, some: slice, out: np.ndarray) -> None:
        correlate(self._images(some), *self._window, b[some], out[: len(out) - (self.one is not None)])
        if self.one is not None:
            out[-1] += self.one * b[some].sum(axis=0, dtype=np.int64)

    def nonzero(self) -> np.ndarray:
        height, width = self.positions
        of_words = nonzeros(self.x.reshape(-1, self.x.shape[3])).reshape(self.x.shape[:3])
        border = (self.padding, self.padding)
        seen = np.pad(of_words, ((0, 0), border, border))
        counts = np.full((len(seen), height, width), int(bool(self.one)))
        for y, x in np.ndindex(self.kernel, self.kernel):
            counts += seen[:, y : y + self.stride * height : self.stride, x : x + self.stride * width : self.stride]
        return counts.reshape(-1)

    def _images(self, some: slice) -> np.ndarray:
        return self.x[some.start // self.unit : some.stop // self.unit]

    @property
    def _window(self) -> tuple[int, int, int]:
        return self.kernel, self.stride, self.padding

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return patches(self.x, self.kernel, self.stride, self.padding, self.one, self.bits)


def out_size(size: int, kernel: int, stride: int, padding: int) -> int:
    """Positions along one side; ValueError where the window does not fit once."""
    if size + 2 * padding < kernel:
        raise ValueError(f"kernel must be at most {size + 2 * padding}, {size} and its padding, not {kernel}")
    return (size + 2 * padding - kernel) // stride + 1


def check_window(what: str, kernel: int, stride: int, padding: int) -> None:
    """ValueError for a window outside what the machine can address."""
    for name, value, low, high in (
        ("kernel", kernel, 1, MAX_KERNEL),
        ("stride", stride, 1, MAX_STRIDE),
        ("padding", padding, 0, kernel - 1),
    ):
        if not low <= value <= high:
            raise ValueError(f"{what}: {name} must be {low} to {high}, not {value}")


@dataclass(frozen=True)
class Conv:
    """Products of layer ``number``: x (batch, h, w, c_in) in ``inputs``.

    Weights are (kernel * kernel * c_in + 1, c_out), rows in the order (ky, kx, c), the bias in the
    last row where a constant one meets it; without ``bias`` that row is missing. Every product goes
    through the ``execute`` given to the method, under the key given, and every element is rounded
    under its linear index in the tensor it belongs to.
    """

    number: int
    inputs: Fixed
    formats: Formats
    kernel: int
    stride: int = 1
    padding: int = 0
    bias: bool = True

    def __post_init__(self) -> None:
        check_window(f"layer {self.number}", self.kernel, self.stride, self.padding)
        if self.bias and self.one > self.inputs.hi:
            raise ValueError(f"layer {self.number}: inputs {self.inputs} cannot hold 1.0, which the bias needs")

    @property
    def one(self) -> int:
        """The word that means 1.0 in the input's format."""
        return 1 << self.inputs.frac

    def out_shape(self, height: int, width: int) -> tuple[int, int]:
        """Positions of the output; ValueError where the kernel is larger than the padded image."""
        return (
            out_size(height, self.kernel, self.stride, self.padding),
            out_size(width, self.kernel, self.stride, self.padding),
        )

    def forward(self, execute: Execute, x: np.ndarray, weights: np.ndarray, rounding: Rounding, key: int) -> np.ndarray:
        """FP: (batch, oh, ow, c_out) words of ``formats.activations``."""
        self._check_weights(weights, x.shape[3])
        have = self.inputs.frac + self.formats.weights.frac
        shift = shift_between(f"layer {self.number} FP", have, self.formats.activations.frac)
        oh, ow = self.out_shape(*x.shape[1:3])
        c_out = weights.shape[1]
        pieces = [
            execute(
                self._patches(execute, x[some]),
                weights,
                shift=shift,
                rounding=rounding,
                key=key,
                name=f"layer{self.number}.z",
                phase="FP",
                index_base=some.start * oh * ow * c_out,
            )
            for some in _pieces(len(x), oh * ow * len(weights))
        ]
        return _joined(pieces).reshape(-1, oh, ow, c_out)

    def input_gradient(
        self,
        execute: Execute,
        delta: np.ndarray,
        weights: np.ndarray,
        shape: tuple[int, ...],
        mask: np.ndarray | None,
        below: Fixed,
        rounding: Rounding,
        key: int,
    ) -> np.ndarray:
        """BP: gradient of x, whose ``shape`` is (batch, h, w, c_in), words of ``below``.

        The forward product turned round: delta (batch, oh, ow, c_out) with stride - 1 zeros between
        its positions and a border, under the kernel mirrored. mask : of x's shape, or none; where
        it is zero nothing is computed.
        """
        have = self.formats.deltas.frac + self.formats.weights.frac
        shift = shift_between(f"layer {self.number} BP", have, below.frac)
        batch, height, width, c_in = shape
        kernel, c_out = self.kernel, weights.shape[1]
        self._check_weights(weights, c_in)
        self._check_delta(delta, shape, c_out)
        mirrored = weights[: kernel * kernel * c_in].reshape(kernel, kernel, c_in, c_out)[::-1, ::-1]
        b = mirrored.transpose(0, 1, 3, 2).reshape(kernel * kernel * c_out, c_in)
        border, bits = kernel - 1 - self.padding, self.formats.deltas.width
        pieces = [
            execute(
                _windows(execute, self._dilated(delta[some], height, width), kernel, 1, border, None, bits),
                b,
                shift=shift,
                rounding=rounding,
                key=key,
                mask=None if mask is None else mask[some].reshape(-1, c_in),
                name=f"layer{self.number}.dx",
                phase="BP",
                index_base=some.start * height * width * c_in,
            )
            for some in _pieces(batch, height * width * len(b))
        ]
        return _joined(pieces).reshape(shape)

    def weight_gradient(
        self, execute: Execute, x: np.ndarray, delta: np.ndarray, rounding: Rounding, key: int
    ) -> np.ndarray:
        """WG: dW of the weights' shape, summed over batch and positions, words of ``formats.gradients``.

        However the batch is cut, sums are exact and rounded once.
        """
        have = self.inputs.frac + self.formats.deltas.frac
        shift = shift_between(f"layer {self.number} WG", have, self.formats.gradients.frac)
        self._check_delta(delta, x.shape, delta.shape[3])
        name = f"layer{self.number}.dw"
        row = self.kernel * self.kernel * x.shape[3] + self.bias
        parts = _Parts(self, execute, x, delta, _pieces(len(x), delta.shape[1] * delta.shape[2] * row))
        return execute.chain(parts, shift=shift, rounding=rounding, key=key, name=name, phase="WG")

    def _patches(self, execute: Execute, x: np.ndarray) -> np.ndarray:
        one = self.one if self.bias else None
        return _windows(execute, x, self.kernel, self.stride, self.padding, one, self.inputs.width)

    def _dilated(self, delta: np.ndarray, height: int, width: int) -> np.ndarray:
        """delta with stride - 1 zeros between its positions: of the shape that a stride of one would give."""
        if self.stride == 1:
            return delta
        batch, _, _, c_out = delta.shape
        oh, ow = (out_size(size, self.kernel, 1, self.padding) for size in (height, width))
        out = np.zeros((batch, oh, ow, c_out), delta.dtype)
        out[:, :: self.stride, :: self.stride] = delta
        return out

    def _check_weights(self, weights: np.ndarray, c_in: int) -> None:
        rows = self.kernel * self.kernel * c_in + self.bias
        if weights.ndim != 2 or len(weights) != rows:
            raise ValueError(f"layer {self.number}: weights must have {rows} rows, not shape {weights.shape}")

    def _check_delta(self, delta: np.ndarray, shape: tuple[int, ...], c_out: int) -> None:
        want = (shape[0], *self.out_shape(shape[1], shape[2]), c_out)
        if delta.shape != want:
            raise ValueError(f"layer {self.number}: delta must have shape {want}, not {delta.shape}")


class _Parts(Sequence[tuple[np.ndarray, np.ndarray]]):
    """The pairs of a weight gradient, a piece of the batch each, copied out when read."""

    def __init__(self, conv: Conv, execute: Execute, x: np.ndarray, delta: np.ndarray, pieces: list[slice]):
        self.conv, self.execute, self.x, self.delta, self.pieces = conv, execute, x, delta, pieces

    def __len__(self) -> int:
        return len(self.pieces)

    def __getitem__(self, i):  # type: ignore[no-untyped-def]  # an index alone, never a slice
        some = self.pieces[i]
        a = self.conv._patches(self.execute, self.x[some])
        return Turned(a) if isinstance(a, Rows) else a.T, self.delta[some].reshape(-1, self.delta.shape[3])


def _windows(execute: Execute, x: np.ndarray, *how: Any) -> Any:
    """:func:`patches`, or for executors that make their rows themselves, :class:`Windows`."""
    return Windows.of(x, *how) if takes_rows(execute) else patches(x, *how)


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    """Rows of C that were computed in pieces; mostly there is one, which needs no copy."""
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _pieces(batch: int, words: int) -> list[slice]:
    """Slices of a batch whose samples take ``words`` words of patches each."""
    step = max(1, PATCH_WORDS // max(words, 1))
    return [slice(first, min(first + step, batch)) for first in range(0, batch, step)]
