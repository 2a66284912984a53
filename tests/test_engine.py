"""The generated engine against golden, word for word, and one product on every engine."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from engine_cases import CASE_CHIPS, KINDS, Case, draw, generator, products_issued
from engine_player import CaseFailed, Player, build_case_engine
from window_cases import STYLES, draw_window

from golden.product import product as golden_product
from spec.number import Rounding
from spec.product import MASK_COLUMNS, Product, ProductError, ceil_div
from spec.tiling import planned, row_tile

CASES = 100  # of each of ten chips, every second one with a window


@pytest.mark.rtl
@pytest.mark.parametrize("chip", CASE_CHIPS.values(), ids=CASE_CHIPS)
def test_random_products_equal_golden(chip, seed):
    """Shapes, densities, masks, tilings, chains, parts, traffic, placements: see ``tests/engine_cases.py``."""
    tally = Player(chip, build_case_engine(chip), seed).play(CASES)
    print(f"seed {seed}: {tally}")
    assert tally.cases == CASES
    assert tally.words > CASES * chip.scratch_bricks
    assert tally.differing_words == 0


@pytest.mark.rtl
def test_the_same_product_gives_the_same_words_on_every_engine(seed):
    """Numbers that no chip clips: then not even the width of a word shows."""
    rng = np.random.default_rng(seed)
    players = [Player(chip, build_case_engine(chip), seed) for chip in CASE_CHIPS.values()]
    for rounding in Rounding:
        m, k, n = (int(size) for size in rng.integers(1, (16, 16, 9)))  # one tile of the smallest chip
        a, b = rng.integers(-20, 21, (m, k)) * (rng.random((m, k)) < 0.6), rng.integers(-20, 21, (k, n))
        mask = rng.random((m, n)) < 0.7
        numbers = {"shift": 6, "rounding": rounding, "key": int(rng.integers(1 << 32)), "index_stride": n}
        words, saturations = golden_product(a, b, width=8, mask=mask, **numbers)
        assert saturations == 0
        case = Case("whole", a, b, mask, Product(m=m, k=k, n=n, masked=True, **numbers), traffic=False)
        for player in players:
            np.testing.assert_array_equal(player.run_case(case), words)


@pytest.mark.rtl
def test_a_wrong_word_and_a_wrong_count_fail_a_case(seed, monkeypatch):
    chip = CASE_CHIPS["1x2w8"]
    player = Player(chip, build_case_engine(chip), seed)
    one = np.ones((1, 1), int)
    case = Case("whole", one, one, None, Product(m=1, k=1, n=1, rounding=Rounding.FLOOR), traffic=False)
    assert player.run_case(case) == [[1]]
    monkeypatch.setattr("engine_player.golden_product", lambda *_, **__: (2 * one, 0))
    with pytest.raises(CaseFailed, match=r": 1 words differ, first word 0 of brick \d+: 1, not 2; Product\(m=1,"):
        player.run_case(case)
    player = Player(chip, build_case_engine(chip), seed)
    monkeypatch.setattr("engine_player.golden_product", lambda *_, **__: (one, 3))
    with pytest.raises(CaseFailed, match=": saturations is 0, not 3; Product"):
        player.run_case(case)
    monkeypatch.setattr("engine_player.products_issued", lambda *_: 7)
    with pytest.raises(CaseFailed, match=": busy_lane_cycles is 1, not 7; Product"):
        player.run_case(case)


def test_the_cases_hold_what_they_promise(seed):
    """Nothing of what the engine must bear is drawn less than three times in five hundred."""
    seen = Counter()
    for chip in CASE_CHIPS.values():
        for number in range(0, CASES, 2):
            case = draw(generator(chip, seed, number), chip)
            p = planned(chip, case.command)
            seen[case.kind] += 1
            seen["traffic"] += case.traffic
            seen["dense"] += not p.skip
            seen["all zero"] += not case.a.any()
            seen["nothing asked"] += case.mask is not None and not case.mask.any()
            seen["masked"] += p.masked
            seen["mask of two bricks"] += p.masked and p.n > MASK_COLUMNS
            seen["tiles of k"] += p.k > p.k_tile
            seen["many tiles of k"] += p.k > 3 * p.k_tile
            seen["column tiles"] += ceil_div(p.n, p.columns * chip.lanes) > 1
            seen["row tiles"] += p.m > row_tile(chip, p)
            seen[p.rounding] += 1
            seen["no shift"] += p.shift == 0
            seen["full shift"] += p.shift == 32
    wanted = {*KINDS, *Rounding, "traffic", "dense", "all zero", "masked", "tiles of k", "many tiles of k"}
    wanted |= {"no shift", "full shift", "nothing asked", "mask of two bricks", "column tiles", "row tiles"}
    assert {name: seen[name] for name in wanted if seen[name] < 3} == {}


def test_the_window_cases_hold_what_they_promise(seed):
    seen = Counter()
    for chip in CASE_CHIPS.values():
        for number in range(1, CASES, 2):
            case = draw_window(generator(chip, seed, number), chip)
            p = case.products[0]
            tiles = ceil_div(p.k, p.k_tile)
            seen[case.style] += 1
            seen["traffic"] += case.traffic
            seen["chain"] += len(case.products) > 1
            seen["bias"] += p.bias
            seen["bias in a later tile"] += p.bias and tiles > 1
            seen["masked"] += p.masked
            seen["segments"] += p.segments > 1
            seen["tiles of slabs"] += p.slabs and tiles > 1
            seen["tiles within taps"] += not p.slabs and tiles > 1 and p.a_tile % p.a_bricks > 0
            seen["tiles of whole taps"] += not p.slabs and tiles > 1 and p.a_tile % p.a_bricks == 0
            seen["row tiles"] += p.m > p.row_tile
            seen["column tiles"] += ceil_div(p.n, p.columns * chip.lanes) > 1
            seen["stride"] += p.stride > 1
            seen["holes"] += p.dilation > 1
            seen["images"] += p.m > p.out_x * p.out_y
            seen["backward"] += min(p.step_x, p.step_y, p.step_b) < 0
            seen["padding"] += min(p.origin_x, p.origin_y) < 0
            seen["eleven taps"] += max(p.taps_x, p.taps_y) == 11
    wanted = {"traffic", "chain", "bias", "bias in a later tile", "masked", "segments", "tiles of slabs", "tiles within taps"}
    wanted |= {"tiles of whole taps", "row tiles", "column tiles", "stride", "holes", "images", "backward", "padding", *STYLES}
    assert {name: seen[name] for name in wanted if seen[name] < 3} == {}
    assert seen["eleven taps"] > 0


def test_products_are_counted_one_by_one():
    a = np.array([[1, 0, 2, 0, 0], [0, 0, 0, 0, 3]])
    mask = np.array([[1, 0, 1], [0, 1, 0]])
    # Row 0 holds two nonzeros in the first four words and pays one for the last; row 1 the other way round.
    assert products_issued(a, None, 3, 4, skip=True) == 3 * (2 + 1) + 3 * (1 + 1)
    assert products_issued(a, mask, 3, 4, skip=True) == 2 * (2 + 1) + 1 * (1 + 1)
    assert products_issued(a, mask, 3, 4, skip=False) == 2 * 5 + 1 * 5


def test_a_tile_behind_the_last_brick_of_a_is_refused():
    """It would have nothing to fetch, and the product never ended: seed 1005752167."""
    p = Product(m=1, k=9, n=10, a_stride=1, b_base=2, b_stride=2, c_base=30, c_stride=2, a_bricks=1, a_tail=8, tap_k=9, k_tile=8)
    with pytest.raises(ProductError, match=r"^product: k must be 8 to 8 for 1 taps, not 9$"):
        planned(CASE_CHIPS["2x4w16"], p)
    planned(CASE_CHIPS["2x4w16"], replace(p, k=8))
