"""Random engine cases: products drawn from a seed, run on the generated engine, every brick of the scratchpad compared.

``python -m tests.engine_cases --chip tiny --cases 30 --seed 1`` runs some by hand and ends with status 1 at the
first that fails. Where a case fails depends on those before it: one engine runs all of them, without a reset.
"""

import argparse
import ctypes
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from golden.product import product as golden_product
from gradloom.machine import netlist
from spec.chip import BRICK, CHIPS, Chip
from spec.engine import COUNTERS
from spec.number import Rounding
from spec.product import MASK_COLUMNS, MAX_SHIFT, Product, ProductError, ceil_div
from spec.tiling import command_words, planned
from tb.native import build as native_build
from tb.native.engine import EngineStuck, NativeEngine
from tb.native.machine import build_engine

KINDS = ("whole", "tiled", "tiled", "chain", "aborted", "parts")
HUNG = 60  # seconds of processor time after which a run by hand is given up, in C++ loops too
START_TO_DONE = 2  # cycles from the start of a command to the end of its pulse `done` that `cycles` does not count


def _chip(name: str, **parameters: int) -> Chip:
    return Chip(name=name, **parameters)


# Small, odd, and each with something that no other has.
CASE_CHIPS = {
    chip.name: chip
    for chip in (
        _chip("1x2w8", groups=1, lanes=2, width=8, acc_width=24, bank_depth=128, list_depth=16, slots=2,
              psum_depth=64, queue_depth=4, scratch_banks=1, scratch_depth=512),
        _chip("16x2w12", groups=16, lanes=2, width=12, acc_width=32, bank_depth=256, list_depth=32, slots=2,
              psum_depth=32, queue_depth=4, scratch_banks=2, scratch_depth=256),
        _chip("2x4w16", groups=2, lanes=4, bank_depth=128, list_depth=32, slots=4,
              psum_depth=64, queue_depth=8, scratch_banks=4, scratch_depth=128),
        _chip("3x8w18", groups=3, lanes=8, width=18, acc_width=44, bank_depth=64, list_depth=64, slots=3,
              psum_depth=128, queue_depth=4, scratch_banks=8, scratch_depth=64),
        _chip("1x16w16", groups=1, lanes=16, bank_depth=64, list_depth=32, slots=6,
              psum_depth=64, queue_depth=4, scratch_banks=4, scratch_depth=128),
        _chip("5x2w16", groups=5, lanes=2, acc_width=36, bank_depth=256, list_depth=16, slots=5,
              psum_depth=16, queue_depth=16, scratch_banks=1, scratch_depth=1024),
        _chip("4x4w8", groups=4, lanes=4, width=8, acc_width=28, bank_depth=256, list_depth=64, slots=2,
              psum_depth=256, queue_depth=4, scratch_banks=2, scratch_depth=256),
        _chip("2x8w12", groups=2, lanes=8, width=12, acc_width=40, bank_depth=128, list_depth=16, slots=5,
              psum_depth=32, queue_depth=32, scratch_banks=4, scratch_depth=128),
        _chip("2x16w18", groups=2, lanes=16, width=18, acc_width=56, bank_depth=32, list_depth=16, slots=2,
              psum_depth=512, queue_depth=4, scratch_banks=8, scratch_depth=64),
        _chip("7x4w12", groups=7, lanes=4, width=12, acc_width=48, bank_depth=64, list_depth=16, slots=3,
              psum_depth=8, queue_depth=4, scratch_banks=1, scratch_depth=512),
    )
}  # fmt: skip


class CaseFailed(AssertionError):
    """The engine and golden disagree; the text says where and how to see it again."""


def build_case_engine(chip: Chip, *, progress: bool = False) -> Path:
    """The library of ``chip``, compiled for a short build rather than for speed."""
    optimize, native_build.OPTIMIZE = native_build.OPTIMIZE, "-O1"
    try:
        return build_engine(netlist(chip), progress=progress)
    finally:
        native_build.OPTIMIZE = optimize


