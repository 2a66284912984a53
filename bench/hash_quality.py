"""Candidates for the rounding hash: statistics and LUT cost, as a table or JSON.

usage: python bench/hash_quality.py [--json] [--only NAME]      (about four minutes; --only: a candidate by name)

Each number under ``up`` to ``joint`` is the worst deviation found, in standard deviations.
Ideal bits stay below about 5 in every column; two candidates a unit apart below that are equal.
``lut4`` is what Yosys maps for ECP5, with two for each carry cell, masking of the bits included.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from golden.keyed import random_bits
from golden.randomness import bias_z, correlation_z, lfsr, planes, uniform_z, up_z, value_counts
from hw.emit import emit
from spec.keyed import LAST_HIGH, LAST_LOW, ROUND_CONSTANTS, TURN_HIGH, TURN_LOW, TURN_SUM, KeyedBits
from synth.flow import area_by_unit

COUNT = 1 << 18
STRIDES = (1, 64, 512, 784)
KEYS = (0, 1, 0x2F6E2B1D)
CONSTANTS = (*ROUND_CONSTANTS, 0x5CED, 0xC834, 0x1FB5, 0x3E2A)

# A candidate is written once. These are its few operations on NumPy words,
# and below on Amaranth wires.
WORDS = SimpleNamespace(
    cut=lambda word, width: [(word >> bit).astype(f"u{width // 8}") for bit in range(0, 32, width)],
    join=lambda parts: sum(part.astype(np.uint32) << np.uint32(32 // len(parts) * n) for n, part in enumerate(parts)),
    turn=lambda word, by: word << by | word >> (8 * word.itemsize - by),
    right=lambda word, by: word >> by,
    add=np.add,
    keep=lambda word: word,
)


def wires(m: Module) -> SimpleNamespace:
    def keep(value):
        """A register, as in a pipeline: Yosys would trade LUTs for depth across rounds.

        Later stages are not delayed to match, so this computes nothing; it costs what the pipeline costs.
        """
        signal = Signal(len(value))
        m.d.sync += signal.eq(value)
        return signal

    return SimpleNamespace(
        cut=lambda word, width: [word[bit : bit + width] for bit in range(0, 32, width)],
        join=Cat,
        turn=lambda word, by: word.rotate_left(by),
        right=lambda word, by: word >> by,
        add=lambda first, second: keep((first + second)[: len(first)]),
        keep=keep,
    )


def chosen(rounds: int) -> Callable:
    """The hash of ``spec/keyed.py``, with a number of rounds."""

    def mix(ops, key, index):
        low, high = ops.cut(index, 16)
        halves = ops.cut(key, 16)
        for number in range(rounds):
            high = ops.add(ops.turn(high, TURN_SUM), low)
            mixed = ops.turn(low, TURN_LOW) ^ high ^ ops.turn(high, TURN_HIGH) ^ halves[number % 2]
            low = ops.keep(mixed ^ CONSTANTS[number])
        last_low = ops.turn(low, TURN_LOW) ^ high ^ ops.turn(high, TURN_HIGH)
        return ops.join([last_low, ops.turn(high, LAST_HIGH) ^ low ^ ops.turn(low, LAST_LOW)])

    return mix


def speck(rounds: int) -> Callable:
    """Rounds of SPECK 32 (Beaulieu et al. 2013), the key's halves in turn and a constant as round key."""

    def mix(ops, key, index):
        low, high = ops.cut(index, 16)
        halves = ops.cut(key, 16)
        for number in range(rounds):
            high = ops.keep(ops.add(ops.turn(high, 9), low) ^ halves[number % 2] ^ CONSTANTS[number])
            low = ops.keep(ops.turn(low, 2) ^ high)
        return ops.join([low, high])

    return mix


def whole_word(rounds: int) -> Callable:
    """32 bits at once: add the word turned, xor it shifted right, with the key turned anew."""

    def mix(ops, key, index):
        word = index ^ key
        for number in range(rounds):
            word = ops.keep(ops.add(word, ops.turn(word, 9)) ^ ops.turn(key, (7 * number + 5) % 32) ^ CONSTANTS[number])
            word = ops.keep(word ^ ops.right(word, 15))
        return word

    return mix


def boxes(layers: int) -> Callable:
    """Layers of 4-bit S-boxes on four rows of eight bits, rows turned apart: no carries; keyed every other layer."""

    def mix(ops, key, index):
        rows = ops.cut(index, 8)
        for layer in range(layers):
            if layer % 2 == 0:
                turned = ops.cut(ops.turn(key, 11 * layer % 32) if layer else key, 8)
                rows = [row ^ part ^ CONSTANTS[layer] & 0xFF for row, part in zip(rows, turned, strict=True)]
            a, b, c, d = rows
            first, inner = (a & ~b) ^ c ^ d, a ^ (d | ~b)
            a, b, c, d = first, c ^ inner, b ^ c ^ (first | inner), b ^ c ^ ((c ^ d) & inner)
            rows = [ops.keep(row) for row in (a, ops.turn(b, 1), ops.turn(c, 3), ops.turn(d, 6))]
        return ops.join(rows)

    return mix


