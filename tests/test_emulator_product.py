"""Product commands on a scratchpad image against the tensor-level golden, and against plain loops."""

from dataclasses import replace

import numpy as np
import pytest
from emulator_cases import Pad, base, fields, holed, random_conv, tiles, window

from golden.emulator_product import product
from golden.emulator_scratch import EmulatorError
from golden.emulator_vector import vector
from golden.layers import GoldenExecute
from golden.product import OverflowRefused
from golden.tally import Tally
from spec.chip import CHIPS
from spec.isa import Kind, Opcode
from spec.number import Fixed, Rounding
from spec.product import ceil_div

CHIP = replace(CHIPS["sim64"], scratch_depth=4096)
MODE = Rounding.STOCHASTIC


def words(rng, shape, extent=3000):
    return rng.integers(-extent, extent, shape) * rng.integers(0, 2, shape)


def columns(n):
    return {"columns": ceil_div(n, CHIP.lanes), "rows": 1, "row_tile": 8}


def forward(rng, pad, conv, x, weights, out, **how):
    """Fields of the forward product."""
    (x_at, x_bricks), (w_at, w_bricks) = pad.put(x), pad.put(weights)
    view = window(x.shape, x_bricks, out[1:3], conv.kernel, conv.stride, conv.padding)
    one_at, _ = pad.put(np.array([[conv.one, 7, 7]]))
    cut = tiles(rng, conv.kernel**2, x_bricks, x.shape[3], conv.bias)
    values = {
        "m": out[0] * out[1] * out[2],
        "n": out[3],
        "a_base": base(x_at, view),
        "a_bricks": x_bricks,
        "a_tail": x.shape[3] - 8 * (x_bricks - 1),
        "tap_k": x.shape[3],
        "bias": conv.bias,
        "one_base": one_at,
        "b_base": w_at,
        "b_stride": w_bricks,
        "b_tile": cut["k_tile"] * w_bricks,
        "c_base": pad.room(out[0] * out[1] * out[2] * w_bricks),
        "c_stride": w_bricks,
        "index_stride": out[3],
        "start": 1,
        "finish": 1,
        "rounding": MODE,
        **view,
        **cut,
        **columns(out[3]),
    }
    return fields(CHIP, Opcode.PRODUCT, **(values | how))


@pytest.mark.parametrize("kernel", range(1, 12))
def test_forward_and_input_gradient_of_a_convolution(rng, kernel):
    for _ in range(4 if kernel < 6 else 1):
        conv, shape, out = random_conv(rng, kernel=kernel)
        print(conv, shape, out)
        x, delta = words(rng, shape), words(rng, out)
        weights = words(rng, (kernel**2 * shape[3] + conv.bias, out[3]), 9000)
        tally = Tally(GoldenExecute())
        pad = Pad(CHIP, rng)
        key = int(rng.integers(1 << 32))
        f = forward(rng, pad, conv, x, weights, out, shift=11, key=key)
        done = product(CHIP, f, pad.words)
        np.testing.assert_array_equal(pad.get(f["c_base"], out), conv.forward(tally, x, weights, MODE, key))
        assert done.saturations == tally.saturations
        assert (done.macs, done.macs_dense) == (tally.phases["FP"].macs_done, tally.phases["FP"].macs_dense)
        assert (done.words, done.nonzero) == (tally.phases["FP"].words, tally.phases["FP"].nonzero)

        check_input_gradient(rng, conv, shape, out, delta, weights)


