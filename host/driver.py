"""A network in a machine's memory: training steps, prediction, tensors by name, counters, and a check against golden."""

from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from golden.graph import Graph, digest
from golden.layers import PHASES, Formats, GoldenExecute
from golden.loss import LOSS_FRAC
from golden.network import StepResult
from golden.operators import Pass
from golden.optimizer import SgdPlan
from golden.policy import EXACT, Policy, part_of
from golden.tally import Tally
from host.compiler import compile_predict, compile_step
from host.compiler.lowering import Lowering
from host.compiler.techniques.policies import lowered
from host.machines import Backend, Ran
from host.program import Command, Program, Run
from host.program import execute as execute_program
from host.timeline import Row, rows
from spec.isa import Opcode
from spec.number import Fixed, Rounding
from spec.product import ceil_div

MEMORY = 1 << 30  # bytes; only those that are touched cost anything
RING = MEMORY - (1 << 26)  # descriptors lie here, tensors below


@dataclass(frozen=True)
class Difference:
    """The first word of a tensor that is not golden's."""

    step: int
    tensor: str
    place: tuple[int, ...]
    got: int
    want: int

    def __str__(self) -> str:
        at = ", ".join(map(str, self.place))
        return f"step {self.step}, {self.tensor}[{at}]: {self.got}, not {self.want}"


class NoRoom(ValueError):
    """A program that takes more memory than the machine has."""


