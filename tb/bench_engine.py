"""Engine: whole products through its streams, word for word as golden; chains, reads meanwhile, reset."""

from dataclasses import replace

import cocotb
import numpy as np
from cocotb.triggers import Event, RisingEdge, gather

from golden.product import product as golden_product
from spec.chip import BRICK, Chip
from spec.engine import COUNTERS, Widths
from spec.number import Rounding
from spec.product import MASK_COLUMNS, Product, ceil_div
from spec.tiling import choose_tiling, command_words, planned
from tb.kit import RESET_CYCLES, Stream, cycles, generator, guard, load_spec, reset, send, start
from tb.models import pack, to_bricks, unpack

LIMIT = 60_000  # cycles no product here takes


class Host:
    """Writes, reads and commands, stalled at random."""

    def __init__(self, dut, chip, rng, stall):
        self.dut, self.chip, self.rng, self.stall = dut, chip, rng, stall
        self.end = 0  # first brick that nothing lies in

    def room(self, bricks):
        base, self.end = self.end, self.end + bricks
        assert self.end <= self.chip.scratch_bricks
        return base

    async def store(self, bricks):
        """Write bricks (rows, bricks of a row, 8) behind everything else; return their base and stride."""
        flat = bricks.reshape(-1, BRICK)
        base = self.room(len(flat))
        words = [pack(brick, self.chip.width) for brick in flat]
        items = {"address": np.arange(base, self.end), "words": words}
        await send(Stream(self.dut, "write"), items, self.rng, self.stall)
        return base, bricks.shape[1]

    async def read(self, addresses):
        """Bricks at these addresses, (count, 8)."""
        bricks = []

        async def watch():
            while len(bricks) < len(addresses):
                await RisingEdge(self.dut.clk)
                if self.dut.read_valid.value:
                    bricks.append(unpack(int(self.dut.read_brick.value), self.chip.width))

        await gather(watch(), send(Stream(self.dut, "read"), addresses, self.rng, self.stall))
        return np.array(bricks)

    async def run(self, product):
        """Run a product to its end; return its counters."""
        words = command_words(self.chip, product)
        names = [name for name, _ in Widths(self.chip).command_fields()]
        await send(Stream(self.dut, "command"), {n: [w] for n, w in zip(names, words, strict=True)}, self.rng)
        for _ in range(LIMIT):
            await cycles(self.dut, 1)
            if self.dut.done.value:
                break
        else:
            raise AssertionError(f"no end of {product}")
        await cycles(self.dut, 1)
        assert not self.dut.done.value
        assert not self.dut.running.value
        return {name: int(getattr(self.dut, f"counters__{name}").value) for name in COUNTERS}


def draw(rng, chip, m, k, n, density, mask_density):
    limit = 1 << chip.width - 1
    a = rng.integers(-limit, limit, (m, k)) * (rng.random((m, k)) < density)
    b = rng.integers(-limit, limit, (k, n))
    mask = None if mask_density is None else (rng.random((m, n)) < mask_density).astype(int)
    return a, b, mask


def mask_words(mask):
    """A mask as rows of words, eight bits each, up to a whole brick."""
    m, n = mask.shape
    padded = np.zeros((m, ceil_div(n, MASK_COLUMNS) * MASK_COLUMNS), int)
    padded[:, :n] = mask
    return (padded.reshape(m, -1, 8) << np.arange(8)).sum(axis=2)


async def place(host, a, b, mask):
    """Operands in the scratchpad, and the product that finds them there."""
    rng, chip = host.rng, host.chip
    limit = 1 << chip.width - 1
    host.end = 0
    a_base, a_stride = await host.store(to_bricks(a, rng, -limit, limit - 1))
    b_base, b_stride = await host.store(to_bricks(b, rng, -limit, limit - 1))
    (m, k), n = a.shape, b.shape[1]
    fields = {}
    if mask is not None:
        mask_base, mask_stride = await host.store(to_bricks(mask_words(mask), rng, 0, 0))
        fields = {"masked": True, "mask_base": mask_base, "mask_stride": mask_stride}
    c_stride = ceil_div(n, BRICK) + int(rng.integers(2))
    return Product(
        m=m, k=k, n=n, a_base=a_base, a_stride=a_stride, b_base=b_base, b_stride=b_stride,
        c_base=host.room(m * c_stride), c_stride=c_stride,
        shift=int(rng.integers(0, 2 * chip.width)), rounding=Rounding(int(rng.integers(3))),
        key=int(rng.integers(1 << 32)), index_base=int(rng.integers(1 << 32)), index_stride=int(rng.integers(n, 500)),
        **fields,
    )  # fmt: skip


def golden(chip, product, a, b, mask):
    return golden_product(
        a, b, shift=product.shift, rounding=product.rounding, key=product.key, width=chip.width,
        acc_width=chip.acc_width, mask=mask, index_base=product.index_base, index_stride=product.index_stride,
    )  # fmt: skip


async def check_words(host, product, words):
    """C in the scratchpad is ``words``, with zeros up to a whole brick."""
    bricks = ceil_div(product.n, BRICK)
    addresses = product.c_base + (product.c_stride * np.arange(product.m)[:, None] + np.arange(bricks)).ravel()
    got = (await host.read(addresses)).reshape(product.m, bricks * BRICK)
    np.testing.assert_array_equal(got[:, : product.n], words, err_msg=str(product))
    assert not got[:, product.n :].any(), "words past the last column are not zero"


