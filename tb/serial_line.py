"""The other end of a serial line, for benches: bits with their timing, and their faults."""

from typing import Any

from cocotb.triggers import FallingEdge, Timer
from cocotb.utils import get_sim_time

from tb.kit import PERIOD_NS

BITS = 10  # of a byte on the line
BAD = 0x100  # added to a byte that is sent without its stop bit


async def send_byte(dut: Any, byte: int, divider: float, idle: float = 0.0) -> None:
    """``byte``, then ``idle`` bits of silence. A byte with :data:`BAD` has a low level instead of its stop bit, and a bit's time to recover."""
    levels = [0, *(byte >> n & 1 for n in range(8)), int(not byte & BAD)]
    if byte & BAD:
        levels.append(1)
    for level in levels:
        dut.rx.value = level
        await Timer(divider * PERIOD_NS * 1000, unit="ps", round_mode="round")
    if idle:
        await Timer(idle * divider * PERIOD_NS * 1000, unit="ps", round_mode="round")


async def send_line(dut: Any, line: list[int], divider: float, rng: Any = None, stall: float = 0.0) -> None:
    """Bytes one after the other; behind each, with probability ``stall``, some bits of silence."""
    for byte in line:
        await send_byte(dut, byte, divider, float(rng.uniform(0, 30)) if stall and rng.random() < stall else 0.0)


class Listener:
    """Takes bytes off ``dut.tx``, each bit in its middle. A missing stop bit fails the bench. Start :meth:`run` first."""

    def __init__(self, dut: Any, divider: int):
        self.dut, self.bit = dut, divider * PERIOD_NS
        self.bytes: list[int] = []
        self.starts: list[float] = []  # ns

    async def run(self) -> None:
        while True:
            await FallingEdge(self.dut.tx)
            self.starts.append(get_sim_time("ns"))
            byte = 0
            for bit in range(BITS):
                await Timer(self.bit // 2 if bit == 0 else self.bit, unit="ns")
                level = int(self.dut.tx.value)
                if bit in (0, BITS - 1):
                    assert level == (bit > 0), f"bit {bit} of byte {len(self.bytes)} is {level}"
                else:
                    byte |= level << bit - 1
            self.bytes.append(byte)
