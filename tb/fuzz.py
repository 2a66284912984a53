"""Descriptors that are wrong, each in a way that a machine must name: what the fuzzing of native library and benches share."""

from dataclasses import dataclass

import numpy as np

from spec.axi import ADDRESS_BITS
from spec.chip import BRICK, Chip
from spec.isa import DESCRIPTOR_BYTES, LAYOUT, ErrorCode, IsaError, Opcode, Place, encode, fault
from tb.programs import ALL

Window = tuple[int, int]  # first byte, and the first behind the last


@dataclass
class Fuzz:
    """Draws descriptors of ``chip`` for a machine whose memory may be read and written within these windows."""

    chip: Chip
    rng: np.random.Generator
    read: Window
    write: Window

    @property
    def brick_bytes(self) -> int:
        return BRICK * (2 if self.chip.width <= 16 else 4)

    def below(self, limit: int) -> int:
        return int(self.rng.integers(limit))

    def draw(self) -> tuple[str, bytes]:
        """A descriptor that stops the machine, and what it is called. Every unit must be idle before it is issued."""
        kinds = (self.rubbish, self.no_opcode, self.field_outside, self.field_outside, self.transfer_outside,
                 self.transfer_outside, self.misaligned)  # fmt: skip
        while True:
            kind = kinds[self.below(len(kinds))]
            descriptor = kind()
            if kind == self.transfer_outside or fault(self.chip, descriptor)[0] != ErrorCode.NONE:
                return kind.__name__, descriptor

    def rubbish(self) -> bytes:
        """Random words under any opcode."""
        words = bytearray(self.rng.bytes(DESCRIPTOR_BYTES))
        if self.below(2):
            words[0] = int(self.rng.choice(list(Opcode)))
        words[1] |= ALL  # the lowest bits of word 0 behind the opcode
        return bytes(words)

    def no_opcode(self) -> bytes:
        words = bytearray(self.rng.bytes(DESCRIPTOR_BYTES) if self.below(2) else bytes(DESCRIPTOR_BYTES))
        words[0] = int(self.rng.choice([n for n in range(256) if n not in set(Opcode)]))
        return bytes(words)

    def field_outside(self) -> bytes:
        """Every field within its range but one."""
        while True:
            opcode = Opcode(int(self.rng.choice([Opcode.LOAD, Opcode.STORE, Opcode.PRODUCT, Opcode.VECTOR])))
            wrong = [place for place in LAYOUT[opcode] if place.word and outside(self.chip, place)]
            place = wrong[self.below(len(wrong))]
            low, high = outside(self.chip, place)[self.below(len(outside(self.chip, place)))]
            value = (low, high, int(self.rng.integers(low, high, endpoint=True)))[self.below(3)]
            values = self.legal(opcode) | {place.field.name: value}
            try:
                return encode(opcode, wait=ALL, tag=self.below(1 << 16), **values)
            except IsaError:  # a value that the field's bits do not hold
                continue

    def legal(self, opcode: Opcode) -> dict[str, int]:
        """Any value of each field's range: its ends often. A transfer within its window."""
        values = {}
        for place in LAYOUT[opcode]:
            low, high = place.field.bounds(self.chip)
            if place.word:
                values[place.field.name] = (low, high, int(self.rng.integers(low, high, endpoint=True)))[self.below(3)]
        if opcode in {Opcode.LOAD, Opcode.STORE}:
            values |= self.small_transfer(self.read if opcode == Opcode.LOAD else self.write)
        return values

    def small_transfer(self, window: Window) -> dict[str, int]:
        """A legal transfer of up to four runs."""
        first, end = window
        size, bricks = self.brick_bytes, 1 + self.below(20)
        count_1, count_2 = 1 + self.below(2), 1 + self.below(2)
        total = bricks * count_1 * count_2
        first = -(-first // size)
        return {
            "address": size * int(self.rng.integers(first, end // size - total, endpoint=True)),
            "scratch": self.below(self.chip.scratch_bricks),
            "fill": 0,
            "bricks": bricks,
            "count_1": count_1,
            "count_2": count_2,
            "memory_1": bricks,
            "memory_2": bricks * count_1,
            "scratch_1": bricks,
            "scratch_2": bricks * count_1,
        }

    def transfer_outside(self) -> bytes:
        """A transfer of which some run leaves its window: by one brick, far away, or around the end of the address space."""
        opcode = Opcode.LOAD if self.below(2) else Opcode.STORE
        window = self.read if opcode == Opcode.LOAD else self.write
        size = self.brick_bytes
        values = self.small_transfer(window)
        bricks = values["bricks"]
        first, end = (place // size for place in window)
        run = self.below(values["count_1"] * values["count_2"])  # the one that leaves
        over = 1 + self.below(bricks)
        begins = (
            first - over,
            end - bricks + over,
            self.below(max(1, first - bricks + 1)),
            (1 << ADDRESS_BITS) // size - over,
            int(self.rng.integers(end - bricks + 1, (1 << ADDRESS_BITS) // size)),
        )[self.below(5)]
        j, i = divmod(run, values["count_1"])
        # Runs before it stay inside where the step to the bad one is the odd one.
        values["address"] = size * (begins % ((1 << ADDRESS_BITS) // size))
        if i or j:
            good = int(self.rng.integers(-(-window[0] // size), end - bricks, endpoint=True))
            values["address"] = size * good
            values["memory_1"] = (begins - good) if i else 0
            values["memory_2"] = 0 if i else begins - good
        return encode(opcode, wait=ALL, tag=self.below(1 << 16), **values)

    def misaligned(self) -> bytes:
        opcode = Opcode.LOAD if self.below(2) else Opcode.STORE
        values = self.small_transfer(self.read if opcode == Opcode.LOAD else self.write)
        values["address"] += 1 + self.below(self.brick_bytes - 1)
        values["fill"] = self.below(2) if opcode == Opcode.LOAD else 0
        return encode(opcode, wait=ALL, tag=self.below(1 << 16), **values)

    def wild(self) -> bytes:
        """Every field within its range, whether they agree or not: what it does is not defined, but it must be safe."""
        opcode = Opcode(int(self.rng.choice([Opcode.LOAD, Opcode.STORE, Opcode.PRODUCT, Opcode.VECTOR])))
        values = {}
        for place in LAYOUT[opcode]:
            if place.word:
                low, high = place.field.bounds(self.chip)
                high = min(high, low + 40) if self.below(2) else high
                values[place.field.name] = int(self.rng.integers(low, high, endpoint=True))
        if "address" in values:
            values["address"] -= values["address"] % self.brick_bytes
        return encode(opcode, wait=ALL, tag=self.below(1 << 16), **values)


def outside(chip: Chip, place: Place) -> list[tuple[int, int]]:
    """Ranges of values that a field's bits hold and that are not legal."""
    field = place.field
    low, high = field.bounds(chip)
    least, most = (-(1 << field.bits - 1), (1 << field.bits - 1) - 1) if field.signed else (0, (1 << field.bits) - 1)
    return [(a, b) for a, b in ((least, low - 1), (high + 1, most)) if a <= b]
