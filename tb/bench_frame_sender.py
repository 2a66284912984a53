"""Answers onto a line against :func:`spec.link.slip`."""

import cocotb
from cocotb.triggers import gather

from spec.link import END, ESCAPE, slip
from tb.kit import Stream, collect, generator, guard, send, start


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def frames_every_answer(dut, stall):
    await start(dut)
    rng = generator()
    i, o = Stream(dut, "i"), Stream(dut, "o")
    cocotb.start_soon(guard(o))
    bodies = [bytes([byte]) for byte in (END, ESCAPE, 0)]
    for _ in range(60):
        bodies.append(bytes(int(rng.choice([END, ESCAPE, int(rng.integers(0, 256))])) for _ in range(int(rng.integers(1, 40)))))
    want = b"".join(map(slip, bodies))
    items = {
        "data": [byte for body in bodies for byte in body],
        "last": [int(n == len(body) - 1) for body in bodies for n in range(len(body))],
    }
    _, got = await gather(send(i, items, rng, stall), collect(o, len(want), rng, stall))
    assert bytes(map(int, got)) == want
