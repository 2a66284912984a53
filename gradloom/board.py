"""A board's logic as Verilog, and in simulation."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from gradloom.machine import chip_folder
from hw.board import BoardLogic
from hw.emit import emit
from spec.boards import Board
from spec.netlist import Netlist
from tb import toolchain
from tb.native.board_host import SimulatedBoard, build_board

LOGIC = "board"
FAST = 4  # clocks of a bit in a simulation: nobody waits for a real line


def board_netlist(board: Board, divider: int | None = None, target: str | None = None) -> Netlist:
    """The Verilog of what is in a board's FPGA, written unless it is there."""
    design = board.design(divider)
    folder = chip_folder(design.chip) / f"{LOGIC}-{board.name}-{design.divider}-{target or 'portable'}"

    def build(scratch: Path) -> None:
        emit(BoardLogic(design, target), LOGIC, spec=design, folder=scratch)

    toolchain.built_once(folder, build)
    return Netlist(verilog=folder / f"{LOGIC}.v", top=LOGIC)


@contextmanager
def simulated(board: Board, noise: float = 0.0, seed: int = 0) -> Generator[SimulatedBoard, None, None]:
    """``board`` in simulation behind a pseudo-terminal, compiled if that has not been done."""
    netlist = board_netlist(board, FAST)
    with SimulatedBoard(netlist, build_board(netlist), noise, seed) as running:
        yield running
