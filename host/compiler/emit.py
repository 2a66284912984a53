"""Commands in order, each with the units it must wait for: those whose last command touches what it touches."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

from host.compiler.errors import DoesNotFit
from host.program import Command, Context, HostStep, Label, Run, Value
from host.tensor import Tensor
from spec.chip import Chip
from spec.isa import UNITS, Kind, Opcode, Unit
from spec.number import Rounding

RUN_BRICKS = 65535  # of one run of a transfer


class Span(NamedTuple):
    """Bricks of the scratchpad."""

    base: int
    bricks: int

    @property
    def end(self) -> int:
        return self.base + self.bricks


Bytes = tuple[int, int]  # of memory: first, and one behind the last


@dataclass(frozen=True)
class _Touched:
    reads: tuple[Span, ...]
    writes: tuple[Span, ...]
    memory: Bytes
    stores: bool

    def disturbs(self, other: "_Touched") -> bool:
        """Whether the two may not overlap in time."""
        return (
            _meet(self.writes, other.reads + other.writes)
            or _meet(self.reads, other.writes)
            or ((self.stores or other.stores) and self.memory[0] < other.memory[1] and other.memory[0] < self.memory[1])
        )


def _meet(some: Iterable[Span], others: tuple[Span, ...]) -> bool:
    return any(a.base < b.end and b.base < a.end for a in some for b in others)


@dataclass(frozen=True)
class _Order:
    opcode: Opcode
    label: Label
    fields: dict[str, Value]
    touched: _Touched


@dataclass(frozen=True)
class Reduced(Chip):
    """A chip of whose scratchpad the last ``held`` bricks are not to be planned with."""

    held: int = 0

    @property
    def scratch_bricks(self) -> int:
        return super().scratch_bricks - self.held


@dataclass
class Emitter:
    """Collects the parts of a program for ``chip``.

    The last stores of a layer are put off until the next layer's first product, or until a command would disturb them, so
    that its first loads go on beside the last work.
    """

    chip: Chip
    parts: list[Run | HostStep] = field(default_factory=list)
    _commands: list[Command] = field(default_factory=list)
    _running: dict[Unit, _Touched] = field(default_factory=dict)
    _put_off: list[_Order] = field(default_factory=list)
    _collecting: bool = False
    _from_top: bool = False
    _when: tuple[str, bool] | None = None
    _told: tuple[int, str] | None = None

    def host(
        self,
        label: Label,
        function: Callable[[Context], None],
        reads: tuple[str, ...] = (),
        writes: tuple[str, ...] = (),
    ) -> None:
        """A step of the host, after all commands so far."""
        self.end()
        self.parts.append(HostStep(self._label(label), function, reads, writes, self._when))

    def end(self) -> None:
        """Closes the present run, if it has commands."""
        self._catch_up()
        if self._commands:
            self._commands.append(Command(Opcode.END, {}, self._commands[-1].label))
            self.parts.append(Run(tuple(self._commands), self._when))
        self._commands = []
        self._running = {}

    @contextmanager
    def when(self, flag: str, value: bool) -> Generator[None, None, None]:
        """What is emitted inside is carried out only if a host step before it gave the flag this value."""
        assert self._when is None, "conditions are not nested"
        self.end()
        self._when = flag, value
        try:
            yield
            self.end()
        finally:
            self._when = None

    @contextmanager
    def told_as(self, layer: int, phase: str) -> Generator[None, None, None]:
        """What is emitted inside is told of as this layer's, in this phase."""
        before, self._told = self._told, (layer, phase)
        try:
            yield
        finally:
            self._told = before

    def hold(self, layer: int, what: str, bricks: int) -> Span:
        """The last bricks of the scratchpad, which no layout takes from now on. Raises :class:`DoesNotFit`."""
        if bricks >= self.chip.scratch_bricks:
            raise DoesNotFit(layer, what, bricks, self.chip.scratch_bricks, "bricks of scratchpad", self.chip.name)
        self.chip = Reduced(**asdict(self.chip), held=bricks)
        return Span(self.chip.scratch_bricks, bricks)

    def _label(self, label: Label) -> Label:
        if self._told is None:
            return label
        return replace(label, layer=self._told[0], phase=self._told[1], what=f"{label.phase} {label.what}")

    def layout(self, label: Label, sizes: Mapping[str, int]) -> dict[str, Span]:
        """Buffers of the sizes given, those of different roles in different scratchpad banks if they fit so.

        A role is a name without its number: "a0" and "a1" take turns. One layout is from the bottom of the banks up, the
        next from the top down, so that neither is in the other's way if there is room. Raises :class:`DoesNotFit`.
        """
        total = sum(sizes.values())
        if total > self.chip.scratch_bricks:
            largest = max(sizes, key=lambda name: sizes[name])
            what = f"{label.phase} with {largest} of {sizes[largest]} bricks"
            raise DoesNotFit(label.layer, what, total, self.chip.scratch_bricks, "bricks of scratchpad", self.chip.name)
        spans = _in_banks(self.chip, sizes) or _packed(sizes)
        self._from_top = not self._from_top
        return {name: _mirrored(self.chip, span) for name, span in spans.items()} if self._from_top else spans

    def issue(
        self,
        opcode: Opcode,
        label: Label,
        fields: Mapping[str, Value],
        reads: tuple[Span, ...] = (),
        writes: tuple[Span, ...] = (),
        memory: Bytes = (0, 0),
    ) -> None:
        """One command; ``reads`` and ``writes`` must cover the scratchpad it touches, ``memory`` the bytes."""
        order = _Order(opcode, self._label(label), dict(fields), _Touched(reads, writes, memory, opcode == Opcode.STORE))
        if self._collecting:
            self._put_off.append(order)
            return
        if any(order.touched.disturbs(other.touched) for other in self._put_off):
            self._catch_up()
        self._emit(order)
        if opcode == Opcode.PRODUCT:
            self._catch_up()

    def put_off(self, job: Iterator[None]) -> None:
        """The rest of a job, its stores, later."""
        self._catch_up()
        self._collecting = True
        for _ in job:
            pass
        self._collecting = False

    def _catch_up(self) -> None:
        orders, self._put_off = self._put_off, []
        for order in orders:
            self._emit(order)

    def _emit(self, order: _Order) -> None:
        mine, wait = UNITS[order.opcode], Unit(0)
        for other, touched in list(self._running.items()):
            if other != mine and order.touched.disturbs(touched):
                wait |= other
                del self._running[other]
        self._running[mine] = order.touched
        self._commands.append(Command(order.opcode, order.fields, order.label, wait))

    def fill(self, label: Label, span: Span) -> None:
        """Zeros."""
        for first, bricks in _pieces(span.bricks):
            fields = {"fill": 1, "scratch": span.base + first, "bricks": bricks, "count_1": 1, "count_2": 1}
            self.issue(Opcode.LOAD, label, fields, writes=(span,))

    def fill_runs(self, label: Label, span: Span, offset: int, **shape: int) -> None:
        """Zeros to runs in ``span``; ``shape`` as in a transfer."""
        self.issue(Opcode.LOAD, label, {"fill": 1, "scratch": span.base + offset, **shape}, writes=(span,))

    def load(self, label: Label, tensor: Tensor, brick: int, span: Span, offset: int = 0, **shape: int) -> None:
        """Bricks of ``tensor`` from its ``brick`` on to ``offset`` in ``span``; ``shape`` as :func:`_transfer` has it."""
        self._move(Opcode.LOAD, label, tensor, brick, span, offset, shape)

    def store(self, label: Label, tensor: Tensor, brick: int, span: Span, offset: int = 0, **shape: int) -> None:
        """The reverse of :meth:`load`."""
        self._move(Opcode.STORE, label, tensor, brick, span, offset, shape)

    def _move(
        self, opcode: Opcode, label: Label, tensor: Tensor, brick: int, span: Span, offset: int, shape: dict[str, int]
    ) -> None:
        shape = {"count_1": 1, "count_2": 1, "memory_1": 0, "memory_2": 0, "scratch_1": 0, "scratch_2": 0} | shape
        if shape["memory_1"] == shape["scratch_1"] == shape["bricks"]:  # runs that follow each other on both sides
            shape |= {"bricks": shape["bricks"] * shape["count_1"], "count_1": 1, "memory_1": 0, "scratch_1": 0}
        if shape["count_1"] == 1 and shape["memory_2"] == shape["scratch_2"] == shape["bricks"]:
            shape |= {"bricks": shape["bricks"] * shape["count_2"], "count_2": 1, "memory_2": 0, "scratch_2": 0}
        if shape["bricks"] > RUN_BRICKS:
            for first, bricks in _pieces(shape["bricks"]):
                self._move(opcode, label, tensor, brick + first, span, offset + first, shape | {"bricks": bricks})
            return
        last = brick + (shape["count_2"] - 1) * shape["memory_2"] + (shape["count_1"] - 1) * shape["memory_1"]
        memory = (tensor.at(brick), tensor.at(last + shape["bricks"]))
        fields = {"address": tensor.at(brick), "scratch": span.base + offset, **shape}
        spans = {"reads": (span,)} if opcode == Opcode.STORE else {"writes": (span,)}
        self.issue(opcode, label, fields, memory=memory, **spans)

    def vector(
        self, label: Label, kind: Kind, fields: Mapping[str, Value], reads: tuple[Span, ...], writes: tuple[Span, ...]
    ) -> None:
        self.issue(Opcode.VECTOR, label, {"kind": int(kind), **fields}, reads, writes)


