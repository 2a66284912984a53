"""Multiply and add: exact sums that follow each other without a gap, the same inside a primitive as beside it."""

import random

import pytest
from amaranth.sim import Simulator
from twins import simulate, write_pair

from hw.mac import PRIMITIVES, Mac
from spec.multiplier import Accumulate, MultiplierError

SIZES = ((8, 20), (16, 41), (18, 48))


@pytest.mark.parametrize(("width", "sum_width"), SIZES)
def test_sums_are_exact(width, sum_width, seed):
    rng = random.Random(seed)
    dut = Mac(width, sum_width)
    low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
    sums, expected = [], []
    # What happens to the product of the operands of a cycle: it is left out, added, or added as the last one.
    longest = min(60, 1 << (sum_width - 2 * width))
    cases, exact, count = [], 0, 0
    for _ in range(1500):
        a, b = (rng.choice((low, high, 0, rng.randint(low, high))) for _ in range(2))
        add = rng.random() < 0.7
        last = add and (rng.random() < 0.2 or count == longest - 1)
        cases.append((a, b, add, last))
        if add:
            exact, count = exact + a * b, count + 1
            expected.append(exact)
        if last:
            exact, count = 0, 0
    cases += [(0, 0, 0, 0)] * Mac.LATENCY

    async def bench(ctx):
        for n, (a, b, _, _) in enumerate(cases):
            ctx.set(dut.a, a)
            ctx.set(dut.b, b)
            arrived = cases[n - Mac.LATENCY] if n >= Mac.LATENCY else (0, 0, 0, 0)
            ctx.set(dut.coming, cases[n - Mac.LATENCY + 1][2] if n >= Mac.LATENCY - 1 else 0)
            ctx.set(dut.add, arrived[2])
            ctx.set(dut.last, arrived[3])
            if arrived[2]:
                raw = ctx.get(dut.sum)
                sums.append(raw - (raw >> (sum_width - 1) << sum_width))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert sums == expected


def bench(sizes, cycles):
    """A comparison per size; operands are often extremes, columns of one product follow each other, resets come in between."""
    parts = []
    for w, s in sizes:
        parts.append(f"""
  reg [{w - 1}:0] a{w}, b{w};
  wire [{s - 1}:0] p{w}, q{w};
  integer compared{w} = 0, differing{w} = 0;
  mac{w} portable{w} (.clk(clk), .rst(rst), .a(a{w}), .b(b{w}), .coming(coming), .add(add), .last(last), .sum(p{w}));
  mac{w}_primitive primitive{w} (.clk(clk), .rst(rst), .a(a{w}), .b(b{w}), .coming(coming), .add(add), .last(last),
                                 .sum(q{w}));
  always @(posedge clk) begin
    a{w} <= $urandom % 4 == 0 ? {{1'b1, {w - 1}'d0}} - $urandom % 3 : $urandom;
    b{w} <= $urandom % 4 == 0 ? {{1'b1, {w - 1}'d0}} - $urandom % 3 : $urandom;
    if (cycle >= 8 && add) begin
      compared{w} <= compared{w} + 1;
      if (p{w} !== q{w}) differing{w} <= differing{w} + 1;
    end
  end
  final $display("mac{w} compared %0d differing %0d", compared{w}, differing{w});
""")
    return f"""
module bench;
  reg clk = 0, rst = 1, coming = 0, add = 0, last = 0;
  integer cycle = 0;
  always #5 clk = ~clk;
  // A reset clears what is on its way to a lane too, and sets `last`, which clears the sum.
  reg [31:0] dice;
  always @(posedge clk) begin
    cycle <= cycle + 1;
    dice <= $urandom;
    rst <= cycle < 4 || dice[9:0] == 0;
    coming <= !rst && dice[17:16] != 0;
    add <= !rst && coming;
    last <= rst || coming && (dice[22:20] == 0 || dice[31:30] == 0 && add);
    if (cycle == {cycles}) $finish;
  end
{"".join(parts)}
endmodule
"""


@pytest.mark.rtl
@pytest.mark.parametrize(
    ("target", "compact"),
    [("xc7", False), ("ecp5", True), *(pytest.param(target, False, marks=pytest.mark.slow) for target in (*PRIMITIVES, "ecp5") if target != "xc7")],
)
def test_primitive_and_portable_twin_agree_whenever_a_product_is_added(target, compact, tmp_path, seed):
    make = lambda w, s: lambda t: Mac(w, s, t, compact)
    sources = [file for w, s in SIZES for file in write_pair(make(w, s), f"mac{w}", tmp_path, target)]
    results = simulate(bench(SIZES, 60_000), sources, tmp_path, seed, target)
    assert set(results) == {f"mac{w}" for w, _ in SIZES}
    for compared, differing in results.values():
        assert compared > 40_000
        assert differing == 0


@pytest.mark.parametrize("sum_width", [31, 49])
def test_sum_width_out_of_range(sum_width):
    with pytest.raises(MultiplierError) as error:
        Accumulate(width=16, sum_width=sum_width)
    assert str(error.value) == f"sum_width must be 32 to 48, not {sum_width}"
