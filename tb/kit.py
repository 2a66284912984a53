"""What every cocotb bench shares: clock and reset, streams, sources, sinks and their rules.

Words travel as NumPy integers. A stream of plain words takes and gives one array;
a stream whose payload has fields takes and gives a dict of equally long arrays. Signed
ports give signed numbers. ``stall`` is the probability that a source or a sink
idles in a cycle; 0 means back to back.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

PERIOD_NS = 10
RESET_CYCLES = 3
PLAIN = ""  # the one field of a stream of plain words


def generator() -> np.random.Generator:
    """Random numbers of this run's seed, which cocotb prints; cocotb seeds ``random``, not NumPy."""
    return np.random.default_rng(cocotb.RANDOM_SEED)


def load_spec(cls: type) -> Any:
    """The ``cls`` instance that the netlist under test was generated from."""
    values = json.loads(Path(os.environ["SPEC"]).read_text())
    return cls(**{field.name: values[field.name] for field in fields(cls) if field.init})


def load_ports() -> dict[str, dict[str, Any]]:
    """Ports of the netlist under test: name to ``direction``, ``width`` and ``signed``."""
    return json.loads(Path(os.environ["PORTS"]).read_text())


class Stream:
    """Ports ``name__payload`` (or ``name__payload__x``, ``..__y``), ``name__valid`` and ``name__ready`` of ``dut``."""

    def __init__(self, dut: Any, name: str):
        payload = f"{name}__payload"
        ports = {key: port for key, port in load_ports().items() if key == payload or key.startswith(f"{payload}__")}
        if not ports:
            raise ValueError(f"{dut._name} has no stream {name!r}; ports: {', '.join(load_ports())}")
        self.name = name
        self.clk = dut.clk
        self.valid = getattr(dut, f"{name}__valid")
        self.ready = getattr(dut, f"{name}__ready")
        # `a__payload__x__y` is field `x__y`; a plain payload is the field without a name.
        self.fields = {key[len(payload) :].removeprefix("__"): getattr(dut, key) for key in ports}
        self.widths = {field: ports[handle._name]["width"] for field, handle in self.fields.items()}
        self.signed = {field: ports[handle._name]["signed"] for field, handle in self.fields.items()}

    def raw(self) -> tuple[int, ...]:
        """The payload's bits at this moment, field by field."""
        return tuple(int(handle.value) for handle in self.fields.values())

    def drive(self, bits: tuple[int, ...]) -> None:
        for handle, value in zip(self.fields.values(), bits, strict=True):
            handle.value = value

    def to_rows(self, items: Any) -> list[tuple[int, ...]]:
        """Bits of each item. Raises ValueError on an unknown or missing field, or on a word its port cannot hold."""
        columns = dict(items) if isinstance(items, Mapping) else {PLAIN: items}
        if set(columns) != set(self.fields):
            raise ValueError(f"stream {self.name!r} has fields {sorted(self.fields)}, not {sorted(columns)}")
        return list(zip(*(self._bits(field, columns[field]) for field in self.fields), strict=True))

    def _bits(self, field: str, words: Any) -> list[int]:
        width = self.widths[field]
        low, high = (-(1 << width - 1), (1 << width - 1) - 1) if self.signed[field] else (0, (1 << width) - 1)
        words = [int(word) for word in words]
        for word in words:
            if not low <= word <= high:
                raise ValueError(f"stream {self.name!r}: {field or 'payload'} must be {low} to {high}, not {word}")
        return [word & (1 << width) - 1 for word in words]

    def from_rows(self, rows: list[tuple[int, ...]]) -> Any:
        """Inverse of :meth:`to_rows`; words wider than 63 bits come as Python integers in an object array."""
        columns = {}
        for position, (field, width) in enumerate(self.widths.items()):
            bits = [row[position] for row in rows]
            if self.signed[field]:
                bits = [word - (1 << width) if word >> width - 1 else word for word in bits]
            columns[field] = np.array(bits, dtype=np.int64 if width < 64 else object)
        return columns[PLAIN] if PLAIN in columns else columns


