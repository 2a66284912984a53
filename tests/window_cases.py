"""Random products with windows, slabs and segments, drawn from a seed together with where their operands lie."""

from dataclasses import dataclass, replace

import numpy as np

from spec.chip import BRICK, Chip
from spec.number import Rounding
from spec.product import MASK_COLUMNS, MAX_SHIFT, Product, ProductError, ceil_div
from spec.tiling import planned

STYLES = ("forward", "gradient", "slabs", "any")
Fill = tuple[int, np.ndarray]  # bricks from an address on


@dataclass(frozen=True)
class WindowCase:
    """Products of one chain, one if it is no chain, and what is written to the scratchpad before each."""

    style: str
    products: list[Product]  # planned
    fills: list[list[Fill]]
    used: np.ndarray  # bricks that the host must leave alone
    traffic: bool


def draw_window(rng: np.random.Generator, chip: Chip) -> WindowCase:
    """A case that the chip can run; draws until one is."""
    while True:
        try:
            return _draw(rng, chip, str(rng.choice(STYLES)))
        except ProductError:
            continue


def _draw(rng: np.random.Generator, chip: Chip, style: str) -> WindowCase:
    count = int(rng.integers(2, 4)) if rng.random() < 0.3 else 1
    p = _slabs(rng) if style == "slabs" else _window(rng, style)
    p = replace(
        p,
        skip=bool(rng.random() < 0.8),
        shift=int(rng.choice([0, MAX_SHIFT, *rng.integers(MAX_SHIFT + 1, size=6)])),
        rounding=Rounding(int(rng.integers(3))),
        key=int(rng.integers(1 << 32)),
        index_base=int(rng.integers(1 << 32)),
        index_stride=int(rng.integers(1 << 16)),
        seg_index_x=int(rng.integers(-(1 << 31), 1 << 31)),
        seg_index_y=int(rng.integers(-(1 << 31), 1 << 31)),
        finish=count == 1,
    )
    p = _tiled(rng, chip, p)
    p, regions = _placed(rng, chip, p)
    longest = 1 << (chip.acc_width - 2 * chip.width)
    if count * p.k > longest:
        raise ProductError(f"sums of {count} products can be too long")
    products, fills = [], []
    for number in range(count):
        q = replace(p, start=number == 0, finish=number == count - 1)
        if number:  # rows lie alike, but the operand may end elsewhere
            q = replace(q, in_x=int(rng.integers(1, p.in_x + 1)), in_y=int(rng.integers(1, p.in_y + 1)))
        products.append(planned(chip, q))
        # All of a chain have one mask.
        fills.append(_fills(rng, chip, {name: at for name, at in regions.items() if name != "mask" or not number}))
    used = np.zeros(chip.scratch_bricks, bool)
    for base, size in regions.values():
        used[base : base + size] = True
    return WindowCase(style, products, fills, used, bool(rng.random() < 0.3))


