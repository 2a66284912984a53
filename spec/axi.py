"""Jobs of the AXI4 master: what a brick is in memory, and which bursts a job becomes."""

from dataclasses import dataclass
from enum import IntEnum

from spec.chip import BRICK, Chip
from spec.number import MAX_WIDTH, MIN_WIDTH

ADDRESS_BITS = 32
COUNT_BITS = 16  # of the bricks of one job
PAGE = 4096  # bytes; no burst crosses a multiple of it
MAX_BEATS = 256  # AXI4's longest burst
INCR = 1  # AxBURST: the address grows from beat to beat


class AxiError(ValueError):
    """A master that cannot be built; names field, value and bound."""


class Resp(IntEnum):
    """RRESP and BRESP."""

    OKAY = 0
    EXOKAY = 1  # no failure
    SLAVE = 2  # SLVERR
    DECODE = 3  # DECERR


@dataclass(frozen=True, kw_only=True)
class Axi:
    """An AXI4 master that moves bricks of words of ``width`` bits; every field is checked."""

    width: int = 16  # bits of a word on the chip
    data_bits: int = 64  # of the bus
    burst_beats: int = 16  # of the longest burst
    outstanding: int = 16  # bursts asked for and not answered

    def __post_init__(self) -> None:
        self._within("width", MIN_WIDTH, MAX_WIDTH)
        self._within("data_bits", 32, 128, power_of_two=True)
        self._within("burst_beats", self.brick_beats, min(MAX_BEATS, PAGE // self.beat_bytes), power_of_two=True)
        self._within("outstanding", 2, 64)

    def _within(self, field: str, low: int, high: int, power_of_two: bool = False) -> None:
        value = getattr(self, field)
        if not isinstance(value, int) or isinstance(value, bool):
            raise AxiError(f"axi {field} must be an integer, not {value!r}")
        if not low <= value <= high:
            raise AxiError(f"axi {field} must be {low} to {high}, not {value}")
        if power_of_two and value & (value - 1):
            raise AxiError(f"axi {field} must be a power of two, not {value}")

    @property
    def word_bytes(self) -> int:
        """Bytes of a word in memory, where it is sign-extended, lowest byte first."""
        return 2 if self.width <= 16 else 4

    @property
    def brick_bytes(self) -> int:
        return BRICK * self.word_bytes

    @property
    def beat_bytes(self) -> int:
        return self.data_bits // 8

    @property
    def brick_beats(self) -> int:
        """Beats that carry one brick; a beat never carries two."""
        return self.brick_bytes // self.beat_bytes

    @property
    def burst_bricks(self) -> int:
        """Bricks of the longest burst."""
        return self.burst_beats // self.brick_beats


def axi(chip: Chip) -> Axi:
    """The usual master of a chip."""
    return Axi(width=chip.width)


def bursts(spec: Axi, address: int, bricks: int) -> list[tuple[int, int]]:
    """Address and beats of each burst of an aligned job.

    A burst ends where a multiple of the longest burst's bytes begins; a page is such a multiple.
    """
    longest = spec.burst_beats * spec.beat_bytes
    end = address + bricks * spec.brick_bytes
    result = []
    while address < end:
        until = min(end, (address // longest + 1) * longest)
        result.append((address, (until - address) // spec.beat_bytes))
        address = until
    return result
