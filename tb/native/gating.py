"""Units of a machine that the native library leaves out of cycles in which they rest.

Verilator evaluates every register at every edge of its clock, whether anything changes or not. In the library the product unit and
the vector unit, most of the machine, have clocks of their own, which the wrapper lets rise only while the unit has a
command, is offered one or is reset, and some cycles longer (``REST`` in clocks.h). Words are the same as without. Cycles may differ by a few
in a command: turns that a unit takes go on between its commands in hardware, and here they do not. ``NativeMachine.rest(False)`` lets all clocks run.
"""

import re

from spec.isa import Unit

UNITS = {"product": Unit.PRODUCT, "vector": Unit.VECTOR}
ACTIVE = "active"  # the port: a bit for each of UNITS
PORTS = {
    **{f"clk_{name}": {"direction": "input", "width": 1, "signed": False} for name in UNITS},
    ACTIVE: {"direction": "output", "width": len(UNITS), "signed": False},
}


def gated(verilog: str, top: str) -> str:
    """``verilog`` with ports ``clk_<unit>`` and ``active`` at module ``top``. Raises ValueError where the module is not as expected."""
    match = re.search(rf"^module {top}\(.*?^endmodule", verilog, re.MULTILINE | re.DOTALL)
    if match is None:
        raise ValueError(f"no module {top}")
    body = match[0]
    body = _once(body, rf"^module {top}\(clk, ", f"module {top}({', '.join(PORTS)}, clk, ")
    ports = "".join(f"  input clk_{name};\n" for name in UNITS) + f"  output [{len(UNITS) - 1}:0] {ACTIVE};\n"
    terms = ", ".join(
        f"control__offer[{bit}] | control__busy[{bit}] | control__unit_reset | rst"
        for bit in (unit.bit_length() - 1 for unit in reversed(UNITS.values()))
    )
    body = _once(body, r"^  input clk;\n", f"{ports}  input clk;\n")
    body = _once(body, r"^endmodule", f"  assign {ACTIVE} = {{{terms}}};\nendmodule")
    for name in UNITS:
        body = _once(body, rf"^(  \w+ {name} \((?:(?!\);).)*?\.clk\()clk(\))", rf"\1clk_{name}\2")
    return verilog[: match.start()] + body + verilog[match.end() :]


def _once(text: str, pattern: str, replacement: str) -> str:
    result, count = re.subn(pattern, replacement, text, flags=re.MULTILINE | re.DOTALL)
    if count != 1:
        raise ValueError(f"{count} places like {pattern!r}, not one")
    return result
