"""Row lists: every filled list passes round and round without a gap while others are being filled."""

import cocotb
from cocotb.triggers import RisingEdge

from spec.chip import Chip
from spec.engine import Widths
from tb.kit import cycles, generator, load_spec, start
from tb.models import BEHIND, setting


def shown(dut, slot, field):
    return int(getattr(dut, f"o__{slot}__{field}").value)


async def store(dut, chip, slot, pairs, rng):
    """Write a list with idle cycles between its pairs."""
    for address, (k, a) in enumerate(pairs):
        while rng.random() < 0.3:
            dut.w_enable.value = 0
            await RisingEdge(dut.clk)
        dut.w_enable.value = 1 << slot
        dut.w_address.value, dut.w_k.value, dut.w_a.value = address, k, a
        await RisingEdge(dut.clk)
    dut.w_enable.value = 0
    await RisingEdge(dut.clk)


async def watch(dut, slot, lists):
    """Compare what passes with the pairs of ``lists[slot]``, from ``LATENCY`` edges after ``filled`` rises on; words come ``BEHIND`` after their offsets."""
    edge, past, position = RisingEdge(dut.clk), [None] * setting("latency"), 0
    words = [None] * BEHIND
    while True:
        await edge
        if int(dut.filled.value) >> slot & 1:
            past.append(lists[slot][position])
            position = (position + 1) % len(lists[slot])
        else:
            past.append(None)
            position = 0
        k, a = past.pop(0) or (None, None)
        words.append(a)
        assert k in {None, shown(dut, slot, "k")}
        assert words.pop(0) in {None, shown(dut, slot, "a")}


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def circulates_without_a_gap(dut):
    rng, chip = generator(), load_spec(Chip)
    widths = Widths(chip)
    await start(dut)
    lists, mask = {}, 0
    for slot in range(chip.slots):
        cocotb.start_soon(watch(dut, slot, lists))
    for turn in range(25):
        slot = turn % chip.slots
        # Retire the slot's list at any point of its turn, write the next one, fill.
        mask &= ~(1 << slot)
        dut.filled.value = mask
        await cycles(dut, 1 + setting("latency"))
        length = int(rng.choice([1, 2, chip.list_depth, rng.integers(1, chip.list_depth)]))
        pairs = list(
            zip(
                rng.integers(0, 1 << widths.half_address, length).tolist(),
                rng.integers(0, 1 << chip.width, length).tolist(),
                strict=True,
            )
        )
        await store(dut, chip, slot, pairs, rng)
        getattr(dut, f"ends__{slot}").value = length - 1
        await cycles(dut, 1)
        lists[slot] = pairs
        mask |= 1 << slot
        dut.filled.value = mask
        await cycles(dut, int(rng.integers(0, 2 * length + 5)))
    await cycles(dut, 3 * chip.list_depth)
