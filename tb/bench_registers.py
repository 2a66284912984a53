"""The AXI4-Lite slave against a model of the map: every register and every other place, stalls on all channels."""

import cocotb
from cocotb.triggers import RisingEdge, gather

from spec.chip import Chip
from spec.registers import (
    COUNTER_NAMES,
    COUNTER_REGISTERS,
    ID_VALUE,
    REGISTER_ADDRESS_BITS,
    REGISTERS,
    Access,
    Control,
    Irq,
    Status,
    version_value,
)
from tb.kit import Stream, collect, cycles, generator, guard, load_spec, send, start

SLVERR = 2
PLACES = range(0, 1 << REGISTER_ADDRESS_BITS, 4)


class Host:
    def __init__(self, dut, rng, stall):
        self.dut, self.rng, self.stall = dut, rng, stall
        self.aw, self.w, self.b, self.ar, self.r = (Stream(dut, f"ctl__{n}") for n in ("aw", "w", "b", "ar", "r"))
        for answer in (self.b, self.r):
            cocotb.start_soon(guard(answer))

    async def write(self, address, value, strobes=0xF):
        async def later(stream, items):
            await cycles(self.dut, int(self.rng.integers(0, 6)) if self.stall else 0)
            await send(stream, items, self.rng, self.stall)

        _, _, answers = await gather(
            later(self.aw, {"addr": [address]}),
            later(self.w, {"data": [value], "strb": [strobes]}),
            collect(self.b, 1, self.rng, self.stall, after=3),
        )
        return int(answers["resp"][0])

    async def read(self, address):
        _, answers = await gather(
            send(self.ar, {"addr": [address]}, self.rng, self.stall),
            collect(self.r, 1, self.rng, self.stall, after=3),
        )
        return int(answers["data"][0]), int(answers["resp"][0])


async def begin(dut, stall):
    await start(dut)
    rng = generator()
    return rng, Host(dut, rng, stall)


