"""What surrounds a unit under test: bricks, a memory that answers late, members that are structures."""

import os
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from cocotb.triggers import RisingEdge

from spec.chip import BRICK
from tb.kit import Stream

HOP = 4  # lanes that a pair comes to in one cycle
BEHIND = 4  # cycles by which a pair's word comes after its offset


def setting(name: str) -> int:
    """A number of the unit under test, from the environment; see :class:`tb.benches.Unit`."""
    return int(os.environ[name.upper()])


def put(dut: Any, prefix: str, **fields: int) -> None:
    """Drive fields of a structure, ``prefix__field``."""
    for field, value in fields.items():
        getattr(dut, f"{prefix}__{field}").value = int(value)


def draw(rng: np.random.Generator, stream: Stream, count: int) -> dict[str, np.ndarray]:
    """Random words in every field, of unsigned ones."""
    return {field: rng.integers(0, 1 << width, count) for field, width in stream.widths.items()}


def pack(words: Sequence[int], width: int) -> int:
    """Bits of words of ``width`` bits, the first one lowest."""
    return sum((int(word) & (1 << width) - 1) << width * n for n, word in enumerate(words))


def unpack(bits: int, width: int, count: int = BRICK) -> list[int]:
    """Inverse of :func:`pack`, for signed words."""
    words = [bits >> width * n & (1 << width) - 1 for n in range(count)]
    return [to_signed(word, width) for word in words]


def to_signed(bits: int, width: int) -> int:
    return bits - (1 << width) if bits >> width - 1 else bits


def to_bricks(matrix: np.ndarray, rng: np.random.Generator, low: int, high: int) -> np.ndarray:
    """Rows of a matrix as bricks, (rows, bricks, 8); past its end a row holds random words."""
    rows, columns = matrix.shape
    count = -(-columns // BRICK)
    bricks = rng.integers(low, high, (rows, count * BRICK), endpoint=True)
    bricks[:, :columns] = matrix
    return bricks.reshape(rows, count, BRICK)


async def serve(
    request: Stream,
    valid: Any,
    brick: Any,
    memory: Mapping[int, int],
    rng: np.random.Generator,
    stall: float = 0.0,
    latency: int = 4,
    outstanding: int | None = None,
    late: bool = True,
) -> None:
    """Answer brick requests in order, for ever: ``latency`` cycles late, and with ``late`` ``stall`` of the time later.

    While nothing is answered the brick is noise. Fails when more than ``outstanding`` answers are due.
    """
    edge = RisingEdge(request.clk)
    due: deque[tuple[int, int]] = deque()
    width = len(brick)
    now = 0
    request.ready.value = 0
    while True:
        await edge
        now += 1
        if request.valid.value and request.ready.value:
            due.append((now + latency - 1, memory[int(request.raw()[0])]))
            assert outstanding is None or len(due) <= outstanding, f"{len(due)} bricks asked for ahead"
        request.ready.value = int(rng.random() >= stall)
        answers = bool(due) and due[0][0] <= now and (not late or rng.random() >= stall)
        valid.value = int(answers)
        brick.value = due.popleft()[1] if answers else int.from_bytes(rng.bytes(width // 8 + 1)) & (1 << width) - 1
