"""Vector commands on a scratchpad image against the tensor-level golden, and against plain loops."""

from dataclasses import replace

import numpy as np
import pytest
from emulator_cases import Pad, base, fields, holed, window

import golden.vector as tensor
from golden.convert import convert
from golden.emulator_scratch import EmulatorError, pack, packed
from golden.emulator_vector import vector
from golden.pool import AvgPool, MaxPool, reciprocal
from golden.product import OverflowRefused
from spec.chip import CHIPS, Chip
from spec.isa import Kind, Opcode, entry_bricks, record_bricks
from spec.number import Rounding
from spec.product import ceil_div

CHIPS_TRIED = [
    replace(CHIPS["sim64"], scratch_depth=4096),
    Chip(width=8, acc_width=40, scratch_depth=4096),
    Chip(width=18, acc_width=56, scratch_depth=4096),
]
CHIP = CHIPS_TRIED[0]


def words(rng, chip, shape):
    limit = 1 << (chip.width - 1)
    return rng.integers(-limit, limit, shape) * rng.integers(0, 2, shape)


def table(rng, pad, channels, s0, s1, s2):
    """Entries of scalars for each channel, and rubbish that no width shows between and behind them."""
    chip = pad.chip
    size = entry_bricks(chip)
    entries = pack((s0, s1, s2), (18, 18, chip.acc_width), 8 * size, chip.width)
    at = pad.room(channels * size)
    pad.words[pad.at(at, channels * size)] = entries.reshape(-1, 8)
    return at


def elementwise(rng, pad, kind, u, v=None, **how):
    """Fields of a command on positions one after another, with room between them in the result."""
    (u_at, bricks) = pad.put(u)
    count = int(np.prod(u.shape[:-1]))
    values = {"kind": kind, "count": count, "bricks": bricks, "u_base": u_at, "u_stride": bricks}
    if v is not None:
        values |= {"has_v": 1, "v_base": pad.put(v)[0], "v_stride": bricks}
    gap = bricks + int(rng.integers(3))
    values |= {
        "out_base": pad.room(gap * count),
        "out_stride": gap,
        "index_stride": u.shape[-1],
        "rounding": int(rng.integers(3)),
        "key": int(rng.integers(1 << 32)),
        "index_base": int(rng.integers(1 << 32)),
        "shift": int(rng.integers(33)),
    }
    return fields(pad.chip, Opcode.VECTOR, **(values | how))


def rounding(f):
    return {"shift": f["shift"], "rounding": Rounding(f["rounding"]), "key": f["key"], "index_base": f["index_base"]}


@pytest.mark.parametrize("chip", CHIPS_TRIED, ids=lambda chip: f"{chip.width}bit")
def test_affine_is_that_of_tensors(rng, chip):
    for _ in range(20):
        pad = Pad(chip, rng)
        shape = (int(rng.integers(1, 9)), int(rng.integers(1, 30)))
        channels = 8 * ceil_div(shape[1], 8)
        u, v = words(rng, chip, shape), words(rng, chip, shape)
        s0, s1 = rng.integers(-(1 << 17), 1 << 17, (2, channels))
        s2 = rng.integers(-(1 << (chip.acc_width - 3)), 1 << (chip.acc_width - 3), channels)
        s2[shape[1] :] = 0
        uniform, relu, gate, has_v = (int(bit) for bit in rng.integers(0, 2, 4))
        if uniform:
            s2[0] = 0
        how = {"uniform": uniform, "relu": relu, "gate": gate}
        f = elementwise(rng, pad, Kind.AFFINE, u, v if has_v else None, **how)
        f["table_base"] = table(rng, pad, channels, s0, s1, s2)
        print({name: value for name, value in f.items() if value})
        done = vector(chip, f, pad.words)
        seen = 1 if uniform else shape[1]
        s0, s1, s2 = (np.broadcast_to(s[:seen], (shape[1],)) for s in (s0, s1, s2))
        v = v if has_v else np.zeros_like(u)
        want = tensor.affine(
            u,
            None if gate else v,
            s0,
            s1,
            s2,
            relu=bool(relu),
            mask=v > 0 if gate else None,
            width=chip.width,
            acc_width=chip.acc_width,
            **rounding(f),
        )
        np.testing.assert_array_equal(pad.get(f["out_base"], shape, f["out_stride"]), want.words)
        assert done.saturations == want.saturations


