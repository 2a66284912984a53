"""The PRODUCT command on a scratchpad image; see docs/machine.md."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from golden.convert import convert
from golden.emulator_scratch import EmulatorError, Touched
from golden.product import OverflowRefused, exact_product
from golden.window import seen
from spec.chip import BRICK, Chip
from spec.number import Rounding
from spec.product import MASK_COLUMNS, ceil_div

GATHERED = 1 << 20  # words of A copied out at a time, so that they stay near the cache


@dataclass(frozen=True)
class ProductOutcome:
    """What a product did besides writing C."""

    sums: np.ndarray | None  # exact sums a following product goes on with, (m, segments * n); None once finished
    saturations: int
    outputs: int  # elements computed, masked ones not; counted by the product that finishes them
    words: int  # of A, those outside the operand included
    nonzero: int
    row_squares: int  # over rows, the squares of their nonzero words: how unlike rows are
    macs: int  # nonzero words of A times the outputs that want them: the ideal work
    macs_dense: int


@dataclass(frozen=True)
class _Tile:
    """Words of A that meet what is in the banks together, and where their rows of B begin."""

    taps: np.ndarray  # of each brick
    bricks: np.ndarray  # number of each brick within its tap; taps number `taps` is the bias
    rows: np.ndarray  # (bricks, 8) row of B in the banks, -1 for words that do not count
    a_offset: int
    b_base: int
    b_rows: int


def product(
    chip: Chip,
    fields: Mapping[str, int],
    scratch: np.ndarray,
    sums: np.ndarray | None = None,
    touched: Touched | None = None,
) -> ProductOutcome:
    """Carries a product out on ``scratch``, integers (scratch_bricks, 8).

    fields : as :func:`spec.isa.decode` gives them. sums : what the product before it in a chain left.
    touched : gets the bricks read and written.
    Raises :class:`EmulatorError` where fields disagree or a word that is not zero meets a row of B that its tile did
    not load, and :class:`golden.product.OverflowRefused` when a finished sum does not fit in ``acc_width`` bits.
    """
    f = fields
    segments = f["seg_x"] * f["seg_y"]
    if f["masked"] and segments > 1:
        raise EmulatorError(f"product: masked products must have one segment, not {segments}")
    room = chip.bank_depth // 4 // f["columns"]
    if f["twins"] and (not f["masked"] or f["seg_start"] or f["k_tile"] > room):
        raise EmulatorError(f"product: twins need a mask, no seg_start and a k_tile of at most {room}")
    touched = touched or Touched(chip.scratch_bricks)
    mask = _mask(chip, f, scratch, touched) if f["masked"] else None
    acc = np.zeros((f["m"], segments * f["n"]), np.int64)
    wanted = np.full(f["m"], acc.shape[1]) if mask is None else np.count_nonzero(mask, axis=1)
    tiles = _tiles(f)
    macs = 0
    nonzero = np.zeros(f["m"], np.int64)  # of each row
    for tile in tiles:
        b, loaded = _bank(chip, f, scratch, tile, touched)
        for rows in _row_blocks(f["m"], tile.rows.size):
            a = _operand(chip, f, scratch, tile, rows, touched)
            missing = ~loaded.all(axis=0) & a.any(axis=0)
            if missing.any():
                raise EmulatorError(f"product: word {np.flatnonzero(missing)[0]} of a tile meets no row of B loaded")
            acc[rows] += exact_product(a, b)
            counts = np.count_nonzero(a, axis=1)
            nonzero[rows] += counts
            macs += int(counts @ wanted[rows])
    if mask is not None:
        acc[~mask] = 0
    words = f["m"] * sum(int(np.count_nonzero(tile.rows >= 0)) for tile in tiles)
    if not f["start"]:
        if sums is None or sums.shape != acc.shape:
            have = "none" if sums is None else f"sums of {sums.shape}"
            raise EmulatorError(f"product: a product that does not start needs sums of {acc.shape}, there are {have}")
        acc += sums
    saturations = 0
    if f["finish"]:
        saturations = _write(chip, f, scratch, acc, touched)
    touched.alone("product")
    return ProductOutcome(
        sums=None if f["finish"] else acc,
        saturations=saturations,
        outputs=int(wanted.sum()) if f["finish"] else 0,
        words=words,
        nonzero=int(nonzero.sum()),
        row_squares=int(nonzero @ nonzero),
        macs=macs,
        macs_dense=words * acc.shape[1],
    )


def _tiles(f: Mapping[str, int]) -> list[_Tile]:
    """The reduction's tiles; EmulatorError where bricks of A and rows of B do not agree."""
    taps = f["taps_x"] * f["taps_y"]
    bricks = np.arange(taps * f["a_bricks"] + f["bias"])
    tap, brick = bricks // f["a_bricks"], bricks % f["a_bricks"]
    word = BRICK * brick[:, None] + np.arange(BRICK)
    length = BRICK * (f["a_bricks"] - 1) + f["a_tail"]
    counts = word < np.where(tap == taps, 1, length)[:, None]
    rows = np.where(counts, f["tap_k"] * tap[:, None] + word, -1)
    if f["slabs"]:
        return [
            _Tile(tap, brick, rows, t * f["a_slab"], f["b_base"] + t * f["b_tile"], f["k_tile"])
            for t in range(ceil_div(f["k"], f["k_tile"]))
        ]
    tiles = ceil_div(f["k"], f["k_tile"])
    if ceil_div(len(bricks), f["a_tile"]) != tiles:
        raise EmulatorError(
            f"product: {len(bricks)} bricks of A in tiles of {f['a_tile']} do not go with {f['k']} rows of B in "
            f"tiles of {f['k_tile']}"
        )
    if tiles > 1 and f["b_tile"] != f["k_tile"] * f["b_stride"]:
        raise EmulatorError(f"product: b_tile must be {f['k_tile'] * f['b_stride']}, not {f['b_tile']}")
    result = []
    for t in range(tiles):
        part = slice(t * f["a_tile"], (t + 1) * f["a_tile"])
        local = np.where(counts[part], rows[part] - t * f["k_tile"], -1)
        if (local[counts[part]] < 0).any():
            raise EmulatorError(f"product: words of A in tile {t} meet rows of B before it")
        b_rows = min(f["k_tile"], f["k"] - t * f["k_tile"])
        b_base = f["b_base"] + t * f["k_tile"] * f["b_stride"]
        result.append(_Tile(tap[part], brick[part], local, 0, b_base, b_rows))
    return result