class Driver:
    """``graph``, compiled for ``backend``'s chip; a :class:`golden.trainer.Learner`.

    graph : gives first weights, formats and seed. check : every step is also computed by ``graph`` itself, and every tensor
    in memory that has a name of :attr:`golden.graph.Graph.observe` is compared with it, word by word. skip : off, products
    spend a cycle on zeros of A as well, for comparison.
    Raises :class:`host.compiler.errors.DoesNotFit`, :class:`host.compiler.errors.Unsupported` and :class:`NoRoom`, all ValueErrors.
    """

    def __init__(self, graph: Graph, backend: Backend, check: bool = False, skip: bool = True):
        self.graph = copy(graph)  # it changes with the machine, the caller's does not
        self.backend = backend
        self.check = check
        self.skip = skip
        self.first_difference: Difference | None = None
        self.counters: dict[str, int] = {}  # the machine's, of all steps and predictions
        self.last: tuple[Program, list[Ran]] | None = None  # step or prediction
        self.stepped: tuple[Program, list[Ran]] | None = None  # the last step
        self._compiled: dict[tuple, Program] = {}
        self._too_many: set[int] = set()  # samples of predictions that memory has no room for
        self._place: Program | None = None  # says where parameters lie
        self._running: dict[int, np.ndarray] = {}
        self.policy: Policy = EXACT
        self.lowering = Lowering(EXACT)
        self._state = graph.state()

    def follow(self, policy: Policy, epoch_steps: int, resident: bool = False) -> None:
        """As :meth:`golden.graph.Graph.follow`, before the first step; raises :class:`host.compiler.errors.Unsupported` too.

        resident : the weights of a predictor of gradients stay in the scratchpad.
        """
        if self._place is not None:
            raise ValueError("a policy is followed from the first step on, and the network is in memory already")
        self.lowering = lowered(deepcopy(policy), resident)
        self.policy = self.lowering.policy
        self.policy.bind(self.graph, epoch_steps)
        self.graph.follow(deepcopy(policy), epoch_steps)
        self._state = self.graph.state()

    @property
    def inputs(self) -> Fixed:
        return self.graph.inputs

    @property
    def formats(self) -> tuple[Formats, ...]:
        return self.graph.formats

    def program(self, batch: int, plans: Sequence[SgdPlan] | None, rounding: Rounding = Rounding.NEAREST) -> Program:
        """A training step for ``batch`` samples, a prediction if there are no plans; compiled once."""
        decaying = None if plans is None else tuple(plan.decay is not None for plan in plans)
        variant = None if plans is None else self.policy.variant()
        kind = (batch, decaying, rounding, variant)  # nothing else in plans is part of a program
        if kind not in self._compiled:
            if plans is None:
                program = compile_predict(self.graph, self.backend.chip, batch, lowering=self.lowering)
            else:
                program = compile_step(self.graph, self.backend.chip, batch, plans, rounding, lowering=self.lowering)
            self._check_room(program, batch)
            if not self.skip:
                program = without_skipping(program)
            self._compiled[kind] = program
            if self._place is None:
                self._place = program
                self._load(self._state)
        return self._compiled[kind]

    def _check_room(self, program: Program, batch: int) -> None:
        room = self.backend.room(program.longest_run)
        if program.memory_bytes > room:
            raise NoRoom(
                f"{program.name}: for {batch} samples tensors take {program.memory_bytes} bytes, memory has room for "
                f"{max(0, room)} beside {program.longest_run} of commands: {program.memory_bytes - room} bytes too many"
            )

    def read(self, name: str, program: Program | None = None) -> np.ndarray:
        """Words of a tensor of the last program, or the one given, in its logical shape."""
        program = program or (self.last[0] if self.last else self._place)
        if program is None or name not in program.tensors:
            raise KeyError(f"no tensor {name!r} in memory")
        tensor = program.tensors[name]
        return tensor.unpack(self.backend.read(tensor.address, tensor.size))

    def write(self, name: str, words: np.ndarray, program: Program | None = None) -> None:
        """The reverse of :meth:`read`."""
        program = program or (self.last[0] if self.last else self._place)
        if program is None or name not in program.tensors:
            raise KeyError(f"no tensor {name!r} in memory")
        tensor = program.tensors[name]
        self.backend.write(tensor.address, tensor.pack(words))

    def step(
        self,
        execute: Tally,
        x: np.ndarray,
        labels: np.ndarray,
        plans: Sequence[SgdPlan],
        rounding: Rounding,
        step: int,
    ) -> StepResult:
        """One step on the machine, counted in ``execute``; with ``check`` golden's densities and the differing words.

        A step that is interrupted leaves the state of the step before.
        """
        before = self.state()
        p = Pass(GoldenExecute(), rounding, self.graph.seed, step, training=True, policy=self.policy)
        self.policy.begins(p)
        seen: dict[str, np.ndarray] = {}
        try:
            program = self.program(len(x), plans, rounding)
            if self.check:
                self.graph.restore(before)
                self.graph.observe = seen.__setitem__
                self.graph.step(execute, x, labels, plans, rounding, step)
                self.graph.observe = None
            results = self._execute(program, step, {"x": x, "labels": labels, "plans": plans})
        except BaseException:
            self.policy.restore(part_of(before, "policy."))
            if self._place is not None:
                self._load(before)
            raise
        self.policy.ends(p, results["loss"] / len(labels) / (1 << LOSS_FRAC))
        self.stepped = self.last
        self._count(execute)
        if self.check:
            self._compare(execute, program, seen, step)
            got = part_of(self.state(), "policy.")
            for name, want in self.graph.policy.state().items():
                self._differs(execute, f"policy.{name}", got[name], want, step)
        return StepResult(results["loss"], results["correct"], len(labels), self._saturations())

    def predict(self, execute: Tally, x: np.ndarray) -> np.ndarray:
        """Logits (batch, classes), counted in ``execute``; in several runs where memory has no room for all samples."""
        program = self._prediction(len(x))
        if program is None:
            half = ceil_div(len(x), 2)
            return np.concatenate([self.predict(execute, part) for part in (x[:half], x[half:])])
        results = self._execute(program, 0, {"x": x})
        self._count(execute)
        if self.check:
            self.graph.restore(self.state())
            self._differs(execute, "logits", results["logits"], self.graph.predict(execute, x), 0)
        return results["logits"]

    def _prediction(self, samples: int) -> Program | None:
        """None where memory has no room for so many samples, which is found out once; NoRoom where there is none for one."""
        if samples in self._too_many:
            return None
        try:
            return self.program(samples, None)
        except NoRoom:
            if samples == 1:
                raise
            self._too_many.add(samples)
            return None

    def state(self) -> dict[str, np.ndarray]:
        """As :meth:`golden.graph.Graph.state`, from the machine's memory."""
        if self._place is None:
            return dict(self._state)
        self.lowering.saves(lambda name: self.read(name, self._place))
        kinds = {"weights": self._place.parameters, "velocity": self._place.velocity}
        tensors = {
            f"{kind}{number}": self.read(name, self._place).reshape(self._state[f"{kind}{number}"].shape)
            for kind, names in kinds.items()
            for number, name in names.items()
        }
        tensors |= {f"running{number}": words.copy() for number, words in self._running.items()}
        return tensors | {f"policy.{name}": words for name, words in self.policy.state().items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """As :meth:`golden.graph.Graph.restore`, into the machine's memory."""
        self.graph.restore(state)
        self.policy.restore(part_of(state, "policy."))
        self._state = self.graph.state()
        if self._place is not None:
            self._load(self._state)

    def _load(self, state: Mapping[str, np.ndarray]) -> None:
        assert self._place is not None
        kinds = {"weights": self._place.parameters, "velocity": self._place.velocity}
        for kind, names in kinds.items():
            for number, name in names.items():
                tensor = self._place.tensors[name]
                self.write(name, state[f"{kind}{number}"].reshape(tensor.shape), self._place)
        self._running = {number: state[f"running{number}"].copy() for number in self.graph.running}
        self.lowering.loads(lambda name, words: self.write(name, words, self._place))

    def reformat(self, formats: Formats | Sequence[Formats]) -> None:
        """As :meth:`golden.graph.Graph.reformat`: the same machine, other programs."""
        self.graph.restore(self.state())
        self.graph.reformat(formats)
        self._state = self.graph.state()
        self._compiled.clear()
        if self._place is not None:
            self._load(self._state)

    def digest(self) -> str:
        """As :meth:`golden.graph.Graph.digest`: equal words, equal digests."""
        state = self.state()

        def of(kind: str, numbers: Mapping[int, Any]) -> dict[int, np.ndarray]:
            return {number: state[f"{kind}{number}"] for number in numbers}

        g = self.graph
        return digest(of("weights", g.weights), of("velocity", g.velocity), of("running", g.running))

    def trace(self) -> list[Row]:
        """Rows of the last step, one for each command."""
        if self.stepped is None:
            raise ValueError("no step has been taken yet")
        return rows(self.backend.chip, *self.stepped)

    def _saturations(self) -> int:
        """Of the last step's vector commands."""
        assert self.last is not None
        return sum(ran.vector_saturations for ran in self.last[1])

    def _execute(self, program: Program, step: int, inputs: Mapping[str, Any]) -> dict[str, Any]:
        self.backend.take()
        running = {number: words.copy() for number, words in self._running.items()}
        results = execute_program(
            program, self.backend, seed=self.graph.seed, step=step, inputs=inputs, running=running
        )
        self._running = running
        self.last = replace(program, parts=tuple(results.pop("carried"))), self.backend.take()
        for ran in self.last[1]:
            for name, count in ran.counters.items():
                self.counters[name] = self.counters.get(name, 0) + count
        return results

    def _count(self, tally: Tally) -> None:
        """Cycles, and where golden does not count, the products."""
        assert self.last is not None
        for row in rows(self.backend.chip, *self.last):
            if row.cycles:
                tally.cycles[row.phase] = tally.cycles.get(row.phase, 0) + row.cycles
            if row.phase not in PHASES or self.check or row.product is None:
                continue
            tally.phases[row.phase] = tally.phases[row.phase].plus(row.product)

    def _compare(self, tally: Tally, program: Program, seen: Mapping[str, np.ndarray], step: int) -> None:
        for name, want in seen.items():
            if name not in program.tensors:
                continue
            self._differs(tally, name, self.read(name, program).reshape(want.shape), want, step)

    def _differs(self, tally: Tally, name: str, got: np.ndarray, want: np.ndarray, step: int) -> None:
        different = got != want
        tally.words_compared += want.size
        count = int(np.count_nonzero(different))
        tally.differing_words += count
        if count and self.first_difference is None:
            place = tuple(int(i) for i in np.argwhere(different)[0])
            self.first_difference = Difference(step, name, place, int(got[place]), int(want[place]))
            tally.first_difference = str(self.first_difference)


def without_skipping(program: Program) -> Program:
    """The same words, but zeros of A cost a cycle each."""

    def dense(command: Command) -> Command:
        return replace(command, fields={**command.fields, "skip": 0}) if command.opcode == Opcode.PRODUCT else command

    parts = [
        replace(part, commands=tuple(map(dense, part.commands))) if isinstance(part, Run) else part
        for part in program.parts
    ]
    return replace(program, parts=tuple(parts))


def without_masks(graph: Graph) -> Graph:
    """The same network, whose input gradients are computed whole; ReLU's backward pass zeroes them as it always would."""
    result = copy(graph)
    result.operators = [replace(op, positive=False) for op in graph.operators]
    return result