class SteppedEngine(NativeEngine):
    """An engine whose commands are started and waited for separately, so that the host can work meanwhile."""

    def start(self, product: Product) -> None:
        words = np.array(command_words(self.chip, product), dtype=np.uint32)
        self._lib.engine_start(self._handle, words.ctypes.data)

    def counters(self) -> dict[str, int]:
        values = (ctypes.c_uint64 * len(COUNTERS))()
        self._lib.engine_counters(self._handle, values)
        return dict(zip(COUNTERS, values, strict=True))

    def wait(self, limit: int) -> dict[str, int]:
        """Counters at the end of the command, whether it ends now or has ended; EngineStuck past ``limit`` cycles."""
        for _ in range(0, limit, 1 << 10):
            before = self.counters()["cycles"]
            if self._lib.engine_run(self._handle, 1 << 10) or self.counters()["cycles"] == before:
                return self.counters()
        raise EngineStuck(f"no end after {limit} cycles")


@dataclass(frozen=True)
class Case:
    """One logical product and the way it is given to the engine."""

    kind: str
    a: np.ndarray
    b: np.ndarray
    mask: np.ndarray | None
    command: Product  # rounding, shift, key, indices, skip and, where it is not chosen, the tiling
    traffic: bool  # the host reads and writes while the engine works


@dataclass
class Tally:
    cases: int = 0
    commands: int = 0
    words: int = 0
    differing_words: int = 0
    saturations: int = 0


def words(rng: np.random.Generator, shape: tuple[int, int], width: int) -> np.ndarray:
    """Full range, small, or the ends of the range alone."""
    limit = 1 << (width - 1)
    style = rng.integers(4)
    if style == 0:
        return rng.choice(np.array([-limit, limit - 1]), shape)
    if style == 1:
        return rng.integers(-3, 4, shape)
    return rng.integers(-limit, limit, shape)


def draw(rng: np.random.Generator, chip: Chip) -> Case:
    """A case that the chip can run; draws until one is."""
    while True:
        case = _draw(rng, chip)
        try:
            planned(chip, case.command)
        except ProductError:
            continue
        if _bricks(case) <= chip.scratch_bricks * 7 // 8:
            return case


