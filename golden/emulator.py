"""A machine's commands on a memory image: what every program must leave in memory, whatever runs it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from golden.emulator_product import ProductOutcome, product
from golden.emulator_scratch import EmulatorError, Touched, empty_scratch
from golden.emulator_transfer import TransferOutcome, Window, run_addresses, transfer
from golden.emulator_vector import VectorOutcome, vector
from spec.axi import ADDRESS_BITS
from spec.chip import Chip
from spec.isa import DESCRIPTOR_BYTES, UNITS, ErrorCode, Opcode, Unit, brick_bytes, decode, fault

# What the products of a chain must have in common.
CHAIN = (
    "m", "n", "out_x", "out_y", "origin_x", "origin_y", "phase_x", "phase_y", "dilation", "stride", "step_x", "step_y",
    "step_b", "seg_x", "seg_y", "masked", "mask_base", "mask_stride", "columns", "rows",
)  # fmt: skip

Outcome = ProductOutcome | VectorOutcome | TransferOutcome | None


@dataclass(frozen=True)
class Event:
    """One command carried out."""

    index: int
    opcode: Opcode
    tag: int
    outcome: Outcome  # None for END and FENCE


@dataclass(frozen=True)
class Stop:
    """How a run ended: at END with code NONE, or at the descriptor whose error is ``code``."""

    code: ErrorCode
    index: int
    reason: str = ""


@dataclass
class _Footprint:
    """What a command that may still be running touches."""

    name: str
    scratch: Touched
    memory: np.ndarray  # byte address of each run it moves
    length: int  # bytes of a run
    stores: bool


@dataclass
class Emulator:
    """``chip`` beside ``memory``, uint8 from address 0 on, which it changes in place.

    read, write : windows that transfers and descriptors must lie in; all of memory unless given.
    check : raise :class:`golden.emulator_scratch.EmulatorError` where two commands that may overlap in time touch one
    brick of scratchpad or memory and do not both only read it.
    scratch : the scratchpad's words, int32 (scratch_bricks, 8); it outlives a run.
    """

    chip: Chip
    memory: np.ndarray
    read: Window | None = None
    write: Window | None = None
    check: bool = False
    scratch: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        if self.memory.dtype != np.uint8 or self.memory.ndim != 1:
            raise TypeError(f"memory must be bytes in one dimension, not {self.memory.dtype} of {self.memory.shape}")
        self.scratch = empty_scratch(self.chip)
        self._sums: np.ndarray | None = None
        self._chain: dict[str, int] = {}  # of the products whose sums are kept
        self._running: dict[Unit, _Footprint] = {}

    def run(self, ring: int, entries: int, index: int = 0, on_event: Callable[[Event], None] | None = None) -> Stop:
        """Carries out descriptors of the ring of ``entries`` at address ``ring``, from ``index`` on, until it stops.

        A ring without END does not end. on_event : called after each command.
        """
        self._running = {}
        while True:
            stop, event = self.step(ring, index)
            if event is not None and on_event is not None:
                on_event(event)
            if stop is not None:
                return stop
            index = (index + 1) % entries

    def step(self, ring: int, index: int) -> tuple[Stop | None, Event | None]:
        """One descriptor: why the machine stops there, if it does, and what was carried out, if anything was."""
        address = ring + index * DESCRIPTOR_BYTES
        low, high = self.read or (0, 1 << ADDRESS_BITS)
        if address < low or address + DESCRIPTOR_BYTES > min(high, len(self.memory)):
            return Stop(ErrorCode.FETCH, index, f"a descriptor at {address:#x} cannot be read"), None
        descriptor = self.memory[address : address + DESCRIPTOR_BYTES].tobytes()
        code, reason = fault(self.chip, descriptor)
        if code != ErrorCode.NONE:
            return Stop(code, index, reason), None
        opcode, fields = decode(descriptor)
        try:
            outcome = self._issue(opcode, fields)
        except ValueError as error:
            error.add_note(f"at descriptor {index}, tag {fields['tag']}")
            raise
        if isinstance(outcome, TransferOutcome) and outcome.error != ErrorCode.NONE:
            return Stop(outcome.error, index, f"{opcode.name.lower()} at {fields['address']:#x}"), None
        event = Event(index, opcode, fields["tag"], outcome)
        return (Stop(ErrorCode.NONE, index) if opcode == Opcode.END else None), event

    def _issue(self, opcode: Opcode, fields: dict[str, int]) -> Outcome:
        for unit in Unit:
            if opcode == Opcode.END or unit in Unit(fields["wait"]) or unit == UNITS.get(opcode):
                self._running.pop(unit, None)
        if opcode not in UNITS:
            return None
        touched = Touched(self.chip.scratch_bricks)
        outcome: Outcome
        runs, length = np.empty(0, np.int64), 0
        store = opcode == Opcode.STORE
        if opcode == Opcode.PRODUCT:
            outcome = self._product(fields, touched)
        elif opcode == Opcode.VECTOR:
            outcome = vector(self.chip, fields, self.scratch, touched)
        else:
            window = (self.write if store else self.read) or (0, 1 << ADDRESS_BITS)
            outcome = transfer(self.chip, fields, self.scratch, self.memory, window, store, touched)
            if not fields.get("fill"):
                runs, length = run_addresses(self.chip, fields), fields["bricks"] * brick_bytes(self.chip)
        if self.check:
            mine = _Footprint(opcode.name.lower(), touched, runs, length, store)
            for other in self._running.values():
                _check_race(mine, other)
            self._running[UNITS[opcode]] = mine
        return outcome

    def _product(self, fields: dict[str, int], touched: Touched) -> ProductOutcome:
        common = {name: fields[name] for name in CHAIN}
        if not fields["start"] and self._sums is not None and common != self._chain:
            differing = ", ".join(name for name, value in common.items() if value != self._chain[name])
            raise EmulatorError(f"product: products of a chain differ in {differing}")
        outcome = product(self.chip, fields, self.scratch, self._sums, touched)
        self._sums, self._chain = outcome.sums, common
        return outcome


def _check_race(new: _Footprint, old: _Footprint) -> None:
    """EmulatorError where two commands that may overlap touch one brick and one of them writes it."""
    both = (new.scratch.writes & (old.scratch.reads | old.scratch.writes)) | (new.scratch.reads & old.scratch.writes)
    if both.any():
        raise EmulatorError(
            f"race: {new.name} and {old.name} that may still run both touch scratchpad brick {np.flatnonzero(both)[0]}"
        )
    if new.stores == old.stores or not (new.length and old.length):
        return
    stored, loaded = (new, old) if new.stores else (old, new)
    # Runs of equal length, sorted: an overlap lies with the next run or the one before.
    begins = np.sort(stored.memory)
    at = np.searchsorted(begins, loaded.memory + loaded.length)
    meets = (at > 0) & (begins[np.maximum(at, 1) - 1] + stored.length > loaded.memory)
    if meets.any():
        raise EmulatorError(
            f"race: {new.name} and {old.name} that may still run both touch memory at {loaded.memory[meets][0]:#x}"
        )
