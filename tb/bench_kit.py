"""The kit's own bench: a stream passes through the unit under test unchanged."""

import os
import re

import cocotb
import numpy as np
import pytest
from cocotb.triggers import gather

from tb.kit import Stream, collect, generator, guard, load_ports, measure_latency, send, start


def draw(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Random words of every field of stream ``i``, extremes included."""
    items = {}
    for field in ("acc", "index"):
        port = load_ports()[f"i__payload__{field}"]
        low = -(1 << port["width"] - 1) if port["signed"] else 0
        high = low + (1 << port["width"]) - 1
        items[field] = rng.integers(low, high, count, endpoint=True)
        items[field][:2] = low, high
    return items


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def passes_items_unchanged(dut, stall):
    rng = generator()
    items = draw(rng, 200)
    i, o = Stream(dut, "i"), Stream(dut, "o")

    await start(dut)
    cocotb.start_soon(guard(o))
    _, got = await gather(send(i, items, rng, stall), collect(o, 200, rng, stall))

    for field, words in items.items():
        np.testing.assert_array_equal(got[field], words)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def has_its_latency(dut):
    i, o = Stream(dut, "i"), Stream(dut, "o")
    await start(dut)
    latency = await measure_latency(i, o, {"acc": [-1], "index": [1]})
    assert latency == int(os.environ["LATENCY"])


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def refuses_words_that_do_not_fit(dut):
    await start(dut)
    for items, text in [
        ({"acc": [2048], "index": [0]}, "stream 'i': acc must be -2048 to 2047, not 2048"),
        ({"acc": [0]}, "stream 'i' has fields ['acc', 'index'], not ['acc']"),
        ([0], "stream 'i' has fields ['acc', 'index'], not ['']"),
    ]:
        with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
            Stream(dut, "i").to_rows(items)
