"""What the benches of LOAD and STORE share: a model of the runs, and transfers to try."""

from collections.abc import Iterator
from typing import Any

from spec.axi import Axi
from spec.isa import SCRATCH_BITS, TRANSFER
from tb.axi_memory import PAGE, PAGES
from tb.kit import Stream

LIMIT = (1 << 32) - 1  # the last byte there is


def runs(spec: Axi, f: dict[str, int]) -> Iterator[tuple[int, int]]:
    """Memory address, modulo the address space, and scratchpad address of each run, the latter not reduced."""
    for j in range(f["count_2"]):
        for i in range(f["count_1"]):
            bricks = j * f["memory_2"] + i * f["memory_1"]
            yield (
                (f["address"] + bricks * spec.brick_bytes) % (1 << 32),
                (f["scratch"] + j * f["scratch_2"] + i * f["scratch_1"]),
            )


def allowed(spec: Axi, f: dict[str, int], window: tuple[int, int]) -> tuple[list[tuple[int, int]], bool]:
    """The runs up to the first that does not lie within ``window``, first and last byte; and whether there is one."""
    good = []
    for address, scratch in runs(spec, f):
        if address < window[0] or address + f["bricks"] * spec.brick_bytes - 1 > window[1]:
            return good, True
        good.append((address, scratch))
    return good, False


def bits(f: dict[str, int]) -> tuple[int, ...]:
    """Fields as the stream carries them."""
    return tuple(f[field.name] & (1 << field.bits) - 1 for field in TRANSFER)


def set_window(dut: Any, window: tuple[int, int]) -> None:
    dut.window__base.value, dut.window__limit.value = window


async def command(stream: Stream, f: dict[str, int], edge: Any) -> None:
    """Hand over one transfer."""
    order = [field.name for field in TRANSFER]
    assert list(stream.fields) == order
    stream.drive(bits(f))
    stream.valid.value = 1
    await edge
    while not stream.ready.value:
        await edge
    stream.valid.value = 0


def transfers(spec: Axi, rng, origin: int, scratch_bits: int, count: int) -> list[dict[str, int]]:
    """Random ones inside memory: contiguous, with gaps, backward, runs of one brick; scratchpad addresses wrap."""
    size, all_bricks = spec.brick_bytes, PAGES * PAGE // spec.brick_bytes
    result = []
    while len(result) < count:
        bricks, count_1, count_2 = (int(rng.integers(1, high + 1)) for high in rng.choice([1, 3, 8], 3))
        memory_1, memory_2 = (int(rng.integers(-20, 21)) for _ in range(2))
        if rng.random() < 0.3:
            memory_1, memory_2 = bricks, bricks * count_1
        low = min(0, memory_1 * (count_1 - 1)) + min(0, memory_2 * (count_2 - 1))
        high = max(0, memory_1 * (count_1 - 1)) + max(0, memory_2 * (count_2 - 1)) + bricks
        if high - low > all_bricks:
            continue
        result.append({
            "address": origin + size * (int(rng.integers(0, all_bricks - (high - low) + 1)) - low),
            "scratch": int(rng.integers(0, 1 << scratch_bits)),
            "fill": 0,
            "bricks": bricks,
            "count_1": count_1,
            "count_2": count_2,
            "memory_1": memory_1,
            "memory_2": memory_2,
            # Far enough apart to be told from one another, in any direction.
            "scratch_1": int(rng.choice([bricks, -bricks, bricks + 3, 1 << scratch_bits - 1])),
            "scratch_2": int(rng.integers(-(1 << SCRATCH_BITS - 1), 1 << SCRATCH_BITS - 1)),
        })  # fmt: skip
    return result


def plain(address: int, scratch: int, bricks: int, count: int = 1, step: int = 0) -> dict[str, int]:
    """``count`` runs ``step`` bricks apart in memory, packed in the scratchpad."""
    return {
        "address": address, "scratch": scratch, "fill": 0, "bricks": bricks, "count_1": count, "count_2": 1,
        "memory_1": step, "memory_2": 0, "scratch_1": bricks, "scratch_2": 0,
    }  # fmt: skip