def _window(rng: np.random.Generator, style: str) -> Product:
    """Positions of a few small images; ``any`` has all that is legal, the others what convolutions need."""
    taps_y, taps_x = (int(rng.integers(1, rng.choice((2, 4, 12)))) for _ in range(2))
    stride = int(rng.integers(1, 5)) if style == "forward" or (style == "any" and rng.random() < 0.5) else 1
    dilation = int(rng.integers(1, 5)) if stride == 1 and style != "forward" else 1
    in_y, in_x, images = int(rng.integers(1, 8)), int(rng.integers(1, 8)), int(rng.integers(1, 4))
    out_y, out_x = int(rng.integers(1, 7)), int(rng.integers(1, 7))
    words = int(rng.integers(1, rng.choice((4, 9, 20))))
    a_bricks = ceil_div(words, BRICK)
    tap_k = int(rng.choice([words, BRICK * a_bricks, words + int(rng.integers(3))]))
    bias = bool(rng.random() < 0.4)
    if taps_y * taps_x == 1 and not bias:
        tap_k = min(tap_k, BRICK * a_bricks)
    n = int(rng.integers(1, rng.choice((4, 20, 70))))
    m = int(rng.integers(1, out_y * out_x * images + 1))
    seg_x, seg_y = (int(rng.integers(1, 4)) for _ in range(2)) if rng.random() < 0.2 else (1, 1)
    return Product(
        m=m, k=taps_y * taps_x * tap_k + bias, n=n, out_x=out_x, out_y=out_y, in_x=in_x, in_y=in_y,
        origin_x=int(rng.integers(-3, 3)), origin_y=int(rng.integers(-3, 3)), dilation=dilation, stride=stride,
        phase_x=int(rng.integers(dilation)), phase_y=int(rng.integers(dilation)), taps_x=taps_x, taps_y=taps_y,
        a_bricks=a_bricks, a_tail=words - BRICK * (a_bricks - 1), tap_k=tap_k, bias=bias,
        masked=seg_x * seg_y == 1 and bool(rng.random() < 0.5), seg_x=seg_x, seg_y=seg_y,
    )  # fmt: skip


def _slabs(rng: np.random.Generator) -> Product:
    """Rows are channels, taps are lines, segments are shifts of B, which has a border."""
    lines, words = int(rng.integers(1, 5)), int(rng.integers(1, rng.choice((5, 9, 18))))
    seg_y, seg_x = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    pitch = words + seg_x - 1 + int(rng.integers(3))
    m, across = int(rng.integers(1, 13)), bool(rng.random() < 0.5)
    k_tile = (lines + seg_y - 1) * pitch + seg_x
    return Product(
        m=m, k=int(rng.integers(1, 4)) * k_tile, n=int(rng.integers(1, rng.choice((4, 12, 30)))), slabs=True, k_tile=k_tile,
        out_x=m if across else 1, in_x=m if across else 1, taps_y=lines, in_y=int(rng.integers(1, lines + 2)),
        origin_y=int(rng.integers(-1, 2)), a_bricks=ceil_div(words, BRICK), a_tail=(words - 1) % BRICK + 1, tap_k=pitch,
        seg_x=seg_x, seg_y=seg_y,
    )  # fmt: skip