def check_input_gradient(rng, conv, shape, out, delta, weights):
    pad = Pad(CHIP, rng)
    kernel, below, key = conv.kernel, Fixed(16, 11), int(rng.integers(1 << 32))
    masked = bool(rng.integers(2))
    mask = rng.integers(0, 2, shape).astype(bool) if masked else None
    turned = weights[: kernel**2 * shape[3]].reshape(kernel, kernel, shape[3], out[3])[::-1, ::-1]
    d_at, d_bricks = pad.put(delta)
    w_at, w_bricks = pad.put(turned.transpose(0, 1, 3, 2).reshape(-1, shape[3]))
    view = holed(shape, d_bricks, out[1:3], kernel, conv.stride, conv.padding)
    positions = int(np.prod(shape[:3]))
    values = {
        "m": positions,
        "n": shape[3],
        "a_base": base(d_at, view),
        "a_bricks": d_bricks,
        "a_tail": out[3] - 8 * (d_bricks - 1),
        "tap_k": out[3],
        "b_base": w_at,
        "b_stride": w_bricks,
        "c_base": pad.room(positions * w_bricks),
        "c_stride": w_bricks,
        "index_stride": shape[3],
        "start": 1,
        "finish": 1,
        "rounding": MODE,
        "shift": 13 + 13 - 11,
        "key": key,
        **view,
        **columns(shape[3]),
        **tiles(rng, kernel**2, d_bricks, out[3], False),
    }
    values["b_tile"] = values["k_tile"] * w_bricks
    if masked:
        values |= {"masked": 1, "mask_base": packed_mask(pad, mask), "mask_stride": 1}
    done = product(CHIP, fields(CHIP, Opcode.PRODUCT, **values), pad.words)
    tally = Tally(GoldenExecute())
    want = conv.input_gradient(tally, delta, weights, shape, mask, below, MODE, key)
    np.testing.assert_array_equal(pad.get(values["c_base"], shape), want)
    counts = tally.phases["BP"]
    assert (done.macs, done.outputs, done.saturations) == (counts.macs_done, counts.unmasked, counts.saturations)


def packed_mask(pad, mask):
    """Through the command that makes masks, from words of which some are positive."""
    some = np.where(mask, 1, -pad.rng.integers(0, 3, mask.shape))
    at, bricks = pad.put(some)
    count = int(np.prod(mask.shape[:-1]))
    out = pad.room(count)
    f = fields(
        CHIP,
        Opcode.VECTOR,
        kind=Kind.MASK,
        count=count,
        bricks=bricks,
        u_base=at,
        u_stride=bricks,
        out_base=out,
        out_stride=1,
    )
    vector(CHIP, f, pad.words)
    return out


def test_weight_gradient_is_slabs_whose_segments_are_the_kernels_taps(rng):
    for _ in range(12):
        conv, shape, out = random_conv(rng)
        conv = replace(conv, bias=False)
        print(conv, shape, out)
        check_weight_gradient(rng, conv, words(rng, shape), words(rng, out))


def check_weight_gradient(rng, conv, x, delta):
    (batch, h, w, c_in), (_, oh, ow, c_out) = x.shape, delta.shape
    pad, kernel = Pad(CHIP, rng), conv.kernel
    # x by channel: image, channel, line, blocks of eight positions.
    x_at, x_bricks = pad.put(x)
    blocks = ceil_div(w, 8)
    plane = h * blocks
    image = 8 * x_bricks * plane
    turned = pad.room(batch * image)
    for b in range(batch):
        f = fields(
            CHIP,
            Opcode.VECTOR,
            kind=Kind.TRANSPOSE,
            count=w,
            bricks=x_bricks,
            lines=h,
            u_base=(x_at + b * h * w * x_bricks) % CHIP.scratch_bricks,
            u_stride=x_bricks,
            u_line=w * x_bricks,
            u_plane=1,
            out_base=(turned + b * image) % CHIP.scratch_bricks,
            out_block=1,
            out_stride=plane,
            out_line=blocks,
            out_plane=8 * plane,
        )
        vector(CHIP, f, pad.words)
    # The output gradient with its border of zeros, and zeros between its positions.
    border = kernel - 1 - conv.padding
    line = w + kernel - 1
    bank = np.zeros((batch, h + kernel - 1, line, c_out), np.int64)
    bank[:, border :: conv.stride, border :: conv.stride][:, :oh, :ow] = delta
    d_at, d_bricks = pad.put(bank)
    cols = ceil_div(c_out, CHIP.lanes)
    rows = (h + kernel - 1) * line
    key = int(rng.integers(1 << 32))
    values = {
        "m": c_in,
        "n": c_out,
        "k": batch * rows,
        "k_tile": rows,
        "slabs": 1,
        "a_slab": image,
        "a_base": turned,
        "a_bricks": blocks,
        "a_tail": w - 8 * (blocks - 1),
        "tap_k": line,
        "taps_y": h,
        "in_y": h,
        "step_y": blocks,
        "step_b": plane,
        "b_base": d_at,
        "b_stride": d_bricks,
        "b_tile": rows * d_bricks,
        "c_base": pad.room(kernel**2 * c_in * d_bricks),
        "c_stride": d_bricks,
        "index_stride": c_out,
        "seg_x": kernel,
        "seg_y": kernel,
        "seg_start": (kernel - 1) * (line + 1) * cols,
        "seg_bank_x": -cols,
        "seg_bank_y": (kernel - 1 - line) * cols,
        "seg_c_x": c_in * d_bricks,
        "seg_c_y": c_in * d_bricks,
        "seg_index_x": c_in * c_out,
        "seg_index_y": c_in * c_out,
        "start": 1,
        "finish": 1,
        "shift": 11,
        "rounding": MODE,
        "key": key,
        **columns(c_out),
    }
    tally = Tally(GoldenExecute())
    want = conv.weight_gradient(tally, x, delta, MODE, key)
    f = fields(CHIP, Opcode.PRODUCT, **values)
    done = product(CHIP, f, pad.words)
    np.testing.assert_array_equal(pad.get(f["c_base"], want.shape), want)
    assert done.saturations == tally.saturations
    # The same as a chain of two commands, where there are two images.
    if batch == 2:
        again = Pad(CHIP, rng)
        again.words[...] = pad.words
        first = f | {"k": rows, "finish": 0}
        second = f | {
            "k": rows,
            "start": 0,
            "a_base": (turned + image) % CHIP.scratch_bricks,
            "b_base": d_at + rows * d_bricks,
        }
        again.words[again.at(f["c_base"], kernel**2 * c_in * d_bricks)] = 5
        kept = product(CHIP, first, again.words)
        assert product(CHIP, second, again.words, kept.sums).saturations == tally.saturations
        np.testing.assert_array_equal(again.words, pad.words)


