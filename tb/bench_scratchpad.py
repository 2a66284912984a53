"""Scratchpad against a dictionary: conflicts, priority, writes that are read a cycle later; its latency measured."""

import cocotb
from cocotb.triggers import RisingEdge

from spec.chip import Chip
from tb.kit import Stream, generator, load_spec, start
from tb.models import setting


class Model:
    """Watches the ports: who may read, and what every reader gets ``LATENCY`` edges later."""

    def __init__(self, dut, chip, readers):
        self.dut, self.chip = dut, chip
        self.reads = [Stream(dut, f"read__{n}") for n in range(readers)]
        self.write = Stream(dut, "write")
        self.memory = {}
        self.answers = [[None] * setting("latency") for _ in range(readers)]
        self.compared = self.waited = 0
        self.width = chip.width * 8
        cocotb.start_soon(self._watch())

    async def _watch(self):
        edge = RisingEdge(self.dut.clk)
        while True:
            await edge
            busy = set()
            written = None
            assert self.write.ready.value
            if self.write.valid.value:
                written, words = self.write.raw()
            for n, read in enumerate(self.reads):
                expected = None
                if read.valid.value:
                    address = int(read.raw()[0])
                    bank = address // self.chip.scratch_depth
                    # The smaller number goes first; readers of different banks never wait.
                    assert bool(read.ready.value) == (bank not in busy), f"reader {n} of bank {bank}, {busy} taken"
                    if bank not in busy:
                        # A brick read in the very cycle that writes it is nothing one may rely on.
                        expected = "any" if address == written else self.memory.get(address, "any")
                    else:
                        self.waited += 1
                    busy.add(bank)
                self.answers[n].append(expected)
                self._compare(n, self.answers[n].pop(0))
            if written is not None:
                self.memory[written] = words

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
    readers = setting("readers")
    await start(dut)
    model = Model(dut, chip, readers)
    # Few addresses, so that readers meet in banks and bricks are rewritten; the ends of the banks among them.
    depth = chip.scratch_depth
    some = [b * depth + n for b in range(chip.scratch_banks) for n in (0, 1, depth // 2, depth - 1)]
    waiting = [None] * readers
    for _ in range(3000):
        if rng.random() >= stall:
            words = int.from_bytes(rng.bytes(model.width // 8 + 1)) & (1 << model.width) - 1
            model.write.valid.value = 1
            model.write.drive((int(rng.choice(some)), words))
        else:
            model.write.valid.value = 0
        for n, read in enumerate(model.reads):
            if waiting[n] is None and rng.random() >= stall:
                waiting[n] = int(rng.choice(some))
            read.valid.value = int(waiting[n] is not None)
            read.drive((waiting[n] if waiting[n] is not None else int(rng.integers(chip.scratch_bricks)),))
        await RisingEdge(dut.clk)
        for n, read in enumerate(model.reads):
            if read.ready.value:
                waiting[n] = None
    assert model.compared > 1000
    assert model.waited > 300
