"""Boards: a part, its pins, and what is built for it. A new one takes an entry in :data:`BOARDS` and a chip, nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from spec.chip import Chip, load_chip

LOWEST_DIVIDER = 4  # clocks of a bit
PAGE = 4096  # bytes; a board's memory holds whole ones, so that no burst leaves it in the middle
WORST_BAUD = 0.02  # by which the divided clock may miss the baud rate


class BoardError(ValueError):
    """A board that cannot be built or is not known; names field, value and bound."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """What the logic of a board depends on."""

    chip: Chip
    memory_bytes: int
    divider: int  # clocks of a bit on the line
    clock_hz: int

    def __post_init__(self) -> None:
        if self.memory_bytes < PAGE or self.memory_bytes % PAGE:
            raise BoardError(f"memory_bytes must be a multiple of {PAGE}, not {self.memory_bytes}")
        if self.divider < LOWEST_DIVIDER:
            raise BoardError(f"divider must be at least {LOWEST_DIVIDER}, not {self.divider}")


def least_design(chip: Chip) -> Design:
    """The smallest memory and the fastest line, for benches."""
    return Design(chip=chip, memory_bytes=PAGE, divider=LOWEST_DIVIDER, clock_hz=50_000_000)


@dataclass(frozen=True, kw_only=True)
class Board:
    """One FPGA board; the pins are sites of its package."""

    name: str
    title: str
    target: str  # part, as in synth/targets.py
    clock: str  # pin of the oscillator
    oscillator_mhz: float
    mhz: float  # of the machine, made by the PLL; the routed design must reach it
    baud: int
    rx: str  # into the FPGA
    tx: str
    led: str
    led_low: bool = False  # lit by a low level
    held_high: Mapping[str, str] = field(default_factory=dict)  # other pins, by name
    chip: str  # a named one
    memory_bytes: int
    sources: str  # where the pins are written down

    @property
    def divider(self) -> int:
        """Raises :class:`BoardError` where the clock does not divide to the baud rate."""
        divider = max(1, round(self.mhz * 1e6 / self.baud))
        missed = abs(self.mhz * 1e6 / divider / self.baud - 1)
        if missed > WORST_BAUD:
            raise BoardError(
                f"board {self.name}: {self.mhz} MHz / {divider} misses {self.baud} baud by {missed:.1%}, "
                f"more than {WORST_BAUD:.0%}"
            )
        return divider

    def design(self, divider: int | None = None) -> Design:
        """``divider`` of its own for a simulation, which has no line to wait for."""
        return Design(
            chip=load_chip(self.chip),
            memory_bytes=self.memory_bytes,
            divider=divider or self.divider,
            clock_hz=round(self.mhz * 1e6),
        )


BOARDS = {
    board.name: board
    for board in (
        Board(
            name="ulx3s-85f",
            title="Radiona ULX3S, LFE5U-85F",
            target="ecp5-85k",
            clock="G2",
            oscillator_mhz=25,
            mhz=60,
            baud=3_000_000,
            rx="M1",
            tx="L4",
            led="B2",
            # The other chip on the board, an ESP32, otherwise resets the FPGA.
            held_high={"wifi_gpio0": "L2"},
            chip="ulx3s-85f",
            memory_bytes=128 << 10,
            sources="ulx3s_v20.lpf of github.com/emard/ulx3s",
        ),
        Board(
            name="colorlight-i5",
            title="Colorlight i5 7.0 on its extension board, LFE5U-25F",
            target="ecp5-25k",
            clock="P3",
            oscillator_mhz=25,
            mhz=50,
            baud=115_200,
            rx="H18",
            tx="J17",
            led="U16",
            led_low=True,
            chip="colorlight-i5",
            memory_bytes=36 << 10,
            sources="github.com/wuxx/Colorlight-FPGA-Projects",
        ),
    )
}


def load_board(name: str) -> Board:
    """The named board; raises :class:`BoardError` with the known names."""
    if name not in BOARDS:
        raise BoardError(f"unknown board {name!r}; known boards: {', '.join(BOARDS)}")
    return BOARDS[name]
