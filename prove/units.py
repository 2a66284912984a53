"""Units of the engine and of the bus whose outputs are proved to keep to the protocol, whatever they carry."""

from hw.bricks import Bricks
from hw.finish import Finish
from hw.registers import Registers
from hw.scan import Scan
from hw.taps import Taps
from prove.chip import CHIP
from prove.harness import Harness, fires
from prove.protocol import protocol


def taps() -> Harness:
    """Where the user stops the walk, what is left of it is dropped."""
    return protocol(Taps(CHIP), hold=["command"], unless=lambda h: h.unit.stop)


def bricks() -> Harness:
    """Room falls only with a request, as its user promises."""
    h = protocol(Bricks(CHIP), hold=["command"])
    room, request = h.unit.room, h.unit.request
    h.assume(room | ~h.before(room, name="room") | h.before(fires(request), name="asked"))
    return h


def scan() -> Harness:
    """A brick of the mask comes after it was asked for."""
    h = protocol(Scan(CHIP), hold=["command", "tiles"])
    h.assume(~h.unit.brick_valid | ~h.unit.request.valid)
    return h


def finish() -> Harness:
    return protocol(Finish(CHIP, sources=2), hold=["command", "tiles", "visits"])


def registers() -> Harness:
    """A counter's value comes to those who ask, once."""
    h = protocol(Registers(CHIP))
    h.assume(~h.unit.answer | h.unit.wanted)
    return h
