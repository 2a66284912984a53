"""Count what goes through an executor of products, and compare it with another."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import numpy as np

from golden.layers import PHASES, Execute, Parts, takes_rows
from golden.product import Turned, nonzeros
from spec.number import Rounding


@dataclass
class PhaseTally:
    """Sums over the products of one phase."""

    words: int = 0  # of the streamed operand A
    nonzero: int = 0
    outputs: int = 0
    unmasked: int = 0
    macs_dense: int = 0
    macs_done: int = 0
    saturations: int = 0

    def plus(self, other: "PhaseTally") -> "PhaseTally":
        """Both together."""
        return PhaseTally(**{name: value + getattr(other, name) for name, value in vars(self).items()})

    @property
    def density(self) -> float:
        """Share of A's words that are not zero; 0 without products."""
        return self.nonzero / self.words if self.words else 0.0

    @property
    def mask_density(self) -> float:
        """Share of the outputs that were computed; 0 without products."""
        return self.unmasked / self.outputs if self.outputs else 0.0


class Tally:
    """An :class:`golden.layers.Execute` around ``execute``, counting by phase.

    With ``reference`` every product is executed twice on the same operands; the words of
    ``execute`` go on, ``words_compared`` and ``differing_words`` count, and
    ``first_difference`` names the first product that differed.
    """

    def __init__(self, execute: Execute, reference: Execute | None = None):
        self.execute = execute
        self.reference = reference
        self.phases = {phase: PhaseTally() for phase in PHASES}
        self.words_compared = 0
        self.differing_words = 0
        self.first_difference = ""
        self.cycles: dict[str, int] = {}  # of a machine, by phase

    def snapshot(self) -> dict[str, Any]:
        """All counts, for JSON."""
        phases = {phase: asdict(counts) for phase, counts in self.phases.items()}
        own = ("words_compared", "differing_words", "first_difference")
        return {"phases": phases, "cycles": dict(self.cycles)} | {name: getattr(self, name) for name in own}

    def restore(self, counts: Mapping[str, Any]) -> None:
        """Take over what :meth:`snapshot` gave."""
        for name, value in counts.items():
            setattr(self, name, value)
        self.phases = {phase: PhaseTally(**kept) for phase, kept in counts["phases"].items()}

    @property
    def takes_rows(self) -> bool:
        """What both executors say."""
        return takes_rows(self.execute) and (self.reference is None or takes_rows(self.reference))

    @property
    def saturations(self) -> int:
        return self.execute.saturations

    def __call__(
        self,
        a: np.ndarray,
        b: np.ndarray,
        *,
        shift: int,
        rounding: Rounding,
        key: int,
        mask: np.ndarray | None = None,
        name: str = "",
        phase: str = "FP",
        index_base: int = 0,
    ) -> np.ndarray:
        def run(execute: Execute) -> np.ndarray:
            # A base of zero is everyone's default; only pieces of a larger C need one.
            base = {"index_base": index_base} if index_base else {}
            return execute(a, b, shift=shift, rounding=rounding, key=key, mask=mask, name=name, phase=phase, **base)

        return self._run(run, [(a, b)], mask, name, phase)

    def chain(
        self, parts: Parts, *, shift: int, rounding: Rounding, key: int, name: str = "", phase: str = "WG"
    ) -> np.ndarray:
        def run(execute: Execute) -> np.ndarray:
            return execute.chain(parts, shift=shift, rounding=rounding, key=key, name=name, phase=phase)

        return self._run(run, parts, None, name, phase)

    def _run(
        self, run: Callable[[Execute], np.ndarray], parts: Parts, mask: np.ndarray | None, name: str, phase: str
    ) -> np.ndarray:
        before = self.execute.saturations
        c = run(self.execute)
        tally = self.phases[phase]
        tally.saturations += self.execute.saturations - before
        tally.outputs += c.size
        tally.unmasked += c.size if mask is None else int(np.count_nonzero(mask))
        for a, b in parts:
            nonzero, macs = _work(a, b.shape[1], mask)
            tally.words += prod(a.shape)
            tally.nonzero += nonzero
            tally.macs_dense += prod(a.shape) * b.shape[1]
            tally.macs_done += macs
        if self.reference is not None:
            self._compare(c, run(self.reference), name)
        return c

    def _compare(self, got: np.ndarray, want: np.ndarray, name: str) -> None:
        if got.shape != want.shape:
            raise ValueError(f"{name}: words of shape {got.shape} cannot equal words of shape {want.shape}")
        differing = int(np.count_nonzero(got != want))
        if differing and not self.first_difference:
            row, column = np.argwhere(got != want)[0]
            self.first_difference = f"{name}[{row}, {column}]: {got[row, column]}, not {want[row, column]}"
        self.words_compared += got.size
        self.differing_words += differing


def _work(a: np.ndarray | Turned, columns: int, mask: np.ndarray | None) -> tuple[int, int]:
    """Words of A that are not zero, and multiplications for them where the mask asks for an output."""
    of_rows = nonzeros(a.rows if isinstance(a, Turned) else a)
    nonzero = int(of_rows.sum())
    if mask is None:
        return nonzero, nonzero * columns
    return nonzero, int(of_rows @ nonzeros(mask))
