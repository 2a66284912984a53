"""Random legal programs for a machine, what lies around them in memory, and what they must leave there."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from golden.emulator import Emulator, Event, Stop
from spec.chip import BRICK, Chip
from spec.isa import DESCRIPTOR_BYTES, Kind, Opcode, Unit, encode, entry_bricks
from tb.commands import Commands, Values
from tb.native.memory import Memory

ALL = int(Unit.LOAD | Unit.STORE | Unit.PRODUCT | Unit.VECTOR)
RING = 0x1000  # address of descriptor 0; everything below is guarded
RING_ENTRIES = 256
DATA = RING + RING_ENTRIES * DESCRIPTOR_BYTES
DATA_BYTES = 0x4000  # readable only; as many again are writable
TABLE_ENTRIES = 40  # of scalars, at the start of the data
GUARD = 0x1000


@dataclass(frozen=True)
class Layout:
    """Where things lie in the memory of a case; windows are half-open."""

    chip: Chip

    @property
    def brick_bytes(self) -> int:
        return BRICK * (2 if self.chip.width <= 16 else 4)

    @property
    def image(self) -> int:
        """Where the scratchpad's first contents lie, and at the end its last ones."""
        return DATA + 2 * DATA_BYTES

    @property
    def end(self) -> int:
        return self.image + self.chip.scratch_bricks * self.brick_bytes

    @property
    def read(self) -> tuple[int, int]:
        return RING, self.end

    @property
    def write(self) -> tuple[int, int]:
        return DATA + DATA_BYTES, self.end

    @property
    def size(self) -> int:
        return self.end + GUARD


def zoned_words(rng: np.random.Generator, bricks: int, width: int) -> np.ndarray:
    """Words as bricks: over the full range, tiny, not negative, at the range's ends, mostly zeros; a style for each zone."""
    limit, zone = 1 << (width - 1), 16
    result = np.zeros((bricks, BRICK), np.int64)
    for first in range(0, bricks, zone):
        shape = result[first : first + zone].shape
        style = rng.integers(6)
        if style <= 1:
            words = rng.integers(-limit, limit, shape)
        elif style == 2:
            words = rng.integers(-3, 4, shape)
        elif style == 3:
            words = rng.integers(0, 10, shape)
        elif style == 4:
            words = rng.choice(np.array([-limit, limit - 1]), shape)
        else:
            words = rng.integers(-limit, limit, shape) * (rng.random(shape) < 0.2)
        result[first : first + zone] = words
    return result


def to_memory(chip: Chip, words: np.ndarray) -> np.ndarray:
    """Bytes of words in memory."""
    return words.astype("<i2" if chip.width <= 16 else "<i4").reshape(-1).view(np.uint8)


def scalars(rng: np.random.Generator, chip: Chip, count: int) -> np.ndarray:
    """Entries of a table as words: s0 and s1 small or of full range, s2 as large as their products."""
    size = entry_bricks(chip) * BRICK
    result = np.zeros((count, size), np.int64)
    for row in result:
        s0, s1 = (int(rng.integers(-limit, limit)) for limit in rng.choice([1 << 4, 1 << 10, 1 << 17], 2))
        s2 = int(rng.integers(-1 << 2 * chip.width, 1 << 2 * chip.width))
        bits = s0 & 0x3FFFF | (s1 & 0x3FFFF) << 18 | (s2 & (1 << chip.acc_width) - 1) << 36
        for n in range(size):
            word = bits >> chip.width * n & (1 << chip.width) - 1
            row[n] = word - (word >> chip.width - 1 << chip.width)
    return result


@dataclass
class Case:
    """A program in a ring, and memory before and after."""

    chip: Chip
    layout: Layout
    how: Memory
    memory: np.ndarray
    entries: int  # of the ring
    head: int
    descriptors: list[bytes]  # in the order of their issue
    expected: np.ndarray = field(init=False)
    stop: Stop = field(init=False)
    events: list[Event] = field(init=False)

    def placed(self, descriptors: list[bytes]) -> np.ndarray:
        """Memory with these descriptors in the ring."""
        memory = self.memory.copy()
        for number, descriptor in enumerate(descriptors):
            at = RING + (self.head + number) % self.entries * DESCRIPTOR_BYTES
            memory[at : at + DESCRIPTOR_BYTES] = np.frombuffer(descriptor, np.uint8)
        return memory

    def solved(self) -> "Case":
        """With the emulator's answer filled in."""
        self.memory = self.placed(self.descriptors)
        emulator = Emulator(self.chip, self.memory.copy(), read=self.layout.read, write=self.layout.write)
        self.events = []
        self.stop = emulator.run(RING, self.entries, self.head, self.events.append)
        self.expected = emulator.memory
        return self

    def prefix(self, count: int) -> "Case":
        """The first ``count`` commands, then all of the scratchpad stored."""
        return replace(self, descriptors=[*self.descriptors[:count], *ending(self.layout)]).solved()


