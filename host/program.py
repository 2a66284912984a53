"""What runs on a machine: commands in runs, steps of the host between them, and the tensors in memory.

A driver executes ``program.parts`` in order, see :func:`execute`. Nothing in a program depends on the step: fields that
do (keys, the optimizer's shifts) are symbols, whose values the host steps set before the run that needs them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from golden.layers import Role, tensor_key
from host.tensor import Tensor
from spec.isa import DESCRIPTOR_BYTES, LAYOUT, Opcode, Unit, encode


@dataclass(frozen=True)
class Symbol:
    """A field's value that is known only when the run is about to start."""

    name: str


@dataclass(frozen=True)
class KeySymbol(Symbol):
    """The key of a tensor: :func:`golden.layers.tensor_key` of (seed, step, layer, role)."""

    layer: int
    role: Role


def key_symbol(layer: int, role: Role) -> KeySymbol:
    return KeySymbol(f"key.{layer}.{role.name.lower()}", layer, role)


Value = int | Symbol
NO_UNIT = Unit(0)


@dataclass(frozen=True)
class Label:
    """Why a command is there."""

    layer: int  # node of the graph
    phase: str  # FP, BP, WG or update
    what: str
    tile: str = ""


@dataclass(frozen=True)
class Command:
    """One descriptor, fields as in :data:`spec.isa.FIELDS`; those not given are as :func:`spec.isa.encode` has them."""

    opcode: Opcode
    fields: Mapping[str, Value]
    label: Label
    wait: Unit = NO_UNIT


@dataclass(frozen=True)
class Run:
    """Commands that the machine carries out without the host; the last is END.

    when : None, or a flag of :class:`Context` and the value that it must have; otherwise the run is left out.
    """

    commands: Sequence[Command]
    when: tuple[str, bool] | None = None

    def descriptors(self, values: Mapping[str, int]) -> bytes:
        """All descriptors, symbols replaced by ``values``; KeyError for a symbol without one.

        Only the symbols' fields are encoded anew, so a later step costs little.
        """
        words, patches = self._encoded
        words = words.copy()
        for at, lsb, bits, name in patches:
            value = values[name]
            if not 0 <= value < 1 << bits:
                raise ValueError(f"{name} must be 0 to {(1 << bits) - 1}, not {value}")
            words[at] |= value << lsb
        return words.astype("<u4").tobytes()

    @cached_property
    def symbols(self) -> frozenset[Symbol]:
        """Those whose values it needs."""
        return frozenset(v for command in self.commands for v in command.fields.values() if isinstance(v, Symbol))

    @cached_property
    def _encoded(self) -> tuple[np.ndarray, list[tuple[int, int, int, str]]]:
        """Words with zeros where symbols go, and for each symbol's place: word, lowest bit, bits, name."""
        parts, patches = [], []
        places = {op: {place.field.name: place for place in layout} for op, layout in LAYOUT.items()}
        for number, command in enumerate(self.commands):
            known = {name: v for name, v in command.fields.items() if not isinstance(v, Symbol)}
            for name, value in command.fields.items():
                if isinstance(value, Symbol):
                    place = places[command.opcode][name]
                    known[name] = 0
                    patches.append((
                        number * DESCRIPTOR_BYTES // 4 + place.word,
                        place.lsb,
                        place.field.bits,
                        value.name,
                    ))
            parts.append(encode(command.opcode, command.wait, number & 0xFFFF, **known))
        return np.frombuffer(b"".join(parts), "<u4").astype(np.int64), patches


@dataclass
class Context:
    """What a host step sees: memory by tensor, values for symbols, and what the driver gave it for this step.

    read, write : a tensor's words, in its logical shape. inputs : "x" and "labels", "plans" for the optimizer.
    running : batch norm's running statistics by node; they outlive the step. results : what the step found ("loss",
    "correct", "logits").
    """

    read: Callable[[str], np.ndarray]
    write: Callable[[str, np.ndarray], None]
    seed: int
    step: int
    inputs: Mapping[str, Any]
    running: dict[int, np.ndarray]
    values: dict[str, int] = field(default_factory=dict)
    flags: dict[str, bool] = field(default_factory=dict)  # what later parts depend on
    saved: dict[int, Any] = field(default_factory=dict)  # by node, what its backward pass needs
    results: dict[str, Any] = field(default_factory=dict)

    def key(self, layer: int, role: Role) -> int:
        return tensor_key(self.seed, self.step, layer, role)


