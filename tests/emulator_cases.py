"""Descriptors made by hand from layers and pools, and tensors placed in a scratchpad image."""

import numpy as np

from golden.conv import Conv
from golden.layers import Formats
from spec.chip import BRICK, Chip
from spec.isa import ErrorCode, Opcode, decode, encode, fault
from spec.number import Fixed
from spec.product import ceil_div


class Pad:
    """A scratchpad image of random rubbish that hands out bricks from a random place on."""

    def __init__(self, chip: Chip, rng: np.random.Generator):
        self.chip, self.rng = chip, rng
        limit = 1 << (chip.width - 1)
        self.words = rng.integers(-limit, limit, (chip.scratch_bricks, BRICK)).astype(np.int32)
        self.next = int(rng.integers(chip.scratch_bricks))

    def room(self, bricks: int) -> int:
        """The first of so many free bricks; they may wrap."""
        first = self.next
        self.next = (first + bricks + int(self.rng.integers(3))) % self.chip.scratch_bricks
        return first

    def at(self, first: int, bricks: int) -> np.ndarray:
        return (first + np.arange(bricks)) % self.chip.scratch_bricks

    def put(self, tensor: np.ndarray) -> tuple[int, int]:
        """A tensor with channels last, padded to bricks: its first brick, and the bricks of one position."""
        rows = tensor.reshape(-1, tensor.shape[-1])
        bricks = ceil_div(rows.shape[1], BRICK)
        padded = np.zeros((len(rows), bricks * BRICK), np.int32)
        padded[:, : rows.shape[1]] = rows
        first = self.room(len(rows) * bricks)
        self.words[self.at(first, len(rows) * bricks)] = padded.reshape(-1, BRICK)
        return first, bricks

    def get(self, first: int, shape: tuple[int, ...], stride: int | None = None) -> np.ndarray:
        """The tensor back; its padding must be zeros."""
        bricks, rows = ceil_div(shape[-1], BRICK), int(np.prod(shape[:-1]))
        places = first + (stride or bricks) * np.arange(rows)[:, None] + np.arange(bricks)
        words = self.words[places % self.chip.scratch_bricks].reshape(rows, -1)
        assert not words[:, shape[-1] :].any()
        return words[:, : shape[-1]].reshape(shape).astype(np.int64)


def fields(chip: Chip, opcode: Opcode, **values: int) -> dict[str, int]:
    """What a decoder gives for a descriptor of these values, which must be legal."""
    descriptor = encode(opcode, **values)
    assert fault(chip, descriptor) == (ErrorCode.NONE, "")
    return decode(descriptor)[1]


def window(shape: tuple[int, ...], bricks: int, out: tuple[int, int], kernel: int, stride: int, padding: int) -> dict:
    """Fields of a forward window on a tensor (batch, h, w, c)."""
    _, h, w, _ = shape
    steps = {"step_x": bricks, "step_y": w * bricks, "step_b": h * w * bricks}
    return {
        "out_x": out[1],
        "out_y": out[0],
        "in_x": w,
        "in_y": h,
        "origin_x": -padding,
        "origin_y": -padding,
        "stride": stride,
        "dilation": 1,
        "taps_x": kernel,
        "taps_y": kernel,
        **steps,
    }


def holed(shape: tuple[int, ...], bricks: int, above: tuple[int, int], kernel: int, stride: int, padding: int) -> dict:
    """Fields of the window that a gradient of a tensor of ``shape`` sees of the gradient (batch, *above, c)."""
    border = kernel - 1 - padding
    origin, phase = divmod(-border, stride)
    oh, ow = above
    return {
        "out_x": shape[2],
        "out_y": shape[1],
        "in_x": ow,
        "in_y": oh,
        "origin_x": origin,
        "origin_y": origin,
        "phase_x": phase,
        "phase_y": phase,
        "dilation": stride,
        "stride": 1,
        "taps_x": kernel,
        "taps_y": kernel,
        "step_x": bricks,
        "step_y": ow * bricks,
        "step_b": oh * ow * bricks,
    }


def base(first: int, view: dict) -> int:
    """Where a window's origin lies or would lie, for an operand whose first brick is ``first``."""
    return first + view["origin_y"] * view["step_y"] + view["origin_x"] * view["step_x"]


def tiles(rng: np.random.Generator, taps: int, bricks: int, channels: int, bias: bool) -> dict:
    """A random tiling of a reduction whose tiles of A and of B agree."""
    k = taps * channels + bias
    choice = int(rng.integers(3))
    if choice == 0 and channels % BRICK == 0:
        a_tile = int(rng.integers(1, taps * bricks + 2))
        k_tile = a_tile * BRICK
    elif choice == 1:
        some = int(rng.integers(1, taps + 1))
        a_tile, k_tile = some * bricks, some * channels
    else:
        a_tile, k_tile = taps * bricks + bias, k
    return {"k": k, "a_tile": a_tile, "k_tile": k_tile}


def random_conv(rng: np.random.Generator, largest: int = 5, **given: int):
    """A convolution, its tensors' shapes; sizes such that plain loops are quick."""
    kernel = given.get("kernel") or int(rng.integers(1, largest + 1))
    stride = given.get("stride") or int(rng.integers(1, 5))
    padding = int(rng.integers(0, kernel))
    conv = Conv(0, Fixed(16, 8), Formats(), kernel, stride, padding, bool(rng.integers(2)))
    low = max(1, kernel - 2 * padding)
    batch, (h, w) = int(rng.integers(1, 3)), rng.integers(low, low + 5, 2)
    c_in, c_out = (int(c) for c in rng.integers(1, 20, 2))
    return conv, (batch, int(h), int(w), c_in), (batch, *conv.out_shape(int(h), int(w)), c_out)
