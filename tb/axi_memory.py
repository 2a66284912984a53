"""A memory behind AXI4 that keeps the standard's rules and fails a master that does not."""

from collections import deque
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge, Timer

from spec.axi import INCR, PAGE, Axi
from spec.chip import BRICK
from tb.kit import Stream, guard, load_ports
from tb.models import pack, unpack

PAGES = 4
LIMIT = 1 << 32
ORIGINS = (0, 0x4000_2000, LIMIT - PAGES * PAGE)  # the ends of the address space among them


class Memory:
    """``PAGES`` pages of bytes from ``origin`` on. Every channel idles ``stall`` of the time; an answer
    comes ``latency`` cycles after it was asked for, or up to three times as late with ``late``.

    ``failing`` maps addresses of beats (reads) or of bursts (writes) to the response they get. Protocol,
    checked: address, length, size and kind of a burst, no burst over a page, every byte lane, WLAST where it
    belongs, no more bursts outstanding than allowed, and with :func:`guard` that nothing is withdrawn.
    """

    def __init__(self, dut: Any, spec: Axi, rng, origin: int = 0, stall: float = 0.0, latency: int = 1, late=False):
        self.dut, self.spec, self.rng, self.origin, self.stall = dut, spec, rng, origin, stall
        self.latency, self.late = latency, late
        self.bytes = bytearray(rng.bytes(PAGES * PAGE))
        self.failing: dict[int, int] = {}
        self.bursts: list[tuple[int, int]] = []
        self.beat_times: list[int] = []
        self.most = 0  # bursts outstanding at once
        self.now = 0
        reads = "ar__valid" in load_ports()
        for name in ("ar",) if reads else ("aw", "w"):
            cocotb.start_soon(guard(Stream(dut, name)))
        cocotb.start_soon(self._read() if reads else self._write())

    def _place(self, address: int) -> int:
        assert 0 <= address - self.origin < len(self.bytes), f"{address:#x} is outside memory"
        return address - self.origin

    def read(self, address: int, bricks: int) -> list[int]:
        """Bricks as the chip sees them."""
        size, bits = self.spec.brick_bytes, 8 * self.spec.word_bytes
        start = self._place(address)
        lines = [int.from_bytes(self.bytes[start + n * size :][:size], "little") for n in range(bricks)]
        return [pack(unpack(line, bits), self.spec.width) for line in lines]

    def lines(self, bricks) -> bytes:
        """What bricks are in memory: words sign-extended, lowest byte first."""
        bits = 8 * self.spec.word_bytes
        lines = [pack(unpack(int(brick), self.spec.width), bits) for brick in bricks]
        return b"".join(line.to_bytes(self.spec.brick_bytes, "little") for line in lines)

    def _due(self) -> int:
        return self.now + self.latency - 1 + (int(self.rng.integers(0, 2 * self.latency + 1)) if self.late else 0)

    def _runs(self) -> bool:
        return self.rng.random() >= self.stall

    def _noise(self, stream: Stream) -> None:
        stream.valid.value = 0
        stream.drive(tuple(int.from_bytes(self.rng.bytes(16)) & (1 << n) - 1 for n in stream.widths.values()))

    def _burst(self, channel: Stream) -> tuple[int, int]:
        fields = dict(zip(channel.fields, channel.raw(), strict=True))
        address, beats = fields["addr"], fields["len"] + 1
        last = address + beats * self.spec.beat_bytes - 1
        assert 1 << fields["size"] == self.spec.beat_bytes
        assert fields["burst"] == INCR
        assert beats <= self.spec.burst_beats
        assert address % self.spec.beat_bytes == 0
        assert address // PAGE == last // PAGE, f"burst {address:#x} to {last:#x} crosses a page"
        self._place(address)
        self._place(last)
        self.bursts.append((address, beats))
        return address, beats

    def _count(self, outstanding: int) -> None:
        self.most = max(self.most, outstanding)
        assert outstanding <= self.spec.outstanding, f"{outstanding} bursts outstanding"

    async def _read(self) -> None:
        ar, r, edge = Stream(self.dut, "ar"), Stream(self.dut, "r"), RisingEdge(self.dut.clk)
        due: deque[tuple[int, int, bool]] = deque()  # when, address, whether it is the burst's last
        self._noise(r)
        while True:
            await edge
            self.now += 1
            taken = bool(r.valid.value and r.ready.value)
            if taken:
                due.popleft()
                self.beat_times.append(self.now)
            if ar.valid.value and ar.ready.value:
                address, beats = self._burst(ar)
                when, step = self._due(), self.spec.beat_bytes
                due.extend((when, address + n * step, n == beats - 1) for n in range(beats))
                self._count(sum(last for _, _, last in due))
            ar.ready.value = int(self._runs())
            if r.valid.value and not taken:
                continue
            if due and due[0][0] <= self.now and self._runs():
                _, address, last = due[0]
                line = int.from_bytes(self.bytes[self._place(address) :][: self.spec.beat_bytes], "little")
                values = {"data": line, "resp": self.failing.get(address, 0), "last": int(last)}
                r.valid.value = 1
                r.drive(tuple(values[field] for field in r.fields))
            else:
                self._noise(r)

    async def _write(self) -> None:
        aw, w, b = (Stream(self.dut, name) for name in ("aw", "w", "b"))
        edge = RisingEdge(self.dut.clk)
        announced: deque[tuple[int, int]] = deque()
        beats: list[int] = []
        arrived: deque[list[int]] = deque()
        due: deque[tuple[int, int]] = deque()  # when, response
        self._noise(b)
        while True:
            await edge
            self.now += 1
            taken = bool(b.valid.value and b.ready.value)
            if taken:
                due.popleft()
            if aw.valid.value and aw.ready.value:
                announced.append(self._burst(aw))
                self._count(len(announced) + len(due))
            if w.valid.value and w.ready.value:
                fields = dict(zip(w.fields, w.raw(), strict=True))
                assert fields["strb"] == (1 << self.spec.beat_bytes) - 1
                beats.append(fields["data"])
                self.beat_times.append(self.now)
                if fields["last"]:
                    arrived.append(beats)
                    beats = []
            if announced and arrived:
                (address, count), lines = announced.popleft(), arrived.popleft()
                assert len(lines) == count, f"{len(lines)} beats of a burst of {count}"
                for n, line in enumerate(lines):
                    place = self._place(address) + n * self.spec.beat_bytes
                    self.bytes[place : place + self.spec.beat_bytes] = line.to_bytes(self.spec.beat_bytes, "little")
                due.append((self._due(), self.failing.get(address, 0)))
            if announced:
                assert len(beats) <= announced[0][1], "more beats than announced"
            aw.ready.value, w.ready.value = int(self._runs()), int(self._runs())
            if b.valid.value and not taken:
                continue
            if due and due[0][0] <= self.now and self._runs():
                b.valid.value = 1
                b.drive((due[0][1],))
            else:
                self._noise(b)