def simple(rng, pad, k=12, n=5, m=3):
    """A plain matrix product's fields."""
    a, b = words(rng, (m, k)), words(rng, (k, n))
    (a_at, a_bricks), (b_at, b_bricks) = pad.put(a), pad.put(b)
    values = {
        "m": m,
        "n": n,
        "k": k,
        "step_b": a_bricks,
        "a_base": a_at,
        "a_bricks": a_bricks,
        "a_tail": k - 8 * (a_bricks - 1),
        "tap_k": k,
        "b_base": b_at,
        "b_stride": b_bricks,
        "k_tile": k,
        "a_tile": a_bricks,
        "c_base": pad.room(m * b_bricks),
        "c_stride": b_bricks,
        "start": 1,
        "finish": 1,
        **columns(n),
    }
    return fields(CHIP, Opcode.PRODUCT, **values)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({"masked": 1, "seg_x": 2}, r"^product: masked products must have one segment, not 2$"),
        ({"a_tile": 1}, r"^product: 2 bricks of A in tiles of 1 do not go with 12 rows of B in tiles of 12$"),
        ({"a_tile": 1, "k_tile": 8}, r"^product: b_tile must be 8, not 0$"),
        ({"a_tile": 1, "k_tile": 9, "b_tile": 9}, r"^product: words of A in tile 1 meet rows of B before it$"),
        ({"k": 11, "k_tile": 11}, r"^product: word 11 of a tile meets no row of B loaded$"),
        ({"seg_start": 2048 - 1}, r"^product: word 0 of a tile meets no row of B loaded$"),
        ({"start": 0}, r"^product: a product that does not start needs sums of \(3, 5\), there are none$"),
        ({"c_stride": 0}, r"^product writes a scratchpad brick twice$"),
    ],
)
def test_products_without_a_defined_result_are_refused(rng, how, text):
    pad = Pad(CHIP, rng)
    f = simple(rng, pad) | how
    pad.words[pad.at(f["a_base"], 6)] |= 1
    with pytest.raises(EmulatorError, match=text):
        product(CHIP, f, pad.words)


def test_results_over_operands_and_sums_too_long_are_refused(rng):
    pad = Pad(CHIP, rng)
    f = simple(rng, pad)
    with pytest.raises(EmulatorError, match=rf"^product reads scratchpad brick {f['b_base'] + 1} and writes it$"):
        product(CHIP, f | {"c_base": f["b_base"] + 1, "m": 1}, pad.words)
    small = replace(CHIP, acc_width=36)
    pad.words[...] = -(1 << 15)
    wide = {"k": 32, "k_tile": 32, "a_bricks": 4, "a_tail": 8, "a_tile": 4, "tap_k": 32}
    with pytest.raises(OverflowRefused, match="for acc_width 36, not 34359738368 to 34359738368"):
        product(small, f | wide, pad.words)
