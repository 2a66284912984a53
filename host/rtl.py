"""Runs the products of a training run on an engine and keeps its counters by phase."""

from dataclasses import dataclass, field, replace

import numpy as np

from golden.layers import PHASES, Parts
from host.backends import Machine, mask_to_bricks, to_bricks
from host.placement import Block, Placement, blocks, chain_size, place
from spec.chip import BRICK
from spec.engine import COUNTERS
from spec.number import Rounding
from spec.product import MASK_COLUMNS, Product, ProductError, ceil_div
from spec.tiling import choose_tiling


@dataclass
class PhaseCounters:
    """Sums over the products of one phase; ``counters`` are the engine's own."""

    lanes: int
    products: int = 0
    words: int = 0  # of the streamed operand A
    nonzero: int = 0
    outputs: int = 0
    macs_dense: int = 0
    macs_done: int = 0  # products of a nonzero word and an output that is wanted
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0))

    @property
    def cycles(self) -> int:
        return self.counters["cycles"]

    @property
    def density(self) -> float:
        """Share of A's words that are not zero; 0 without products."""
        return self.nonzero / self.words if self.words else 0.0

    @property
    def mask_density(self) -> float:
        """Share of the outputs that were computed; 0 without products."""
        return self.counters["outputs_computed"] / self.outputs if self.outputs else 0.0

    @property
    def utilisation(self) -> float:
        """Share of lane cycles that issued a product, whole commands."""
        return _share(self.counters["busy_lane_cycles"], self.cycles * self.lanes)

    @property
    def utilisation_steady(self) -> float:
        """The same while every group had a row to work on."""
        return _share(self.counters["steady_busy_lane_cycles"], self.counters["steady_cycles"] * self.lanes)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