def _tiled(rng: np.random.Generator, chip: Chip, p: Product) -> Product:
    """Its tiling chosen by :mod:`spec.tiling` or at random; with slabs the offsets of segments, in words of a bank."""
    whole = ceil_div(p.n, chip.lanes)
    room = chip.psum_depth // chip.lanes // p.segments
    step = ceil_div(MASK_COLUMNS if p.masked else BRICK, chip.lanes)
    widths = [c for c in {whole, *range(step, whole, step)} if c <= room and (p.finish or c == whole)]
    if not widths:
        raise ProductError("no tile")
    columns = int(rng.choice(widths))
    if p.slabs:
        # From the far end back, or from the first row on.
        x, y, start = 1, p.tap_k - (p.seg_x - 1), 0
        if rng.random() < 0.5:
            x, y, start = -x, -y, (p.seg_y - 1) * p.tap_k + p.seg_x - 1
        half = chip.bank_depth // 2
        bank = {"seg_start": start, "seg_bank_x": x, "seg_bank_y": y}
        p = replace(p, **{name: rows * columns % half for name, rows in bank.items()})
    elif rng.random() < 0.5:
        return p
    else:
        unit = BRICK if p.any_brick else p.tap_k
        most = min(chip.list_depth, chip.bank_depth // 2 // columns)
        k_tiles = [k for k in range(unit, min(most + 1, p.k), unit)] + [p.k] * (p.k <= most)
        if not k_tiles:
            raise ProductError("no tile")
        p = replace(p, k_tile=int(rng.choice(k_tiles)))
    rows = max(1, min(32, room // columns))
    return replace(p, columns=columns, rows=rows if not p.finish else int(rng.integers(1, rows + 1)))


def _placed(rng: np.random.Generator, chip: Chip, p: Product) -> tuple[Product, dict[str, tuple[int, int]]]:
    """Addresses of all operands, and the region of each: base and bricks."""

    def gap() -> int:
        return int(rng.integers(1, 4)) if rng.random() < 0.3 else 0

    def sign() -> int:
        return -1 if rng.random() < 0.2 else 1

    images = ceil_div(ceil_div(p.m, p.out_x), p.out_y)
    step_x = p.a_bricks + gap()
    step_y = p.in_x * step_x + gap()
    step_b = p.in_y * step_y + gap()
    tiles = ceil_div(p.k, p.k_tile) if p.slabs else 1
    a_slab = int(rng.integers(0, step_y + 1)) if rng.random() < 0.5 else images * step_b
    ways = {"step_x": (p.in_x, step_x), "step_y": (p.in_y, step_y), "step_b": (images, step_b), "a_slab": (tiles, a_slab)}
    steps = {name: sign() * step for name, (_, step) in ways.items()}
    low = sum(min(0, (count - 1) * steps[name]) for name, (count, _) in ways.items())
    high = sum(max(0, (count - 1) * steps[name]) for name, (count, _) in ways.items()) + p.a_bricks
    if not p.slabs:
        steps["a_slab"] = 0

    across = ceil_div(p.n, BRICK)
    b_stride = across + gap()
    b_tile = (int(rng.integers(1, p.k_tile + 1)) if rng.random() < 0.5 else p.k_tile) * b_stride if p.slabs else 0
    b_size = (tiles - 1) * b_tile + (p.k_tile if p.slabs else p.k) * b_stride
    # Segments side by side in a row of C, or rows side by side in a segment.
    if rng.random() < 0.5:
        c_stride = p.segments * across + gap()
        seg_c_x, seg_c_y, c_size = across, across, p.m * c_stride
    else:
        c_stride = across + gap()
        seg_c_x = seg_c_y = p.m * c_stride + gap()
        c_size = p.segments * seg_c_x
    if p.segments == 1:
        seg_c_x, seg_c_y = int(rng.integers(100)), int(rng.integers(100))  # never taken
    mask_stride = ceil_div(p.n, MASK_COLUMNS) + gap()
    sizes = {"a": high - low, "b": b_size, "c": c_size}
    sizes |= {"mask": p.m * mask_stride} if p.masked else {}
    sizes |= {"one": 1} if p.bias else {}
    spare = chip.scratch_bricks - sum(sizes.values())
    if spare < 0:
        raise ProductError("no room")
    names = rng.permutation(list(sizes)).tolist()
    gaps = np.diff(np.sort(rng.integers(0, spare + 1, len(names))), prepend=0).tolist()
    regions, at = {}, 0
    for name, before in zip(names, gaps, strict=True):
        regions[name] = at + before, sizes[name]
        at += before + sizes[name]
    p = replace(
        p, **steps, a_base=regions["a"][0] - low + p.origin_y * steps["step_y"] + p.origin_x * steps["step_x"],
        b_base=regions["b"][0], b_stride=b_stride, b_tile=b_tile, c_base=regions["c"][0], c_stride=c_stride,
        seg_c_x=seg_c_x, seg_c_y=seg_c_y, mask_base=regions.get("mask", (0, 0))[0], mask_stride=mask_stride,
        one_base=regions.get("one", (0, 0))[0],
    )  # fmt: skip
    return p, regions


def _fills(rng: np.random.Generator, chip: Chip, regions: dict[str, tuple[int, int]]) -> list[Fill]:
    limit = 1 << (chip.width - 1)
    fills = []
    for name, (base, size) in regions.items():
        words = rng.integers(-limit, limit, (size, BRICK), dtype=np.int32)
        if name == "a":
            words *= rng.random(words.shape) < rng.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        fills.append((base, words))
    return fills
