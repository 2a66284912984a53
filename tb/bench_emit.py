"""Emitted Verilog against words that Amaranth's own simulator gave for the same circuit."""

import json
import os
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import gather

from tb.kit import Stream, collect, generator, guard, send, start


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def matches_the_vectors(dut, stall):
    vectors = json.loads(Path(os.environ["VECTORS"]).read_text())
    rng = generator()
    i, o = Stream(dut, "i"), Stream(dut, "o")
    sent, expected = ({"acc": [w[0] for w in vectors[n]], "index": [w[1] for w in vectors[n]]} for n in "io")

    await start(dut)
    cocotb.start_soon(guard(o))
    _, got = await gather(send(i, sent, rng, stall), collect(o, len(expected["acc"]), rng, stall))

    for field, words in expected.items():
        np.testing.assert_array_equal(got[field], words)