def _in_banks(chip: Chip, sizes: Mapping[str, int]) -> dict[str, Span] | None:
    """Each role in the next bank, or where there is most room; None if some buffer has none."""
    depth = chip.scratch_depth
    used = [0] * chip.scratch_banks
    left = [max(0, min(depth, chip.scratch_bricks - bank * depth)) for bank in range(chip.scratch_banks)]
    spans: dict[str, Span] = {}
    roles = list(dict.fromkeys(name.rstrip("0123456789") for name in sizes))
    for name, size in sizes.items():
        bank = roles.index(name.rstrip("0123456789")) % chip.scratch_banks
        if size > left[bank]:
            bank = max(range(chip.scratch_banks), key=lambda n: left[n])
        if size > left[bank]:
            return None
        spans[name] = Span(bank * depth + used[bank], size)
        used[bank] += size
        left[bank] -= size
    return spans


def _packed(sizes: Mapping[str, int]) -> dict[str, Span]:
    """One behind the other."""
    spans, at = {}, 0
    for name, size in sizes.items():
        spans[name] = Span(at, size)
        at += size
    return spans


def _mirrored(chip: Chip, span: Span) -> Span:
    return Span(chip.scratch_bricks - span.end, span.bricks)


def _pieces(bricks: int) -> Iterator[tuple[int, int]]:
    for first in range(0, bricks, RUN_BRICKS):
        yield first, min(RUN_BRICKS, bricks - first)


