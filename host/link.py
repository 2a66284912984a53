"""The host's end of a board's serial line: requests out, answers back, what was lost sent again; see docs/boards.md."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from spec.link import QUEUE_BYTES, Frames, Op, Request, Status

AT_ONCE = 64  # requests that wait for their answers
PATIENCE = 2.0  # seconds without an answer before what is not answered is sent again
SILENCES = 4  # of that length before nobody is there
TRIES = 20  # of one request before the line is too bad
LAST_SEQUENCE = 255


class LinkError(ValueError):
    """A line that cannot be used: what is at its other end does not answer, or answers what nobody asked."""


class Refused(RuntimeError):
    """A request that the board will not carry out."""

    def __init__(self, request: Request, status: Status):
        super().__init__(f"board: {request.op.name.lower()} at {request.address:#x}: {status.name.lower()}")
        self.request, self.status = request, status


class Line(Protocol):
    """What of :class:`serial.Serial` is used here."""

    @property
    def in_waiting(self) -> int: ...

    def read(self, size: int) -> bytes:
        """At least one byte, or none after a time that the line knows."""

    def write(self, data: bytes) -> int | None: ...


@dataclass
class _Sent:
    place: int  # of the request among those asked
    request: Request
    frame: bytes
    tries: int = 1


class Link:
    """Requests over ``line``, called ``name`` in errors, as many on their way as the board's queue holds.

    A request that is lost or damaged on the way, or whose answer is, goes out again. Reads and writes of
    memory overlap; a write of a register waits for all before it, and all behind it wait, so that it happens exactly once.
    """

    def __init__(self, line: Line, name: str = "line", patience: float = PATIENCE):
        self.line, self.name, self.patience = line, name, patience
        self.repeated = 0  # requests, because something got lost
        self._frames = Frames()
        self._sequence = time.monotonic_ns() % LAST_SEQUENCE  # a write must not have that of the run before

    def ask(self, requests: Sequence[Request]) -> list[bytes]:
        """The data of each answer. Raises :class:`Refused` and :class:`LinkError`."""
        answers: list[bytes] = [b""] * len(requests)
        waiting = deque(enumerate(requests))
        sent: dict[int, _Sent] = {}  # by sequence number, in order
        quiet, silences = time.monotonic(), 0
        while waiting or sent:
            while waiting and self._may_go(waiting[0][1], sent):
                place, request = waiting.popleft()
                sequence = self._next(sent)
                sent[sequence] = _Sent(place, request, request.frame(sequence))
                self._write(sent[sequence].frame)
                quiet = time.monotonic()
            for body in self._frames.feed(self._read()):
                if self._take(body, sent, answers):
                    quiet, silences = time.monotonic(), 0
            if sent and time.monotonic() - quiet > self.patience:
                quiet, silences = time.monotonic(), silences + 1
                if silences == SILENCES:
                    what = next(iter(sent.values())).request.op.name.lower()
                    raise LinkError(f"{self.name} does not answer: {what} was sent {SILENCES} times")
                self._again(sent, list(sent))
        return answers

    def _may_go(self, request: Request, sent: dict[int, _Sent]) -> bool:
        if not sent:
            return True
        if request.op == Op.WRITE_REGISTER or any(s.request.op == Op.WRITE_REGISTER for s in sent.values()):
            return False
        size = len(request.frame(LAST_SEQUENCE)) + 2  # a sequence number may take two bytes, the CRC four more
        return len(sent) < AT_ONCE and sum(len(s.frame) for s in sent.values()) + size + 4 <= QUEUE_BYTES

    def _next(self, sent: dict[int, _Sent]) -> int:
        while True:
            self._sequence = self._sequence % LAST_SEQUENCE + 1
            if self._sequence not in sent:
                return self._sequence

    def _take(self, body: bytes | None, sent: dict[int, _Sent], answers: list[bytes]) -> bool:
        """Whether it is the answer to one of those that were sent."""
        if body is None or len(body) < 2 or body[0] not in sent:
            # Damaged, or of a request that has been answered. Which one is missing shows when the next answer comes.
            if len(sent) == 1 and (body is None or body[:2] == bytes([0, Status.DAMAGED])):
                self._again(sent, list(sent))
            return False
        numbers = list(sent)
        before = numbers[: numbers.index(body[0])]
        found = sent.pop(body[0])
        status = Status(body[1]) if body[1] in set(Status) else None
        data = body[2:]
        if status is None or (status == Status.OK and len(data) != found.request.answer_bytes):
            raise LinkError(f"{self.name}: an answer of {len(body)} bytes that does not fit its request: not this board?")
        if status != Status.OK:
            raise Refused(found.request, status)
        answers[found.place] = data
        self._again(sent, before)  # answers come in order, so these are lost
        return True

    def _again(self, sent: dict[int, _Sent], numbers: Sequence[int]) -> None:
        for number in numbers:
            one = sent.pop(number)
            if one.tries == TRIES:
                raise LinkError(f"{self.name}: {one.request.op.name.lower()} got lost {TRIES} times: a bad line, or another baud rate")
            one.tries += 1
            self.repeated += 1
            sent[number] = one  # behind the others, as it is on the line
            self._write(one.frame)

    def _read(self) -> bytes:
        try:
            return self.line.read(max(1, self.line.in_waiting))
        except OSError as error:
            raise LinkError(f"{self.name}: {error}") from error

    def _write(self, data: bytes) -> None:
        try:
            self.line.write(data)
        except OSError as error:
            raise LinkError(f"{self.name}: {error}") from error
