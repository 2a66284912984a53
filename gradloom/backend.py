"""Machines by name, ready to run."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager

from gradloom.console import Refusal
from host.driver import MEMORY, RING
from host.machines import Backend, EmulatedMachine
from spec.boards import BOARDS, Board
from spec.chip import Chip


@contextmanager
def opened(
    backend: str, chip: Chip, latency: int = 50, bandwidth: float = 8.0, exact: bool = False
) -> Generator[Backend, None, None]:
    """A machine of ``chip``: "emulator"; "estimate", an emulator that works out times; or "rtl", compiled if that has not been done.

    exact : units that rest are simulated too; slower, and cycles are the hardware's to the last one.
    """
    if backend == "emulator":
        yield EmulatedMachine(chip, MEMORY, RING)
        return
    from tb.native.memory import Memory

    memory = Memory(read_latency=latency, bandwidth=bandwidth)
    if backend == "estimate":
        from host.estimate import EstimatedMachine

        yield EstimatedMachine(chip, MEMORY, RING, memory)
        return
    from gradloom.machine import compiled_twice, netlist
    from host.machines import NativeBackend
    from tb.native.machine import build_machine
    from tb.native.machine_host import NativeMachine

    library = build_machine(netlist(chip, "machine"), trained=compiled_twice(chip))
    with NativeMachine(chip, library, MEMORY, memory) as machine:
        machine.rest(not exact)
        yield NativeBackend(machine, RING)


def opened_port(board: Board | None, port: str | None) -> AbstractContextManager[Backend]:
    """A board at a serial port, ready to run."""
    if board is None or port is None:
        raise Refusal(f"backend board needs --board, one of {', '.join(BOARDS)}, and --port")
    from host.board import opened_board

    return opened_board(board, board.design().chip, port)
