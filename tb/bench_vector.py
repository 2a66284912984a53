"""The vector unit against its golden twin: random commands of every kind on random scratchpads, with stalls everywhere."""

from collections.abc import Iterator, Mapping
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from spec.chip import BRICK, Chip
from spec.isa import VECTOR, Kind, entry_bricks, record_bricks
from spec.vector import beats, is_address
from tb.kit import Stream, cycles, generator, guard, load_ports, load_spec, reset, start
from tb.models import pack, serve, unpack
from tb.vector_cases import Case, describe, draw, wild_fields

LATENCY = 4  # of the scratchpad
LIMIT = 60_000  # cycles
OVERHEAD = 80  # cycles that a command takes besides its bricks, at most


class Bench:
    """The unit and a scratchpad."""

    def __init__(self, dut: Any, chip: Chip, rng: np.random.Generator, stall: float, sink: float):
        self.dut, self.chip, self.rng = dut, chip, rng
        self.memory: dict[int, int] = {}
        self.writes = self.saturated = self.now = self.written_at = 0
        for name in "uv":
            cocotb.start_soon(self._serve(name, stall))
        cocotb.start_soon(self._take(sink))

    def guard(self) -> None:
        """From now on nothing is withdrawn or changed while it waits."""
        for name in ("request_u", "request_v", "o"):
            cocotb.start_soon(guard(Stream(self.dut, name)))

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

    async def give(self, fields: Mapping[str, int]) -> None:
        """Hand a command over."""
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
        for name, port in ports.items():
            if name.startswith("command__payload"):  # it was taken
                getattr(dut, name).value = int(self.rng.integers(1 << port["width"]))
        self.writes = self.saturated = 0

    async def finish(self, fields: Mapping[str, int]) -> int:
        """Wait for its end; how many cycles."""
        edge, dut = RisingEdge(self.dut.clk), self.dut
        for spent in range(1, LIMIT):
            await edge
            assert dut.running.value, "not running before done"
            assert not dut.command__ready.value, "ready while running"
            if dut.done.value:
                assert self.now - self.written_at >= 2, "done before the last brick can be read"
                return spent
        raise AssertionError(f"no end of {describe(fields)}")

    async def check(self, case: Case) -> int:
        """Carry it out and compare every brick of the scratchpad."""
        self.fill(case.before)
        await self.give(case.fields)
        spent = await self.finish(case.fields)
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
    bench.guard()
    for _ in range(12):
        await bench.check(draw(rng, chip, kind))


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def kinds_follow_each_other(dut):
    """Nothing of a command is left for the next one."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    bench = Bench(dut, chip, rng, 0.25, 0.25)
    bench.guard()
    for kind in rng.choice(Kind, 40):
        await bench.check(draw(rng, chip, Kind(kind)))


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def begins_anew_after_a_reset(dut, stall):
    """At any time, with answers on their way; the command after it is carried out as ever."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    bench = Bench(dut, chip, rng, stall, stall)
    for kind in (*Kind, *Kind):
        bench.fill(draw(rng, chip, kind).before)
        await bench.give(draw(rng, chip, kind).fields)
        await cycles(dut, int(rng.integers(1, 150)))
        await reset(dut, 1)
        assert not dut.running.value
        await bench.check(draw(rng, chip, Kind(int(rng.choice(Kind)))))


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def ends_whatever_the_fields(dut):
    """Fields in their ranges that do not agree give a meaningless result, and an end."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    bench = Bench(dut, chip, rng, 0.25, 0.25)
    bench.guard()
    for kind in (*Kind, *Kind, *Kind):
        case = draw(rng, chip, kind)
        bench.fill(case.before)
        fields = wild_fields(rng, chip, kind)
        await bench.give(fields)
        await bench.finish(fields)
        await bench.check(case)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def keeps_its_pace(dut):
    """Without stalls: cycles of each kind, as docs/units/vector.md says."""
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    bench = Bench(dut, chip, rng, 0.0, 0.0)
    for name, kind, expected, given in paces(chip):
        spent = await bench.check(draw(rng, chip, kind, **given))
        cocotb.log.info("%s: %d cycles, %d expected and %d more", name, spent, expected, spent - expected)
        assert spent <= expected + OVERHEAD, f"{name}: {spent} cycles, not {expected}"


def paces(chip: Chip) -> Iterator[tuple[str, Kind, int, dict[str, int]]]:
    """Commands that take long enough: name, kind, cycles, fields."""
    room = chip.scratch_bricks // 4
    count, bricks = room // 4, 2
    steps = count * bricks
    table = BRICK * entry_bricks(chip)
    records = BRICK * record_bricks(chip)
    at = {"u_base": 0, "v_base": room, "out_base": 2 * room, "table_base": 3 * room}
    plain = at | dict.fromkeys(("u_stride", "v_stride", "out_stride"), bricks) | {"count": count, "bricks": bricks}
    plain |= {"has_v": 1, "gate": 0}
    every = beats(chip)
    yield "affine", Kind.AFFINE, steps * every + bricks * table, plain | {"uniform": 0}
    yield "affine, uniform", Kind.AFFINE, steps * every + table, plain | {"uniform": 1}
    yield "affine of u", Kind.AFFINE, steps * every + table, plain | {"uniform": 1, "has_v": 0}
    yield "reduce", Kind.REDUCE, steps * every + BRICK + bricks * records, plain | {"start": 1, "convert": 0}
    yield "reduce, added", Kind.REDUCE, steps * every + 2 * bricks * records, plain | {"start": 0, "convert": 0}
    yield "reduce, converted", Kind.REDUCE, steps * every + BRICK, plain | {"start": 1, "convert": 1}
    yield "mask", Kind.MASK, steps, plain
    line = {
        "u_stride": 1,
        "u_line": 64,
        "u_plane": 64,
        "out_stride": 1,
        "out_block": BRICK,
        "out_line": 64,
        "out_plane": 64,
    }
    yield "transpose", Kind.TRANSPOSE, 64, plain | line | {"count": 61, "bricks": 1, "lines": 1}

    # Windows of two by two, apart, on images of eight by eight; one brick a position.
    view = {"in_x": 8, "in_y": 8, "out_x": 4, "out_y": 4, "taps_x": 2, "taps_y": 2, "stride": 2, "dilation": 1}
    view |= dict.fromkeys(("origin_x", "origin_y", "phase_x", "phase_y"), 0)
    view |= {"step_x": 1, "step_y": 8, "step_b": 64, "bricks": 1, "count": room // 4, "out_stride": 1, "v_stride": 1}
    rows = view["count"]
    yield "max", Kind.MAX, rows * 5, at | view
    yield "mean", Kind.MEAN, rows * 4 * every + table, at | view
    back = view | {"in_x": 4, "in_y": 4, "out_x": 8, "out_y": 8, "stride": 1, "dilation": 2, "phase_x": 1, "phase_y": 1}
    # One tap of four is no hole; three rows of four end with one.
    back |= {"origin_x": -1, "origin_y": -1, "step_y": 4, "step_b": 16, "count": room // 2}
    yield "max_back", Kind.MAX_BACK, back["count"] * max(16, 7 * every) // 4 + BRICK, at | back
