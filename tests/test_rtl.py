"""Products on an engine: layout, blocks, counters, and words equal to golden's."""

import re
from dataclasses import replace

import numpy as np
import pytest
from golden_machine import GoldenMachine

from golden.graph import Graph
from golden.layers import GoldenExecute
from golden.network import Network
from golden.networks import build
from golden.product import chained_product, product
from golden.tally import Tally
from golden.trainer import DEMO, Samples, train
from host.backends import mask_to_bricks, to_bricks
from host.placement import blocks, bricks_needed, place
from host.rtl import RtlExecute
from spec.chip import CHIPS, Chip
from spec.number import Fixed, Rounding
from spec.product import ProductError

TINY = CHIPS["tiny"]
SMALL = replace(TINY, name="small", scratch_depth=64)  # 256 bricks: products must be cut


def operands(rng, m, k, n, density=0.5):
    a = rng.integers(-3000, 3000, (m, k)) * (rng.random((m, k)) < density)
    return a, rng.integers(-3000, 3000, (k, n)), rng.random((m, n)) < 0.5


@pytest.mark.parametrize("chip", [TINY, SMALL], ids=lambda chip: chip.name)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("mode", list(Rounding))
def test_words_and_saturations_are_golden_whole_or_in_blocks(chip, masked, mode, rng):
    execute = RtlExecute(GoldenMachine(chip))
    saturated = 0
    for m, k, n in [(1, 1, 1), (33, 65, 70), (70, 33, 200), (5, 120, 9)]:
        a, b, mask = operands(rng, m, k, n)
        mask = mask if masked else None
        got = execute(a, b, shift=8, rounding=mode, key=9, mask=mask)
        want, count = product(a, b, shift=8, rounding=mode, key=9, mask=mask)
        saturated += count
        np.testing.assert_array_equal(got, want)
        assert execute.saturations == saturated
    assert saturated > 0


@pytest.mark.parametrize("chip", [TINY, SMALL, CHIPS["ecp5-64"]], ids=lambda chip: chip.name)
@pytest.mark.parametrize("lengths", [(40,), (1500,), (7, 300, 64, 1), (3, 5)])
def test_long_reductions_are_chained_and_rounded_once(chip, lengths, rng):
    execute, saturated = RtlExecute(GoldenMachine(chip)), 0
    for m, n in [(1, 1), (19, 12), (150, 70)]:
        pairs = [operands(rng, m, k, n)[:2] for k in lengths]
        got = execute.chain(pairs, shift=12, rounding=Rounding.STOCHASTIC, key=9)
        want, count = chained_product(pairs, shift=12, rounding=Rounding.STOCHASTIC, key=9)
        saturated += count
        np.testing.assert_array_equal(got, want)
        assert execute.saturations == saturated
    counts = execute.phases["WG"]
    assert counts.products == 3
    assert counts.macs_dense == sum(lengths) * (1 + 19 * 12 + 150 * 70)


def test_a_chain_that_could_pass_the_accumulator_is_refused():
    chip = replace(SMALL, acc_width=36)
    full = np.full((1, 300), 32767)
    with pytest.raises(ProductError, match=r"^dw: sums can reach 322102886700, chip small has 36 bits$"):
        RtlExecute(GoldenMachine(chip)).chain([(full, full.T)], shift=0, rounding=Rounding.FLOOR, key=0, name="dw")


def test_blocks_cover_c_once_and_each_fits(rng):
    for _ in range(200):
        m, k, n = (int(x) for x in rng.integers(1, 400, 3))
        masked = bool(rng.integers(2))
        chip = replace(SMALL, scratch_depth=int(2 ** rng.integers(7, 12)))
        try:
            cut = list(blocks(chip, m, k, n, masked))
        except ProductError:
            assert sum(bricks_needed(1, k, min(n, 8), masked)) > chip.scratch_bricks
            continue
        covered = np.zeros((m, n), int)
        for block in cut:
            covered[block.row : block.row + block.rows, block.column : block.column + block.columns] += 1
            place(chip, block.rows, k, block.columns, masked)
        assert (covered == 1).all()


def test_operands_have_banks_of_their_own_where_they_fit():
    where = place(CHIPS["sim64"], 512, 512, 512, True)
    depth = CHIPS["sim64"].scratch_depth
    assert (where.a, where.b, where.c, where.mask) == (0, depth, 2 * depth, 3 * depth)
    tight = place(SMALL, 8, 16, 60, False)
    needed = bricks_needed(8, 16, 60, False)
    assert tight.b >= tight.a + needed[0]
    assert tight.c >= tight.b + needed[1]


def test_what_cannot_be_cut_is_refused():
    execute = RtlExecute(GoldenMachine(SMALL))
    text = "product 2x300x8 cannot be cut to fit chip small: one row and 8 columns need 339 bricks, the scratchpad holds 256"
    with pytest.raises(ProductError, match=f"^{re.escape(text)}$"):
        execute(np.ones((2, 300), int), np.ones((300, 8), int), shift=0, rounding=Rounding.FLOOR, key=0)


def test_splitting_can_be_forbidden():
    execute = RtlExecute(GoldenMachine(SMALL), split=False)
    text = "product 64x64x64 needs 1536 bricks, but the scratchpad of chip small holds 256"
    with pytest.raises(ProductError, match=f"^{re.escape(text)}$"):
        execute(np.ones((64, 64), int), np.ones((64, 64), int), shift=0, rounding=Rounding.FLOOR, key=0)


def test_words_past_the_end_of_a_row_are_noticed():
    class Overrunning(GoldenMachine):
        def read(self, address: int, count: int) -> np.ndarray:
            return super().read(address, count) + 1

    execute = RtlExecute(Overrunning(TINY))
    with pytest.raises(RuntimeError, match="words past the end of a row of C are not zero"):
        execute(np.ones((3, 3), int), np.ones((3, 3), int), shift=0, rounding=Rounding.FLOOR, key=0)


