"""What any unit must hold that passes items from stream ``i`` to stream ``o``, ``depth`` of them at once."""

from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import gather

from tb.kit import Stream, collect, cycles, generator, guard, send, start
from tb.models import draw, setting


async def check_order(dut: Any, source: float, sink: float) -> None:
    """Nothing is lost, changed or reordered, with both streams stalled."""
    rng, i, o = generator(), Stream(dut, "i"), Stream(dut, "o")
    items = draw(rng, i, 300)
    await start(dut)
    cocotb.start_soon(guard(o))
    _, got = await gather(send(i, items, rng, source), collect(o, 300, rng, sink))
    for field, words in items.items():
        np.testing.assert_array_equal(got[field], words)


async def check_depth(dut: Any) -> None:
    """With its output stalled it takes as many items as its depth, and no more."""
    rng, i, o = generator(), Stream(dut, "i"), Stream(dut, "o")
    depth = setting("depth")
    items = draw(rng, i, depth + 1)
    await start(dut)
    sender = cocotb.start_soon(send(i, items, rng))
    await cycles(dut, 3 * depth + 3)
    assert not sender.done(), f"took {depth + 1} items while its output stalled"
    got = await collect(o, depth + 1, rng)
    assert sender.done(), "the last item went out before it went in"
    for field, words in items.items():
        np.testing.assert_array_equal(got[field], words)