async def disturb(host, known, stop):
    """Read operands at random until ``stop`` is set: what comes is what was written, and the product is not harmed."""
    addresses = sorted(known)
    while not stop.is_set():
        some = host.rng.choice(addresses, 5)
        np.testing.assert_array_equal(await host.read(some), [known[a] for a in some])
        await cycles(host.dut, int(host.rng.integers(0, 20)))


async def multiply(host, a, b, mask, *, reads=False, **fields):
    """One product, its words and its counters against golden."""
    product = planned(host.chip, replace(await place(host, a, b, mask), **fields))
    stop, visitor = Event(), None
    if reads:
        operands = np.arange(product.c_base)
        known = dict(zip(operands.tolist(), await host.read(operands), strict=True))
        visitor = cocotb.start_soon(disturb(host, known, stop))
    counters = await host.run(product)
    stop.set()
    if visitor is not None:
        await visitor
    words, saturations = golden(host.chip, product, a, b, mask)
    await check_words(host, product, words)
    kept = np.ones(words.shape, int) if mask is None else mask
    assert counters["saturations"] == saturations
    assert counters["outputs_computed"] == kept.sum()
    assert counters["busy_lane_cycles"] == macs(product, a, kept)
    return counters


def macs(product, a, kept):
    """Multiply-accumulates: pairs of each row list times the columns asked of it."""
    total = 0
    for first in range(0, product.k, product.k_tile):
        part = a[:, first : first + product.k_tile]
        pairs = np.maximum(1, np.count_nonzero(part, axis=1)) if product.skip else np.full(len(a), part.shape[1])
        total += int(pairs @ kept.sum(axis=1))
    return total


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5], masked=[False, True])
async def multiplies_as_golden(dut, stall, masked):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    host = Host(dut, chip, rng, stall)
    shapes = [(1, 1, 1), *rng.integers(1, 24, (3, 3)).tolist(), (chip.groups * 3 + 1, 70, 11)]
    for m, k, n in shapes:
        a, b, mask = draw(rng, chip, m, k, n, rng.choice([0.0, 0.2, 1.0]), rng.choice([0.0, 0.5]) if masked else None)
        await multiply(host, a, b, mask, skip=bool(rng.random() < 0.7), reads=bool(rng.random() < 0.5))


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def cuts_a_product_into_tiles_of_every_kind(dut):
    """Several tiles of columns, of rows and of the reduction, the last of each smaller than the rest."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    host = Host(dut, chip, rng, 0.0)
    columns = max(2 * BRICK // chip.lanes, 1)
    m, k, n = chip.groups * 4 + 3, 21, 2 * columns * chip.lanes + 5
    a, b, _ = draw(rng, chip, m, k, n, 0.5, None)
    await multiply(host, a, b, None, reads=True, k_tile=8, columns=columns, rows=2)
    columns = 2 * MASK_COLUMNS // chip.lanes // 2
    rows = min(2, chip.psum_depth // chip.lanes // columns)
    k_tile = min(8, chip.bank_depth // 2 // columns)
    a, b, mask = draw(rng, chip, chip.groups * 2 + 1, k_tile, MASK_COLUMNS + 9, 0.5, 0.3)
    await multiply(host, a, b, mask, k_tile=k_tile, columns=columns, rows=rows)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def adds_up_a_chain_of_products(dut):
    """Three parts of one reduction, rows of all equally far apart: the first starts, the last finishes, nothing is written before."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    host = Host(dut, chip, rng, 0.5)
    for masked in (None, 0.5):
        m, n = chip.groups * 2, 2 * chip.lanes + 1
        a, b, mask = draw(rng, chip, m, 30, n, 0.6, masked)
        whole = None
        saturations = 0
        for first, last in ((0, 10), (10, 19), (19, 30)):
            part = await place(host, a[:, first:last], b[first:last], mask)
            whole = whole or part
            part = replace(
                part, shift=whole.shift, rounding=whole.rounding, key=whole.key, index_base=whole.index_base,
                index_stride=whole.index_stride, start=first == 0, finish=last == 30,
            )  # fmt: skip
            tiling = choose_tiling(chip, replace(part, start=True, finish=False))
            part = replace(part, k_tile=min(8, tiling.k_tile), columns=tiling.columns, rows=tiling.rows)
            saturations += (await host.run(planned(chip, part)))["saturations"]
        words, clipped = golden(chip, whole, a, b, mask)
        await check_words(host, part, words)
        assert saturations == clipped


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def forgets_a_product_that_reset_ends(dut):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    host = Host(dut, chip, rng, 0.0)
    for spent in rng.integers(20, 400, 4).tolist():
        a, b, mask = draw(rng, chip, 12, 20, 14, 0.7, 0.6)
        product = planned(chip, await place(host, a, b, mask))
        running = cocotb.start_soon(host.run(product))
        await cycles(dut, spent)
        running.cancel()
        dut.command__valid.value = 0
        await reset(dut, RESET_CYCLES)
        a, b, mask = draw(rng, chip, 5, 9, 10, 0.7, 0.6)
        await multiply(host, a, b, mask)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def keeps_what_the_host_writes(dut):
    """Every brick of the scratchpad's ends, in any order, through stalled streams."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    cocotb.start_soon(guard(Stream(dut, "read")))
    limit = 1 << chip.width - 1
    addresses = rng.permutation(np.arange(0, chip.scratch_bricks, chip.scratch_bricks // 64))
    bricks = rng.integers(-limit, limit, (len(addresses), BRICK))
    words = [pack(brick, chip.width) for brick in bricks]
    await send(Stream(dut, "write"), {"address": addresses, "words": words}, rng, 0.5)
    order = rng.permutation(len(addresses))
    np.testing.assert_array_equal(await Host(dut, chip, rng, 0.5).read(addresses[order]), bricks[order])