async def start(dut: Any) -> None:
    """Zero every input, start the clock and reset."""
    for name, port in load_ports().items():
        if port["direction"] == "input":
            getattr(dut, name).value = 0
    Clock(dut.clk, PERIOD_NS, unit="ns").start()
    await reset(dut, RESET_CYCLES)


async def reset(dut: Any, count: int) -> None:
    """Reset for ``count`` cycles and wait for one more, in which a unit that has ``restart`` gets it, as :class:`hw.sequencer.Sequencer` sends it."""
    dut.rst.value = 1
    await cycles(dut, count)
    dut.rst.value = 0
    restarts = load_ports().get("restart", {}).get("direction") == "input"
    if restarts:
        dut.restart.value = 1
    await cycles(dut, 1)
    if restarts:
        dut.restart.value = 0


async def cycles(dut: Any, count: int) -> None:
    for _ in range(count):
        await RisingEdge(dut.clk)


def _idles(rng: np.random.Generator, stall: float, count: int) -> list[int]:
    """Idle cycles before each of ``count`` transfers."""
    if not 0 <= stall < 1:
        raise ValueError(f"stall must be 0 to less than 1, not {stall}")
    return (rng.geometric(1 - stall, count) - 1).tolist()


async def send(stream: Stream, items: Any, rng: np.random.Generator, stall: float = 0.0) -> None:
    """Offer ``items`` in order; return when the last is taken.

    While idle the payload carries noise, so that a unit that looks at it without ``valid`` is found out.
    """
    edge = RisingEdge(stream.clk)
    rows = stream.to_rows(items)
    for row, idle in zip(rows, _idles(rng, stall, len(rows)), strict=True):
        if idle:
            stream.valid.value = 0
            stream.drive(tuple(int.from_bytes(rng.bytes(16)) & (1 << width) - 1 for width in stream.widths.values()))
            for _ in range(idle):
                await edge
        stream.valid.value = 1
        stream.drive(row)
        await edge
        while not stream.ready.value:
            await edge
    stream.valid.value = 0


async def collect(
    stream: Stream, count: int, rng: np.random.Generator, stall: float = 0.0, *, after: int = 20
) -> Any:
    """Take ``count`` items; fail if another one is offered within ``after`` cycles of the last."""
    edge = RisingEdge(stream.clk)
    rows = []
    for idle in _idles(rng, stall, count):
        if idle:
            stream.ready.value = 0
            for _ in range(idle):
                await edge
        stream.ready.value = 1
        await edge
        while not stream.valid.value:
            await edge
        rows.append(stream.raw())
    for _ in range(after):
        await edge
        assert not stream.valid.value, f"stream {stream.name!r}: item {stream.raw()} after the last of {count}"
    stream.ready.value = 0
    return stream.from_rows(rows)


async def guard(stream: Stream) -> None:
    """Fail when an item is changed or withdrawn before it is taken. Start it with ``cocotb.start_soon``."""
    edge = RisingEdge(stream.clk)
    waiting = None
    while True:
        await edge
        valid = bool(stream.valid.value)
        if waiting is not None:
            assert valid, f"stream {stream.name!r}: item {waiting} withdrawn while stalled"
            now = stream.raw()
            assert now == waiting, f"stream {stream.name!r}: item {waiting} became {now} while stalled"
        waiting = stream.raw() if valid and not stream.ready.value else None


async def measure_latency(i: Stream, o: Stream, item: Any, limit: int = 1000) -> int:
    """Cycles from the clock edge that takes ``item`` on ``i`` to the first that could take its result on ``o``.

    ``item`` is what :func:`send` takes, of length one. One register between the two streams is one cycle.
    """
    edge = RisingEdge(i.clk)
    o.ready.value = 1
    i.valid.value = 1
    i.drive(i.to_rows(item)[0])
    await edge
    while not i.ready.value:
        await edge
    i.valid.value = 0
    for latency in range(1, limit + 1):
        await edge
        if o.valid.value:
            return latency
    raise AssertionError(f"stream {o.name!r}: nothing within {limit} cycles")
