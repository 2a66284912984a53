"""Random engine cases: chips, and products drawn from a seed that they can run."""

from dataclasses import dataclass, replace

import numpy as np

from spec.chip import BRICK, Chip
from spec.number import Rounding
from spec.product import MASK_COLUMNS, MAX_SHIFT, Product, ProductError, ceil_div
from spec.tiling import planned

KINDS = ("whole", "tiled", "tiled", "chain", "aborted", "parts")


# Small, odd, and each with something that no other has.
CASE_CHIPS = {
    chip.name: chip
    for chip in (
        Chip(name="1x2w8", groups=1, lanes=2, width=8, acc_width=24, bank_depth=128, list_depth=16, slots=2,
              psum_depth=64, queue_depth=4, scratch_banks=1, scratch_depth=512),
        Chip(name="16x2w12", groups=16, lanes=2, width=12, acc_width=32, bank_depth=256, list_depth=32, slots=2,
              psum_depth=32, queue_depth=4, scratch_banks=2, scratch_depth=256),
        Chip(name="2x4w16", groups=2, lanes=4, bank_depth=256, list_depth=32, slots=4,
              psum_depth=64, queue_depth=8, finish_groups=2, scratch_banks=4, scratch_depth=128),
        Chip(name="3x8w18", groups=3, lanes=8, width=18, acc_width=44, bank_depth=256, list_depth=64, slots=3,
              psum_depth=128, queue_depth=4, scratch_banks=8, scratch_depth=64),
        Chip(name="1x16w16", groups=1, lanes=16, bank_depth=64, list_depth=32, slots=6,
              psum_depth=64, queue_depth=4, scratch_banks=4, scratch_depth=128),
        Chip(name="5x2w16", groups=5, lanes=2, acc_width=36, bank_depth=256, list_depth=16, slots=5,
              psum_depth=16, queue_depth=16, scratch_banks=1, scratch_depth=1024),
        Chip(name="4x4w8", groups=4, lanes=4, width=8, acc_width=28, bank_depth=512, list_depth=64, slots=2,
              psum_depth=256, queue_depth=4, scratch_banks=2, scratch_depth=512),
        Chip(name="2x8w12", groups=2, lanes=8, width=12, acc_width=40, bank_depth=128, list_depth=16, slots=5,
              psum_depth=64, queue_depth=32, scratch_banks=4, scratch_depth=128),
        Chip(name="2x32w18", groups=2, lanes=32, width=18, acc_width=56, bank_depth=64, list_depth=16, slots=2,
              psum_depth=512, queue_depth=4, finish_groups=2, scratch_banks=8, scratch_depth=64),
        Chip(name="7x4w12", groups=7, lanes=4, width=12, acc_width=48, bank_depth=64, list_depth=16, slots=3,
              psum_depth=8, queue_depth=4, finish_groups=3, scratch_banks=1, scratch_depth=512),
        Chip(name="2x64w16", groups=2, lanes=64, bank_depth=64, list_depth=16, slots=2,
              psum_depth=512, queue_depth=4, finish_groups=2, scratch_banks=4, scratch_depth=128),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One logical product and the way it is given to the engine."""

    kind: str
    a: np.ndarray
    b: np.ndarray
    mask: np.ndarray | None
    command: Product  # rounding, shift, key, indices, skip and, where it is not chosen, the tiling
    traffic: bool  # the host reads and writes while the engine works


def words(rng: np.random.Generator, shape: tuple[int, int], width: int) -> np.ndarray:
    """Full range, small, or the ends of the range alone."""
    limit = 1 << (width - 1)
    style = rng.integers(4)
    if style == 0:
        return rng.choice(np.array([-limit, limit - 1]), shape)
    if style == 1:
        return rng.integers(-3, 4, shape)
    return rng.integers(-limit, limit, shape)


def generator(chip: Chip, seed: int, number: int) -> np.random.Generator:
    """Of one case: other chips and numbers draw others."""
    return np.random.default_rng([seed, number, int(chip.digest, 16)])


def draw(rng: np.random.Generator, chip: Chip) -> Case:
    """A case that the chip can run; draws until one is."""
    while True:
        case = _draw(rng, chip)
        try:
            planned(chip, case.command)
        except ProductError:
            continue
        if _bricks(case) <= chip.scratch_bricks * 7 // 8:
            return case


def _draw(rng: np.random.Generator, chip: Chip) -> Case:
    kind = str(rng.choice(KINDS))
    m, k, n = (int(rng.integers(1, rng.choice(tops) + 1)) for tops in ((3, 9, 40), (9, 40, 100), (3, 9, 30, 80)))
    if rng.random() < 0.2:  # several mask bricks a row
        m, k, n = (int(rng.integers(low, high)) for low, high in ((1, 12), (1, 20), (MASK_COLUMNS, 150)))
    density = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    a = words(rng, (m, k), chip.width) * (rng.random((m, k)) < density)
    if rng.random() < 0.4:  # tiles without a nonzero behind full ones
        a[:, np.arange(k) // rng.choice([8, 16, 32]) % 2 == 1] = 0
    mask = None
    if rng.random() < 0.5:
        mask = rng.random((m, n)) < rng.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    command = Product(
        m=m,
        k=k,
        n=n,
        masked=mask is not None,
        twins=mask is not None and bool(rng.random() < 0.5),
        skip=bool(rng.random() < 0.7),
        finish=kind != "chain",  # a chain's commands must keep all sums; the others need not
        shift=int(rng.choice([0, MAX_SHIFT, *rng.integers(MAX_SHIFT + 1, size=6)])),
        rounding=Rounding(int(rng.integers(3))),
        key=int(rng.integers(1 << 32)),
        index_base=int(rng.integers(1 << 32)),
        index_stride=int(rng.choice([n, n + 1, rng.integers(65536)])),
    )
    if kind in {"tiled", "chain"}:
        command = replace(command, **_tiling(rng, chip, command))
    case = Case(kind, a, words(rng, (k, n), chip.width), mask, command, bool(rng.random() < 0.4))
    return _hurried(rng, chip, case) if rng.random() < 0.1 else case


def _hurried(rng: np.random.Generator, chip: Chip, case: Case) -> Case:
    """Full tiles of the reduction before all but empty ones, a column a lane: sums of one element that follow closely."""
    if rng.random() < 0.5:
        case = replace(case, command=replace(case.command, masked=True, twins=True))
    k_tile = min(chip.list_depth, chip.bank_depth // (4 if case.command.twins else 2), 64)
    m, k = int(rng.integers(1, 3 * chip.groups + 1)), int(rng.integers(k_tile + 1, 3 * k_tile))
    n = int(rng.integers(1, chip.lanes + 1))
    a = rng.integers(1, 9, (m, k))
    odd = np.arange(k) // k_tile % 2 == 1
    a[:, odd] *= rng.random((m, 1)) < 0.2 if rng.random() < 0.5 else rng.random((m, odd.sum())) < 0.1
    mask = rng.random((m, n)) < 0.8 if case.command.masked else None
    rows = int(rng.integers(1, min(4, chip.psum_depth // chip.lanes) + 1))
    command = replace(case.command, m=m, k=k, n=n, skip=True, finish=True, k_tile=k_tile, columns=1, rows=rows)
    return Case("tiled", a, words(rng, (k, n), chip.width), mask, command, case.traffic)


def _tiling(rng: np.random.Generator, chip: Chip, p: Product) -> dict[str, int]:
    """Any tiling whose numbers have the right divisors; small ones often, so that there are many tiles."""
    whole = ceil_div(p.n, chip.lanes)
    step = ceil_div(MASK_COLUMNS if p.masked else BRICK, chip.lanes)
    columns = int(rng.choice([whole, *range(step, whole, step)]))
    k_room = min(chip.list_depth, chip.bank_depth // (4 if p.twins else 2) // columns)
    tiles = [k for k in (8, 8, 16, 24, 32, 64) if k < min(p.k, k_room + 1)] or [p.k]
    rows_room = max(1, min(32, chip.psum_depth // chip.lanes // columns))
    rows = rows_room if p.finish is False else int(rng.integers(1, rows_room + 1))
    return {"k_tile": int(rng.choice(tiles)), "columns": columns, "rows": rows}


def _bricks(case: Case) -> int:
    (m, k), n = case.a.shape, case.b.shape[1]
    return m * (ceil_div(k, BRICK) + 1) + (k + m) * ceil_div(n, BRICK) + m * ceil_div(n, MASK_COLUMNS) + 4


def products_issued(a: np.ndarray, mask: np.ndarray | None, n: int, k_tile: int, skip: bool) -> int:
    """Multiplications of one command: a row without a nonzero in a tile costs one per column all the same."""
    columns = np.full(len(a), n) if mask is None else mask.sum(axis=1)
    total = 0
    for first in range(0, a.shape[1], k_tile):
        part = a[:, first : first + k_tile]
        pairs = np.maximum((part != 0).sum(axis=1), 1) if skip else np.full(len(a), part.shape[1])
        total += int(pairs @ columns)
    return total