def ending(layout: Layout) -> list[bytes]:
    whole = {"address": layout.image, "scratch": 0, "bricks": layout.chip.scratch_bricks}
    return [encode(Opcode.STORE, wait=ALL, tag=0xFFFE, **whole), encode(Opcode.END, tag=0xFFFF)]


def beginning(layout: Layout) -> list[bytes]:
    whole = {"address": layout.image, "scratch": 0, "bricks": layout.chip.scratch_bricks}
    return [encode(Opcode.LOAD, tag=0xFFFD, **whole), encode(Opcode.FENCE, wait=ALL)]


def memory_settings(rng: np.random.Generator) -> Memory:
    return Memory(
        read_latency=int(rng.choice([1, 5, 50, 200])),
        write_latency=int(rng.choice([1, 20, 100])),
        jitter=int(rng.choice([0, 0, 60])),
        bandwidth=float(rng.choice([0, 8, 8, 2.5])),
        stall=float(rng.choice([0, 0, 0.25, 0.75])),
        bursts=int(rng.choice([1, 4, 16])),
        seed=int(rng.integers(1 << 32)),
    )


def blank(rng: np.random.Generator, chip: Chip) -> Case:
    """A case without commands: memory, settings, a ring and where it begins."""
    layout = Layout(chip)
    memory = rng.integers(0, 256, layout.size, dtype=np.uint8)
    words = zoned_words(rng, (layout.end - DATA) // layout.brick_bytes, chip.width)
    memory[DATA : layout.end] = to_memory(chip, words)
    table = to_memory(chip, scalars(rng, chip, TABLE_ENTRIES))
    memory[DATA : DATA + len(table)] = table
    entries = int(rng.integers(100, RING_ENTRIES + 1))
    return Case(chip, layout, memory_settings(rng), memory, entries, int(rng.integers(entries)), [])


def draw(rng: np.random.Generator, chip: Chip, commands: int, only: Callable[[Commands], list] | None = None) -> Case:
    """A program of about ``commands`` commands without errors, that overlap where they may.

    only : draws the commands to try, (opcode, values) each, in place of all kinds.
    """
    case = blank(rng, chip)
    case.descriptors = beginning(case.layout)
    emulator = Emulator(chip, case.memory.copy(), read=case.layout.read, write=case.layout.write, check=True)
    for descriptor in case.descriptors:
        issue(emulator, descriptor)
    source = Commands(chip, rng, case.layout.read, (case.layout.write[0], case.layout.image))
    source.read = (DATA, case.layout.image)
    while len(case.descriptors) < commands:
        wanted = only(source) if only else proposal(source)
        for wait in (0, int(rng.integers(ALL + 1)), ALL):
            tried = copy.deepcopy(emulator)
            batch = []
            try:
                for number, (opcode, values) in enumerate(wanted):
                    # What belongs together waits for its predecessor.
                    waits = wait if number == 0 or (wait == 0 and opcode == Opcode.PRODUCT) else ALL
                    tag = (len(case.descriptors) + number) % 0xFFF0
                    descriptor = encode(opcode, wait=waits, tag=tag, **values)
                    issue(tried, descriptor)
                    batch.append(descriptor)
            except ValueError:
                continue
            emulator = tried
            case.descriptors += batch
            break
    case.descriptors += ending(case.layout)
    return case.solved()


def issue(emulator: Emulator, descriptor: bytes) -> None:
    """One command beyond the ring; raises ValueError for one that is not legal, or fails, or races."""
    place = RING
    saved = emulator.memory[place : place + DESCRIPTOR_BYTES].copy()
    emulator.memory[place : place + DESCRIPTOR_BYTES] = np.frombuffer(descriptor, np.uint8)
    stop, _ = emulator.step(RING, 0)
    emulator.memory[place : place + DESCRIPTOR_BYTES] = saved
    if stop is not None:
        raise ValueError(stop.reason)


def proposal(source: Commands) -> list[tuple[Opcode, Values]]:
    """Commands that belong together; most often one."""
    opcode, values = source.draw()
    if opcode == Opcode.PRODUCT and source.often(0.15):
        return [(opcode, link) for link in source.chain()]
    if opcode == Opcode.VECTOR and values["kind"] in {Kind.AFFINE, Kind.MEAN} and source.often(0.8):
        entries = source.entries(values)
        if entries <= TABLE_ENTRIES:
            return [(Opcode.LOAD, source.table(DATA, entries, values["table_base"])), (opcode, values)]
    return [(opcode, values)]