async def isolate(dut: Any, rng) -> None:
    """Fail when an output of the bus follows an input of the bus within a cycle."""
    bus = {name: port for name, port in load_ports().items() if name.split("__")[0] in ("ar", "r", "aw", "w", "b")}
    inputs = {getattr(dut, name): port["width"] for name, port in bus.items() if port["direction"] == "input"}
    outputs = [getattr(dut, name) for name, port in bus.items() if port["direction"] == "output"]
    while True:
        await FallingEdge(dut.clk)
        was, before = [int(i.value) for i in inputs], [int(o.value) for o in outputs]
        for i, width in inputs.items():
            i.value = int.from_bytes(rng.bytes(16)) & (1 << width) - 1
        await Timer(1, unit="ns")
        assert [int(o.value) for o in outputs] == before
        for i, value in zip(inputs, was, strict=True):
            i.value = value


class Ends:
    """How jobs end: (cycle, error) of every ``done``."""

    def __init__(self, dut: Any):
        self.dut, self.all = dut, []
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        now = 0
        while True:
            await RisingEdge(self.dut.clk)
            now += 1
            if self.dut.done.value:
                self.all.append((now, int(self.dut.error.value)))

    @property
    def errors(self) -> list[int]:
        return [error for _, error in self.all]

    async def wait(self, count: int) -> None:
        """Until ``count`` jobs ended, and none more within a while."""
        while len(self.all) < count:
            await RisingEdge(self.dut.clk)
        for _ in range(30):
            await RisingEdge(self.dut.clk)
        assert len(self.all) == count


def jobs_around_pages(spec: Axi, rng, origin: int, longest: int = 40) -> list[tuple[int, int]]:
    """Jobs from every brick up to a burst before a page, or 40, and as many behind it; sizes random, one too."""
    jobs = []
    reach = min(spec.burst_bricks + 2, 40)
    for offset in range(-reach, reach + 1):
        page = int(rng.integers(1, PAGES - 1)) * PAGE
        jobs.append((origin + page + offset * spec.brick_bytes, int(rng.integers(1, longest + 1))))
    jobs += [(origin, 1), (origin + PAGES * PAGE - spec.brick_bytes, 1)]
    return [jobs[n] for n in rng.permutation(len(jobs))]


def random_bricks(spec: Axi, rng, count: int) -> np.ndarray:
    bits = BRICK * spec.width
    return np.array([int.from_bytes(rng.bytes(bits // 8 + 1)) & (1 << bits) - 1 for _ in range(count)], dtype=object)


def columns(jobs: list[tuple[int, int]]) -> dict[str, list[int]]:
    """Jobs as :func:`tb.kit.send` takes them."""
    return {"address": [address for address, _ in jobs], "bricks": [bricks for _, bricks in jobs]}
