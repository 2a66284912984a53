"""Every other unit with streams: a word that it offers stays, and stays as it is, until it is taken.

Streams into the unit keep to the protocol, commands and settings are held, all else may be anything in any cycle.
"""

from collections.abc import Iterable

from amaranth.lib import stream, wiring

from prove.harness import Harness, fires


def streams_of(unit: wiring.Component, flow) -> list:
    """Streams of the unit's signature that run in one direction, arrays and buses taken apart."""
    found = []

    def visit(signature, value):
        for name, member in signature.members.items():
            if member.is_signature:
                for part in _parts(getattr(value, name), member.dimensions):
                    kind = member.signature
                    if isinstance(kind, wiring.FlippedSignature):
                        kind = kind.flip()
                    if not isinstance(kind, stream.Signature):
                        visit(member.signature, part)
                    elif member.flow is flow:
                        found.append(part)

    visit(unit.signature, unit)
    return found


def _parts(value, dimensions) -> list:
    parts = [value]
    for _ in dimensions:
        parts = [inner for part in parts for inner in part]
    return parts


def protocol(unit: wiring.Component, hold: Iterable[str] = (), unless=None) -> Harness:
    """``hold`` names inputs that do not change; ``unless`` gives from the harness what lets the unit withdraw a word."""
    h = Harness()
    dut = h.add(unit)
    sources, sinks = streams_of(dut, wiring.In), streams_of(dut, wiring.Out)
    h.source(*sources)
    h.sink(*sinks)
    for name, member in dut.signature.members.items():
        if member.is_port and member.flow is wiring.In:
            (h.hold if name in hold else h.free)(*_parts(getattr(dut, name), member.dimensions))
    h.stable(*sinks, unless=unless(h) if unless else 0)
    for sink in sinks:
        h.reach(fires(sink))
    return h
