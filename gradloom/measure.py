"""Measurements: one product from the engine's counters, and how fast everything simulates."""

import json
import re
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout

import numpy as np

from golden.product import product
from gradloom.machine import netlist
from host.backends import Machine
from host.placement import bricks_needed, place
from host.rtl import RtlExecute
from spec.chip import Chip
from spec.number import Rounding
from spec.product import MAX_SHIFT
from tb import toolchain
from tb.run import run as run_bench


class MeasureError(ValueError):
    """A measurement that cannot be made; names what was given and its bound."""


def parse_shape(text: str) -> tuple[int, int, int]:
    """``MxKxN``; raises :class:`MeasureError`."""
    match = re.fullmatch(r"(\d+)x(\d+)x(\d+)", text)
    if not match or not all(int(part) for part in match.groups()):
        raise MeasureError(f"product must be MxKxN with numbers of at least 1, such as 512x512x512, not {text!r}")
    m, k, n = (int(part) for part in match.groups())
    return m, k, n


def check_density(name: str, value: float | None) -> None:
    """Raises :class:`MeasureError` outside 0 to 1."""
    if value is not None and not 0 <= value <= 1:
        raise MeasureError(f"{name} must be 0 to 1, not {value:g}")


def check_product(chip: Chip, shape: tuple[int, int, int], density: float, mask_density: float | None) -> None:
    """All that can be refused before a machine is built."""
    check_density("density", density)
    check_density("mask density", mask_density)
    place(chip, *shape, mask_density is not None)


def measure_product(
    machine: Machine,
    shape: tuple[int, int, int],
    *,
    density: float = 1.0,
    mask_density: float | None = None,
    seed: int = 0,
) -> dict:
    """One product of random words on ``machine``; every word is compared with golden.

    density : share of A's words that are not zero; mask_density : share of C that is computed.
    Each word is drawn on its own. ``cycles_dense`` is the same shape without skipping and mask.
    """
    chip = machine.chip
    check_product(chip, shape, density, mask_density)
    (m, k, n), rng = shape, np.random.default_rng(seed)
    high = 1 << (chip.width - 1)
    a = rng.integers(1, high, (m, k)) * rng.choice((-1, 1), (m, k)) * (rng.random((m, k)) < density)
    b = rng.integers(-high, high, (k, n))
    mask = None if mask_density is None else rng.random((m, n)) < mask_density
    # Words of C fill most of their range.
    shift = min(MAX_SHIFT, chip.width - 2 + (k.bit_length() + 1) // 2)
    key = int(rng.integers(1 << 32))

    execute = RtlExecute(machine, split=False)
    start = time.perf_counter()
    c = execute(a, b, shift=shift, rounding=Rounding.STOCHASTIC, key=key, mask=mask)
    seconds = time.perf_counter() - start
    want, saturations = product(
        a, b, shift=shift, rounding=Rounding.STOCHASTIC, key=key, width=chip.width, acc_width=chip.acc_width, mask=mask
    )
    counts = execute.phases["FP"]
    dense = counts.cycles if density == 1 and mask is None else execute.dense_cycles(m, k, n)
    return {
        "chip": chip.name,
        "product": f"{m}x{k}x{n}",
        "density": density,
        "mask_density": mask_density,
        "seed": seed,
        "cycles": counts.cycles,
        "cycles_dense": dense,
        "share_of_dense": round(counts.cycles / dense, 5),
        "busy_lane_cycles": counts.counters["busy_lane_cycles"],
        "lanes": chip.total_lanes,
        "macs_dense": counts.macs_dense,
        "macs_done": counts.macs_done,
        "outputs_computed": counts.counters["outputs_computed"],
        "utilisation": round(counts.utilisation, 5),
        "utilisation_steady": round(counts.utilisation_steady, 5),
        "differing_words": int(np.count_nonzero(c != want)) + (execute.saturations != saturations),
        "words_compared": c.size,
        "counters": counts.counters,
        "seconds": round(seconds, 2),
    }


SPEED_SHAPES = ((128, 256, 256), (64, 128, 128), (32, 64, 64), (16, 32, 32))  # the first that fits is measured
GOLDEN_SIZE = 1024
COCOTB_CYCLES = 3000


def measure_speed(machine: Machine, *, clock: Callable[[], int], repeats: int = 3, say: Callable[[str], None]) -> dict:
    """Simulated clock cycles and golden multiply-accumulates per second of wall time, the best of some runs.

    clock : cycles that the native engine has run so far.
    """
    chip = machine.chip
    m, k, n = shape = _speed_shape(chip)
    execute, rng = RtlExecute(machine), np.random.default_rng(0)
    say(f"native simulation, {m}x{k}x{n} dense")
    a, b = rng.integers(-3000, 3000, (m, k)), rng.integers(-3000, 3000, (k, n))
    execute(a, b, shift=16, rounding=Rounding.STOCHASTIC, key=1)
    native = 0.0
    for _ in range(repeats):
        execute._dense_cycles.clear()
        before, start = clock(), time.perf_counter()
        execute.dense_cycles(m, k, n)
        native = max(native, (clock() - before) / (time.perf_counter() - start))

    say(f"cocotb, {COCOTB_CYCLES} cycles of the same engine at work")
    cocotb = _cocotb_hz(chip, shape)

    say(f"golden product of {GOLDEN_SIZE}^3, stochastic rounding, and its sums through int64")
    golden, int64 = _golden_speed()
    return {
        "chip": chip.name,
        "lanes": chip.total_lanes,
        "native_hz": round(native),
        "cocotb_hz": round(cocotb),
        "native_over_cocotb": round(native / cocotb, 1),
        "golden_macs_per_s": round(golden),
        "int64_macs_per_s": round(int64),
        "golden_over_int64": round(golden / int64, 1),
    }


def _speed_shape(chip: Chip) -> tuple[int, int, int]:
    for shape in SPEED_SHAPES:
        if sum(bricks_needed(*shape, False)) <= chip.scratch_bricks:
            return shape
    raise MeasureError(f"the scratchpad of chip {chip.name} holds {chip.scratch_bricks} bricks, too few to measure")


def _cocotb_hz(chip: Chip, shape: tuple[int, int, int]) -> float:
    """Cycles per second of wall time that cocotb drives the engine at, busy with a dense product."""
    unit = netlist(chip)
    answer = unit.folder / "cocotb_speed.json"
    env = {
        "SPEED_SHAPE": ",".join(map(str, shape)),
        "SPEED_CYCLES": str(COCOTB_CYCLES),
        "SPEED_ANSWER": str(answer.resolve()),
    }
    answer.unlink(missing_ok=True)
    with redirect_stdout(sys.stderr):  # standard output may carry JSON
        ran, failed = run_bench("speed", unit, 1, env=env, verbose=False, optimised=True)
    if not ran or failed or not answer.exists():
        raise toolchain.ToolError("tb.speed failed")
    return json.loads(answer.read_text())["hz"]


def _golden_speed() -> tuple[float, float]:
    """Multiply-accumulates per second of the golden product, and of NumPy's int64 sums alone."""
    size, rng = GOLDEN_SIZE, np.random.default_rng(0)
    a, b = rng.integers(-32768, 32768, (2, size, size))

    def rate(call: Callable[[], object], repeats: int) -> float:
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return size**3 / min(times)

    golden = rate(lambda: product(a, b, shift=20, rounding=Rounding.STOCHASTIC, key=1), 3)
    return golden, rate(lambda: a @ b, 1)
