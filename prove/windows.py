"""Where the machine may read and write: no address leaves it that lies outside its window, whatever the descriptor says."""

from amaranth.hdl import Cat, Mux, Signal

from hw.axi import axi_job
from hw.check import Check
from hw.commands import bits_of
from hw.descriptors import Descriptors
from hw.load import Load
from hw.store import Store
from prove.chip import CHIP, SPEC
from prove.harness import Harness, fires
from spec.axi import ADDRESS_BITS, Axi
from spec.isa import DESCRIPTOR_BYTES, LAYOUT, ErrorCode, Opcode, brick_bytes


def low_and_high(h: Harness, window, spec: Axi):
    """First brick inside the window in whole, and the first one that no longer is."""
    size = spec.brick_bytes
    low, high = Signal(ADDRESS_BITS + 1), Signal(ADDRESS_BITS + 1)
    h.m.d.comb += [low.eq((window.base + (size - 1)) // size), high.eq((window.limit + 1) // size)]
    return low, high


def burst_inside(h: Harness, channel, window) -> None:
    """The bytes of the burst on offer, from the first to the last, lie in the window."""
    first, last = Signal(ADDRESS_BITS), Signal(ADDRESS_BITS + 1)
    h.m.d.comb += [first.eq(channel.p.addr), last.eq(first + ((channel.p.len + 1) << channel.p.size) - 1)]
    h.check((first >= window.base) & (last <= window.limit), unless=~channel.valid)


def transfer(dut_class, half: str, name: str) -> Harness:
    """Every transfer whose fields are in range, every window. The window is held, as the registers hold it.

    Runs, jobs and bursts under way are tied to the window, so that one cycle proves the next.
    """
    h = Harness()
    m = h.m
    dut = h.add(dut_class(CHIP, SPEC))
    h.hold(dut.window)
    h.source(dut.command)
    h.assume(dut.command.p.bricks != 0)  # see `checked`
    channel = getattr(dut, name)
    h.sink(channel)
    h.free(dut.stop)
    if dut_class is Store:
        h.sink(dut.request, dut.w)
        h.source(dut.b)
        h.free(dut.valid, dut.brick)
    else:
        h.sink(dut.write)
        h.source(dut.r)
    burst_inside(h, channel, dut.window)

    low, high = low_and_high(h, dut.window, SPEC)
    job = axi_job(h.inside("runs.o__payload"))
    at = Signal(ADDRESS_BITS)
    m.d.comb += at.eq(job.address >> (SPEC.brick_bytes - 1).bit_length())
    h.check(job.bricks != 0, unless=~h.inside("runs.o__valid"))
    h.check((at >= low) & (at + job.bricks <= high), unless=~h.inside("runs.o__valid"))
    h.check(job.address % SPEC.brick_bytes == 0)
    h.check(h.inside("runs.bricks") != 0, unless=~(h.inside("runs.walk.valid") | h.inside("runs.at_valid")))
    h.check(h.inside("runs.last") == h.inside("runs.at") + h.inside("runs.bricks") - 1, unless=~h.inside("runs.at_valid"))
    h.check(h.inside("runs.more") == h.inside("runs.bricks") - 1, unless=~(h.inside("runs.walk.valid") | h.inside("runs.at_valid")))
    h.check(~h.inside("runs.busy"), unless=h.inside("busy") & ~(h.inside("fill") if dut_class is Load else 0))
    place, left = h.inside(f"{half}.bursts.address"), h.inside(f"{half}.bursts.left")
    h.check((left != 0) & (place >= low) & (place + left <= high), unless=~h.inside(f"{half}.bursts.busy"))
    h.reach(fires(channel) & (channel.p.len == SPEC.burst_beats - 1))
    h.reach(fires(channel) & (dut.window.base == channel.p.addr) & (dut.window.limit == channel.p.addr + 15))
    return h


def store() -> Harness:
    return transfer(Store, "writer", "aw")


def load() -> Harness:
    return transfer(Load, "reader", "ar")


def descriptors() -> Harness:
    """Descriptors are fetched from the read window alone, wherever the host puts the ring."""
    h = Harness()
    dut = h.add(Descriptors(CHIP, SPEC))
    h.hold(dut.window)
    h.free(dut.start, dut.stop, dut.head, dut.base, dut.size)
    h.sink(dut.o, dut.ar)
    h.source(dut.r)
    burst_inside(h, dut.ar, dut.window)
    h.stable(dut.ar)
    beyond, first, last = h.inside("beyond"), h.inside("first"), h.inside("last", bits=ADDRESS_BITS + 1)
    h.check(h.at("ASK"), unless=~dut.ar.valid)
    h.check(last == first + (DESCRIPTOR_BYTES - 1), unless=~h.at("WINDOW"))
    within = (first >= dut.window.base) & (first + (DESCRIPTOR_BYTES - 1) <= dut.window.limit)
    h.check(beyond | within, unless=~h.at("ROOM"))
    h.reach(fires(dut.ar))
    return h


def checked() -> Harness:
    """A descriptor without an error has every field within its bounds, and an error names what is wrong."""
    h = Harness()
    dut = h.add(Check(CHIP))
    h.hold(dut.words)
    number = dut.words[0] & 0xFF
    wrong = Signal()
    known = Signal()
    for opcode, fields in LAYOUT.items():
        outside = Cat(_outside(dut.words, place) for place in fields if place.field.name != "opcode").any()
        with h.m.If(number == opcode):
            h.m.d.comb += [known.eq(1), wrong.eq(outside)]
    error = Mux(~known, ErrorCode.OPCODE, Mux(wrong, ErrorCode.FIELD, ErrorCode.NONE))
    settled = h.before(1, Check.LATENCY)
    h.check(dut.error == error, unless=~settled)
    for opcode in (Opcode.LOAD, Opcode.STORE, Opcode.PRODUCT, Opcode.VECTOR):
        h.reach(settled & (number == opcode) & (dut.error == ErrorCode.NONE))
    return h


def _outside(words, place):
    value = bits_of(words, place)
    if place.field.name == "address":
        return value % brick_bytes(CHIP) != 0
    low, high = place.field.bounds(CHIP)
    return (value < low) | (value > high)
