"""Scratchpad against a dictionary: conflicts, priority of readers and writers, writes that are read a cycle later; its latency measured."""

import cocotb
from cocotb.triggers import RisingEdge

from spec.chip import Chip
from tb.kit import Stream, generator, load_spec, start
from tb.models import setting


class Model:
    """Watches the ports: who may read, and what every reader gets ``LATENCY`` edges later."""

    def __init__(self, dut, chip):
        self.dut, self.chip = dut, chip
        readers = setting("readers")
        self.reads = [Stream(dut, f"read__{n}") for n in range(readers)]
        self.writes = [Stream(dut, f"write__{n}") for n in range(setting("writers"))]
        self.memory = {}
        self.answers = [[None] * setting("latency") for _ in range(readers)]
        self.compared = self.waited = self.held_up = 0
        self.chosen = None  # the writer that is next, where one port is for all
        self.width = chip.width * 8
        cocotb.start_soon(self._watch())

    async def _watch(self):
        edge = RisingEdge(self.dut.clk)
        while True:
            await edge
            written = self._take()
            busy, ports = set(), set()
            for n, read in enumerate(self.reads):
                expected = None
                if read.valid.value:
                    address = int(read.raw()[0])
                    half = self._half(address)
                    # The smaller number goes first; readers of different halves and ports never wait.
                    free = half not in busy and self._port(n) not in ports
                    assert bool(read.ready.value) == free, f"reader {n} of half {half}, {busy}, {ports} taken"
                    if free:
                        # A brick read in the very cycle that writes it is nothing one may rely on.
                        expected = "any" if address in written else self.memory.get(address, "any")
                    else:
                        self.waited += 1
                    if self._port(n) not in ports:
                        busy.add(half)
                    ports.add(self._port(n))
                self.answers[n].append(expected)
                self._compare(n, self.answers[n].pop(0))
            self.memory |= written

    def _take(self):
        """What is written in this cycle: of two writers of one half of a bank the smaller number goes first."""
        if self.chip.one_writer:
            return self._take_one()
        written, busy = {}, set()
        for n, write in enumerate(self.writes):
            if write.valid.value:
                address, words = write.raw()
                half = self._half(address)
                assert bool(write.ready.value) == (half not in busy), f"writer {n} of half {half}, {busy} taken"
                if half not in busy:
                    written[address] = words
                else:
                    self.held_up += 1
                busy.add(half)
        return written

    def _take_one(self):
        """The same where one port is for all: the writer chosen in the cycle before, which was not that cycle's."""
        chosen, self.chosen = self.chosen, None
        for n, write in enumerate(self.writes):
            assert bool(write.ready.value) == (n == chosen), f"writer {n}, not {chosen}, is ready"
        asking = [n for n, write in enumerate(self.writes) if write.valid.value and n != chosen]
        self.chosen = asking[0] if asking else None
        self.held_up += len(asking) > 1
        return {} if chosen is None else dict([self.writes[chosen].raw()])

    def _half(self, address):
        """The memory that a brick lies in."""
        return address // self.chip.scratch_depth, 0 if self.chip.one_port else address % 2

    def _port(self, reader):
        """The last ``2 * pairs`` readers share a port, two and two; all readers of a chip with one port do."""
        if self.chip.one_port:
            return 0
        alone = len(self.reads) - 2 * setting("pairs")
        return reader if reader < alone else alone + (reader - alone) // 2

    def _compare(self, n, expected):
        valid = int(self.dut.valid.value) >> n & 1
        assert valid == (expected is not None), f"reader {n}: valid {valid}, expected {expected}"
        if valid and expected != "any":
            got = int(self.dut.bricks.value) >> n * self.width & (1 << self.width) - 1
            assert got == expected, f"reader {n}: {got:x}, not {expected:x}"
            self.compared += 1


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stall=[0.0, 0.5])
async def answers_what_was_written(dut, stall):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    model = Model(dut, chip)
    # Few addresses, so that readers meet in halves of banks and bricks are rewritten; the ends of the banks among them.
    depth = chip.scratch_depth
    some = [b * depth + n for b in range(chip.scratch_banks) for n in (0, 1, depth // 2, depth - 1)]
    waiting = {stream: None for stream in (*model.reads, *model.writes)}
    for _ in range(3000):
        for stream, item in waiting.items():
            if item is None and rng.random() >= stall:
                words = int.from_bytes(rng.bytes(model.width // 8 + 1)) & (1 << model.width) - 1
                waiting[stream] = item = (int(rng.choice(some)), words)[: len(stream.fields)]
            stream.valid.value = int(item is not None)
            stream.drive(item or tuple(int(rng.integers(chip.scratch_bricks)) for _ in stream.fields))
        await RisingEdge(dut.clk)
        for stream in waiting:
            if stream.ready.value:
                waiting[stream] = None
    assert model.compared > 1000
    assert model.waited > 300
    assert model.held_up > 50
