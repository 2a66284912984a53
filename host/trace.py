"""Two training runs compared word for word: one recorded, the other checked against it step by step."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from golden.layers import Execute, Parts, whole
from spec.number import Rounding


@dataclass(frozen=True)
class Record:
    """One product of a run: what it computed and, in the forward phase, the weights it was given."""

    name: str
    words: np.ndarray  # int32, of C
    weights: np.ndarray | None  # int32, operand B


@dataclass
class Recorder:
    """A :class:`golden.layers.Execute` that keeps what ``execute`` gives.

    Forward products also keep their B: the weights, bias included, as the last update left them.
    """

    execute: Execute
    records: list[Record] = field(default_factory=list)

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
        base = {"index_base": index_base} if index_base else {}
        c = self.execute(a, b, shift=shift, rounding=rounding, key=key, mask=mask, name=name, phase=phase, **base)
        self.records.append(Record(name, c.astype(np.int32), b.astype(np.int32) if phase == "FP" else None))
        return c

    def chain(
        self, parts: Parts, *, shift: int, rounding: Rounding, key: int, name: str = "", phase: str = "WG"
    ) -> np.ndarray:
        c = self.execute.chain(parts, shift=shift, rounding=rounding, key=key, name=name, phase=phase)
        self.records.append(Record(name, c.astype(np.int32), None))
        return c


class Replay:
    """A reference :class:`golden.layers.Execute`: gives the words of a recorded run, product by product.

    The operands it is called with are those of the other run. They are not used, but B of every
    forward product is compared with the recorded weights: ``words_compared``, ``differing_words``,
    ``first_difference``.
    """

    saturations = 0

    def __init__(self, records: list[Record]):
        self._records: Iterator[Record] = iter(records)
        self.words_compared = 0
        self.differing_words = 0
        self.first_difference = ""

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
        """Raises ValueError when the runs do not execute the same products."""
        record, shape = next(self._records, None), (len(a), b.shape[1])
        if record is None or record.name != name or sorted(record.words.shape) != sorted(shape):
            recorded = "nothing" if record is None else f"{record.name} of shape {record.words.shape}"
            raise ValueError(f"runs differ: {name} of shape {shape} where {recorded} was recorded")
        # Runs that have come apart may stream the other operand of a weight gradient.
        words = record.words if record.words.shape == shape else record.words.T
        if record.weights is not None:
            different = record.weights != b
            self.words_compared += b.size
            self.differing_words += int(np.count_nonzero(different))
            if different.any() and not self.first_difference:
                row, column = np.argwhere(different)[0]
                got, want = b[row, column], record.weights[row, column]
                self.first_difference = f"weights of {name}[{row}, {column}]: {got}, not {want}"
        return words.astype(np.int64)

    def chain(
        self, parts: Parts, *, shift: int, rounding: Rounding, key: int, name: str = "", phase: str = "WG"
    ) -> np.ndarray:
        a, b = whole(parts)
        return self(a, b, shift=shift, rounding=rounding, key=key, name=name, phase=phase)
