"""The machine under the standard's port names: cocotbext-axi finds its buses by name, and a program runs through them."""

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, First, RisingEdge

from spec.chip import Chip
from spec.isa import DESCRIPTOR_BYTES, ErrorCode, Opcode, Unit, brick_bytes, encode
from spec.registers import ID_VALUE, Control, Irq, offset
from tb.axi_ext import AxiBus, AxiLiteBus, AxiLiteMaster, AxiSlave, Target, pauses
from tb.kit import PERIOD_NS, generator, load_ports, load_spec

ORIGIN = 0x4000_0000
RING, FROM, TO, SIZE = 0x1000, 0x4000, 0x9000, 0x10000
LIMIT = 50_000


async def reset(dut):
    for name, port in load_ports().items():
        if port["direction"] == "input":
            getattr(dut, name).value = 0
    Clock(dut.aclk, PERIOD_NS, unit="ns").start()
    await ClockCycles(dut.aclk, 4)
    dut.aresetn.value = 1
    await ClockCycles(dut.aclk, 2)


async def begin(dut, stall):
    """A machine out of reset, a host and a memory on its buses."""
    rng = generator()
    await reset(dut)
    target = Target(rng.integers(0, 256, SIZE, dtype=np.uint8), ORIGIN)
    how = {"reset": dut.aresetn, "reset_active_level": False}
    host = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.aclk, **how)
    memory = AxiSlave(AxiBus.from_prefix(dut, "m_axi"), dut.aclk, target=target, **how)
    for side in (host.write_if, host.read_if, memory.write_if, memory.read_if):
        for channel in ("aw", "w", "b", "ar", "r"):
            if stall and hasattr(side, f"{channel}_channel"):
                getattr(side, f"{channel}_channel").set_pause_generator(pauses(rng, stall))
    return host, target


async def write(host, register, value):
    answer = await host.write(offset(register), value.to_bytes(4, "little"))
    assert answer.resp == 0, register


async def read(host, register):
    answer = await host.read(offset(register), 4)
    assert answer.resp == 0, register
    return int.from_bytes(answer.data, "little")


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def moves_bricks_through_both_buses(dut, stall):
    chip = load_spec(Chip)
    host, target = await begin(dut, stall)
    assert await read(host, "id") == ID_VALUE
    assert await read(host, "chip") == int(chip.digest, 16)

    bricks = 40
    words = target.bytes[FROM : FROM + bricks * brick_bytes(chip)].view("<i2" if chip.width <= 16 else "<i4")
    words >>= 8 * words.itemsize - chip.width
    both = Unit.LOAD | Unit.STORE
    program = [
        encode(Opcode.LOAD, address=ORIGIN + FROM, bricks=bricks),
        encode(Opcode.STORE, both, address=ORIGIN + TO, bricks=bricks),
        encode(Opcode.END),
    ]
    target.bytes[RING : RING + len(program) * DESCRIPTOR_BYTES] = np.frombuffer(b"".join(program), np.uint8)
    expected = target.bytes.copy()
    expected[TO : TO + words.nbytes] = expected[FROM : FROM + words.nbytes]
    settings = {"ring_base": ORIGIN + RING, "ring_size": len(program), "irq_enable": int(Irq.ENDED | Irq.FAILED)}
    for kind in ("read", "write"):
        settings |= {f"{kind}_base": ORIGIN, f"{kind}_limit": ORIGIN + SIZE - 1}
    for register, value in settings.items():
        await write(host, register, value)
    assert not dut.irq.value
    await write(host, "control", int(Control.START))
    if not dut.irq.value:
        late = ClockCycles(dut.aclk, LIMIT)
        assert await First(RisingEdge(dut.irq), late) is not late, "no interrupt"
    assert await read(host, "error") == ErrorCode.NONE
    assert await read(host, "irq_status") == Irq.ENDED
    await write(host, "irq_status", int(Irq.ENDED))
    await ClockCycles(dut.aclk, 3)
    assert not dut.irq.value
    np.testing.assert_array_equal(target.bytes, expected)
    assert target.beats[True] > 0


async def raw_write(dut, address, value, strobes):
    """The answer; for strobes that the host of cocotbext-axi would not send."""
    dut.s_axi_awaddr.value, dut.s_axi_wdata.value, dut.s_axi_wstrb.value = address, value, strobes
    dut.s_axi_awvalid.value = dut.s_axi_wvalid.value = dut.s_axi_bready.value = 1
    await RisingEdge(dut.aclk)
    assert dut.s_axi_awready.value
    assert dut.s_axi_wready.value
    dut.s_axi_awvalid.value = dut.s_axi_wvalid.value = 0
    while not dut.s_axi_bvalid.value:
        await RisingEdge(dut.aclk)
    answer = int(dut.s_axi_bresp.value)
    dut.s_axi_bready.value = 0
    await ClockCycles(dut.aclk, 3)
    return answer


async def raw_read(dut, address):
    dut.s_axi_araddr.value = address
    dut.s_axi_arvalid.value = dut.s_axi_rready.value = 1
    await RisingEdge(dut.aclk)
    assert dut.s_axi_arready.value
    dut.s_axi_arvalid.value = 0
    while not dut.s_axi_rvalid.value:
        await RisingEdge(dut.aclk)
    value = int(dut.s_axi_rdata.value)
    dut.s_axi_rready.value = 0
    await ClockCycles(dut.aclk, 3)
    return value


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def takes_a_write_of_no_bytes(dut):
    """It is answered well and does nothing; a write of some bytes is refused, the next whole one is not."""
    await reset(dut)
    at = offset("watchdog")
    assert await raw_write(dut, at, 0x1234, 15) == 0
    for strobes, answer, left in ((0, 0, 0x1234), (6, 2, 0x1234), (0, 0, 0x1234), (15, 0, 0x77)):
        assert await raw_write(dut, at, 0x77, strobes) == answer
        assert await raw_read(dut, at) == left


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def drives_constant_signals(dut):
    await begin(dut, 0.0)
    for channel in ("aw", "ar"):
        values = {name: int(getattr(dut, f"m_axi_{channel}{name}").value) for name in ("id", "lock", "cache", "prot", "qos")}
        assert values == {"id": 0, "lock": 0, "cache": 3, "prot": 0, "qos": 0}
