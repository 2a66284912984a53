"""A ring of registers around a unit, so that it can be placed and routed without pins.

A unit has more ports than a part has pins. Every input bit comes from a register of its
own and every output bit ends in one, as if registered neighbours stood around it: paths
through the ports count toward Fmax, pins do not. The ring is made of flip-flop primitives
only, no LUTs, and is added after synthesis, so it can neither be optimised into the unit
nor hide in its numbers.
"""

from synth.part import Ring

CLOCK = "clk"
RESET = "rst"
DATA = "pin"


def ring_verilog(top: str, ports: dict, ring: str, primitives: Ring) -> tuple[str, int]:
    """Verilog of module ``ring`` around ``top``, and the number of flip-flops it adds.

    ``ports`` is the port table of Yosys's JSON: name to ``direction`` and ``bits``. A port
    named ``clk`` is the clock; a unit without one is combinational and is still ringed.
    A port named ``rst`` comes from its pin over a global net: reset is held for many cycles
    while nothing happens, so its one long route is no path of a single cycle.
    """
    pins = {CLOCK: f"{CLOCK}_pin", RESET: f"{RESET}_pin", DATA: f"{DATA}_pin"}
    wires = [f"  wire {net};" for net in pins]
    cells = ["  " + primitives.buffer.format(name=f"{net}_buffer", d=pin, q=net) for net, pin in pins.items()]
    connections = []
    flip_flops = 0
    for name, port in ports.items():
        if name == CLOCK:
            connections.append(f".\\{name} ({CLOCK})")
            continue
        if name == RESET:
            wires.append("  wire reset;")
            connections.append(f".\\{name} (reset)")
            cells.append("  " + primitives.reset.format(name="reset_ring", d=RESET, q="reset"))
            continue
        width = len(port["bits"])
        wire = f"port{len(connections)}"
        wires.append(f"  wire [{width - 1}:0] {wire};")
        connections.append(f".\\{name} ({wire})")
        inward = port["direction"] == "input"
        for bit in range(width):
            port_bit = f"{wire}[{bit}]"
            d, q = (DATA, port_bit) if inward else (port_bit, "")
            cells.append("  " + primitives.flip_flop.format(name=f"{wire}_ring{bit}", d=d, q=q))
        flip_flops += width
    body = "\n".join([*wires, f"  \\{top} unit ({', '.join(connections)});", *cells])
    return f"module {ring} ({', '.join(f'input {pin}' for pin in pins.values())});\n{body}\nendmodule\n", flip_flops
