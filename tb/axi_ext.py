"""cocotbext-axi on the machine's ports: somebody else's reading of the standard, as host and as memory.

It calls names that cocotb 2 deprecates; those warnings, of its modules and of the one it is built on, are let pass. Its
channels have an ID each, which the machine has not: the ID is a number that nothing drives.
"""

import logging
import warnings
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from cocotb.types import LogicArray

from tb.kit import load_ports

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiResp, AxiSlave

warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"cocotbext\.axi\.|cocotb_bus\.")


class _Id:
    """A port of one bit that is not there."""

    value = LogicArray("0")

    def __len__(self) -> int:
        return 1

    def setimmediatevalue(self, value: Any) -> None:
        pass


def _named(dut: Any, prefix: str, *, ids: bool) -> SimpleNamespace:
    """The ports of bus ``prefix`` under the standard's names, ``prefix_awaddr`` for ``prefix__aw__payload__addr``."""
    ports: dict[str, Any] = {}
    for name in load_ports():
        parts = name.split("__")
        if parts[0] == prefix:
            ports[f"{prefix}_{parts[1]}{parts[-1]}"] = getattr(dut, name)
    if ids:
        ports |= {f"{prefix}_{channel}id": _Id() for channel in ("aw", "b", "ar", "r")}
    return SimpleNamespace(_name=dut._name, _log=dut._log, **ports)


def _quiet(dut: Any, prefix: str) -> None:
    """It tells of every transfer, and warns of those that are meant to fail."""
    for name in ("", "_aw", "_w", "_b", "_ar", "_r"):
        logging.getLogger(f"cocotb.{dut._name}.{prefix}{name}").setLevel(logging.ERROR)


class Refused(Exception):
    """An access that memory answers with an error."""


class Target:
    """Bytes from address ``origin`` on; those of ``failing`` ranges, and all others, are refused."""

    def __init__(self, data: np.ndarray, origin: int = 0):
        self.bytes, self.origin = data, origin
        self.failing: dict[bool, list[tuple[int, int]]] = {False: [], True: []}
        self.beats = {False: 0, True: 0}

    def _place(self, address: int, length: int, writes: bool) -> int:
        self.beats[writes] += 1
        at = address - self.origin
        if at < 0 or at + length > len(self.bytes):
            raise Refused(f"{address:#x} is outside memory")
        if any(address < end and address + length > first for first, end in self.failing[writes]):
            raise Refused(f"{address:#x} fails")
        return at

    async def read(self, address: int, length: int) -> bytes:
        at = self._place(address, length, False)
        return self.bytes[at : at + length].tobytes()

    async def write(self, address: int, data: bytes) -> None:
        at = self._place(address, len(data), True)
        self.bytes[at : at + len(data)] = np.frombuffer(data, np.uint8)


def pauses(rng: np.random.Generator, stall: float) -> Iterator[bool]:
    while True:
        yield bool(rng.random() < stall)


def memory(dut: Any, target: Target, rng: np.random.Generator, stall: float) -> AxiSlave:
    """A memory on bus ``mem``; every channel pauses ``stall`` of the time."""
    _quiet(dut, "mem")
    slave = AxiSlave(AxiBus.from_prefix(_named(dut, "mem", ids=True), "mem"), dut.clk, target=target)
    write, read = slave.write_if, slave.read_if
    for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
        if stall:
            channel.set_pause_generator(pauses(rng, stall))
    return slave


class Host:
    """Registers by name, on bus ``ctl``."""

    def __init__(self, dut: Any, rng: np.random.Generator, stall: float):
        _quiet(dut, "ctl")
        self.master = AxiLiteMaster(AxiLiteBus.from_prefix(_named(dut, "ctl", ids=False), "ctl"), dut.clk)
        write, read = self.master.write_if, self.master.read_if
        for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
            if stall:
                channel.set_pause_generator(pauses(rng, stall))

    async def write(self, address: int, value: int) -> AxiResp:
        return (await self.master.write(address, value.to_bytes(4, "little"))).resp

    async def read(self, address: int) -> tuple[int, AxiResp]:
        answer = await self.master.read(address, 4)
        return int.from_bytes(answer.data, "little"), answer.resp
