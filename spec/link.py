"""The bytes between a host and a board, defined once; docs/boards.md is the page.

``hw/uart_bridge.py`` and what it contains, the driver and the benches derive from here.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from zlib import crc32

from spec.registers import REGISTER_ADDRESS_BITS

VERSION = 1
WORD_BYTES = 8  # of memory: the smallest piece that is read or written
MAX_WORDS = 256  # of one request
HEADER_BYTES = 7
CRC_BYTES = 4
REGISTER_BYTES = 4
MAX_DATA = WORD_BYTES * MAX_WORDS
MAX_REQUEST = HEADER_BYTES + MAX_DATA + CRC_BYTES  # before SLIP
QUEUE_BYTES = 2048  # that wait in front of the board while it is busy, as they come over the line
NO_SEQUENCE = 0  # of the answer to a frame nobody can read

# SLIP, RFC 1055.
END, ESCAPE, ESCAPED_END, ESCAPED_ESCAPE = 0xC0, 0xDB, 0xDC, 0xDD

# Registers of the board itself lie behind the machine's.
BOARD_REGISTERS = 1 << REGISTER_ADDRESS_BITS
LINK_VALUE = int.from_bytes(b"GL\0\0", "big") | VERSION


class Op(IntEnum):
    """What a request asks for. Bit 0: write. Bit 1: memory."""

    READ_REGISTER = 0
    WRITE_REGISTER = 1
    READ_MEMORY = 2
    WRITE_MEMORY = 3


class Status(IntEnum):
    """What became of a request."""

    OK = 0
    REFUSED = 1  # the machine answered with an error of its bus; nothing changed
    BAD = 2  # no such operation, address, count or length; nothing was done
    DAMAGED = 3  # CRC, stop bit or escape is wrong, or too long; nothing was done


class BoardRegister(IntEnum):
    """Read only; offsets from :data:`BOARD_REGISTERS`."""

    LINK = 0x0  # LINK_VALUE
    MEMORY = 0x4  # bytes
    CLOCK = 0x8  # Hz


@dataclass(frozen=True)
class Request:
    """``count`` words of memory, or one register (count 1); ``data`` of a write."""

    op: Op
    address: int
    count: int = 1
    data: bytes = b""

    @property
    def answer_bytes(self) -> int:
        """Of data in the answer, if it is OK."""
        return {Op.READ_REGISTER: REGISTER_BYTES, Op.READ_MEMORY: WORD_BYTES * self.count}.get(self.op, 0)

    def frame(self, sequence: int) -> bytes:
        """As it goes over the line."""
        head = bytes([sequence, self.op, self.count - 1]) + self.address.to_bytes(4, "little")
        return slip(head + self.data)


def slip(body: bytes) -> bytes:
    """A frame: ``body`` and its CRC between two ENDs."""
    body += crc32(body).to_bytes(CRC_BYTES, "little")
    body = body.replace(bytes([ESCAPE]), bytes([ESCAPE, ESCAPED_ESCAPE]))
    return bytes([END]) + body.replace(bytes([END]), bytes([ESCAPE, ESCAPED_END])) + bytes([END])


def checked(frame: bytes) -> bytes | None:
    """The body of what stood between two ENDs; None where it is damaged."""
    body = bytearray()
    bytes_in = iter(frame)
    for byte in bytes_in:
        if byte == ESCAPE:
            byte = {ESCAPED_END: END, ESCAPED_ESCAPE: ESCAPE}.get(next(bytes_in, 0), -1)
            if byte < 0:
                return None
        body.append(byte)
    if len(body) < CRC_BYTES or crc32(body[:-CRC_BYTES]) != int.from_bytes(body[-CRC_BYTES:], "little"):
        return None
    return bytes(body[:-CRC_BYTES])


class Frames:
    """Cuts a stream of bytes, as it comes in pieces, into frames."""

    def __init__(self) -> None:
        self._open = bytearray()

    def feed(self, data: Iterable[int]) -> Iterator[bytes | None]:
        """Bodies of the frames that ``data`` completes, None for a damaged one; empty frames are passed over."""
        for byte in data:
            if byte != END:
                self._open.append(byte)
            elif self._open:
                frame, self._open = bytes(self._open), bytearray()
                yield checked(frame)
