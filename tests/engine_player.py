"""Engine cases played on the generated engine, every brick of the scratchpad compared with a model of it.

``python tests/engine_player.py --chip 2x4w16 --cases 30 --seed 1`` plays some by hand. Where a case fails depends
on those before it: one engine runs all of them, without a reset.
"""

import argparse
import ctypes
import signal
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from engine_cases import CASE_CHIPS, Case, draw, generator, products_issued
from product_oracle import carry_out
from window_cases import WindowCase, draw_window

from golden.product import product as golden_product
from gradloom.machine import netlist
from spec.chip import BRICK, CHIPS, Chip
from spec.engine import COUNTERS
from spec.netlist import Netlist
from spec.product import MASK_COLUMNS, Product, ProductError, ceil_div
from spec.tiling import command_words, planned
from tb.native import build as native_build
from tb.native.engine import EngineStuck, NativeEngine
from tb.native.machine import build_engine

HUNG = 8  # seconds of processor time after which a case played by hand is given up, in loops of the C++ too
FAILED = 3  # status of a run by hand whose case failed; a Python error ends with 1
START_TO_DONE = 2  # cycles from the start of a command to the end of its pulse `done` that `cycles` does not count


class CaseFailed(AssertionError):
    """The engine and golden disagree; the text says where and how to see it again."""


def build_case_engine(chip: Chip, *, optimize: str = "-O1", progress: bool = False) -> Path:
    """The library of ``chip``, compiled for a short build rather than for speed."""
    return built_quickly(netlist(chip), optimize=optimize, progress=progress)


def built_quickly(source: Netlist, *, optimize: str, progress: bool) -> Path:
    usual, native_build.OPTIMIZE = native_build.OPTIMIZE, optimize
    try:
        return build_engine(source, progress=progress)
    finally:
        native_build.OPTIMIZE = usual


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


@dataclass
class Tally:
    cases: int = 0
    commands: int = 0
    words: int = 0
    differing_words: int = 0
    saturations: int = 0


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
            self.play_one(number)
        return self.tally

    def play_one(self, number: int) -> None:
        """Every second case has a window."""
        self.rng = generator(self.chip, self.seed, number)
        if number % 2:
            case = draw_window(self.rng, self.chip)
            self._title = f"chip {self.chip.name}, seed {self.seed}, case {number} ({case.style})"
            self.run_window(case)
        else:
            case = draw(self.rng, self.chip)
            self._title = f"chip {self.chip.name}, seed {self.seed}, case {number} ({case.kind})"
            self.run_case(case)

    def run_window(self, case: WindowCase) -> None:
        """Play one case with a window. Raises :class:`CaseFailed` at any difference."""
        sums = None
        self._free = ~case.used
        for p, fills in zip(case.products, case.fills, strict=True):
            for address, bricks in fills:
                self._store(address, bricks)
            counters = self._run(p, case.traffic)
            outcome = carry_out(self.chip, self.memory, p, sums)
            sums = outcome.sums
            for address, words in outcome.writes.items():
                self.memory[address] = words
            self._compare(p)
            self._check("busy_lane_cycles", counters["busy_lane_cycles"], outcome.issued, p)
            self._check("outputs_computed", counters["outputs_computed"], outcome.wanted if p.finish else 0, p)
            self._check("saturations", counters["saturations"], outcome.saturations, p)
            self.tally.saturations += outcome.saturations
        self.tally.cases += 1

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
        along = ceil_div(max(last - first for first, last in pairwise(cuts)), BRICK) + int(self.rng.integers(2))
        for first, last in pairwise(cuts):
            piece = replace(case, a=case.a[:, first:last], b=case.b[first:last])
            p = replace(case.command, k=last - first, a_stride=along, start=first == 0, finish=last == k)
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
            p = replace(p, m=rows, n=part.b.shape[1], masked=False, twins=False)
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
        counters = self._run(p, case.traffic)
        if p.finish:
            for row, brick in enumerate(self._bricked(want)):
                self.memory[p.c_base + row * p.c_stride :][: len(brick)] = brick
        self._compare(p)
        issued = products_issued(case.a, case.mask, p.n, p.k_tile, p.skip)
        self._check("busy_lane_cycles", counters["busy_lane_cycles"], issued, p)
        asked = p.m * p.n if case.mask is None else int(case.mask.sum())
        self._check("outputs_computed", counters["outputs_computed"], asked if p.finish else 0, p)
        return counters["saturations"]

    def _run(self, p: Product, traffic: bool) -> dict[str, int]:
        """Counters of a planned command, at its end."""
        begin = self.engine.cycles
        self.engine.start(p)
        if traffic:
            self._traffic(p)
        try:
            counters = self.engine.wait(self._limit(p))
        except EngineStuck as error:
            raise CaseFailed(f"{self._title}: {error}; {p}") from error
        if not traffic:
            self._check("cycles", counters["cycles"], self.engine.cycles - begin - START_TO_DONE, p)
        return counters

    def _compare(self, p: Product) -> None:
        """Every brick of the scratchpad with the model's."""
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

    def _check(self, name: str, got: int, want: int, p: Product) -> None:
        if got != want:
            raise CaseFailed(f"{self._title}: {name} is {got}, not {want}; {p}")

    def _limit(self, p: Product) -> int:
        """Cycles no command takes: everything one after the other, four times."""
        tiles = ceil_div(p.k, p.k_tile) * ceil_div(p.n, p.columns * self.chip.lanes)
        n = p.n * p.segments
        work = p.m * p.k * n // self.chip.lanes + tiles * (p.m * (200 + n + p.k + p.taps) + p.k * n)
        return 4_000 + 4 * work

    def _traffic(self, p: Product) -> None:
        """The host reads what rests and writes what is free, in bursts of random length."""
        # C is being written, and what lies between its rows with it.
        c_end = p.c_base + (p.m - 1) * p.c_stride + ceil_div(p.n, BRICK) if p.finish else p.c_base
        c_end += (p.segments - 1) * max(p.seg_c_x, p.seg_c_y)
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
        lengths["a"] = p.m, max(lengths["a"][1], p.a_stride)
        if mask is not None:
            lengths["mask"] = (len(mask), mask.shape[1])
        sizes = {name: rows * length for name, (rows, length) in lengths.items()}
        spare = self.chip.scratch_bricks - sum(sizes.values())
        strides = {}
        for name, (rows, length) in lengths.items():  # some rows lie apart
            gap = int(self.rng.integers(1, 4)) if self.rng.random() < 0.3 else 0
            gap *= gap * (rows - 1) <= spare // 2 and not (name == "a" and p.a_stride)  # given where it must not change
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
    parser.add_argument("--optimize", default="-O1", help="of the C++ compiler")
    options = parser.parse_args(arguments)
    for name in options.chip or CASE_CHIPS:
        chip = (CASE_CHIPS | CHIPS)[name]
        library = build_case_engine(chip, optimize=options.optimize, progress=True)
        signal.setitimer(signal.ITIMER_PROF, HUNG)  # nobody catches it: it ends what Python cannot
        try:
            player = Player(chip, library, options.seed)
            for number in range(options.cases):
                signal.setitimer(signal.ITIMER_PROF, HUNG)
                player.play_one(number)
            signal.setitimer(signal.ITIMER_PROF, 0)
        except CaseFailed as error:
            print(error)
            return FAILED
        print(f"{name}: {player.tally}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
