"""A network's programs, its parameters and some samples as one file for a bare processor; see docs/program-image.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from golden.graph import Graph
from golden.layers import Role, tensor_id
from golden.operators import LOSS_SLOT, SLOTS, BatchNormOperator
from golden.optimizer import SgdPlan
from host.compiler import compile_predict, compile_step
from host.image_layout import (
    ALIGNMENT,
    BLOCK,
    FORMAT,
    HEADER,
    KEY,
    MAGIC,
    NORM,
    OP,
    PROGRAM,
    SHIFT,
    TENSOR,
    WORD,
    Layout,
    NormPart,
    Op,
    Purpose,
)
from host.program import Context, HostStep, KeySymbol, Program, Run, Symbol
from spec.chip import Chip
from spec.isa import DESCRIPTOR_BYTES, LAYOUT
from spec.number import Rounding

Record = dict[str, int]
PARTS = {"statistics": NormPart.FORWARD, "gradients": NormPart.BACKWARD}  # of batch norm, by what their labels say


class ImageError(ValueError):
    """A program that cannot be an image; says what has no place in one."""


def build_image(
    graph: Graph,
    chip: Chip,
    batch: int,
    plans: Sequence[SgdPlan],
    rounding: Rounding,
    batches: Sequence[tuple[np.ndarray, np.ndarray]],
    step: int = 0,
) -> bytes:
    """A training step of ``plans`` and a prediction, both for ``batch`` samples, with ``graph``'s parameters as they are.

    batches : words (batch, features) and labels (batch,) of each. step : taken before the image's first. Raises :class:`ImageError` for a batch of another size,
    and :class:`host.compiler.errors.DoesNotFit` or :class:`host.compiler.errors.Unsupported` as the compiler does.
    """
    programs = {
        Purpose.STEP: compile_step(graph, chip, batch, plans, rounding),
        Purpose.PREDICT: compile_predict(graph, chip, batch),
    }
    return _Image(graph, chip, batch, plans, rounding, step, programs).build(batches)


@dataclass
class _Image:
    graph: Graph
    chip: Chip
    batch: int
    plans: Sequence[SgdPlan]
    rounding: Rounding
    step: int
    programs: Mapping[Purpose, Program]

    def __post_init__(self) -> None:
        self.data = bytearray(WORD * len(HEADER))
        self.norms = [op for op in self.graph.operators if isinstance(op, BatchNormOperator)]
        self.memory_bytes = _aligned(max(program.memory_bytes for program in self.programs.values()))
        parts = enumerate(("forward", "backward"))
        self.shifts = {
            f"norm.{op.number}.{part}.shift": 2 * n + m for m, part in parts for n, op in enumerate(self.norms)
        }
        self.running: dict[int, int] = {}  # address, by node
        at = self.memory_bytes
        for op in self.norms:
            self.running[op.number] = at
            at += self.graph.running[op.number].astype("<i8").nbytes
        self.ring = _aligned(at)
        self.logits: dict[Purpose, str] = {}  # name of the tensor
        self.norm_records: list[Record] = []
        self.firsts: list[Record] = []

    def build(self, batches: Sequence[tuple[np.ndarray, np.ndarray]]) -> bytes:
        programs = [self._program(purpose, program) for purpose, program in self.programs.items()]
        self._parameters(self.programs[Purpose.STEP])
        batches_at, batch_bytes = self._batches(batches)
        runs = [record["descriptors"] for record in programs]
        header = {
            "magic": MAGIC,
            "format": FORMAT,
            "chip": int(self.chip.digest, 16),
            "memory_bytes": self.memory_bytes,
            "state_address": self.memory_bytes,
            "ring_address": self.ring,
            "ring_bytes": max(runs) * DESCRIPTOR_BYTES,
            "batch": self.batch,
            "classes": self.graph.operators[-1].shape[-1],
            **self._samples(),
            "rounding": int(self.rounding),
            "seed": self.graph.seed,
            "step": self.step,
            "programs_at": self._table(PROGRAM, programs),
            "programs": len(programs),
            "first_at": self._table(BLOCK, self.firsts),
            "firsts": len(self.firsts),
            "norms_at": self._table(NORM, self.norm_records),
            "norms": len(self.norm_records),
            "batches_at": batches_at,
            "batches": len(batches),
            "batch_bytes": batch_bytes,
        }
        header["bytes"] = len(self.data)
        self.data[: WORD * len(HEADER)] = _words(HEADER, header)
        return bytes(self.data)

    def _add(self, data: bytes) -> int:
        """Place of ``data`` in the image."""
        at = len(self.data)
        self.data += data + bytes(-len(data) % WORD)
        return at

    def _table(self, layout: Layout, records: Sequence[Mapping[str, int]]) -> int:
        return self._add(b"".join(_words(layout, record) for record in records))

    def _parameters(self, program: Program) -> None:
        """Blocks that are copied once: parameters, velocity, running statistics."""
        for names, words in ((program.parameters, self.graph.weights), (program.velocity, self.graph.velocity)):
            for number, name in names.items():
                tensor = program.tensors[name]
                self._first(tensor.address, tensor.pack(words[number].reshape(tensor.shape)))
        for number, address in self.running.items():
            self._first(address, self.graph.running[number].astype("<i8").tobytes())

    def _first(self, address: int, data: bytes) -> None:
        self.firsts.append({"at": self._add(data), "address": address, "bytes": len(data)})

    def _batches(self, batches: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[int, int]:
        program = self.programs[Purpose.STEP]
        x, start = program.tensors["x"], program.parts[0]
        assert isinstance(start, HostStep)
        size = x.size + 2 * self.batch
        size += -size % WORD
        at = len(self.data)
        for words, labels in batches:
            if len(words) != self.batch or len(labels) != self.batch:
                raise ImageError(f"a batch of the image must have {self.batch} samples, not {len(words)}")
            written, _ = self._started(start, words)
            self._add(x.pack(written["x"]) + np.asarray(labels).astype("<u2").tobytes())
        return at, size

    def _program(self, purpose: Purpose, program: Program) -> Record:
        ops: list[Record] = []
        keys: list[Record] = []
        shifts: list[Record] = []
        descriptors = bytearray()
        values: dict[str, int] = {}
        for part in program.parts:
            if isinstance(part, HostStep):
                ops += self._host(purpose, program, part, values)
                continue
            first = len(descriptors) // WORD
            ops.append({"code": Op.RUN, "a": len(descriptors) // DESCRIPTOR_BYTES})
            descriptors += self._run(part, values, first, keys, shifts)
        tensors = [
            {"name_at": self._add(name.encode() + b"\0"), "address": t.address, "rows": t.rows, "channels": t.channels}
            for name, t in program.tensors.items()
        ]
        x = program.tensors["x"]
        return {
            "purpose": purpose,
            "ops_at": self._table(OP, ops),
            "ops": len(ops),
            "descriptors_at": self._add(bytes(descriptors)),
            "descriptors": len(descriptors) // DESCRIPTOR_BYTES,
            "keys_at": self._table(KEY, keys),
            "keys": len(keys),
            "shifts_at": self._table(SHIFT, shifts),
            "shifts": len(shifts),
            "tensors_at": self._table(TENSOR, tensors),
            "tensors": len(tensors),
            "x_address": x.address,
            "x_bytes": x.size,
            "logits_address": program.tensors[self.logits[purpose]].address,
        }

    def _run(
        self, run: Run, values: Mapping[str, int], first: int, keys: list[Record], shifts: list[Record]
    ) -> bytes:
        """Descriptors with the symbols known now; where the others go is noted."""
        late = {symbol.name: 0 for symbol in run.symbols if isinstance(symbol, KeySymbol) or symbol.name in self.shifts}
        for number, command in enumerate(run.commands):
            for place in LAYOUT[command.opcode]:
                symbol = command.fields.get(place.field.name)
                if not isinstance(symbol, Symbol):
                    continue
                word = first + number * DESCRIPTOR_BYTES // WORD + place.word
                if isinstance(symbol, KeySymbol):
                    keys.append({"word": word, "id": tensor_id(symbol.layer, symbol.role)})
                elif symbol.name in self.shifts:
                    shifts.append({"word": word, "lsb": place.lsb, "symbol": self.shifts[symbol.name]})
                elif symbol.name not in values:
                    raise ImageError(f"{symbol.name}: what it will be is not known, so it cannot be in an image")
        return run.descriptors({**values, **late})

    def _host(
        self, purpose: Purpose, program: Program, step: HostStep, values: dict[str, int]
    ) -> list[Record]:
        """What the processor does for a step of the host."""
        what = step.label.what
        if what in ("loss", "logits"):
            (self.logits[purpose],) = step.reads
        if what == "start":
            return self._start(program, step, values)
        if what == "loss":
            last = self.graph.operators[-1]
            logits, delta = (program.tensors[name] for name in (*step.reads, *step.writes))
            frac = {"b": last.out.frac, "d": last.formats.deltas.frac}
            key = tensor_id(SLOTS * last.number + LOSS_SLOT, Role.DELTA)
            return [{"code": Op.LOSS, "a": logits.address, "c": delta.address, "e": key, **frac}]
        if what == "logits":
            return []
        if what == "running statistics":
            return [{"code": Op.NORM, "a": self._norm(program, op), "b": NormPart.RUNNING} for op in self.norms]
        if what in PARTS:
            op = self.graph.operators[step.label.layer]
            assert isinstance(op, BatchNormOperator)
            part = NormPart.FROZEN if purpose == Purpose.PREDICT else PARTS[what]
            return [{"code": Op.NORM, "a": self._norm(program, op), "b": part}]
        raise ImageError(f"a bare processor cannot do what the host does at {what!r}")

    def _start(self, program: Program, step: HostStep, values: dict[str, int]) -> list[Record]:
        """Copies of the tensors that are the same in every step; the optimizer's shifts go to ``values``."""
        written, found = self._started(step, np.zeros((self.batch, *self.graph.architecture.input), np.int64))
        values |= found
        ops = []
        for name, words in written.items():
            if name != "x":
                tensor = program.tensors[name]
                at = self._add(tensor.pack(words))
                ops.append({"code": Op.COPY, "a": at, "b": tensor.address, "c": tensor.size})
        return ops

    def _started(self, step: HostStep, x: np.ndarray) -> tuple[dict[str, np.ndarray], dict[str, int]]:
        """Tensors and values that the first step of the host sets for samples x."""
        written: dict[str, np.ndarray] = {}
        inputs = {"x": x, "plans": self.plans}
        context = Context(lambda name: np.zeros(0), written.__setitem__, self.graph.seed, 0, inputs, {})
        step.function(context)
        return written, context.values

    def _samples(self) -> Record:
        """How samples lie in memory: see :attr:`host.compiler.network.Network.folded`."""
        height, width, channels = self.graph.architecture.input
        lies = self.programs[Purpose.STEP].tensors["x"].shape
        if len(lies) == 2:
            return {"height": 1, "width": 1, "channels": lies[1], "taps": 1, "padding": 0}
        taps = lies[3] // channels
        return {
            "height": height,
            "width": width,
            "channels": channels,
            "taps": taps,
            "padding": (lies[2] + taps - 1 - width) // 2,
        }

    def _norm(self, program: Program, op: BatchNormOperator) -> int:
        """Number of its record; the first ``len(norms)`` are the training step's, so that symbols' numbers agree."""
        number, n = op.number, self.norms.index(op)
        formats, shape = op.formats, op.shapes[0]

        def address(name: str) -> int:
            return program.tensors[name].address if name in program.tensors else 0

        record = {
            "number": n,
            "channels": shape[-1],
            "count": self.batch * int(np.prod(shape[:-1])),
            "x_frac": op.reads[0].frac,
            "weights_frac": formats.weights.frac,
            "activations_frac": formats.activations.frac,
            "deltas_frac": formats.deltas.frac,
            "gradients_frac": formats.gradients.frac,
            "below_frac": (op.belows[0] or formats.deltas).frac,
            "key_id": tensor_id(SLOTS * number, Role.GRADIENT),
            "parameters_address": address(f"weights.{number}"),
            "sums_address": address(f"norm.{number}.sums"),
            "forward_address": address(f"norm.{number}.forward"),
            "products_address": address(f"norm.{number}.products"),
            "backward_address": address(f"norm.{number}.backward"),
            "gradient_address": address(f"gradient.{number}"),
            "running_address": self.running[number],
        }
        if record not in self.norm_records:
            self.norm_records.append(record)
        return self.norm_records.index(record)


def _aligned(address: int) -> int:
    return address + -address % ALIGNMENT


def _words(layout: Layout, values: Mapping[str, int]) -> bytes:
    unknown = set(values) - set(layout)
    if unknown:
        raise KeyError(f"no {', '.join(sorted(unknown))} in a record of {', '.join(layout)}")
    return b"".join(int(values.get(name, 0)).to_bytes(WORD, "little") for name in layout)
