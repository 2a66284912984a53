"""UART: bytes both ways, clocks that differ, glitches, missing stop bits, a line held low."""

import cocotb
from cocotb.triggers import RisingEdge, Timer, gather

from tb.kit import PERIOD_NS, Stream, cycles, generator, send, start
from tb.models import setting
from tb.serial_line import BAD, BITS, Listener, send_byte, send_line

SPREAD = 0.03  # by which the sender's clock may differ from ours


class Catcher:
    """Bytes off the line, :data:`tb.serial_line.BAD` added to those that are bad."""

    def __init__(self, dut):
        self.dut = dut
        self.bytes = []

    async def run(self):
        while True:
            await RisingEdge(self.dut.clk)
            if self.dut.valid.value:
                self.bytes.append(int(self.dut.byte__data.value) | BAD * int(self.dut.byte__bad.value))


async def begin(dut):
    await start(dut)
    dut.rx.value = 1
    catcher = Catcher(dut)
    cocotb.start_soon(catcher.run())
    await cycles(dut, 20)
    return generator(), catcher, setting("divider")


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(spread=[-SPREAD, 0.0, SPREAD], stall=[0.0, 0.5])
async def takes_bytes_of_another_clock(dut, spread, stall):
    rng, catcher, divider = await begin(dut)
    await Timer(int(rng.integers(1, PERIOD_NS * 1000)), unit="ps")
    line = [0x00, 0xFF, 0x55, 0xAA, *map(int, rng.integers(0, 256, 100))]
    await send_line(dut, line, divider * (1 + spread), rng, stall)
    await cycles(dut, 2 * divider)
    assert catcher.bytes == line


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def marks_bytes_without_a_stop_bit(dut):
    rng, catcher, divider = await begin(dut)
    line = [int(byte) | BAD * int(rng.random() < 0.3) for byte in rng.integers(0, 256, 100)]
    await send_line(dut, line, divider)
    await cycles(dut, 2 * divider)
    assert catcher.bytes == line


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def is_not_started_by_a_glitch(dut):
    rng, catcher, divider = await begin(dut)
    for byte in range(30):
        dut.rx.value = 0
        await cycles(dut, int(rng.integers(1, divider // 2 - 1)))
        dut.rx.value = 1
        await cycles(dut, divider)
        await send_byte(dut, byte, divider)
    assert catcher.bytes == list(range(30))


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def a_line_held_low_is_one_bad_byte(dut):
    _, catcher, divider = await begin(dut)
    dut.rx.value = 0
    await cycles(dut, 100 * divider)
    assert catcher.bytes == [BAD]
    dut.rx.value = 1
    await cycles(dut, 2 * divider)
    await send_byte(dut, 0x5A, divider)
    await cycles(dut, divider)
    assert catcher.bytes == [BAD, 0x5A]


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.9])
async def sends_bytes_at_its_rate(dut, stall):
    rng, _, divider = await begin(dut)
    listener = Listener(dut, divider)
    cocotb.start_soon(listener.run())
    line = [0x00, 0xFF, *map(int, rng.integers(0, 256, 60))]
    await gather(send(Stream(dut, "i"), line, rng, stall))
    await cycles(dut, (BITS + 2) * divider)
    assert listener.bytes == line
    if not stall:
        steps = {after - before for before, after in zip(listener.starts, listener.starts[1:], strict=False)}
        assert steps == {BITS * divider * PERIOD_NS}
