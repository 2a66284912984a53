"""Blocks of independent work on every core this process may use."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

Block = TypeVar("Block")
Result = TypeVar("Result")


def cores() -> int:
    """Cores that this process may run on."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def blocks(size: int, step: int) -> list[slice]:
    """Slices of ``step`` that cover ``range(size)``; the last may be shorter."""
    return [slice(first, min(first + step, size)) for first in range(0, size, step)]


def each(task: Callable[[Block], Result], some: Sequence[Block]) -> list[Result]:
    """``task(block)`` of every block, in the order given; they run in any order, several at a time.

    Threads share the work, so a task has to spend its time in code that lets go of the
    interpreter (NumPy on large arrays, compiled kernels), and may write only what is its own. A
    task may call ``each`` itself. The first exception of a task is raised.
    """
    results: list[Any] = [None] * len(some)
    left = iter(list(enumerate(some)))  # one iterator for all: whoever is free takes the next block

    def work(left: Iterator[tuple[int, Block]] = left) -> None:
        for place, block in left:
            results[place] = task(block)

    helpers = [_pool(os.getpid()).submit(work) for _ in range(min(cores(), len(some)) - 1)]
    try:
        work()
    finally:
        for helper in helpers:
            if not helper.cancel():  # one that has not begun finds nothing left to do
                helper.result()
    return results


def scratch(name: str, rows: int, columns: int) -> np.ndarray:
    """Room for float64 (rows, columns), this thread's own under this name until it asks again: new memory costs more
    than what is written to it."""
    rooms = vars(_rooms)
    if name not in rooms or rooms[name].size < rows * columns:
        rooms[name] = np.empty(rows * columns)
    return rooms[name][: rows * columns].reshape(rows, columns)


def one_blas_thread() -> AbstractContextManager:
    """Inside, a matrix product of NumPy runs on the thread that asks for it alone."""
    return _libraries().limit(limits=1, user_api="blas")


_rooms = threading.local()


@lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """The helpers of this process: a child after fork has none of its parent's threads."""
    return ThreadPoolExecutor(max(cores() - 1, 1), thread_name_prefix="golden")


@lru_cache(maxsize=1)
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()