def _row_blocks(m: int, words: int) -> list[slice]:
    step = max(1, GATHERED // max(words, 1))
    return [slice(first, min(first + step, m)) for first in range(0, m, step)]


def _operand(
    chip: Chip, f: Mapping[str, int], scratch: np.ndarray, tile: _Tile, rows: slice, touched: Touched
) -> np.ndarray:
    """A block of rows of A in a tile, the words that count."""
    inside, base = seen(f, np.arange(rows.start, rows.stop), f["a_base"] + tile.a_offset)
    if f["bias"]:
        inside = np.pad(inside, ((0, 0), (0, 1)), constant_values=True)
        base = np.pad(base, ((0, 0), (0, 1)), constant_values=f["one_base"])
    inside = inside[:, tile.taps]
    address = np.where(inside, base[:, tile.taps] + tile.bricks, 0) % chip.scratch_bricks
    touched.reads[address[inside]] = True
    words = scratch[address]
    words[~inside] = 0
    return words.reshape(len(words), -1)[:, (tile.rows >= 0).reshape(-1)]


def _bank(
    chip: Chip, f: Mapping[str, int], scratch: np.ndarray, tile: _Tile, touched: Touched
) -> tuple[np.ndarray, np.ndarray]:
    """What each counted word of a tile meets: (words, segments * n), and whether it was loaded: (segments, words)."""
    bricks = ceil_div(f["n"], BRICK)
    half = chip.bank_depth // 2
    address = tile.b_base + f["b_stride"] * np.arange(tile.b_rows)[:, None] + np.arange(bricks)
    address %= chip.scratch_bricks
    touched.reads[address] = True
    stored = scratch[address].reshape(tile.b_rows, -1)[:, : f["n"]]
    met = tile.rows[tile.rows >= 0]
    seen_rows, loaded = [], []
    for offset in _walk(f, f["seg_start"], "seg_bank_x", "seg_bank_y"):
        if offset % half:
            at = (met * f["columns"] + offset) % half
            row = np.where(at % f["columns"], tile.b_rows, at // f["columns"])
        else:
            row = met
        there = row < tile.b_rows
        seen_rows.append(np.where(there[:, None], stored[np.where(there, row, 0)], 0))
        loaded.append(there)
    return np.concatenate(seen_rows, axis=1), np.array(loaded)


def _walk(f: Mapping[str, int], first: int, step_x: str, step_y: str) -> list[int]:
    """A value for each segment: from one to the next by ``step_x``, from the last of a line by ``step_y`` instead."""
    values, value = [], first
    for _ in range(f["seg_y"]):
        for x in range(f["seg_x"]):
            values.append(value)
            value += f[step_x] if x + 1 < f["seg_x"] else f[step_y]
    return values


def _mask(chip: Chip, f: Mapping[str, int], scratch: np.ndarray, touched: Touched) -> np.ndarray:
    """The output mask, bool (m, n)."""
    bricks = ceil_div(f["n"], MASK_COLUMNS)
    address = f["mask_base"] + f["mask_stride"] * np.arange(f["m"])[:, None] + np.arange(bricks)
    address %= chip.scratch_bricks
    touched.reads[address] = True
    bits = scratch[address].reshape(f["m"], -1)[:, :, None] >> np.arange(BRICK) & 1
    return bits.reshape(f["m"], -1)[:, : f["n"]] == 1


def _write(chip: Chip, f: Mapping[str, int], scratch: np.ndarray, acc: np.ndarray, touched: Touched) -> int:
    """C rounded and written; saturations. Words that the mask drops are sums of zero, which round to zero."""
    limit = 1 << (chip.acc_width - 1)
    if not (-limit <= acc.min() and acc.max() < limit):
        raise OverflowRefused(
            f"sums must be {-limit} to {limit - 1} for acc_width {chip.acc_width}, not {acc.min()} to {acc.max()}"
        )
    m, n = f["m"], f["n"]
    row = np.arange(m, dtype=np.int64)[:, None]
    column = np.arange(n, dtype=np.int64)
    bricks = ceil_div(n, BRICK)
    places = _walk(f, f["c_base"], "seg_c_x", "seg_c_y")
    numbers = _walk(f, f["index_base"], "seg_index_x", "seg_index_y")
    saturations = 0
    for s, (place, number) in enumerate(zip(places, numbers, strict=True)):
        words, clipped = convert(
            acc[:, s * n : (s + 1) * n],
            f["shift"],
            Rounding(f["rounding"]),
            f["key"],
            number + f["index_stride"] * row + column,
            chip.width,
            chip.acc_width,
        )
        saturations += clipped
        padded = np.zeros((m, bricks * BRICK), scratch.dtype)
        padded[:, :n] = words
        address = (place + f["c_stride"] * row + np.arange(bricks)) % chip.scratch_bricks
        touched.write("product", address)
        scratch[address] = padded.reshape(m, bricks, BRICK)
    return saturations
