"""Counters against sums in Python: cleared at a start, held after the end, quiet in between."""

import cocotb
from cocotb.triggers import RisingEdge

from spec.chip import Chip
from spec.engine import COUNTERS
from tb.kit import cycles, generator, load_spec, start


def values(dut):
    return {name: int(getattr(dut, f"values__{name}").value) for name in COUNTERS}


def show(dut, chip, rng, quiet):
    """Random events of a cycle, or none; return what they add to each counter."""
    width = chip.lanes.bit_length()
    added = {}
    for port, counter in (
        ("busy", "busy_lane_cycles"),
        ("blocked", "drain_stall_lane_cycles"),
        ("outputs", "outputs_computed"),
    ):
        counts = [0 if quiet else int(rng.integers(chip.lanes + 1)) for _ in range(chip.groups)]
        getattr(dut, port).value = sum(count << width * g for g, count in enumerate(counts))
        added[counter] = sum(counts)
    for port, counter in (("load_wait", "load_stall_group_cycles"), ("saturated", "saturations")):
        bits = 0 if quiet else int(rng.integers(1 << chip.groups))
        getattr(dut, port).value = bits
        added[counter] = bits.bit_count()
    return added


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def counts_a_command(dut):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    for _ in range(5):
        for _ in range(10):  # between commands nothing counts
            show(dut, chip, rng, quiet=False)
            dut.working.value = int(rng.integers(1 << chip.groups))
            await RisingEdge(dut.clk)
        show(dut, chip, rng, quiet=True)
        dut.working.value = 0
        await cycles(dut, 2)

        expected = dict.fromkeys(COUNTERS, 0)
        dut.running.value = 1
        await cycles(dut, 2)
        length, seen = int(rng.integers(40, 200)), 0
        final = length - int(rng.integers(5, 30))
        for now in range(length):
            quiet = now >= length - 3  # events need two cycles to be counted
            for counter, count in show(dut, chip, rng, quiet).items():
                expected[counter] += count
            working = 1 << now // 4 if now // 4 < chip.groups else 0
            seen |= working
            dut.working.value = working
            dut.final_left.value = int(now >= final)
            await RisingEdge(dut.clk)
        dut.running.value = dut.final_left.value = 0
        await cycles(dut, 2)
        got = values(dut)
        # Steady: from every group having worked until one has nothing left.
        assert got["steady_cycles"] == final - 4 * (chip.groups - 1) - 1
        assert 0 < got["steady_busy_lane_cycles"] <= got["busy_lane_cycles"]
        assert got["steady_busy_lane_cycles"] <= got["steady_cycles"] * chip.total_lanes
        for counter, count in expected.items():
            if not counter.startswith("steady") and counter != "cycles":
                assert got[counter] == count, counter
        assert got["cycles"] == length + 1
        show(dut, chip, rng, quiet=False)
        await cycles(dut, 5)
        assert values(dut) == got, "counters move after the end"
