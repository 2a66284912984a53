"""How far a run on a machine is: cycles of a step, time left, and a line now and then where no bar moves."""

import time
from collections.abc import Callable

from gradloom.console import err

INTERVAL = 30.0  # seconds between two lines, at least


class Pace:
    """Told of a run's steps; ``title`` is that of its lines on standard error.

    :meth:`step` and :meth:`under_way` return a note for the bar. Where standard error is no terminal they also print a line: after
    the first step, after the last, and when INTERVAL has passed, in the middle of a step too. The time left is that of the
    steps alone, at the pace of this process so far, the first step of which compiles the program and is only counted while there is no other.
    """

    def __init__(self, title: str, clock: Callable[[], float] = time.monotonic):
        self.title = title
        self._clock = clock
        self._begun = self._printed = clock()
        self._first: tuple[int, float] | None = None  # steps done, and when, after this process's first
        self._note = ""
        self._cycles = self._run = 0  # of the step under way: runs that ended, and the one that goes on

    def step(self, done: int, total: int, cycles: int, note: str) -> str:
        """A step has ended, ``done`` of ``total`` in all; it took ``cycles``, 0 on a machine without a clock."""
        now = self._clock()
        first = self._first is None
        if self._first is None:
            self._first = done, now
            each = now - self._begun
        else:
            each = (now - self._first[1]) / (done - self._first[0])
        self._cycles = self._run = 0
        self._note = ", ".join([note, *([f"{_millions(cycles)} a step"] if cycles else [])])
        if first or done == total or now - self._printed >= INTERVAL:
            left = f", {_duration(each * (total - done))} of steps left" if done < total else ""
            self._print(f"step {done} of {total}, {self._note}{left}")
        return self._note

    def under_way(self, cycles: int) -> str:
        """A run of a step, or of an evaluation, has come to ``cycles``."""
        if cycles < self._run:  # the next one
            self._cycles += self._run
        self._run = cycles
        text = f"{_millions(self._cycles + cycles)} under way"
        if self._clock() - self._printed >= INTERVAL:
            self._print(text)
        return f"{self._note}, {text}" if self._note else text

    def _print(self, text: str) -> None:
        self._printed = self._clock()
        if not err.is_terminal:
            err.print(f"{self.title}: {text}", soft_wrap=True)


def _millions(cycles: int) -> str:
    return f"{cycles / 1e6:.2f} M cycles"


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds, as h:mm:ss or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