class RtlExecute:
    """A :class:`golden.layers.Execute` on ``machine``; every word of every C comes from it.

    Operands are written to the scratchpad, C is read back; the counters cover the products
    alone. A product that does not fit is cut into blocks of C; rounding is keyed by an
    element's place in the whole, so the words are the same.

    skip : off, every word of A costs a cycle. split : off, a product that does not fit is refused.
    """

    def __init__(self, machine: Machine, *, skip: bool = True, split: bool = True):
        self.machine = machine
        self.skip = skip
        self.split = split
        self.saturations = 0
        lanes = machine.chip.total_lanes
        self.phases = {phase: PhaseCounters(lanes) for phase in PHASES}
        self._dense_cycles: dict[tuple[int, int, int], int] = {}

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
        """``Convert(mask * (a @ b))``, int64; see :class:`golden.layers.Execute`.

        Raises :class:`spec.product.ProductError` for what the chip cannot hold.
        """
        (m, k), n = a.shape, b.shape[1]
        counts = self.phases[phase]
        c = np.empty((m, n), np.int64)
        for block in self._blocks(m, k, n, mask is not None):
            rows = slice(block.row, block.row + block.rows)
            columns = slice(block.column, block.column + block.columns)
            part = None if mask is None else mask[rows, columns]
            command = Product(
                m=block.rows,
                k=k,
                n=block.columns,
                masked=mask is not None,
                skip=self.skip,
                shift=shift,
                rounding=rounding,
                key=key,
                index_base=(index_base + block.row * n + block.column) % (1 << 32),
                index_stride=n,
            )
            c[rows, columns], counters = self.block(command, a[rows], b[:, columns], part)
            for counter, value in counters.items():
                counts.counters[counter] += value
            self.saturations += counters["saturations"]
        row_nonzero = np.count_nonzero(a, axis=1)
        row_outputs = np.full(m, n) if mask is None else np.count_nonzero(mask, axis=1)
        counts.products += 1
        counts.words += a.size
        counts.nonzero += int(row_nonzero.sum())
        counts.outputs += c.size
        counts.macs_dense += m * k * n
        counts.macs_done += int(row_nonzero @ row_outputs)
        return c

    def chain(
        self, parts: Parts, *, shift: int, rounding: Rounding, key: int, name: str = "", phase: str = "WG"
    ) -> np.ndarray:
        """``Convert(sum of a_i @ b_i)``: one product where that fits, else a chain of them for each block of C.

        The sums of a block stay in the engine between products. Raises
        :class:`spec.product.ProductError` for what the chip cannot hold, and where the operands' magnitudes
        let a sum pass the accumulator.
        """
        shapes = [(a.shape[0], a.shape[1], b.shape[1]) for a, b in parts]
        (m, _, n), k = shapes[0], sum(k for _, k, _ in shapes)
        try:
            if len(shapes) == 1 and self._blocks(m, k, n, False):
                return self(*parts[0], shift=shift, rounding=rounding, key=key, name=name, phase=phase)
        except ProductError:
            if not self.split:
                raise
        chip, counts = self.machine.chip, self.phases[phase]
        rows, columns, piece = chain_size(chip, m, max(k for _, k, _ in shapes), n)
        along = ceil_div(piece, BRICK)  # the same for all: rows of A lie alike in a chain's products
        base = Product(m=rows, k=piece, n=columns, a_stride=along, skip=self.skip, finish=False, index_stride=n)
        tiling = choose_tiling(chip, base)
        c = np.empty((m, n), np.int64)
        for block in (
            Block(row, min(rows, m - row), column, min(columns, n - column))
            for row in range(0, m, rows)
            for column in range(0, n, columns)
        ):
            some, across = slice(block.row, block.row + block.rows), slice(block.column, block.column + block.columns)
            bound = 0
            for number, (a, b) in enumerate(parts):
                bound += a.shape[1] * _magnitude(a[some]) * _magnitude(b[:, across])
                if bound >= 1 << (chip.acc_width - 1):
                    raise ProductError(f"{name}: sums can reach {bound}, chip {chip.name} has {chip.acc_width} bits")
                for first in range(0, a.shape[1], piece):
                    part = slice(first, min(first + piece, a.shape[1]))
                    length = part.stop - first
                    command = replace(
                        base,
                        m=block.rows,
                        k=length,
                        n=block.columns,
                        start=number == first == 0,
                        finish=number == len(shapes) - 1 and part.stop == a.shape[1],
                        shift=shift,
                        rounding=rounding,
                        key=key,
                        index_base=(block.row * n + block.column) % (1 << 32),
                        k_tile=tiling.k_tile if tiling.k_tile % BRICK == 0 else min(tiling.k_tile, length),
                        columns=tiling.columns,
                        rows=tiling.rows,
                    )
                    words, counters = self.block(command, a[some, part], b[part, across], None)
                    for counter, value in counters.items():
                        counts.counters[counter] += value
                    self.saturations += counters["saturations"]
            c[some, across] = words
        counts.products += 1
        counts.outputs += c.size
        for a, _ in parts:
            counts.words += a.size
            counts.nonzero += int(np.count_nonzero(a))
            counts.macs_dense += a.size * n
            counts.macs_done += int(np.count_nonzero(a)) * n
        return c

    def _blocks(self, m: int, k: int, n: int, masked: bool) -> list[Block]:
        if self.split:
            return list(blocks(self.machine.chip, m, k, n, masked))
        place(self.machine.chip, m, k, n, masked)
        return [Block(0, m, 0, n)]

    def block(
        self, command: Product, a: np.ndarray, b: np.ndarray, mask: np.ndarray | None
    ) -> tuple[np.ndarray, dict[str, int]]:
        """One command on operands of its own: addresses filled in, words of C and counters returned.

        A command that does not finish gives no words.

        Raises RuntimeError when the engine wrote something past the end of a row.
        """
        machine = self.machine
        room = max(command.k, BRICK * command.a_stride)
        where = place(machine.chip, command.m, room, command.n, mask is not None)
        a_bricks, b_bricks = to_bricks(np.pad(a, ((0, 0), (0, room - command.k)))), to_bricks(b)
        machine.write(where.a, a_bricks.reshape(-1, a_bricks.shape[2]))
        machine.write(where.b, b_bricks.reshape(-1, b_bricks.shape[2]))
        if mask is not None:
            bricks = mask_to_bricks(mask)
            machine.write(where.mask, bricks.reshape(-1, bricks.shape[2]))
        counters = machine.run(placed(command, where))
        if not command.finish:
            return np.empty(0, np.int64), counters
        across = b_bricks.shape[1]
        rows = machine.read(where.c, command.m * across).reshape(command.m, -1)
        if rows[:, command.n :].any():
            raise RuntimeError(f"words past the end of a row of C are not zero: {command}")
        return rows[:, : command.n].astype(np.int64), counters

    def dense_cycles(self, m: int, k: int, n: int) -> int:
        """Cycles of a product of this shape without skipping and mask, run once on what the memory holds."""
        shape = (m, k, n)
        if shape not in self._dense_cycles:
            command = Product(m=m, k=k, n=n, skip=False, index_stride=n)
            counters = self.machine.run(placed(command, place(self.machine.chip, m, k, n, False)))
            self._dense_cycles[shape] = counters["cycles"]
        return self._dense_cycles[shape]


def _magnitude(operand: np.ndarray) -> int:
    return max(int(operand.max()), -int(operand.min())) if operand.size else 0


def placed(command: Product, where: Placement) -> Product:
    """``command`` on operands that lie at ``where``, row behind row."""
    return replace(
        command,
        a_base=where.a,
        a_stride=command.a_stride or ceil_div(command.k, BRICK),
        b_base=where.b,
        b_stride=ceil_div(command.n, BRICK),
        c_base=where.c,
        c_stride=ceil_div(command.n, BRICK),
        mask_base=where.mask,
        mask_stride=ceil_div(command.n, MASK_COLUMNS) if command.masked else 0,
    )
