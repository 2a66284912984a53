"""The whole machine behind cocotbext-axi's host and memory: registers, programs, and all that must stop it.

The native library plays far more of the same (tests/test_machine.py); here every channel stalls, somebody else's
reading of AXI judges, and nothing that is offered may change before it is taken.
"""

import os

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, First, RisingEdge
from cocotbext.axi import AxiResp

from spec.chip import Chip
from spec.isa import ErrorCode
from spec.registers import ID_VALUE, REGISTERS, Access, Control, Irq, Status, offset, version_value
from tb.axi_ext import Host, Target, memory
from tb.faulty import FuzzCase, broken, failing_bus
from tb.kit import Stream, generator, guard, load_spec, start
from tb.programs import RING, Case, Layout, draw

LIMIT = 200_000  # cycles between two interrupts
WATCHDOG = 5_000
STALLS = [0.0, 0.25, 0.75]
BROKEN = int(os.environ.get("GRADLOOM_BROKEN", "1"))  # descriptors to break at least, at each rate of stalls


class Bench:
    """A started machine between a host and a memory."""

    def __init__(self, dut, stall: float):
        self.dut, self.rng, self.chip = dut, generator(), load_spec(Chip)
        self.target = Target(np.zeros(Layout(self.chip).size, np.uint8))
        self.memory = memory(dut, self.target, self.rng, stall)
        self.host = Host(dut, self.rng, stall)
        for name in ("mem__ar", "mem__aw", "mem__w", "ctl__b", "ctl__r"):
            cocotb.start_soon(guard(Stream(dut, name)))

    async def write(self, register: str, value: int) -> None:
        response = await self.host.write(offset(register), value)
        assert response == AxiResp.OKAY, f"{register} refuses {value:#x}"

    async def read(self, register: str) -> int:
        value, response = await self.host.read(offset(register))
        assert response == AxiResp.OKAY, register
        return value

    async def place(self, case: Case) -> None:
        self.target.bytes[:] = case.memory
        for name, (first, end) in (("read", case.layout.read), ("write", case.layout.write)):
            await self.write(f"{name}_base", first)
            await self.write(f"{name}_limit", end - 1)
        await self.write("watchdog", WATCHDOG)
        await self.write("ring_base", RING)
        await self.write("ring_size", case.entries)
        await self.write("irq_enable", int(Irq.ENDED | Irq.FAILED | Irq.ABORTED))

    async def run(self, head: int) -> tuple[ErrorCode, int, Status]:
        """From descriptor ``head`` to the interrupt; fails when there is none."""
        await self.write("ring_head", head)
        await self.write("control", int(Control.START))
        if not self.dut.irq.value:
            late = ClockCycles(self.dut.clk, LIMIT)
            first = await First(RisingEdge(self.dut.irq), late)
            assert first is not late, f"no interrupt within {LIMIT} cycles"
        await self.write("irq_status", int(Irq.ENDED | Irq.FAILED | Irq.ABORTED))
        status = Status(await self.read("status"))
        return ErrorCode(await self.read("error")), await self.read("error_index"), status


async def begin(dut, stall: float) -> Bench:
    await start(dut)
    return Bench(dut, stall)


async def play(bench: Bench, fuzz: FuzzCase) -> None:
    """From one error to the next; each must be the one expected, and memory at the end what it should be."""
    case, head = fuzz.case, fuzz.case.head
    await bench.place(case)
    for number, (code, index) in enumerate(fuzz.stops):
        got, at, status = await bench.run(head)
        if code == ErrorCode.NONE:
            assert (got, status) == (ErrorCode.NONE, Status.ENDED)
        else:
            assert (got, at, status) == (code, index, Status.FAILED), f"broken descriptor {number}: {fuzz.names[number]}"
        head = (index + 1) % case.entries
    wrong = bench.target.bytes != fuzz.expected
    for code, (first, end) in fuzz.failing.values():
        if code == ErrorCode.WRITE_BUS:
            wrong[first:end] = False
    assert not wrong.any(), f"{int(wrong.sum())} bytes differ, the first at {np.flatnonzero(wrong)[0]:#x}"


@cocotb.test(timeout_time=20 * BROKEN, timeout_unit="ms")
@cocotb.parametrize(stall=STALLS)
async def stops_at_broken_descriptors(dut, stall):
    bench, played = await begin(dut, stall), 0
    while played < BROKEN:
        fuzz = broken(bench.rng, bench.chip)
        await play(bench, fuzz)
        played += len(fuzz.names)
        dut._log.info(f"{played} broken descriptors, of {BROKEN}")


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=STALLS)
async def stops_when_the_bus_fails(dut, stall):
    bench = await begin(dut, stall)
    fuzz = failing_bus(bench.rng, bench.chip, 25)
    reads, writes = fuzz.frail
    bench.target.failing = {False: [reads], True: [writes]}
    await play(bench, fuzz)


@cocotb.test(timeout_time=50, timeout_unit="ms")
@cocotb.parametrize(stall=STALLS)
async def leaves_what_the_emulator_leaves(dut, stall):
    bench = await begin(dut, stall)
    case = draw(bench.rng, bench.chip, 40)
    await bench.place(case)
    got = await bench.run(case.head)
    assert (got[0], got[2]) == (ErrorCode.NONE, Status.ENDED)
    wrong = np.flatnonzero(bench.target.bytes != case.expected)
    assert not len(wrong), f"{len(wrong)} bytes differ, the first at {wrong[0]:#x}"


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def refuses_registers_as_the_map_says(dut, stall):
    bench = await begin(dut, stall)
    host = bench.host
    assert await bench.read("id") == ID_VALUE
    assert await bench.read("version") == version_value()
    known = {register.offset: register for register in REGISTERS}
    for address in range(0, 0x60, 4):
        register = known.get(address)
        readable = register is not None
        _, response = await host.read(address)
        assert (response == AxiResp.OKAY) == readable, f"read of {address:#x}"
        writable = readable and register.access != Access.READ
        if register is None or register.name != "control":
            response = await host.write(address, 0)
            assert (response == AxiResp.OKAY) == writable, f"write of {address:#x}"
    for register in REGISTERS:
        if register.access in {Access.BOTH, Access.SETTING} and register.name != "ring_base":
            value = int(bench.rng.integers(1 << register.bits))
            await bench.write(register.name, value)
            assert await bench.read(register.name) == value, register.name


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def the_watchdog_ends_what_memory_does_not(dut):
    """Settings are fixed meanwhile; when memory answers after all, the machine runs again."""
    bench = await begin(dut, 0.0)
    case = draw(bench.rng, bench.chip, 0)
    await bench.place(case)
    await bench.write("ring_head", case.head)
    bench.memory.read_if.ar_channel.pause = True
    await bench.write("control", int(Control.START))
    assert Status(await bench.read("status")) & Status.RUNNING
    assert await bench.host.write(offset("ring_head"), 1) == AxiResp.SLVERR
    late = ClockCycles(dut.clk, 2 * WATCHDOG)
    assert await First(RisingEdge(dut.irq), late) is not late
    assert await bench.read("error") == ErrorCode.WATCHDOG
    bench.memory.read_if.ar_channel.pause = False
    await bench.write("irq_status", int(Irq.FAILED))
    while Status(await bench.read("status")) & Status.BUS:
        pass
    assert (await bench.run(case.head))[2] == Status.ENDED
    np.testing.assert_array_equal(bench.target.bytes, case.expected)
