"""Random VECTOR commands on random scratchpads, and what golden makes of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from golden.emulator_scratch import EmulatorError, Touched, pack
from golden.emulator_vector import vector
from golden.product import OverflowRefused
from spec.chip import BRICK, Chip
from spec.isa import SCALAR_WIDTH, VECTOR, Kind, entry_bricks, record_bricks
from spec.number import Rounding
from spec.product import MAX_SHIFT, ceil_div
from spec.vector import is_address

WINDOWS = (Kind.MAX, Kind.MAX_BACK, Kind.MEAN)


@dataclass(frozen=True)
class Case:
    """A command, the scratchpad before and after it: int64 (bricks, 8)."""

    fields: dict[str, int]
    before: np.ndarray
    after: np.ndarray
    writes: int  # bricks written, each once
    saturations: int


def draw(rng: np.random.Generator, chip: Chip, kind: Kind, **given: int) -> Case:
    """A command that golden accepts; ``given`` fields are not drawn."""
    while True:
        fields = random_fields(rng, chip, kind) | given
        taps = fields["taps_x"] * fields["taps_y"] if kind == Kind.MAX_BACK and rng.random() < 0.5 else 0
        before = _words(rng, chip, (chip.scratch_bricks, BRICK), taps)
        _fill_tables(rng, chip, fields, before)
        after, touched = before.copy(), Touched(chip.scratch_bricks)
        try:
            outcome = vector(chip, fields, after, touched)
        except (EmulatorError, OverflowRefused):
            continue
        if not _in_order(chip, fields, touched.reads & touched.writes):
            continue
        return Case(fields, before, after, int(touched.writes.sum()), outcome.saturations)


def random_fields(rng: np.random.Generator, chip: Chip, kind: Kind) -> dict[str, int]:
    """Legal fields that agree, of a command that some thousand cycles carry out."""

    def up_to(high: int) -> int:
        return int(rng.integers(1, high + 1))

    f = {field.name: field.bounds(chip)[0] if not field.signed else 0 for field in VECTOR}
    for field in VECTOR:
        if is_address(field):
            f[field.name] = int(rng.integers(chip.scratch_bricks))
        elif field.bits == 1:
            f[field.name] = int(rng.integers(2))
    f |= {
        "kind": int(kind),
        "count": up_to(int(rng.choice([2, 9, 40, 100]))),
        "bricks": up_to(int(rng.choice([1, 3, 20]))),
        "shift": int(rng.integers(MAX_SHIFT + 1)) if rng.random() < 0.3 else int(rng.integers(chip.width)),
        "rounding": int(rng.choice(Rounding)),
        "key": int(rng.integers(1 << 32)),
        "index_base": int(rng.integers(1 << 32)),
        "index_stride": int(rng.integers(1 << int(rng.choice([8, 32])))),
        "has_v": int(rng.random() < 0.8),
        "lines": up_to(4),
    }
    # Strides of either sign, mostly short.
    for name in ("u_stride", "v_stride", "out_stride"):
        f[name] = int(rng.integers(f["bricks"], f["bricks"] + 3)) * int(rng.choice([1, 1, -1])) % chip.scratch_bricks
    if kind in WINDOWS:
        f |= _window(rng, chip, f)
    if kind == Kind.TRANSPOSE:
        f["bricks"] = up_to(3)
        steps = {"u_stride": 1, "u_line": f["count"], "u_plane": f["count"] * f["lines"]}
        block = BRICK * ceil_div(f["count"], BRICK)
        out = {"out_block": BRICK, "out_stride": 1, "out_line": block, "out_plane": block * f["lines"]}
        if rng.random() < 0.5:  # words of all lines side by side
            out = {
                "out_stride": f["lines"],
                "out_line": 1,
                "out_block": BRICK * f["lines"],
                "out_plane": block * f["lines"],
            }
        f |= steps | out
    if kind == Kind.AFFINE and rng.random() < 0.3:
        f |= {"out_base": f["u_base"], "out_stride": f["u_stride"]}
    return f


def wild_fields(rng: np.random.Generator, chip: Chip, kind: Kind) -> dict[str, int]:
    """Every field anywhere in its range, whether it agrees with the others or not; the numbers of rounds are small."""
    f = {}
    for field in VECTOR:
        low, high = field.bounds(chip)
        f[field.name] = int(rng.choice([low, high, int(rng.integers(low, high, endpoint=True))]))
    rounds = {name: int(rng.integers(1, 9)) for name in ("count", "bricks", "lines", "taps_y")}
    return f | rounds | {"kind": int(kind)}


def _window(rng: np.random.Generator, chip: Chip, f: dict[str, int]) -> dict[str, int]:
    """A window with a stride, or with holes, over a small operand, its images apart."""
    in_x, in_y = (int(side) for side in rng.integers(1, 7, 2))
    bricks = int(rng.integers(1, 4))
    holes = int(rng.choice([1, 1, 2, 3, 4]))
    out_x, out_y = (int(side) for side in rng.integers(1, 7, 2))
    lines = rng.random() < 0.15  # as taps: a window one position wide, over many lines
    if lines:
        in_x, out_x, holes = 1, 1, 1
        in_y = int(rng.integers(12, 60))
    step_x = bricks + int(rng.integers(2))
    step_y = step_x * in_x + int(rng.integers(3))
    return {
        "bricks": bricks,
        "count": int(rng.integers(1, 2 * out_x * out_y + 1)),
        "out_x": out_x,
        "out_y": out_y,
        "in_x": in_x,
        "in_y": in_y,
        "origin_x": int(rng.integers(-2, 2)),
        "origin_y": int(rng.integers(-2, 2)),
        "dilation": holes,
        "phase_x": int(rng.integers(holes)),
        "phase_y": int(rng.integers(holes)),
        "stride": int(rng.integers(1, 5)) if holes == 1 else 1,
        "taps_x": 1 if lines else int(rng.integers(1, 6)),
        "taps_y": int(rng.integers(12, 60)) if lines else int(rng.integers(1, 6)),
        "step_x": step_x * int(rng.choice([1, -1])) % chip.scratch_bricks,
        "step_y": step_y,
        "step_b": step_y * in_y + int(rng.integers(3)),
    }


def _words(rng: np.random.Generator, chip: Chip, shape: tuple[int, ...], taps: int) -> np.ndarray:
    """Any words, small ones and the ends of the range; places of ``taps`` and the ends alone if there are any."""
    limit = 1 << (chip.width - 1)
    style = rng.random(shape)
    ends = rng.choice([-limit, limit - 1], shape)
    if taps:
        return np.where(style < 0.5, rng.integers(0, taps, shape), ends)
    words = rng.integers(-limit, limit, shape)
    words = np.where(style < 0.5, rng.integers(-2, 12, shape), words)
    return np.where(style < 0.1, ends, words)


def _fill_tables(rng: np.random.Generator, chip: Chip, f: dict[str, int], scratch: np.ndarray) -> None:
    """Scalars and records that leave room for the sums, in words that no command of the kind overwrites."""
    channels, acc = BRICK * f["bricks"], chip.acc_width
    if f["kind"] in (Kind.AFFINE, Kind.MEAN):
        bits = min(SCALAR_WIDTH - 1, acc - chip.width - 2 - (4 if f["kind"] == Kind.MEAN else 0))
        s0, s1 = rng.integers(-(1 << bits), 1 << bits, (2, channels)) >> rng.integers(0, bits, channels)
        s2 = rng.integers(-(1 << acc - 3), 1 << acc - 3, channels) >> rng.integers(0, acc - 3, channels)
        size, values, at, widths = entry_bricks(chip), (s0, s1, s2), f["table_base"], (SCALAR_WIDTH, SCALAR_WIDTH, acc)
    elif f["kind"] == Kind.REDUCE and not f["start"]:
        values = tuple(rng.integers(-(1 << acc - 2), 1 << acc - 2, (2, channels)))
        size, at, widths = record_bricks(chip), f["out_base"], (acc, acc)
    else:
        return
    bricks = pack(values, widths, BRICK * size, chip.width).reshape(-1, BRICK)
    place = (at + np.arange(len(bricks))) % chip.scratch_bricks
    scratch[place] = bricks


def _in_order(chip: Chip, f: dict[str, int], both: np.ndarray) -> bool:
    """Bricks that are read and written are an AFFINE's u, each in its place, or records that sums are added to."""
    if not both.any():
        return True

    def bricks(name: str) -> np.ndarray:
        i, c = np.arange(f["count"])[:, None], np.arange(f["bricks"])
        return (f[f"{name}_base"] + i * f[f"{name}_stride"] + c) % chip.scratch_bricks

    if f["kind"] == Kind.AFFINE:
        return np.array_equal(bricks("u"), bricks("out")) and not (
            f["has_v"] and np.isin(bricks("v"), bricks("out")).any()
        )
    if f["kind"] == Kind.REDUCE and not f["start"]:
        records = (f["out_base"] + np.arange(BRICK * f["bricks"] * record_bricks(chip))) % chip.scratch_bricks
        return not any(np.isin(bricks(name), records).any() for name in ("u", "v")[: 1 + f["has_v"]])
    return False


def describe(fields: dict[str, int]) -> dict[str, Any]:
    """A command for a failing test to print: what is not zero."""
    return {name: value for name, value in fields.items() if value} | {"kind": Kind(fields["kind"]).name}