def test_bricks_by_hand():
    np.testing.assert_array_equal(to_bricks(np.arange(1, 10)[None]), [[[1, 2, 3, 4, 5, 6, 7, 8], [9] + [0] * 7]])
    mask = np.zeros((1, 65))
    mask[0, [0, 9, 10, 63, 64]] = 1
    np.testing.assert_array_equal(mask_to_bricks(mask), [[[1, 6, 0, 0, 0, 0, 0, 128], [1, 0, 0, 0, 0, 0, 0, 0]]])


@pytest.fixture
def blobs():
    """Four classes that a small network separates."""
    rng = np.random.default_rng(3)
    labels = np.arange(240) % 4
    pixels = np.clip(rng.normal(8, 2, (240, 16)) + 6 * (np.arange(16) % 4 == labels[:, None]), 0, 16).astype(np.uint8)
    return Samples("blobs", (4, 4, 1), 4, 4, pixels[:200], labels[:200], pixels[200:], labels[200:])


CONFIG = replace(DEMO, hidden=(24, 20), epochs=2, batch=16)


@pytest.fixture(scope="module")
def engine():
    from gradloom.machine import native_engine

    with native_engine(TINY, progress=False) as machine:
        yield machine


@pytest.mark.rtl
def test_engine_counts_what_the_operands_say(engine, rng):
    execute = RtlExecute(engine)
    for m, k, n in [(20, 40, 30), (7, 9, 70), (33, 24, 64)]:
        a, b, mask = operands(rng, m, k, n)
        a[:, 0] = 1  # a row without a nonzero costs a cycle a column all the same
        execute(a, b, shift=8, rounding=Rounding.STOCHASTIC, key=1, mask=mask, phase="BP")
    counts = execute.phases["BP"]
    assert counts.products == 3
    assert counts.counters["outputs_computed"] == round(counts.mask_density * counts.outputs)
    assert 0 < counts.macs_done < counts.macs_dense
    assert counts.macs_done <= counts.counters["busy_lane_cycles"] <= 1.1 * counts.macs_done
    assert 0 < counts.utilisation < 1
    assert execute.phases["FP"].products == 0


@pytest.mark.rtl
def test_blocks_on_the_engine_give_the_whole_products_words(engine, rng):
    a, b, mask = operands(rng, 120, 64, 150)
    assert len(list(blocks(TINY, 120, 64, 150, True))) > 1
    got = RtlExecute(engine)(a, b, shift=12, rounding=Rounding.STOCHASTIC, key=77, mask=mask)
    want, _ = product(a, b, shift=12, rounding=Rounding.STOCHASTIC, key=77, mask=mask)
    np.testing.assert_array_equal(got, want)


@pytest.mark.rtl
def test_dense_cycles_depend_on_the_shape_alone(engine, rng):
    """Whatever the memory holds and whenever the command comes, so one run per shape counts for all."""
    for m, k, n in [(20, 40, 30), (7, 64, 70), (33, 24, 64), (1, 1, 1)]:
        cycles = set()
        for density in (0.0, 0.5, 1.0):
            a, b, _ = operands(rng, m, k, n, density)
            execute = RtlExecute(engine)
            execute(a, b, shift=8, rounding=Rounding.STOCHASTIC, key=1)
            engine.idle(int(rng.integers(1, 50)))
            cycles.add(execute.dense_cycles(m, k, n))
            dense = RtlExecute(engine, skip=False)
            dense(a, b, shift=8, rounding=Rounding.NEAREST, key=2)
            cycles.add(dense.phases["FP"].cycles)
        assert len(cycles) == 1, f"{m}x{k}x{n}: {cycles}"


@pytest.mark.slow
@pytest.mark.rtl
def test_a_wider_chip_gives_the_same_weights(blobs, engine):
    from gradloom.machine import native_engine

    chip: Chip = replace(TINY, name="other", groups=3, lanes=2, slots=3)
    with native_engine(chip, progress=False) as other:
        ours = train(CONFIG, blobs, execute=RtlExecute(other))
    theirs = train(CONFIG, blobs, execute=RtlExecute(engine))
    assert isinstance(ours.network, Network)
    assert ours.network.digest() == theirs.network.digest()


@pytest.mark.rtl
def test_the_engine_chains_long_reductions(engine, rng):
    execute = RtlExecute(engine)
    for m, n, lengths in [(19, 12, (700,)), (37, 20, (7, 500, 64, 1)), (9, 8, (3000, 20))]:
        pairs = [operands(rng, m, k, n)[:2] for k in lengths]
        before = execute.saturations
        got = execute.chain(pairs, shift=12, rounding=Rounding.STOCHASTIC, key=9)
        want, count = chained_product(pairs, shift=12, rounding=Rounding.STOCHASTIC, key=9)
        np.testing.assert_array_equal(got, want)
        assert execute.saturations - before == count


@pytest.mark.rtl
def test_a_step_of_a_convolutional_network_on_the_engine_is_goldens(engine, rng):
    architecture = build("cnn", (6, 6, 1), 4)
    x, labels = rng.integers(0, 256, (4, 36)), rng.integers(0, 4, 4)
    digests = []
    for execute in (GoldenExecute(), Tally(RtlExecute(engine), GoldenExecute())):
        graph = Graph(architecture, Fixed(16, 8), seed=3)
        plans = [DEMO.sgd.plan(formats, 4) for formats in graph.formats]
        for step in range(2):
            graph.step(execute, x, labels, plans, Rounding.STOCHASTIC, step)
        digests.append(graph.digest())
    assert digests[0] == digests[1]
    assert execute.differing_words == 0
