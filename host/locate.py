"""Which command of a program a machine carries out wrongly: found beside the emulator, from run to run, then by halving."""

from collections.abc import Callable

import numpy as np

from golden.emulator import Emulator
from golden.emulator_scratch import EmulatorError
from host.driver import RING
from host.machines import Backend, EmulatedMachine, MachineError, Ran
from spec.chip import BRICK, Chip
from spec.isa import DESCRIPTOR_BYTES, Opcode, Unit, brick_bytes, decode, encode

RUN = 1 << 15  # bricks of one run of a transfer of the whole scratchpad
ALL = Unit.LOAD | Unit.STORE | Unit.PRODUCT | Unit.VECTOR


class WrongCommand(RuntimeError):
    """The first command whose bricks are not the emulator's."""

    def __init__(self, run: int, index: int, descriptor: bytes, where: str, got: list[int], want: list[int]):
        opcode, fields = decode(descriptor)
        told = " ".join(f"{name}={value}" for name, value in fields.items() if value and name not in ("opcode", "tag"))
        super().__init__(f"run {run}, command {index}: {opcode.name.lower()} {told}\n{where}: {got}, not {want}")
        self.run, self.index, self.opcode = run, index, opcode


class Lockstep:
    """A :class:`host.machines.Backend` that runs everything on ``suspect`` and on an emulator.

    used : bytes of memory that are compared after each run; set it before the first. :meth:`run` raises
    :class:`WrongCommand` at the first difference, until then both hold the same; it raises
    :class:`golden.emulator_scratch.EmulatorError` for a difference that is gone once commands follow each other.
    """

    def __init__(self, suspect: Backend):
        self.chip: Chip = suspect.chip
        self.suspect, self.used = suspect, 0
        self.emulated = EmulatedMachine(self.chip, RING + (1 << 26), RING)
        self.progress: Callable[[int], None] | None = None
        self._runs = 0
        self._spare = RING - self.chip.scratch_bricks * brick_bytes(self.chip)

    def room(self, run: int) -> int:
        return min(self.suspect.room(run), self.emulated.room(run))

    def read(self, address: int, count: int) -> bytes:
        return self.emulated.read(address, count)

    def write(self, address: int, data: bytes) -> None:
        self.emulated.write(address, data)
        self.suspect.write(address, data)

    def take(self) -> list[Ran]:
        self.suspect.take()
        return self.emulated.take()

    def run(self, descriptors: bytes) -> None:
        memory = self.emulated.memory[: self.used].copy()
        scratch = self.emulated.emulator.scratch.copy()
        self.emulated.run(descriptors)
        if not self._runs:  # what an earlier step left there is none of this one's
            self.suspect.write(0, memory.tobytes())
        try:
            self.suspect.run(descriptors)
            same = self.suspect.read(0, self.used) == self.emulated.read(0, self.used)
        except MachineError:
            same = False
        if not same:
            self._halve(descriptors, memory, scratch)
        self._runs += 1

    def _halve(self, descriptors: bytes, memory: np.ndarray, scratch: np.ndarray) -> None:
        good, bad = 0, len(descriptors) // DESCRIPTOR_BYTES - 1
        difference = self._difference(descriptors, bad, memory, scratch)
        if difference is None:
            raise EmulatorError(f"run {self._runs} differs only when its commands overlap: a race, or a bus that fails")
        while bad - good > 1:
            middle = (good + bad) // 2
            found = self._difference(descriptors, middle, memory, scratch)
            if found is None:
                good = middle
            else:
                bad, difference = middle, found
        descriptor = descriptors[(bad - 1) * DESCRIPTOR_BYTES : bad * DESCRIPTOR_BYTES]
        raise WrongCommand(self._runs, bad - 1, descriptor, *difference)

    def _difference(
        self, descriptors: bytes, count: int, memory: np.ndarray, scratch: np.ndarray
    ) -> tuple[str, list[int], list[int]] | None:
        """After the first ``count`` commands: a brick of scratchpad or memory, the suspect's words and the emulator's."""
        some = descriptors[: count * DESCRIPTOR_BYTES]
        fresh = np.zeros(len(self.emulated.memory), np.uint8)
        fresh[: self.used] = memory
        emulator = Emulator(self.chip, fresh)
        emulator.scratch[:] = scratch
        fresh[RING : RING + len(some) + DESCRIPTOR_BYTES] = np.frombuffer(some + encode(Opcode.END), np.uint8)
        emulator.run(RING, count + 1)
        words = f"<i{brick_bytes(self.chip) // BRICK}"
        self.suspect.write(0, memory.tobytes())
        self.suspect.write(self._spare, scratch.astype(words).tobytes())
        fence = encode(Opcode.FENCE, ALL)
        try:
            self.suspect.run(
                self._whole(Opcode.LOAD) + fence + some + fence + self._whole(Opcode.STORE) + encode(Opcode.END)
            )
        except MachineError as error:
            return str(error), [], []
        size = self.chip.scratch_bricks * brick_bytes(self.chip)
        for what, address, mine in (
            ("scratchpad brick", self._spare, emulator.scratch.astype(words)),
            ("memory brick", 0, fresh[: self.used].view(words).reshape(-1, BRICK)),
        ):
            count = size if address else self.used
            got = np.frombuffer(self.suspect.read(address, count), words).reshape(-1, BRICK)
            wrong = np.flatnonzero((got != mine).any(axis=1))
            if wrong.size:
                return f"{what} {wrong[0]} of {wrong.size} that differ", got[wrong[0]].tolist(), mine[wrong[0]].tolist()
        return None

    def _whole(self, opcode: Opcode) -> bytes:
        """The whole scratchpad from or to the spare part of memory."""
        bricks = min(RUN, self.chip.scratch_bricks)
        runs = self.chip.scratch_bricks // bricks
        return encode(opcode, address=self._spare, bricks=bricks, count_1=runs, memory_1=bricks, scratch_1=bricks)
