"""A simulated board behind a pseudo-terminal: a driver that opens :attr:`SimulatedBoard.port` cannot tell it from a board."""

import ctypes
import json
import os
import re
import threading
import tty
from pathlib import Path

from spec.netlist import Netlist
from tb.native.build import build_library
from tb.native.gating import PORTS, gated
from tb.native.machine import TOP, clocked, shared_code, width

MACHINE = "machine"  # the module and its one instance
BOARD = Path(__file__).with_name("board.cpp")


def build_board(netlist: Netlist, *, progress: bool = True) -> Path:
    """The shared library of the board's logic ``netlist``; built once, see :func:`tb.native.build.build_library`."""
    source = netlist.folder / f"{TOP}.v"
    verilog = with_ports(gated(netlist.verilog.read_text(), MACHINE), netlist.top)
    source.write_text(verilog + "\n" + clocked(netlist, PORTS))
    return build_library(source, TOP, BOARD, name=netlist.top, control=shared_code(verilog), progress=progress)


def with_ports(verilog: str, top: str) -> str:
    """``verilog`` of a board whose machine has the ports of :mod:`tb.native.gating`, handed through module ``top``.

    Raises ValueError where the module is not as expected.
    """
    ports = [f"{kind['direction']} {width(kind['width'])}{name};" for name, kind in PORTS.items()]
    connections = "".join(f"    .{name}({name}),\n" for name in PORTS)
    for pattern, text in (
        (rf"^module {top}\(", f"module {top}({', '.join(PORTS)}, "),
        (rf"(?<=^module {top}\()[^;]*;\n", "\\g<0>" + "".join(f"  {port}\n" for port in ports)),
        (rf"^  {MACHINE} {MACHINE} \(\n", f"\\g<0>{connections}"),
    ):
        verilog, count = re.subn(pattern, text, verilog, flags=re.MULTILINE)
        if count != 1:
            raise ValueError(f"{count} places like {pattern!r}, not one")
    return verilog


class SimulatedBoard:
    """The logic of ``netlist``, run by a thread of its own from :meth:`__enter__` to :meth:`__exit__`.

    The clock runs as fast as the processor lets it while bytes move, and stands still in longer silence.
    noise : probability that a bit on the line is turned over, either way, drawn from ``seed``.
    """

    def __init__(self, netlist: Netlist, library: Path, noise: float = 0.0, seed: int = 0):
        self.divider = int(json.loads(netlist.spec.read_text())["divider"])
        self._lib = _load(library)
        self._handle = ctypes.c_void_p(self._lib.board_new(self.divider))
        self._lib.board_noise(self._handle, noise, seed)
        self._failed = 0

    def __enter__(self) -> "SimulatedBoard":
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs)
        os.set_blocking(self._ours, False)
        self.port = os.ttyname(self._theirs)
        self._thread = threading.Thread(target=self._serve, name=f"board on {self.port}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._lib.board_stop(self._handle)
        self._thread.join()
        self._lib.board_free(self._handle)
        for descriptor in (self._ours, self._theirs):
            os.close(descriptor)
        if self._failed:
            raise OSError(self._failed, os.strerror(self._failed))

    def _serve(self) -> None:
        self._failed = self._lib.board_serve(self._handle, self._ours)

    @property
    def cycles(self) -> int:
        return int(self._lib.board_cycles(self._handle))

    @property
    def bytes_moved(self) -> tuple[int, int]:
        """To the board and from it."""
        return int(self._lib.board_bytes(self._handle, 0)), int(self._lib.board_bytes(self._handle, 1))


def _load(library: Path) -> ctypes.CDLL:
    lib = ctypes.CDLL(str(library))
    pointer, integer, u64 = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64
    signatures = {
        "new": (pointer, [integer]),
        "free": (None, [pointer]),
        "serve": (integer, [pointer, integer]),
        "stop": (None, [pointer]),
        "cycles": (u64, [pointer]),
        "bytes": (u64, [pointer, integer]),
        "noise": (None, [pointer, ctypes.c_double, u64]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, f"board_{name}")
        function.restype, function.argtypes = result, arguments
    return lib
