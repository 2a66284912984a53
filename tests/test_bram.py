"""Block RAM: reads what was written, on time, the same on its primitive as without it."""

import random

import pytest
from amaranth.sim import Simulator
from twins import simulate, write_pair

from hw.bram import PRIMITIVES, Bram
from spec.bram import BramError, Storage

# Every shape of block, partly filled ones, and one too deep for a single row of blocks. With stalls too where STALLS says so.
STALLS = ((36, 512), (16, 4096), (2, 20000))
SHAPES = (
    (36, 512),
    (25, 512),
    (16, 1024),
    (48, 1024),
    (9, 2048),
    (16, 4096),
    (3, 8192),
    (1, 16384),
    (2, 20000),
    (5, 2),
)


def test_reads_what_was_written_after_the_latency_of_the_spec(seed):
    rng = random.Random(seed)
    dut = Bram(width=13, depth=50)
    content, expected, got = [0] * 50, [], []

    async def bench(ctx):
        for _ in range(2000):
            w_addr, r_addr = rng.sample(range(50), 2)
            w_en, word = rng.randrange(2), rng.randrange(1 << 13)
            ctx.set(dut.w_en, w_en)
            ctx.set(dut.w_addr, w_addr)
            ctx.set(dut.w_data, word)
            ctx.set(dut.r_addr, r_addr)
            got.append(ctx.get(dut.r_data))
            expected.append(content[r_addr])
            if w_en:
                content[w_addr] = word
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert got[Storage.LATENCY :] == expected[: -Storage.LATENCY]


def test_both_registers_hold_while_it_stalls(seed):
    rng = random.Random(seed)
    dut = Bram(width=13, depth=50, stalls=True)
    content, stages, got, expected = [rng.randrange(1 << 13) for _ in range(50)], [None] * Storage.LATENCY, [], []

    async def bench(ctx):
        ctx.set(dut.w_en, 1)
        for address, word in enumerate(content):
            ctx.set(dut.w_addr, address)
            ctx.set(dut.w_data, word)
            await ctx.tick()
        ctx.set(dut.w_en, 0)
        for _ in range(1000):
            moves, address = rng.randrange(2), rng.randrange(50)
            ctx.set(dut.r_en, moves)
            ctx.set(dut.r_addr, address)
            got.append(ctx.get(dut.r_data))
            expected.append(stages[-1])
            if moves:
                stages.insert(0, content[address])
                stages.pop()
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert sum(word is not None for word in expected) > 900
    assert all(word in {None, read} for word, read in zip(expected, got, strict=True))


def bench(shapes, cycles):
    """Fill every memory, then read and write at random; a word read while written is not compared."""
    parts = []
    for width, depth, stalls in shapes:
        n, bits = name(width, depth, stalls), (depth - 1).bit_length()
        r_en = ".r_en(r_en), " if stalls else ""
        parts.append(f"""
  reg w_en{n}; reg [{bits - 1}:0] w_addr{n}, r_addr{n}; reg [{width - 1}:0] w_data{n};
  reg [1:0] clash{n};
  wire [{width - 1}:0] p{n}, q{n};
  integer differing{n} = 0, compared{n} = 0;
  bram{n} portable{n} (.clk(clk), .rst(1'b0), .w_en(w_en{n}), .w_addr(w_addr{n}), .w_data(w_data{n}),
                       {r_en}.r_addr(r_addr{n}), .r_data(p{n}));
  bram{n}_primitive primitive{n} (.clk(clk), .rst(1'b0), .w_en(w_en{n}), .w_addr(w_addr{n}), .w_data(w_data{n}),
                             {r_en}.r_addr(r_addr{n}), .r_data(q{n}));
  always @(posedge clk) begin
    w_en{n} <= cycle < {depth} || $urandom % 2 == 0;
    w_addr{n} <= cycle < {depth} ? cycle : ($urandom & mask) % {depth};
    r_addr{n} <= ($urandom & mask) % {depth};
    w_data{n} <= {{$urandom, $urandom}};
    if (r_en || !{int(stalls)}) clash{n} <= {{clash{n}[0], w_en{n} && w_addr{n} == r_addr{n}}};
    if (cycle > {depth + 8} && !clash{n}[1]) begin
      compared{n} <= compared{n} + 1;
      if (p{n} !== q{n}) differing{n} <= differing{n} + 1;
    end
  end
  final $display("bram{n} compared %0d differing %0d", compared{n}, differing{n});
""")
    return f"""
module bench;
  reg clk = 0, r_en = 1;
  reg [31:0] mask = 0;
  integer cycle = 0;
  always #5 clk = ~clk;
  always @(posedge clk) begin
    cycle <= cycle + 1;
    r_en <= $urandom % 3 != 0;
    mask <= $urandom % 2 == 0 ? 32'd7 : 32'hfffff;  // often among few words, so that reads meet writes
    if (cycle == {cycles}) $finish;
  end
{"".join(parts)}
endmodule
"""


def name(width, depth, stalls):
    return f"_{width}x{depth}{'s' * stalls}"


@pytest.mark.rtl
@pytest.mark.parametrize("target", PRIMITIVES)
def test_primitive_and_portable_twin_agree(target, tmp_path, seed):
    shapes = [(*shape, False) for shape in SHAPES] + [(*shape, True) for shape in STALLS]
    sources = []
    for width, depth, stalls in shapes:
        make = lambda target, w=width, d=depth, s=stalls: Bram(width=w, depth=d, target=target, stalls=s)
        sources += write_pair(make, f"bram{name(width, depth, stalls)}", tmp_path, target)
    results = simulate(bench(shapes, 60_000), sources, tmp_path, seed, target)
    assert set(results) == {f"bram{name(*shape)}" for shape in shapes}
    for compared, differing in results.values():
        assert compared > 10_000
        assert differing == 0


@pytest.mark.parametrize(
    ("width", "depth", "shape", "blocks"),
    [(16, 1024, (1024, 18), 1), (25, 512, (512, 36), 1), (48, 1024, (1024, 18), 3), (16, 4096, (4096, 4), 4)],
)
def test_fewest_blocks(width, depth, shape, blocks):
    storage = Storage(width=width, depth=depth)
    assert storage.block_shape() == shape
    assert storage.blocks() == blocks


@pytest.mark.parametrize(
    ("width", "depth", "text"),
    [
        (0, 16, "bram width must be 1 to 1024, not 0"),
        (8, 1, "bram depth must be 2 to 1048576, not 1"),
        (8, "16", "bram depth must be an integer, not '16'"),
    ],
)
def test_size_out_of_range(width, depth, text):
    with pytest.raises(BramError) as error:
        Storage(width=width, depth=depth)
    assert str(error.value) == text


@pytest.mark.filterwarnings("ignore:.*created but never used")  # refused half-way through
def test_unknown_target():
    with pytest.raises(BramError) as error:
        Bram(width=8, depth=16, target="ice41")
    known = "ecp5, ice40, nexus, gowin, xc7, xcup"
    assert str(error.value) == f"bram target must be None or one of {known}, not 'ice41'"
