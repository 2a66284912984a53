"""Product commands whose addresses and steps are anything, against plain loops over the contract."""

from dataclasses import replace

import numpy as np
from emulator_cases import Pad, fields

from golden.convert import convert
from golden.emulator_product import product
from golden.emulator_scratch import EmulatorError
from spec.chip import CHIPS
from spec.isa import Opcode
from spec.number import Rounding
from spec.product import ceil_div

CHIP = replace(CHIPS["sim64"], scratch_depth=4096)


def plain_product(chip, f, scratch):
    """Exact sums by docs/machine.md, one word at a time, tiles walked as it says; sums by (row, segment, column)."""
    size = chip.scratch_bricks
    sums = {}
    total = f["taps_x"] * f["taps_y"] * f["a_bricks"] + f["bias"]
    tiles_ = ceil_div(f["k"], f["k_tile"])
    for t in range(tiles_):
        bricks = range(total) if f["slabs"] else range(t * f["a_tile"], min(total, (t + 1) * f["a_tile"]))
        b_base = f["b_base"] + (t * f["b_tile"] if f["slabs"] else t * f["k_tile"] * f["b_stride"])
        for p in range(f["m"]):
            for q in bricks:
                tap, brick = divmod(q, f["a_bricks"])
                if tap == f["taps_x"] * f["taps_y"]:
                    address, count = f["one_base"], 1
                else:
                    address = plain_address(f, p, tap, f["a_base"])
                    if address is None:
                        continue
                    address += brick + (t * f["a_slab"] if f["slabs"] else 0)
                    count = f["a_tail"] if brick == f["a_bricks"] - 1 else 8
                for word in range(count):
                    a = int(scratch[address % size, word])
                    row = tap * f["tap_k"] + 8 * brick + word - (0 if f["slabs"] else t * f["k_tile"])
                    offset = f["seg_start"]
                    for s in range(f["seg_x"] * f["seg_y"]):
                        met = (row * f["columns"] + offset) % (chip.bank_depth // 2)
                        assert met % f["columns"] == 0 or not a
                        for j in range(f["n"]):
                            b_row = b_base + met // f["columns"] * f["b_stride"]
                            b = int(scratch[(b_row + j // 8) % size, j % 8])
                            sums[p, s, j] = sums.get((p, s, j), 0) + a * b
                        offset += f["seg_bank_y"] if (s + 1) % f["seg_x"] == 0 else f["seg_bank_x"]
    return sums


def plain_address(f, p, tap, first):
    """Address of a tap's first brick, None outside and at holes."""
    x, y, image = p % f["out_x"], p // f["out_x"] % f["out_y"], p // f["out_x"] // f["out_y"]
    ty, tx = divmod(tap, f["taps_x"])
    gy = f["origin_y"] * f["dilation"] + f["phase_y"] + f["stride"] * y + ty
    gx = f["origin_x"] * f["dilation"] + f["phase_x"] + f["stride"] * x + tx
    if gy % f["dilation"] or gx % f["dilation"]:
        return None
    py, px = gy // f["dilation"], gx // f["dilation"]
    if not (0 <= py < f["in_y"] and 0 <= px < f["in_x"]):
        return None
    steps = (py - f["origin_y"]) * f["step_y"] + (px - f["origin_x"]) * f["step_x"]
    return first + image * f["step_b"] + steps


def random_fields(rng, pad):
    """A product whose addresses and steps are anything; its operands lie in rubbish."""
    anywhere = lambda: int(rng.integers(CHIP.scratch_bricks))
    step = lambda: int(rng.integers(-50, 50))
    small = lambda low, high: int(rng.integers(low, high + 1))
    taps_x, taps_y, bricks, tail, bias = small(1, 3), small(1, 3), small(1, 2), small(1, 8), small(0, 1)
    taps, channels = taps_x * taps_y, 8 * (bricks - 1) + tail
    slabs = small(0, 1)
    seg_x, seg_y = small(1, 3), small(1, 2)
    n, m = small(1, 20), small(1, 9)
    cols = ceil_div(n, CHIP.lanes) + small(0, 1)
    largest = (seg_x - 1) * seg_y + 4 * (seg_y - 1)
    # Segments lead forward only, to rows that every tile has.
    need = taps * channels + bias + largest + 2
    c_step = ceil_div(n, 8)
    dilation = small(1, 4)
    values = {
        "m": m,
        "n": n,
        "k": need * (small(1, 3) if slabs else 1),
        "k_tile": need,
        "a_tile": taps * bricks + bias,
        "slabs": slabs,
        "out_x": small(1, 3),
        "out_y": small(1, 3),
        "in_x": small(1, 3),
        "in_y": small(1, 3),
        "origin_x": small(-3, 3),
        "origin_y": small(-3, 3),
        "dilation": dilation,
        "phase_x": small(0, dilation - 1),
        "phase_y": small(0, dilation - 1),
        "stride": small(1, 4),
        "taps_x": taps_x,
        "taps_y": taps_y,
        "a_bricks": bricks,
        "a_tail": tail,
        "tap_k": channels,
        "bias": bias,
        "seg_x": seg_x,
        "seg_y": seg_y,
        "seg_start": cols * small(0, 2),
        "seg_bank_x": cols,
        "seg_bank_y": cols * small(1, 4),
        "columns": cols,
        "rows": 1,
        "c_stride": c_step * seg_x * seg_y,
        "seg_c_x": c_step,
        "seg_c_y": c_step,
        "index_stride": small(0, 65535),
        "index_base": int(rng.integers(1 << 32)),
        "seg_index_x": int(rng.integers(-(1 << 31), 1 << 31)),
        "seg_index_y": int(rng.integers(-(1 << 31), 1 << 31)),
        "start": 1,
        "finish": 1,
        "shift": small(0, 32),
        "key": int(rng.integers(1 << 32)),
        "rounding": small(0, 2),
    }
    for name in ("a_base", "b_base", "one_base", "c_base"):
        values[name] = anywhere()
    for name in ("step_x", "step_y", "step_b", "a_slab", "b_stride", "b_tile"):
        values[name] = step()
    return fields(CHIP, Opcode.PRODUCT, **values)


def test_any_addresses_and_steps_are_those_of_plain_loops(rng):
    done = 0
    while done < 60:
        pad = Pad(CHIP, rng)
        f = random_fields(rng, pad)
        before = pad.words.copy()
        try:
            outcome = product(CHIP, f, pad.words)
        except EmulatorError:  # C happens to lie on an operand
            continue
        done += 1
        sums = plain_product(CHIP, f, before)
        c_step, saturations, number, place = ceil_div(f["n"], 8), 0, f["index_base"], f["c_base"]
        for s in range(f["seg_x"] * f["seg_y"]):
            for p in range(f["m"]):
                acc = np.array([sums.get((p, s, j), 0) for j in range(f["n"])])
                index = number + p * f["index_stride"] + np.arange(f["n"])
                row, clipped = convert(acc, f["shift"], Rounding(f["rounding"]), f["key"], index)
                got = pad.get((place + p * f["c_stride"]) % CHIP.scratch_bricks, (1, f["n"]))
                np.testing.assert_array_equal(got[0], row)
                before[(place + p * f["c_stride"] + np.arange(c_step)) % CHIP.scratch_bricks] = 0
                saturations += clipped
            ends = (s + 1) % f["seg_x"] == 0
            number += f["seg_index_y"] if ends else f["seg_index_x"]
            place += f["seg_c_y"] if ends else f["seg_c_x"]
        assert outcome.saturations == saturations
        untouched = before.any(axis=1)
        assert untouched.sum() > CHIP.scratch_bricks // 2
        np.testing.assert_array_equal(pad.words[untouched], before[untouched])
