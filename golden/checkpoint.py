"""A training run between two steps, kept in a file: a run that goes on from it gives the bits of one that never stopped."""

import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

MEMBER = "run"  # of the archive: what is not an array, as JSON
LONGER = ("epochs",)  # settings that may change: no step already done depends on them


@dataclass(frozen=True)
class Checkpoint:
    """Everything the steps to come depend on, and what the epoch under way has added up.

    run : settings and data by name, as :func:`plain` gives them. state : the network's, as its ``state()``. steps : done
    in all. sums : counts of the epoch under way. history : the epochs before it.
    """

    run: Mapping[str, Any]
    state: Mapping[str, np.ndarray]
    steps: int
    sums: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()

    def save(self, path: Path) -> None:
        """Writes the file, or leaves the one before as it was: at no moment is there half a file of this name."""
        told = {"run": self.run, "steps": self.steps, "sums": self.sums, "history": self.history}
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with open(scratch, "wb") as file:
                np.savez(file, **{MEMBER: np.array(json.dumps(told))}, **self.state)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            os.replace(scratch, path)
        finally:
            scratch.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """What :meth:`save` wrote. Raises ValueError for a file that is not that."""
        try:
            with open(path, "rb") as file, np.load(file) as archive:
                state = {name: archive[name] for name in archive.files}
            told = json.loads(str(state.pop(MEMBER)))
        except OSError as error:
            raise ValueError(f"cannot read checkpoint {path}: {error.strerror or error}") from error
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is not a checkpoint") from error
        return cls(told["run"], state, told["steps"], told["sums"], tuple(told["history"]))

    def check(self, run: Mapping[str, Any]) -> None:
        """ValueError, naming the settings, when this is a checkpoint of another run."""
        names = sorted({*run, *self.run} - {*LONGER})
        differing = [
            f"{name} {self.run.get(name)!r}, not {run.get(name)!r}"
            for name in names
            if self.run.get(name) != run.get(name)
        ]
        if differing:
            raise ValueError(f"the checkpoint is of a run with {'; '.join(differing)}")


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON gives it back: tuples are lists, enumerations numbers."""
    return json.loads(json.dumps(values))
