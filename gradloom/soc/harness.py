"""A top with four pins around the machine, so that any part's tools place, route and time it whole."""

from gradloom.soc.axi_top import TOP, ports
from spec.axi import Axi
from spec.version import VERSION

HARNESS = "gradloom_harness"
CLOCK = "clk"
PINS = ("rst_n", "d", "q")  # besides the clock: in, in, out; none of them matters for timing


def harness(spec: Axi) -> str:
    """Verilog of :data:`HARNESS`: registers at every port of the machine, as if registered neighbours stood there.

    Inputs come from a shift register that ``d`` feeds, outputs go into a register that shifts and xors toward ``q``: every
    output is seen, so no tool leaves anything out.
    """
    inputs = [port for port in ports(spec) if not port.output and port.name not in ("aclk", "aresetn")]
    outputs = [port for port in ports(spec) if port.output]
    given, taken = sum(port.width for port in inputs), sum(port.width for port in outputs)
    connections, places = [f".aclk({CLOCK})", ".aresetn(resets[1])"], {"given": 0, "taken": 0}
    for name, group in (("given", inputs), ("taken", outputs)):
        for port in group:
            low = places[name]
            places[name] += port.width
            connections.append(f".{port.name}({name}[{low + port.width - 1}:{low}])")
    body = ",\n".join(f"    {connection}" for connection in connections)
    return f"""\
// {HARNESS}: gradloom {VERSION}. Everything between registers, four pins: for utilisation and timing, not for a board.
module {HARNESS} (
  input  wire {CLOCK},
  input  wire rst_n,
  input  wire d,
  output wire q
);
  reg  [1:0] resets = 2'b0;
  reg  [{given - 1}:0] given = {given}'b0;
  wire [{taken - 1}:0] taken;
  reg  [{taken - 1}:0] seen = {taken}'b0;
  assign q = seen[{taken - 1}];
  always @(posedge {CLOCK}) begin
    resets <= {{resets[0], rst_n}};
    given <= {{given[{given - 2}:0], d}};
    seen <= {{seen[{taken - 2}:0], seen[{taken - 1}]}} ^ taken;
  end
  {TOP} machine (
{body}
  );
endmodule
"""