def test_scalars_and_records_lie_as_the_contract_says(rng):
    """Bit by bit, as one long integer in words of any width."""
    for chip in CHIPS_TRIED:
        widths = (18, 18, chip.acc_width)
        values = [int(rng.integers(-(1 << (bits - 1)), 1 << (bits - 1))) for bits in widths]
        whole, at = 0, 0
        for value, bits in zip(values, widths, strict=True):
            whole |= (value & ((1 << bits) - 1)) << at
            at += bits
        count = 8 * entry_bricks(chip)
        unsigned = [whole >> (chip.width * w) & ((1 << chip.width) - 1) for w in range(count)]
        got = pack(tuple(np.array([value]) for value in values), widths, count, chip.width)[0]
        assert (got & ((1 << chip.width) - 1)).tolist() == unsigned
        assert abs(got).max() <= 1 << (chip.width - 1)
        assert [int(part[0]) for part in packed(got[None], widths, chip.width)] == values


@pytest.mark.parametrize("chip", CHIPS_TRIED, ids=lambda chip: f"{chip.width}bit")
def test_reduce_is_that_of_tensors_in_one_command_or_several(rng, chip):
    for _ in range(10):
        pad = Pad(chip, rng)
        shape = (int(rng.integers(2, 20)), int(rng.integers(1, 20)))
        channels, size = 8 * ceil_div(shape[1], 8), record_bricks(chip)
        u, v = words(rng, chip, shape), words(rng, chip, shape)
        cut = int(rng.integers(1, shape[0]))
        records = pad.room(channels * size)
        for start, part in ((1, slice(cut)), (0, slice(cut, None))):
            f = elementwise(rng, pad, Kind.REDUCE, u[part], v[part], start=start, out_base=records)
            assert vector(chip, f, pad.words).saturations == 0
        bricks = pad.words[pad.at(records, channels * size)].reshape(channels, -1)
        got = packed(bricks, (chip.acc_width, chip.acc_width), chip.width)
        for mine, want in zip(got, tensor.reduce(u, v, width=chip.width, acc_width=chip.acc_width), strict=True):
            np.testing.assert_array_equal(mine[: shape[1]], want)
            assert not mine[shape[1] :].any()

        f = elementwise(rng, pad, Kind.REDUCE, u, v, start=1, convert=1)
        done = vector(chip, f, pad.words)
        products = tensor.reduce(u, v, width=chip.width, acc_width=chip.acc_width)[1]
        index = f["index_base"] + np.arange(shape[1])
        how = (f["shift"], Rounding(f["rounding"]), f["key"], index, chip.width, chip.acc_width)
        want, saturations = convert(products, *how)
        np.testing.assert_array_equal(pad.get(f["out_base"], (1, shape[1]))[0], want)
        assert done.saturations == saturations
        f = elementwise(rng, pad, Kind.REDUCE, u, start=1)
        vector(chip, f, pad.words)
        bricks = pad.words[pad.at(f["out_base"], channels * size)].reshape(channels, -1)
        sums, products = packed(bricks, (chip.acc_width, chip.acc_width), chip.width)
        np.testing.assert_array_equal(sums[: shape[1]], u.sum(axis=0))
        assert not products.any()


