"""Units of the engine and of the bus whose outputs are proved to keep to the protocol, whatever they carry."""

from hw.descriptors import Descriptors
from hw.fetch import BUFFERS, Fetch
from hw.finish import Finish
from hw.registers import Registers
from hw.scan import Scan
from hw.taps import Taps
from prove.harness import Harness, fires
from prove.protocol import protocol
from prove.windows import CHIP, SPEC


def taps() -> Harness:
    """Where the user stops the walk, what is left of it is dropped."""
    return protocol(Taps(CHIP), hold=["command"], unless=lambda dut: dut.stop)


def fetch() -> Harness:
    """Bricks come for requests alone."""
    h = protocol(Fetch(CHIP), hold=["command"])
    dut = h.unit
    asked, _ = h.queue(fires(dut.request), 0, dut.brick_valid, BUFFERS, "asked")
    h.assume(~dut.brick_valid | (asked != 0))
    return h


def scan() -> Harness:
    return protocol(Scan(CHIP), hold=["command", "tiles"])


def finish() -> Harness:
    return protocol(Finish(CHIP), hold=["command", "tiles", "visits"])


def descriptors() -> Harness:
    return protocol(Descriptors(CHIP, SPEC), hold=["window"])


def registers() -> Harness:
    return protocol(Registers(CHIP))
