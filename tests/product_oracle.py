"""The product command word by word, as docs/machine.md tells it: slow, plain, and like nothing in `hw` or `golden`."""

from dataclasses import dataclass, field

import numpy as np

from golden.convert import convert
from spec.chip import BRICK, Chip
from spec.product import MASK_COLUMNS, Product, ceil_div


@dataclass
class Outcome:
    """``writes`` : bricks of C by address. issued : multiplications, at least one per tile and column that is wanted."""

    sums: np.ndarray  # (m, segments, n), exact
    writes: dict[int, list[int]] = field(default_factory=dict)
    issued: int = 0
    wanted: int = 0
    saturations: int = 0


def carry_out(chip: Chip, memory: np.ndarray, p: Product, before: np.ndarray | None = None) -> Outcome:
    """``p``, planned, on ``memory`` (bricks, 8); ``before``: sums that the product before it in a chain has left."""
    outcome = Outcome(np.zeros((p.m, p.segments, p.n), np.int64) if p.start else before.copy())
    half = chip.bank_depth // 2
    offsets = segment_steps(p, p.seg_start, p.seg_bank_x, p.seg_bank_y)
    for row in range(p.m):
        mask = mask_of(chip, memory, p, row)
        outcome.wanted += int(mask.sum()) * p.segments
        for tile, words in enumerate(row_words(chip, memory, p, row)):
            counted = [(k, word) for k, word in words if word or not p.skip]
            outcome.issued += max(1, len(counted)) * int(mask.sum()) * p.segments
            base = p.b_base + tile * p.b_tile
            for segment, offset in enumerate(offsets):
                for k, word in counted:
                    if word:
                        shifted, rest = divmod((k * p.columns + offset) % half, p.columns)
                        assert rest == 0
                        assert shifted < p.k_tile, "a word meets a row of B that is not in the tile"
                        b = row_of(chip, memory, base + shifted * p.b_stride, p.n)
                        outcome.sums[row, segment] += word * b
        outcome.sums[row, :, ~mask] = 0
    if p.finish:
        write(chip, p, outcome, [mask_of(chip, memory, p, row) for row in range(p.m)])
    return outcome


def segment_steps(p: Product, start: int, step_x: int, step_y: int) -> list[int]:
    values = []
    for _ in range(p.seg_y):
        for x in range(p.seg_x):
            values.append(start)
            start += step_y if x == p.seg_x - 1 else step_x
    return values


def row_words(chip: Chip, memory: np.ndarray, p: Product, row: int) -> list[list[tuple[int, int]]]:
    """For each tile of the reduction the words of a row inside the operand, with the row of the tile that each meets."""
    if p.slabs:
        return [row_bricks(chip, memory, p, row, t * p.a_slab)[0] for t in range(p.k // p.k_tile)]
    words, brick_numbers = row_bricks(chip, memory, p, row, 0)
    tiles: list[list[tuple[int, int]]] = [[] for _ in range(ceil_div(p.k, p.k_tile))]
    for (k, word), number in zip(words, brick_numbers, strict=True):
        tile = number // p.a_tile
        assert tile == k // p.k_tile, "bricks of A and rows of B do not agree"
        tiles[tile].append((k - tile * p.k_tile, word))
    return tiles


def row_bricks(chip: Chip, memory: np.ndarray, p: Product, row: int, further: int) -> tuple[list[tuple[int, int]], list[int]]:
    line, x = divmod(row, p.out_x)
    image, y = divmod(line, p.out_y)
    words, numbers = [], []
    for tap in range(p.taps):
        tap_y, tap_x = divmod(tap, p.taps_x)
        at_y, hole_y = divmod(p.origin_y * p.dilation + p.phase_y + p.stride * y + tap_y, p.dilation)
        at_x, hole_x = divmod(p.origin_x * p.dilation + p.phase_x + p.stride * x + tap_x, p.dilation)
        if hole_y or hole_x or not (0 <= at_y < p.in_y and 0 <= at_x < p.in_x):
            continue
        address = p.a_base + further + image * p.step_b + (at_y - p.origin_y) * p.step_y + (at_x - p.origin_x) * p.step_x
        for n in range(BRICK * (p.a_bricks - 1) + p.a_tail):
            word = memory[(address + n // BRICK) % chip.scratch_bricks, n % BRICK]
            words.append((tap * p.tap_k + n, int(word)))
            numbers.append(tap * p.a_bricks + n // BRICK)
    if p.bias:
        words.append((p.taps * p.tap_k, int(memory[p.one_base, 0])))
        numbers.append(p.taps * p.a_bricks)
    return words, numbers


def row_of(chip: Chip, memory: np.ndarray, address: int, n: int) -> np.ndarray:
    bricks = (address + np.arange(ceil_div(n, BRICK))) % chip.scratch_bricks
    return memory[bricks].reshape(-1)[:n].astype(np.int64)


def mask_of(chip: Chip, memory: np.ndarray, p: Product, row: int) -> np.ndarray:
    if not p.masked:
        return np.ones(p.n, bool)
    words = row_of(chip, memory, p.mask_base + row * p.mask_stride, ceil_div(p.n, MASK_COLUMNS) * BRICK)
    return ((words[:, None] >> np.arange(8)) & 1).reshape(-1)[: p.n].astype(bool)


def write(chip: Chip, p: Product, outcome: Outcome, masks: list[np.ndarray]) -> None:
    places = segment_steps(p, p.c_base, p.seg_c_x, p.seg_c_y)
    indices = segment_steps(p, p.index_base, p.seg_index_x, p.seg_index_y)
    for row, mask in enumerate(masks):
        for segment, (place, index) in enumerate(zip(places, indices, strict=True)):
            words, saturations = convert(
                np.where(mask, outcome.sums[row, segment], 0), p.shift, p.rounding, p.key,
                (index + row * p.index_stride + np.arange(p.n)) % (1 << 32), chip.width, chip.acc_width,
            )  # fmt: skip
            outcome.saturations += saturations
            padded = [*words.tolist(), *[0] * (-p.n % BRICK)]
            for n in range(0, len(padded), BRICK):
                outcome.writes[(place + row * p.c_stride + n // BRICK) % chip.scratch_bricks] = padded[n : n + BRICK]
