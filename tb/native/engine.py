"""The generated engine as a Python object: Verilog compiled by Verilator, called through ctypes."""

import ctypes
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spec.chip import BRICK, Chip
from spec.engine import COUNTERS
from spec.product import Product
from spec.tiling import command_words, planned

CHUNK = 1 << 20  # cycles between two looks at progress and Ctrl-C


class EngineStuck(RuntimeError):
    """A product that did not end in the cycles it can take at most; a fault in the machine."""


class NativeEngine:
    """One engine of ``chip``. Bricks are int32 arrays of shape (count, 8); addresses count bricks.

    library : the shared library that :func:`tb.native.machine.build_engine` made of the chip's Verilog.
    """

    def __init__(self, chip: Chip, library: Path):
        self.chip = chip
        self._lib = _load(library)
        self._handle = ctypes.c_void_p(self._lib.engine_new(chip.width))

    def close(self) -> None:
        if self._handle:
            self._lib.engine_free(self._handle)
            self._handle = ctypes.c_void_p()

    def __enter__(self) -> "NativeEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def cycles(self) -> int:
        """Clock cycles since power-up, transfers included."""
        return int(self._lib.engine_cycles(self._handle))

    def idle(self, cycles: int) -> None:
        """Let ``cycles`` clock cycles pass."""
        self._lib.engine_idle(self._handle, cycles)

    def write(self, address: int, bricks: np.ndarray) -> None:
        """Store bricks from brick ``address`` on; raises ValueError past the end of the scratchpad."""
        bricks = np.ascontiguousarray(bricks, dtype=np.int32).reshape(-1, BRICK)
        self._check_range(address, len(bricks))
        self._lib.engine_write(self._handle, address, bricks.ctypes.data, len(bricks))

    def read(self, address: int, count: int) -> np.ndarray:
        """``count`` bricks from brick ``address`` on, as int32 of shape (count, 8)."""
        self._check_range(address, count)
        bricks = np.empty((count, BRICK), dtype=np.int32)
        self._lib.engine_read(self._handle, address, bricks.ctypes.data, count)
        return bricks

    def _check_range(self, address: int, count: int) -> None:
        if address < 0 or address + count > self.chip.scratch_bricks:
            raise ValueError(
                f"bricks {address} to {address + count - 1} lie outside the scratchpad of chip {self.chip.name}: "
                f"{self.chip.scratch_bricks} bricks"
            )

    def run(self, product: Product, progress: Callable[[int], None] | None = None) -> dict[str, int]:
        """Run one product to its end and return its counters.

        Raises :class:`spec.product.ProductError` on a product the chip cannot run and
        :class:`EngineStuck` when it takes more cycles than any product of its size can.
        """
        product = planned(self.chip, product)
        words = np.array(command_words(self.chip, product), dtype=np.uint32)
        self._lib.engine_start(self._handle, words.ctypes.data)
        limit = 20_000 + 40 * product.m * (product.k + 64) * (product.n + 64) // self.chip.groups
        spent = 0
        while not self._lib.engine_run(self._handle, CHUNK):
            spent += CHUNK
            if progress:
                progress(spent)
            if spent > limit:
                raise EngineStuck(f"no end after {spent} cycles: {product} on {self.chip}")
        values = (ctypes.c_uint64 * len(COUNTERS))()
        self._lib.engine_counters(self._handle, values)
        return dict(zip(COUNTERS, values, strict=True))


def _load(library: Path) -> ctypes.CDLL:
    lib = ctypes.CDLL(str(library))
    pointer, u32, u64 = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
    lib.engine_new.restype, lib.engine_new.argtypes = pointer, [ctypes.c_int]
    lib.engine_free.argtypes = [pointer]
    lib.engine_cycles.restype, lib.engine_cycles.argtypes = u64, [pointer]
    lib.engine_idle.argtypes = [pointer, u64]
    lib.engine_write.argtypes = [pointer, u32, pointer, u32]
    lib.engine_read.argtypes = [pointer, u32, pointer, u32]
    lib.engine_start.argtypes = [pointer, pointer]
    lib.engine_run.restype, lib.engine_run.argtypes = ctypes.c_int, [pointer, u64]
    lib.engine_counters.argtypes = [pointer, pointer]
    return lib