def _draw(rng: np.random.Generator, chip: Chip) -> Case:
    kind = str(rng.choice(KINDS))
    top = int(rng.choice([9, 20, 40, 90]))
    m, k, n = (int(rng.integers(1, limit + 1)) for limit in (min(top, 40), top, min(top, 80)))
    density = rng.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    a = words(rng, (m, k), chip.width) * (rng.random((m, k)) < density)
    if rng.random() < 0.3:
        a[:, k // 3 : 2 * k // 3] = 0  # tiles without a nonzero
    mask = None
    if rng.random() < 0.5:
        mask = rng.random((m, n)) < rng.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    command = Product(
        m=m,
        k=k,
        n=n,
        masked=mask is not None,
        skip=bool(rng.random() < 0.7),
        finish=kind != "chain",  # a chain's commands must keep all sums; the others need not
        shift=int(rng.integers(0, MAX_SHIFT + 1)),
        rounding=Rounding(int(rng.integers(3))),
        key=int(rng.integers(1 << 32)),
        index_base=int(rng.integers(1 << 32)),
        index_stride=int(rng.choice([n, n + 1, rng.integers(65536)])),
    )
    if kind in {"tiled", "chain"}:
        command = replace(command, **_tiling(rng, chip, command))
    return Case(kind, a, words(rng, (k, n), chip.width), mask, command, bool(rng.random() < 0.4))


def _tiling(rng: np.random.Generator, chip: Chip, p: Product) -> dict[str, int]:
    """Any tiling whose numbers have the right divisors; small ones often, so that there are many tiles."""
    whole = ceil_div(p.n, chip.lanes)
    step = ceil_div(MASK_COLUMNS if p.masked else BRICK, chip.lanes)
    columns = int(rng.choice([whole, *range(step, whole, step)]))
    k_room = min(chip.list_depth, chip.bank_depth // 2 // columns)
    tiles = [k for k in (8, 8, 16, 24, 32, 64) if k < min(p.k, k_room + 1)] or [p.k]
    rows_room = max(1, min(32, chip.psum_depth // chip.lanes // columns))
    rows = rows_room if p.finish is False else int(rng.integers(1, rows_room + 1))
    return {"k_tile": int(rng.choice(tiles)), "columns": columns, "rows": rows}


def _bricks(case: Case) -> int:
    (m, k), n = case.a.shape, case.b.shape[1]
    return m * ceil_div(k, BRICK) + (k + m) * ceil_div(n, BRICK) + m * ceil_div(n, MASK_COLUMNS) + 4


def products_issued(a: np.ndarray, mask: np.ndarray | None, n: int, k_tile: int, skip: bool) -> int:
    """Multiplications of one command: a row without a nonzero in a tile costs one per column all the same."""
    columns = np.full(len(a), n) if mask is None else mask.sum(axis=1)
    total = 0
    for first in range(0, a.shape[1], k_tile):
        part = a[:, first : first + k_tile]
        pairs = np.maximum((part != 0).sum(axis=1), 1) if skip else np.full(len(a), part.shape[1])
        total += int(pairs @ columns)
    return total


class Player:
    """An engine, a model of its scratchpad, and cases played on both."""

    def __init__(self, chip: Chip, library: Path, seed: int):
        self.chip, self.seed = chip, seed
        self.engine = SteppedEngine(chip, library)
        self.tally = Tally()
        self.rng = np.random.default_rng(seed)
        self.memory = self._garbage(chip.scratch_bricks)
        self.engine.write(0, self.memory)
        self._title = ""

    def play(self, cases: int) -> Tally:
        for number in range(cases):
            self.rng = np.random.default_rng([self.seed, number])
            case = draw(self.rng, self.chip)
            self._title = f"chip {self.chip.name}, seed {self.seed}, case {number} ({case.kind})"
            self.run_case(case)
        return self.tally

    def run_case(self, case: Case) -> np.ndarray:
        """Play one case; its words of C. Raises :class:`CaseFailed` at any difference."""
        p = case.command
        want, saturations = golden_product(
            case.a, case.b, shift=p.shift, rounding=p.rounding, key=p.key, width=self.chip.width,
            acc_width=self.chip.acc_width, mask=case.mask, index_base=p.index_base, index_stride=p.index_stride,
        )  # fmt: skip
        counted = {
            "whole": self._whole, "tiled": self._whole, "chain": self._chain, "aborted": self._aborted,
            "parts": self._parts,
        }[case.kind](case, want)  # fmt: skip
        self._check("saturations", counted, saturations, p)
        self.tally.cases += 1
        self.tally.saturations += saturations
        return want

    def _whole(self, case: Case, want: np.ndarray) -> int:
        return self._command(case, replace(case.command, start=True, finish=True), want)

    def _chain(self, case: Case, want: np.ndarray) -> int:
        """The reduction in several commands, each with its own operands wherever there is room."""
        k = case.a.shape[1]
        count = min(k, int(self.rng.integers(2, 5)))
        cuts = [0, *sorted(self.rng.choice(np.arange(1, k), count - 1, replace=False).tolist()), k]
        saturations = 0
        for first, last in zip(cuts, cuts[1:], strict=False):
            piece = replace(case, a=case.a[:, first:last], b=case.b[first:last])
            p = replace(case.command, k=last - first, start=first == 0, finish=last == k)
            if p.k_tile % BRICK:
                p = replace(p, k_tile=min(p.k_tile, p.k))
            saturations += self._command(piece, p, want)
        return saturations

    def _aborted(self, case: Case, want: np.ndarray) -> int:
        """The beginning of a chain that nobody ends, then a product of its own."""
        p = replace(case.command, finish=False)
        try:
            planned(self.chip, p)
        except ProductError:  # its sums do not fit at once
            rows, columns = 1, self.chip.lanes
            part = replace(case, a=case.a[:rows], b=case.b[:, :columns], mask=None)
            p = replace(p, m=rows, n=part.b.shape[1], masked=False)
            self._command(part, p, want)
        else:
            self._command(case, p, want)
        return self._whole(case, want)

    def _parts(self, case: Case, want: np.ndarray) -> int:
        """Tiles of one logical tensor as commands of their own, in any order, where the whole lies."""
        p = self._placed(case, case.command)
        (m, n), step = want.shape, MASK_COLUMNS if p.masked else BRICK
        row = int(self.rng.integers(1, m)) if m > 1 else m
        column = int(self.rng.integers(1, ceil_div(n, step))) * step if n > step else n
        saturations = 0
        corners = [(r, c) for r in ((0, row), (row, m)) for c in ((0, column), (column, n))]
        for (r0, r1), (c0, c1) in self.rng.permutation(corners).tolist():
            if r0 == r1 or c0 == c1:
                continue
            mask = None if case.mask is None else case.mask[r0:r1, c0:c1]
            part = replace(case, a=case.a[r0:r1], b=case.b[:, c0:c1], mask=mask)
            q = replace(
                p,
                m=r1 - r0,
                n=c1 - c0,
                a_base=p.a_base + r0 * p.a_stride,
                b_base=p.b_base + c0 // BRICK,
                c_base=p.c_base + r0 * p.c_stride + c0 // BRICK,
                mask_base=p.mask_base + r0 * p.mask_stride + c0 // MASK_COLUMNS,
                index_base=(p.index_base + r0 * p.index_stride + c0) % (1 << 32),
            )
            saturations += self._execute(part, q, want[r0:r1, c0:c1])
        return saturations

    def _command(self, case: Case, p: Product, want: np.ndarray) -> int:
        return self._execute(case, self._placed(case, p), want)

    def _execute(self, case: Case, p: Product, want: np.ndarray) -> int:
        """One command; its saturations. ``want`` is looked at when it finishes."""
        p = planned(self.chip, p)
        begin = self.engine.cycles
        self.engine.start(p)
        if case.traffic:
            self._traffic(p)
        try:
            counters = self.engine.wait(self._limit(p))
        except EngineStuck as error:
            raise CaseFailed(f"{self._title}: {error}; {p}") from error
        elapsed = self.engine.cycles - begin
        if p.finish:
            for row, brick in enumerate(self._bricked(want)):
                self.memory[p.c_base + row * p.c_stride :][: len(brick)] = brick
        got = self.engine.read(0, len(self.memory))
        different = np.argwhere(got != self.memory)
        self.tally.commands += 1
        self.tally.words += self.memory.size
        self.tally.differing_words += len(different)
        if len(different):
            brick, word = different[0]
            raise CaseFailed(
                f"{self._title}: {len(different)} words differ, first word {word} of brick {brick}: "
                f"{got[brick, word]}, not {self.memory[brick, word]}; {p}"
            )
        issued = products_issued(case.a, case.mask, p.n, p.k_tile, p.skip)
        self._check("busy_lane_cycles", counters["busy_lane_cycles"], issued, p)
        asked = p.m * p.n if case.mask is None else int(case.mask.sum())
        self._check("outputs_computed", counters["outputs_computed"], asked if p.finish else 0, p)
        if not case.traffic:
            self._check("cycles", counters["cycles"], elapsed - START_TO_DONE, p)
        return counters["saturations"]

    def _check(self, name: str, got: int, want: int, p: Product) -> None:
        if got != want:
            raise CaseFailed(f"{self._title}: {name} is {got}, not {want}; {p}")

    def _limit(self, p: Product) -> int:
        """Cycles no command takes: everything one after the other, four times."""
        tiles = ceil_div(p.k, p.k_tile) * ceil_div(p.n, p.columns * self.chip.lanes)
        work = p.m * p.k * p.n // self.chip.lanes + tiles * (p.m * (200 + p.n + p.k) + p.k * p.n)
        return 4_000 + 4 * work

    def _traffic(self, p: Product) -> None:
        """The host reads what rests and writes what is free, in bursts of random length."""
        # C is being written, and what lies between its rows with it.
        c_end = p.c_base + (p.m - 1) * p.c_stride + ceil_div(p.n, BRICK) if p.finish else p.c_base
        for _ in range(int(self.rng.integers(1, 25))):
            self.engine.idle(int(self.rng.integers(0, 40)))
            address, count = int(self.rng.integers(len(self.memory))), int(self.rng.integers(1, 9))
            count = min(count, len(self.memory) - address)
            if address < c_end and address + count > p.c_base:
                continue
            free = [n for n in range(address, address + count) if self._free[n]]
            if len(free) == count and self.rng.random() < 0.5:
                self._store(address, self._garbage(count))
            elif not np.array_equal(self.engine.read(address, count), self.memory[address : address + count]):
                raise CaseFailed(f"{self._title}: the host read other words than it wrote at brick {address}; {p}")

    def _placed(self, case: Case, p: Product) -> Product:
        """Operands written to the scratchpad, with garbage wherever the engine must not care."""
        regions = {"a": case.a, "b": case.b, "c": np.zeros((p.m, p.n), int)}
        mask = None if case.mask is None or not p.masked else self._packed_mask(case.mask)
        lengths = {name: (len(region), ceil_div(region.shape[1], BRICK)) for name, region in regions.items()}
        if mask is not None:
            lengths["mask"] = (len(mask), mask.shape[1])
        sizes = {name: rows * length for name, (rows, length) in lengths.items()}
        spare = self.chip.scratch_bricks - sum(sizes.values())
        strides = {}
        for name, (rows, length) in lengths.items():  # some rows lie apart
            gap = int(self.rng.integers(1, 4)) if self.rng.random() < 0.3 else 0
            gap *= gap * (rows - 1) <= spare // 2
            spare -= gap * (rows - 1)
            strides[name] = length + gap
            sizes[name] += gap * (rows - 1)
        bases = self._bases(sizes, spare)
        self._free = np.ones(len(self.memory), bool)
        for name, base in bases.items():
            self._free[base : base + sizes[name]] = False
        places: dict[str, int] = {}
        for name, base in bases.items():
            places |= {f"{name}_base": base, f"{name}_stride": strides[name]}
        for name, rows in (("a", self._bricked(case.a, spill=True)), ("b", self._bricked(case.b, spill=True)),
                           ("mask", mask if mask is not None else ())):  # fmt: skip
            for number, row in enumerate(rows):
                self._store(bases[name] + number * strides[name], row)
        if spare > 0 and "c" in bases:  # what C replaces
            for row in range(p.m if p.finish else 0):
                self._store(bases["c"] + row * strides["c"], self._garbage(lengths["c"][1]))
        return replace(p, **places)

    def _bases(self, sizes: dict[str, int], spare: int) -> dict[str, int]:
        """A bank each, or one after the other, or with gaps, in any order."""
        names = self.rng.permutation(list(sizes)).tolist()
        depth, banks = self.chip.scratch_depth, self.chip.scratch_banks
        if len(names) <= banks and max(sizes.values()) <= depth and self.rng.random() < 0.4:
            return {name: bank * depth for name, bank in zip(names, self.rng.permutation(banks).tolist(), strict=False)}
        gaps = np.zeros(len(names), int)
        if self.rng.random() < 0.5:
            gaps = np.diff(np.sort(self.rng.integers(0, spare + 1, len(names))), prepend=0)
        bases, at = {}, 0
        for name, gap in zip(names, gaps.tolist(), strict=True):
            bases[name] = at + gap
            at = bases[name] + sizes[name]
        return bases

    def _bricked(self, values: np.ndarray, spill: bool = False) -> np.ndarray:
        """Rows of words as bricks, (rows, bricks, 8); past their end zeros, or garbage."""
        rows, length = values.shape
        bricks = ceil_div(length, BRICK)
        padded = self._garbage(rows * bricks) if spill else np.zeros((rows * bricks, BRICK), np.int32)
        padded = padded.reshape(rows, bricks * BRICK)
        padded[:, :length] = values
        return padded.reshape(rows, bricks, BRICK)

    def _packed_mask(self, mask: np.ndarray) -> np.ndarray:
        """Mask bits in the low eight bits of words, bits past their end and the bits above at random."""
        (rows, columns), bricks = mask.shape, ceil_div(mask.shape[1], MASK_COLUMNS)
        bits = self.rng.integers(0, 2, (rows, bricks * MASK_COLUMNS))
        bits[:, :columns] = mask
        packed = (bits.reshape(rows, bricks, BRICK, 8) << np.arange(8)).sum(axis=-1)
        high = self._garbage(rows * bricks).reshape(packed.shape) & ~0xFF
        return high + packed if self.chip.width > 8 else (packed ^ 0x80) - 0x80

    def _garbage(self, count: int) -> np.ndarray:
        limit = 1 << (self.chip.width - 1)
        return self.rng.integers(-limit, limit, (count, BRICK), dtype=np.int32)

    def _store(self, address: int, bricks: np.ndarray) -> None:
        self.engine.write(address, bricks)
        self.memory[address : address + len(bricks)] = bricks


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chip", choices=[*CASE_CHIPS, *CHIPS], action="append", help="several times for several")
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    for name in options.chip or CASE_CHIPS:
        chip = (CASE_CHIPS | CHIPS)[name]
        library = build_case_engine(chip, progress=True)
        signal.setitimer(signal.ITIMER_PROF, HUNG)  # not caught: it ends a loop in C++ that never returns
        try:
            print(f"{name}: {Player(chip, library, options.seed).play(options.cases)}", flush=True)
        except CaseFailed as error:
            print(error)
            return 1
        signal.setitimer(signal.ITIMER_PROF, 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