@cocotb.test(timeout_time=50, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def registers_hold_what_they_may(dut, stall):
    rng, host = await begin(dut, stall)
    held = {r.name: 0 for r in REGISTERS if r.access in {Access.SETTING, Access.BOTH}}
    for n in rng.permutation(4 * len(REGISTERS)):
        register = REGISTERS[n % len(REGISTERS)]
        if register.name == "control":
            continue
        value = int(rng.integers(0, 1 << 32))
        strobes = 0xF if rng.random() < 0.7 else int(rng.integers(0, 15))
        locked = int(rng.random() < 0.3)
        # Each of these alone locks the settings.
        busy = [dut.status__running, dut.status__busy, dut.status__bus][int(rng.integers(0, 3))]
        busy.value = locked
        await cycles(dut, 3)
        resp = await host.write(register.offset, value, strobes)
        allowed = strobes == 0xF and register.access is not Access.READ
        allowed &= not (locked and register.access is Access.SETTING)
        assert resp == (0 if allowed else SLVERR), register
        if allowed and register.name in held:
            held[register.name] = value & (1 << register.bits) - 1 & (-128 if register.name == "ring_base" else -1)
        busy.value = 0
        for name, expected in held.items():
            assert int(getattr(dut, f"settings__{name}").value) == expected, name
            assert await host.read(next(r.offset for r in REGISTERS if r.name == name)) == (expected, 0)


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def every_place_answers(dut):
    rng, host = await begin(dut, 0.0)
    cocotb.start_soon(answer(dut, rng, dict.fromkeys(COUNTER_NAMES, 0)))
    values = {r.offset: 0 for r in REGISTERS}
    values |= dict.fromkeys(COUNTER_REGISTERS.values(), 0) | {at + 4: 0 for at in COUNTER_REGISTERS.values()}
    values[0x00], values[0x04], values[0x08] = ID_VALUE, version_value(), int(load_spec(Chip).digest, 16)
    for place in PLACES:
        assert await host.read(place) == ((values[place], 0) if place in values else (0, SLVERR)), hex(place)
    writable = {r.offset for r in REGISTERS if r.access is not Access.READ}
    for place in PLACES:
        assert await host.write(place, 0) == (0 if place in writable else SLVERR), hex(place)
    for place in (1, 2, 3, 0x29):  # between two registers
        assert (await host.read(place))[1] == SLVERR
        assert await host.write(place, 0) == SLVERR


async def answer(dut, rng, totals):
    """In the place of the tallies: what ``totals`` holds, some cycles behind the question."""
    while True:
        await RisingEdge(dut.clk)
        if int(dut.wanted.value):
            number = int(dut.number.value)
            await cycles(dut, int(rng.integers(0, 40)))
            held = int(dut.wanted.value), int(dut.number.value)
            assert held == (1, number), "the question does not hold"
            dut.value.value, dut.answer.value = totals[COUNTER_NAMES[number]], 1
            await cycles(dut, 1)
            dut.answer.value = 0
            await cycles(dut, 1)


@cocotb.test(timeout_time=50, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def counters_are_read_in_two_words(dut, stall):
    """The high word is of the moment in which the low one was read, though counters move and other registers are read."""
    rng, host = await begin(dut, stall)
    totals = {}
    cocotb.start_soon(answer(dut, rng, totals))
    for _ in range(60):
        name, other = (str(rng.choice(COUNTER_NAMES)) for _ in range(2))
        totals |= {each: int(rng.integers(0, 1 << 40)) for each in COUNTER_NAMES}
        before = totals[name]
        low, resp = await host.read(COUNTER_REGISTERS[name])
        totals |= {each: int(rng.integers(0, 1 << 40)) for each in COUNTER_NAMES}
        assert await host.read(0x00) == (ID_VALUE, 0)
        high, resp_high = await host.read(COUNTER_REGISTERS[other] + 4)
        assert (resp, resp_high) == (0, 0)
        assert high << 32 | low == before


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def tells_how_a_run_stopped(dut):
    """Status, interrupt, code and index; a start clears the status, the host clears the interrupt, not before it reads it."""
    rng, host = await begin(dut, 0.0)
    at = {r.name: r.offset for r in REGISTERS}
    for n in rng.permutation(24):
        which, enabled = int(n) % 3, int(n) // 3
        assert await host.write(at["irq_enable"], enabled) == 0
        dut.error.value, dut.error_index.value = int(n) % 9, 1000 + int(n)
        port = (dut.reached__ended, dut.reached__failed, dut.reached__aborted)[which]
        port.value = 1
        await cycles(dut, 1)
        port.value = 0
        await cycles(dut, 3)
        flag = 1 << which
        assert int(dut.irq.value) == bool(flag & enabled)
        assert (await host.read(at["status"]))[0] == flag << 1
        assert (await host.read(at["irq_status"]))[0] == flag
        assert (await host.read(at["error"]))[0] == n % 9
        assert (await host.read(at["error_index"]))[0] == 1000 + n
        assert await host.write(at["irq_status"], flag ^ 7) == 0
        assert (await host.read(at["irq_status"]))[0] == flag
        assert await host.write(at["irq_status"], flag) == 0
        await cycles(dut, 2)
        assert not dut.irq.value
        assert await host.write(at["control"], int(Control.START)) == 0
        await cycles(dut, 2)
        assert (await host.read(at["status"]))[0] == 0
    dut.status__running.value, dut.status__busy.value, dut.status__bus.value = 1, 0b1010, 1
    expected = Status.RUNNING | Status.STORE | Status.VECTOR | Status.BUS
    await cycles(dut, 2)
    assert (await host.read(at["status"]))[0] == expected
    assert len(Irq) == 3


@cocotb.test(timeout_time=50, timeout_unit="ms")
async def control_acts_once(dut):
    rng, host = await begin(dut, 0.0)
    at = {r.name: r.offset for r in REGISTERS}
    seen = []

    async def watch():
        while True:
            await RisingEdge(dut.clk)
            if dut.control.value:
                seen.append(int(dut.control.value))

    cocotb.start_soon(watch())
    for value in range(8):
        assert await host.write(at["control"], value | int(rng.integers(0, 1 << 20)) << 3) == 0
        assert await host.read(at["control"]) == (0, 0)
    assert seen == list(range(1, 8))
    # The machine moves the head on.
    await host.write(at["ring_head"], 77)
    dut.head.value, dut.advance.value = 123, 1
    await cycles(dut, 1)
    dut.advance.value = 0
    dut.head.value = 5
    await cycles(dut, 2)
    assert (await host.read(at["ring_head"]))[0] == 123