def pipeline(e: Emitter, jobs: Iterable[Iterator[None]], depth: int) -> None:
    """Emits jobs so that one's loads and another's stores go on beside the work of the one between them.

    A job emits its loads, yields, emits its work, yields, and emits its stores. depth : how many jobs have buffers of
    their own, in turn; with one they follow each other whole. With three loads are one job further ahead, so that memory
    does not rest while a vector command makes ready what was loaded; that command a job emits apart, before one more yield.
    """
    if depth == 1:
        for job in jobs:
            for _ in job:
                pass
        return
    loaded: list[Iterator[None]] = []  # and not worked on
    worked: list[Iterator[None]] = []  # and not stored
    for following in jobs:
        if loaded:
            next(loaded[0], None)
        next(following, None)
        loaded.append(following)
        if len(loaded) == depth - 1:
            _work(loaded, worked)
    while loaded:
        if depth > 2:
            next(loaded[0], None)
        _work(loaded, worked)
    if worked:
        e.put_off(worked[0])


def _work(loaded: list[Iterator[None]], worked: list[Iterator[None]]) -> None:
    """That of the first job loaded, and the stores of the one before."""
    next(loaded[0], None)
    if worked:
        next(worked.pop(), None)
    worked.append(loaded.pop(0))


def rounding_fields(key: Value, rounding: Rounding, shift: Value) -> dict[str, Value]:
    return {"key": key, "rounding": int(rounding), "shift": shift}
