"""The multiplier: exact, on time, and the same on its primitive as without it."""

import random

import pytest
from amaranth.sim import Simulator
from twins import simulate, write_pair

from hw.multiplier import PRIMITIVES, Multiplier
from spec.multiplier import MULTIPLIER_TARGETS, MultiplierError, Multiply

WIDTHS = (8, 16, 17, 18)


def operands(width, rng, count=400):
    """Pairs that include every pair of extremes."""
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    edges = (low, low + 1, -1, 0, 1, high)
    pairs = [(a, b) for a in edges for b in edges]
    return pairs + [(rng.randint(low, high), rng.randint(low, high)) for _ in range(count)]


@pytest.mark.parametrize("width", WIDTHS)
def test_products_are_exact_and_latency_is_what_the_spec_says(width, seed):
    pairs = operands(width, random.Random(seed))
    dut = Multiplier(width)
    products = []

    async def bench(ctx):
        for a, b in pairs + [(0, 0)] * Multiply.LATENCY:
            ctx.set(dut.a, a)
            ctx.set(dut.b, b)
            products.append(ctx.get(dut.p))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert products[Multiply.LATENCY :] == [a * b for a, b in pairs]


def bench(widths, cycles):
    """A comparison per width; a quarter of the operands are extremes."""
    parts = []
    for w in widths:
        parts.append(f"""
  reg [{w - 1}:0] a{w}, b{w};
  wire [{2 * w - 1}:0] p{w}, q{w};
  integer differing{w} = 0;
  mul{w} portable{w} (.clk(clk), .rst(1'b0), .a(a{w}), .b(b{w}), .p(p{w}));
  mul{w}_primitive primitive{w} (.clk(clk), .rst(1'b0), .a(a{w}), .b(b{w}), .p(q{w}));
  always @(posedge clk) begin
    a{w} <= $urandom % 4 == 0 ? {{1'b1, {w - 1}'d0}} - $urandom % 3 : $urandom;
    b{w} <= $urandom % 4 == 0 ? {{1'b1, {w - 1}'d0}} - $urandom % 3 : $urandom;
    if (cycle >= 8 && p{w} !== q{w}) differing{w} <= differing{w} + 1;
  end
  final $display("mul{w} compared %0d differing %0d", cycle - 8, differing{w});
""")
    return f"""
module bench;
  reg clk = 0;
  integer cycle = 0;
  always #5 clk = ~clk;
  always @(posedge clk) begin cycle <= cycle + 1; if (cycle == {cycles}) $finish; end
{"".join(parts)}
endmodule
"""


@pytest.mark.rtl
@pytest.mark.parametrize("target", [name if name == "ecp5" else pytest.param(name, marks=pytest.mark.slow) for name in MULTIPLIER_TARGETS])
def test_primitive_and_portable_twin_agree_in_every_cycle(target, tmp_path, seed):
    widths = [w for w in WIDTHS if w <= PRIMITIVES[target][0]]
    make = lambda w: lambda t: Multiplier(w, t)
    sources = [file for w in widths for file in write_pair(make(w), f"mul{w}", tmp_path, target)]
    results = simulate(bench(widths, 50_000), sources, tmp_path, seed, target)
    assert set(results) == {f"mul{w}" for w in widths}
    for compared, differing in results.values():
        assert compared > 49_000
        assert differing == 0


@pytest.mark.parametrize(
    ("width", "text"),
    [
        (7, "multiplier width must be 8 to 18, not 7"),
        (19, "multiplier width must be 8 to 18, not 19"),
        (True, "multiplier width must be an integer, not True"),
        (16.0, "multiplier width must be an integer, not 16.0"),
    ],
)
def test_width_out_of_range(width, text):
    with pytest.raises(MultiplierError) as error:
        Multiply(width=width)
    assert str(error.value) == text


@pytest.mark.filterwarnings("ignore:.*created but never used")  # refused half-way through
def test_unknown_target():
    with pytest.raises(MultiplierError) as error:
        Multiplier(16, "ice41")
    known = "ecp5, ice40, nexus, gowin, xc7, xcup"
    assert str(error.value) == f"multiplier target must be None or one of {known}, not 'ice41'"