CANDIDATES = {
    **{f"chosen, {rounds} rounds": chosen(rounds) for rounds in (4, 5, 6, 7)},
    **{f"speck, {rounds} rounds": speck(rounds) for rounds in (6, 7, 8)},
    **{f"whole word, {rounds} rounds": whole_word(rounds) for rounds in (4, 5, 6)},
    **{f"S-boxes, {layers} layers": boxes(layers) for layers in (7, 9)},
}


class Masked(wiring.Component):
    """A candidate as Convert uses it: random bits, each let through by a mask bit."""

    key: In(32)
    index: In(32)
    mask: In(32)
    bits: Out(32)

    def __init__(self, mix: Callable):
        self.mix = mix
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        index = Signal(32)
        m.d.sync += [index.eq(self.index), self.bits.eq(self.mix(wires(m), self.key, index) & self.mask)]
        return m


def lut4(mix: Callable) -> int:
    with tempfile.TemporaryDirectory() as folder:
        netlist = emit(Masked(mix), "masked", spec=KeyedBits(), folder=Path(folder))
        rows = area_by_unit(netlist.verilog, netlist.top, out=Path(folder), progress=False)
    return max(int(str(row["lut4_below"])) for row in rows)


def drops(shift: int) -> list[int]:
    """Dropped parts whose rarer outcome still happens some sixty times."""
    least = max(1, 1 << shift >> 12)
    return sorted({least, (1 << shift) - least, 1 << shift >> 1, (1 << shift) // 3 or 1})


def worst_up(bits: np.ndarray, shifts: range) -> float:
    return max(abs(up_z(bits, shift, dropped)) for shift in shifts for dropped in drops(shift))


def worst_pair(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(correlation_z(planes(first), planes(second))).max())


def statistics(mix: Callable) -> dict[str, Any]:
    """Worst deviations over keys and strides."""

    def draw(key: int, index: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return mix(WORDS, np.full(1, key, np.uint32), index.astype(np.uint32))

    found: dict[str, list[float]] = {name: [] for name in ("up", "uniform", "indices", "fourth", "keys", "flips", "joint")}
    index = np.arange(COUNT)
    for key in KEYS:
        for stride in STRIDES:
            bits = draw(key, np.arange(COUNT + 3) * stride)
            here, *later = (bits[distance : COUNT + distance] for distance in range(4))
            found["up"].append(worst_up(here, range(1, 33)))
            found["uniform"] += [abs(uniform_z(value_counts(here, shift))) for shift in range(1, 15)]
            found["indices"] += [bias_z(here)] + [worst_pair(here, there) for there in later]
            found["fourth"].append(bias_z(here ^ later[0] ^ later[1] ^ later[2]))
        here = draw(key, index)
        others = [key ^ 1 << bit for bit in range(32)] + [key + 2, key + 3]
        found["keys"] += [worst_pair(here, draw(other, index)) for other in others]
        found["flips"] += [worst_pair(here, draw(key, index ^ 1 << bit)) for bit in range(32)]
    pairs = np.random.default_rng(0).integers(0, 32, (200, 2)).tolist()
    found["joint"] = [worst_pair(here, draw(key ^ 1 << a, index ^ 1 << b)) for a, b in pairs]
    return {name: round(max(values), 1) for name, values in found.items()}


def register_statistics(width: int) -> dict[str, Any]:
    """The same of a shift register as wide as the dropped part: it has neither key nor index."""
    states = lfsr(width, COUNT + 1)
    here, there = states[:-1], states[1:]
    shifts = range(width, width + 1)
    return {
        "up": round(worst_up(here, shifts), 1),
        "uniform": round(abs(uniform_z(value_counts(here, width))), 1) if width <= 14 else None,
        "indices": round(float(np.abs(correlation_z(planes(here, width), planes(there, width))).max()), 1),
    }


def measure(only: str | None) -> dict[str, dict[str, Any]]:
    probe = np.arange(1000)
    same = chosen(len(ROUND_CONSTANTS))(WORDS, np.full(1, 7, np.uint32), probe.astype(np.uint32))
    if not np.array_equal(same, random_bits(7, probe)):
        raise AssertionError("the chosen candidate is not the hash of golden/keyed.py")
    rows = {f"shift register, {width} bits": register_statistics(width) for width in (4, 8, 16, 32)} if not only else {}
    for name, mix in CANDIDATES.items():
        if only in {None, name}:
            rows[name] = statistics(mix) | {"lut4": lut4(mix)}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="statistics and cost of the candidates for the rounding hash")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--only", choices=list(CANDIDATES), help="measure one candidate")
    options = parser.parse_args()
    rows = measure(options.only)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    columns = ("up", "uniform", "indices", "fourth", "keys", "flips", "joint", "lut4")
    print("| candidate | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, row in rows.items():
        cells = ["-" if row.get(column) is None else str(row[column]) for column in columns]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