def pooled(rng):
    kernel, stride = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    padding = int(rng.integers(0, kernel // 2 + 1))
    h, w = (int(side) for side in rng.integers(kernel, kernel + 6, 2))
    shape = (int(rng.integers(1, 3)), h, w, int(rng.integers(1, 20)))
    sides = tuple((side + 2 * padding - kernel) // stride + 1 for side in (h, w))
    return kernel, stride, padding, shape, (shape[0], *sides, shape[3])


def pool_fields(pad, kind, view, bricks, count, **how):
    values = {"kind": kind, "count": count, "bricks": bricks, "out_stride": bricks, **view}
    return fields(pad.chip, Opcode.VECTOR, **(values | {"out_base": pad.room(count * bricks)} | how))


@pytest.mark.parametrize("chip", CHIPS_TRIED, ids=lambda chip: f"{chip.width}bit")
def test_pools_are_those_of_tensors_forward_and_backward(rng, chip):
    for _ in range(15):
        kernel, stride, padding, shape, out = pooled(rng)
        print(kernel, stride, padding, shape)
        pad = Pad(chip, rng)
        x, delta = words(rng, chip, shape), words(rng, chip, out)
        (x_at, bricks), (d_at, _) = pad.put(x), pad.put(delta)
        small, large = int(np.prod(out[:3])), int(np.prod(shape[:3]))
        view = window(shape, bricks, out[1:3], kernel, stride, padding)
        places = pad.room(small * bricks)
        how = {"u_base": base(x_at, view), "v_base": places, "v_stride": bricks}
        f = pool_fields(pad, Kind.MAX, view, bricks, small, **how)
        vector(chip, f, pad.words)
        pool = MaxPool(kernel, stride, padding)
        want, place = pool.forward(x)
        np.testing.assert_array_equal(pad.get(f["out_base"], out), want)
        got = pad.words[pad.at(places, small * bricks)].reshape(*out[:3], -1)[..., : out[3]]
        np.testing.assert_array_equal(got, place)

        back = holed(shape, bricks, out[1:3], kernel, stride, padding)
        how = {"u_base": base(d_at, back), "v_base": base(places, back), "has_v": 1}
        f = pool_fields(pad, Kind.MAX_BACK, back, bricks, large, **how)
        done = vector(chip, f, pad.words)
        want, saturations = pool.backward(delta, place, shape, chip.width)
        np.testing.assert_array_equal(pad.get(f["out_base"], shape), want)
        assert done.saturations == saturations
        check_mean(rng, pad, kernel, stride, (x, x_at), (delta, d_at))


def check_mean(rng, pad, kernel, stride, forward, backward):
    """Average pools, which have no padding."""
    chip, (x, x_at), (delta, d_at) = pad.chip, forward, backward
    pool, key, up = AvgPool(kernel, stride), int(rng.integers(1 << 32)), int(rng.integers(-1, 2))
    bricks = ceil_div(x.shape[3], 8)
    s0, shift = reciprocal(kernel**2, up)
    zero = np.zeros(1, np.int64)
    how = {"key": key, "shift": shift, "rounding": Rounding.STOCHASTIC, "index_stride": x.shape[3], "uniform": 1}
    how["table_base"] = table(rng, pad, 1, zero + s0, zero + 77, zero + 55)
    sides = tuple((side - kernel) // stride + 1 for side in x.shape[1:3])
    out = (x.shape[0], *sides, x.shape[3])
    view = window(x.shape, bricks, sides, kernel, stride, 0)
    f = pool_fields(pad, Kind.MEAN, view, bricks, int(np.prod(out[:3])), u_base=base(x_at, view), **how)
    done = vector(chip, f, pad.words)
    want, saturations = pool.forward(x, up, Rounding.STOCHASTIC, key, chip.width)
    np.testing.assert_array_equal(pad.get(f["out_base"], out), want)
    assert done.saturations == saturations
    delta = delta[:, : out[1], : out[2]]
    d_at, _ = pad.put(delta)
    back = holed(x.shape, bricks, out[1:3], kernel, stride, 0)
    f = pool_fields(pad, Kind.MEAN, back, bricks, int(np.prod(x.shape[:3])), u_base=base(d_at, back), **how)
    done = vector(chip, f, pad.words)
    want, saturations = pool.backward(delta, x.shape, up, Rounding.STOCHASTIC, key, chip.width)
    np.testing.assert_array_equal(pad.get(f["out_base"], x.shape), want)
    assert done.saturations == saturations


@pytest.mark.parametrize("chip", CHIPS_TRIED, ids=lambda chip: f"{chip.width}bit")
def test_masks_have_a_bit_for_each_positive_word(rng, chip):
    pad = Pad(chip, rng)
    u = words(rng, chip, (5, 70))
    f = elementwise(rng, pad, Kind.MASK, u)
    vector(chip, f, pad.words)
    for i, c in np.ndindex(5, 128):
        word = pad.words[(f["out_base"] + i * f["out_stride"] + c // 64) % chip.scratch_bricks, c % 64 // 8]
        assert word >> (c % 8) & 1 == (c < 70 and u[i, c] > 0)
        assert -(1 << (chip.width - 1)) <= word < 1 << (chip.width - 1)


def test_transposition_is_that_of_plain_loops(rng):
    chip = CHIP
    for _ in range(10):
        pad = Pad(chip, rng)
        count, planes, lines = int(rng.integers(1, 30)), int(rng.integers(1, 4)), int(rng.integers(1, 4))
        blocks = ceil_div(count, 8)
        steps = {name: int(rng.integers(-99, 99)) for name in ("u_stride", "u_line", "u_plane")}
        order = rng.permutation(4)
        sizes = np.array([8, blocks, lines, planes])[order]
        strides = np.empty(4, int)
        strides[order] = np.concatenate([[1], np.cumprod(sizes)[:-1]]) * rng.choice([-1, 1])
        out = dict(zip(("out_stride", "out_block", "out_line", "out_plane"), (int(s) for s in strides), strict=True))
        f = fields(
            chip,
            Opcode.VECTOR,
            kind=Kind.TRANSPOSE,
            count=count,
            bricks=planes,
            lines=lines,
            u_base=int(rng.integers(chip.scratch_bricks)),
            out_base=int(rng.integers(chip.scratch_bricks)),
            **steps,
            **out,
        )
        before, want = pad.words.copy(), pad.words.copy()
        try:
            vector(chip, f, pad.words)
        except EmulatorError:
            continue  # the result happens to lie on the operand
        for c, line, b, w, j in np.ndindex(planes, lines, blocks, 8, 8):
            to = f["out_base"] + c * f["out_plane"] + line * f["out_line"] + b * f["out_block"] + w * f["out_stride"]
            source = f["u_base"] + c * f["u_plane"] + line * f["u_line"] + (8 * b + j) * f["u_stride"]
            word = before[source % chip.scratch_bricks, w] if 8 * b + j < count else 0
            want[to % chip.scratch_bricks, j] = word
        np.testing.assert_array_equal(pad.words, want)


def test_results_may_lie_on_their_own_operands_alone(rng):
    pad = Pad(CHIP, rng)
    u, v = words(rng, CHIP, (6, 20)), words(rng, CHIP, (6, 20))
    one = np.ones(1, np.int64)
    f = elementwise(rng, pad, Kind.AFFINE, u, v, uniform=1, shift=1, rounding=0, out_stride=3)
    f["table_base"] = table(rng, pad, 1, one, one, 0 * one)
    for operand in ("u", "v"):
        place = f | {"out_base": f[f"{operand}_base"]}
        image = pad.words.copy()
        vector(CHIP, place, image)
        got = image[(place["out_base"] + np.arange(18)) % CHIP.scratch_bricks].reshape(6, -1)[:, :20]
        np.testing.assert_array_equal(got, (u + v) >> 1)
    for shift in (1, 3, -3):
        place = f | {"out_base": (f["u_base"] + shift) % CHIP.scratch_bricks}
        with pytest.raises(EmulatorError, match=r"^vector affine writes scratchpad brick \d+, which [uv] needs$"):
            vector(CHIP, place, pad.words.copy())
    with pytest.raises(EmulatorError, match=r"which table needs$"):
        vector(CHIP, f | {"out_base": f["table_base"]}, pad.words.copy())
    with pytest.raises(EmulatorError, match=r"^vector affine writes a scratchpad brick twice$"):
        vector(CHIP, f | {"out_stride": 1}, pad.words.copy())
    f = elementwise(rng, pad, Kind.MASK, u)
    with pytest.raises(EmulatorError, match=r"^vector mask writes scratchpad brick \d+, which u needs$"):
        vector(CHIP, f | {"out_base": f["u_base"]}, pad.words)


def test_empty_windows_and_long_sums_are_refused(rng):
    pad = Pad(CHIP, rng)
    x_at, _ = pad.put(words(rng, CHIP, (1, 2, 2, 8)))
    view = window((1, 2, 2, 8), 1, (1, 1), 1, 1, 0) | {"origin_x": -1}
    f = pool_fields(pad, Kind.MAX, view, 1, 1, u_base=x_at, v_base=pad.room(1))
    with pytest.raises(EmulatorError, match=r"^vector max: a window has no tap inside its operand$"):
        vector(CHIP, f, pad.words)
    f = elementwise(rng, pad, Kind.AFFINE, words(rng, CHIP, (1, 8)) | 1)
    most = np.full(8, (1 << 47) - 1)
    f["table_base"] = table(rng, pad, 8, np.sign(pad.get(f["u_base"], (8,))), 0 * most, most)
    with pytest.raises(
        OverflowRefused, match=r"^vector sums must be -140737488355328 to 140737488355327 for acc_width 48"
    ):
        vector(CHIP, f, pad.words)
