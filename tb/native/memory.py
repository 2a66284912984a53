"""The settings and counts of the memory in ``axi_memory.h``, for ctypes and for users."""

import ctypes
from dataclasses import dataclass

VIOLATIONS = (  # of AXI by the master, in the order of the header's
    "crosses_page", "burst_kind", "beat_size", "unaligned", "misplaced_last", "strobes",
    "unstable_ar", "unstable_aw", "unstable_w", "outside",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Memory:
    """How the memory behind a machine answers. The same settings give the same cycles."""

    read_latency: int = 50  # cycles from an address taken to its first beat
    write_latency: int = 20  # from a burst's last beat taken to its answer
    jitter: int = 0  # an answer comes up to so many cycles later still
    bandwidth: float = 8.0  # bytes a cycle, reads and writes together; 0 for a beat a cycle of each
    stall: float = 0.0  # probability that a channel idles in a cycle
    bursts: int = 16  # taken and not answered, of reads and of writes
    seed: int = 1  # of stalls and jitter

    def __post_init__(self) -> None:
        for name, low, high in (("read_latency", 1, 1 << 20), ("write_latency", 1, 1 << 20), ("jitter", 0, 1 << 20),
                                ("bandwidth", 0, 1 << 10), ("stall", 0, 0.99), ("bursts", 1, 1 << 10),
                                ("seed", 0, (1 << 32) - 1)):  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"memory {name} must be {low} to {high}, not {getattr(self, name)}")


class Settings(ctypes.Structure):
    """``MemorySettings`` of the header."""

    _fields_ = [
        (name, ctypes.c_uint32)
        for name in ("read_latency", "write_latency", "jitter", "bandwidth", "stall", "bursts", "seed")
    ]

    @classmethod
    def of(cls, memory: Memory) -> "Settings":
        m = memory
        share, chance = round(m.bandwidth * 256), int(m.stall * (1 << 32))
        return cls(m.read_latency, m.write_latency, m.jitter, share, chance, m.bursts, m.seed)


class Counts(ctypes.Structure):
    """``MemoryCounts`` of the header."""

    _fields_ = [("violations", ctypes.c_uint64 * len(VIOLATIONS))] + [
        (name, ctypes.c_uint64) for name in ("read_beats", "write_beats", "read_bursts", "write_bursts")
    ]

    def broken(self) -> dict[str, int]:
        """Rules broken, and how often."""
        return {name: count for name, count in zip(VIOLATIONS, self.violations, strict=True) if count}
