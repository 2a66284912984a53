"""An engine without hardware, for the tests of its drivers."""

from collections.abc import Callable

import numpy as np

from golden.product import chained_product
from host.backends import to_bricks
from spec.chip import BRICK, Chip
from spec.engine import COUNTERS
from spec.number import Rounding
from spec.product import MASK_COLUMNS, Product, ceil_div
from spec.tiling import planned


class GoldenMachine:
    """Gives the words and the saturations of an engine of ``chip``; its clock stands still.

    Counters that time alone decides are zero.
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        self._bricks = np.zeros((chip.scratch_bricks, BRICK), np.int32)
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []  # of the chain that is under way

    def write(self, address: int, bricks: np.ndarray) -> None:
        self._bricks[address : address + len(bricks)] = bricks

    def read(self, address: int, count: int) -> np.ndarray:
        return self._bricks[address : address + count].copy()

    def run(self, command: Product, progress: Callable[[int], None] | None = None) -> dict[str, int]:
        command = planned(self.chip, command)
        a = self._matrix(command.a_base, command.a_stride, command.m, command.k)
        b = self._matrix(command.b_base, command.b_stride, command.k, command.n)
        mask = self._mask(command) if command.masked else None
        self._parts = [*([] if command.start else self._parts), (a, b)]
        if not command.finish:
            return dict.fromkeys(COUNTERS, 0)
        c, saturations = chained_product(
            self._parts,
            shift=command.shift,
            rounding=Rounding(command.rounding),
            key=command.key,
            width=self.chip.width,
            acc_width=self.chip.acc_width,
            mask=mask,
            index_base=command.index_base,
            index_stride=command.index_stride,
        )
        rows = to_bricks(c)
        for row in range(command.m):
            address = command.c_base + row * command.c_stride
            self._bricks[address : address + rows.shape[1]] = rows[row]
        outputs = c.size if mask is None else int(np.count_nonzero(mask))
        return dict.fromkeys(COUNTERS, 0) | {"outputs_computed": outputs, "saturations": saturations}

    def _matrix(self, base: int, stride: int, rows: int, columns: int) -> np.ndarray:
        length = ceil_div(columns, BRICK)
        bricks = self._bricks[base + stride * np.arange(rows)[:, None] + np.arange(length)]
        return bricks.reshape(rows, -1)[:, :columns].astype(np.int64)

    def _mask(self, command: Product) -> np.ndarray:
        words = self._matrix(
            command.mask_base, command.mask_stride, command.m, ceil_div(command.n, MASK_COLUMNS) * BRICK
        )
        bits = words[:, :, None] >> np.arange(BRICK) & 1
        return bits.reshape(command.m, -1)[:, : command.n]
