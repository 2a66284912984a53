"""A ring of registers around a unit, so that it can be placed and routed without pins.

A unit has more ports than a part has pins. Every input bit comes from a register of its
own and every output bit ends in one, as if registered neighbours stood around it: paths
through the ports count toward Fmax, pins do not. The ring is made of flip-flop primitives
only, no LUTs, and is added after synthesis, so it can neither be optimised into the unit
nor hide in its numbers.
"""

CLOCK = "clk"
RESET = "rst"
# Pins of CABGA381 with a way of their own to the global nets, on opposite sides; any other pin
# may have none left.
PINS = {CLOCK: "G2", RESET: "J20"}


def pin_constraints() -> str:
    """Where the ring's clock and reset come in, as nextpnr's LPF."""
    return "".join(f'LOCATE COMP "{port}" SITE "{pin}";\n' for port, pin in PINS.items())


def ring_verilog(top: str, ports: dict, ring: str) -> tuple[str, int]:
    """Verilog of module ``ring`` around ``top``, and the number of flip-flops it adds.

    ``ports`` is the port table of Yosys's JSON: name to ``direction`` and ``bits``. A port
    named ``clk`` is the clock; a unit without one is combinational and is still ringed.
    A port named ``rst`` comes from its pin over a global net: reset is held for many cycles
    while nothing happens, so its one long route is no path of a single cycle.
    """
    wires, cells, connections = [], [], []
    flip_flops = 0
    for name, port in ports.items():
        if name == CLOCK:
            connections.append(f".\\{name} (clk)")
            continue
        if name == RESET:
            wires.append("  wire reset;")
            connections.append(f".\\{name} (reset)")
            cells.append("  (* keep *) DCCA reset_ring (.CLKI(rst), .CE(1'b1), .CLKO(reset));")
            continue
        width = len(port["bits"])
        wire = f"port{len(connections)}"
        wires.append(f"  wire [{width - 1}:0] {wire};")
        connections.append(f".\\{name} ({wire})")
        for bit in range(width):
            pins = f".Q({wire}[{bit}]), .DI(pin)" if port["direction"] == "input" else f".DI({wire}[{bit}])"
            cells.append(f"  {_FLIP_FLOP} {wire}_ring{bit} (.CLK(clk), .LSR(1'b0), .CE(1'b1), {pins});")
        flip_flops += width
    body = "\n".join([*wires, f"  \\{top} unit ({', '.join(connections)});", *cells])
    return f"module {ring} (input clk, input rst, input pin);\n{body}\nendmodule\n", flip_flops


_FLIP_FLOP = (
    '(* keep *) TRELLIS_FF #(.GSR("DISABLED"), .CEMUX("1"), .CLKMUX("CLK"), .LSRMUX("LSR"), .SRMODE("LSR_OVER_CE"), '
    '.REGSET("RESET"))'
)
