"""The vector unit against its golden twin: random commands of every kind on random scratchpads, with stalls everywhere."""

from collections.abc import Mapping
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from spec.chip import Chip
from spec.isa import VECTOR, Kind
from spec.vector import is_address
from tb.kit import Stream, generator, guard, load_ports, load_spec, start
from tb.models import pack, serve, unpack
from tb.vector_cases import Case, describe, draw

LATENCY = 4  # of the scratchpad
LIMIT = 60_000  # cycles


class Bench:
    """The unit and a scratchpad."""

    def __init__(self, dut: Any, chip: Chip, rng: np.random.Generator, stall: float, sink: float):
        self.dut, self.chip, self.rng = dut, chip, rng
        self.memory: dict[int, int] = {}
        self.writes = self.saturated = self.now = self.written_at = 0
        self.tasks = [cocotb.start_soon(self._serve(name, stall)) for name in "uv"] + [
            cocotb.start_soon(self._take(sink)),
            cocotb.start_soon(guard(Stream(dut, "o"))),
        ]

    async def _serve(self, name: str, stall: float) -> None:
        request = Stream(self.dut, f"request_{name}")
        valid, brick = getattr(self.dut, f"valid_{name}"), getattr(self.dut, f"brick_{name}")
        await serve(request, valid, brick, self.memory, self.rng, stall, LATENCY, late=False)

    async def _take(self, sink: float) -> None:
        edge, o = RisingEdge(self.dut.clk), Stream(self.dut, "o")
        while True:
            await edge
            self.now += 1
            self.saturated += int(self.dut.saturated.value)
            if o.valid.value and o.ready.value:
                address, words = o.raw()
                self.memory[address] = words
                self.writes += 1
                self.written_at = self.now
            o.ready.value = int(self.rng.random() >= sink)

    def fill(self, scratch: np.ndarray) -> None:
        for address, brick in enumerate(scratch):
            self.memory[address] = pack(brick, self.chip.width)

    async def command(self, fields: Mapping[str, int]) -> int:
        """Carry a command out; cycles from its transfer to ``done``."""
        dut, chip = self.dut, self.chip
        ports = load_ports()
        for field in VECTOR:
            name = f"command__payload__{field.name}"
            modulo = chip.scratch_bricks if is_address(field) else 1 << ports[name]["width"]
            getattr(dut, name).value = fields[field.name] % modulo
        dut.command__valid.value = 1
        edge = RisingEdge(dut.clk)
        await edge
        while not dut.command__ready.value:
            await edge
        dut.command__valid.value = 0
        for name in ports:
            if name.startswith("command__payload"):  # it was taken
                getattr(dut, name).value = int(self.rng.integers(2))
        self.writes = self.saturated = 0
        for spent in range(1, LIMIT):
            await edge
            assert dut.running.value, "not running before done"
            assert not dut.command__ready.value, "ready while running"
            if dut.done.value:
                assert self.now - self.written_at >= 2, "done before the last brick can be read"
                return spent
        raise AssertionError(f"no end of {describe(dict(fields))}")

    async def check(self, case: Case) -> int:
        """Carry it out and compare every brick of the scratchpad."""
        self.fill(case.before)
        spent = await self.command(case.fields)
        got = np.array([unpack(self.memory[address], self.chip.width) for address in range(len(case.after))])
        wrong = np.flatnonzero((got != case.after).any(axis=1))
        if wrong.size:
            at = wrong[0]
            raise AssertionError(
                f"{wrong.size} bricks differ, brick {at} is {got[at].tolist()}, not {case.after[at].tolist()}; was "
                f"{case.before[at].tolist()}; {describe(case.fields)}"
            )
        assert self.writes == case.writes, f"{self.writes} writes, not {case.writes}; {describe(case.fields)}"
        assert self.saturated == case.saturations, (
            f"{self.saturated} saturations, not {case.saturations}; {describe(case.fields)}"
        )
        return spent


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(kind=list(Kind), stall=[0.0, 0.25, 0.75])
async def matches_golden(dut, kind, stall):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    bench = Bench(dut, chip, rng, stall, float(rng.choice([0.0, stall])))
    for _ in range(12):
        await bench.check(draw(rng, chip, kind))


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def kinds_follow_each_other(dut):
    """Nothing of a command is left for the next one."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    bench = Bench(dut, chip, rng, 0.25, 0.25)
    for kind in rng.choice(Kind, 40):
        await bench.check(draw(rng, chip, Kind(kind)))