@dataclass(frozen=True)
class HostStep:
    """Something small the host does between two runs; it reads and writes the tensors named."""

    label: Label
    function: Callable[[Context], None]
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    when: tuple[str, bool] | None = None


@dataclass(frozen=True)
class Program:
    """Parts in order, and where every tensor lies.

    parameters, velocity : names of tensors that outlive a step, by node of the graph. memory_bytes : all tensors lie
    below; descriptors go anywhere behind. Programs of one graph, chip and base agree about where parameters lie.
    """

    name: str
    parts: Sequence[Run | HostStep]
    tensors: Mapping[str, Tensor]
    parameters: Mapping[int, str]
    velocity: Mapping[int, str]
    memory_bytes: int

    @property
    def commands(self) -> int:
        return sum(len(part.commands) for part in self.parts if isinstance(part, Run))

    @property
    def longest_run(self) -> int:
        """Bytes of the descriptors of the longest run."""
        return DESCRIPTOR_BYTES * max(len(part.commands) for part in self.parts if isinstance(part, Run))

    def bind(self, seed: int, step: int) -> dict[str, int]:
        """Values of all keys in one step."""
        symbols = {symbol for part in self.parts if isinstance(part, Run) for symbol in part.symbols}
        return {s.name: tensor_key(seed, step, s.layer, s.role) for s in symbols if isinstance(s, KeySymbol)}

    def listing(self) -> Iterator[str]:
        """Readable, one line for each command and host step."""
        index = 0
        for part in self.parts:
            if isinstance(part, HostStep):
                reads, writes = " ".join(part.reads) or "nothing", " ".join(part.writes) or "nothing"
                yield f"{'':6} {_label(part.label)} host: reads {reads}, writes {writes}"
                continue
            for command in part.commands:
                waits = "".join(unit.name[0] for unit in Unit if unit in command.wait and unit.name) or "-"
                fields = " ".join(
                    f"{name}={value.name if isinstance(value, Symbol) else int(value)}"
                    for name, value in command.fields.items()
                )
                yield f"{index:6} {_label(command.label)} {command.opcode.name.lower():8}{waits:5}{fields}"
                index += 1


def _label(label: Label) -> str:
    return f"{label.layer:3} {label.phase:7}{label.what + ' ' + label.tile:28}"


class Machine(Protocol):
    """Memory and a machine that reads descriptors from it."""

    def read(self, address: int, count: int) -> bytes: ...

    def write(self, address: int, data: bytes) -> None: ...

    def run(self, descriptors: bytes) -> None:
        """Carry out descriptors until END; raises when the machine stops with an error."""


def execute(
    program: Program,
    machine: Machine,
    *,
    seed: int = 0,
    step: int = 0,
    inputs: Mapping[str, Any],
    running: dict[int, np.ndarray],
) -> dict[str, Any]:
    """All parts of one step in order; the results, and under "carried" the parts that were carried out."""

    def read(name: str) -> np.ndarray:
        tensor = program.tensors[name]
        return tensor.unpack(machine.read(tensor.address, tensor.size))

    def write(name: str, words: np.ndarray) -> None:
        tensor = program.tensors[name]
        machine.write(tensor.address, tensor.pack(words))

    context = Context(read, write, seed, step, inputs, running, program.bind(seed, step))
    carried: list[Run | HostStep] = []
    for part in program.parts:
        if part.when is not None and context.flags[part.when[0]] != part.when[1]:
            continue
        carried.append(part)
        if isinstance(part, HostStep):
            part.function(context)
        else:
            machine.run(part.descriptors(context.values))
    return context.results | {"carried": carried}
