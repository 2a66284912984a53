"""A board's logic to a bitstream: PLL, pins, reset, then Yosys, nextpnr and ecppack."""

import re
from pathlib import Path

from spec.boards import Board
from synth.families.ecp5 import ROUTER, SPREADING
from synth.flow import buffered, memories_and_multipliers, seed_list, synthesise
from synth.netlist import cells_by_instance, tree
from synth.part import SynthError, Target
from synth.report import Timing, read_timing
from synth.targets import load_target
from synth.tools import ECPPACK, ECPPLL, NEXTPNR, YOSYS, run, versions

TOP = "top"
ROUNDING_MHZ = 1e-6
RESET_CYCLES = 16


def bitstream(
    board: Board, verilog: Path, module: str, *, seeds: int = 1, out: Path, progress: bool = True
) -> tuple[dict, list[Path]]:
    """Files of ``board``, whose logic is ``module`` of ``verilog``, in ``out``: Verilog, constraints and bitstream; a report.

    ``seeds`` placements are tried at most, until one reaches the board's clock.
    Raises :class:`synth.part.SynthError` where a tool refuses, or no placement is fast enough: then there is no bitstream.
    """
    part, name, tools = load_target(board.target), board.name, versions(YOSYS, NEXTPNR)
    out.mkdir(parents=True, exist_ok=True)
    files = {kind: out / f"{name}.{kind}" for kind in ("v", "lpf", "bit")}
    files["bit"].unlink(missing_ok=True)
    pll, mhz = _pll(board, out, progress)
    files["v"].write_text("\n".join([verilog.read_text(), pll, top_verilog(board, module)]))
    files["lpf"].write_text(constraints(board))
    netlist = synthesise(files["v"], TOP, part, out, progress)
    resets = buffered(netlist, TOP, out)

    timings: dict[int, Timing] = {}
    for seed in seed_list(seeds):
        _place(board, part, seed, out, progress)
        timings[seed] = read_timing(out / f"seed{seed}.json")
        if timings[seed].fmax_mhz >= mhz:
            break
    best = max(timings, key=lambda seed: timings[seed].fmax_mhz)
    timing = timings[best]
    if timing.fmax_mhz < mhz:
        raise SynthError(
            f"board {name}: routed at {timing.fmax_mhz:.2f} MHz, its clock is {mhz:g}: ask for less in spec/boards.py, "
            f"or try more than {len(timings)} seeds (report: {out / f'seed{best}.json'})"
        )
    packed = ["--compress", f"seed{best}.config", files["bit"].name]
    run(ECPPACK, packed, folder=out, log="pack.log", what=f"bitstream of {name}", progress=progress)
    used = part.family.placer.count(timing.used)
    report = {
        "board": name,
        "target": board.target,
        "mhz": mhz,
        "fmax_mhz": round(timing.fmax_mhz, 2),
        "fmax_by_seed": {str(seed): round(t.fmax_mhz, 2) for seed, t in timings.items()},
        "seed": best,
        "baud": board.baud,
        "divider": board.divider,
        "memory_bytes": board.memory_bytes,
        **_as_lut4(used),
        "share": _as_lut4(part.share(used)),
        **memories_and_multipliers(netlist, TOP, part, out),
        "by_unit": tree(cells_by_instance(netlist, TOP), part.family),
        "buffered_resets": resets,
        "critical_path": timing.critical_path,
        "versions": tools,
    }
    return report, [files["v"], files["lpf"], files["bit"]]


def _as_lut4(numbers: dict) -> dict:
    """ECP5's look-up tables by the name that reports give those of four inputs."""
    return {"lut4" if kind == "luts" else kind: number for kind, number in numbers.items()}


def top_verilog(board: Board, module: str) -> str:
    """The board's pins around ``module``: clock from the PLL, a reset that ends with it, other pins held."""
    pins = ["input oscillator", "input rx", "output tx", "output led", *(f"output {pin}" for pin in board.held_high)]
    lit = "~lit" if board.led_low else "lit"
    return f"""\
module {TOP}({", ".join(pins)});
  wire clk, locked, rst, lit;
  pll pll(.clkin(oscillator), .clkout(clk), .locked(locked));
  reg [{RESET_CYCLES - 1}:0] held = {{{RESET_CYCLES}{{1'b1}}}};
  always @(posedge clk or negedge locked)
    if (!locked) held <= {{{RESET_CYCLES}{{1'b1}}}};
    else held <= held << 1;
  assign rst = held[{RESET_CYCLES - 1}];
  {module} logic_0(.clk(clk), .rst(rst), .rx(rx), .tx(tx), .led(lit));
  assign led = {lit};
{"".join(f"  assign {pin} = 1'b1;{chr(10)}" for pin in board.held_high)}endmodule
"""


def constraints(board: Board) -> str:
    """nextpnr's LPF; all pins have 3.3 V."""
    sites = {"oscillator": board.clock, "rx": board.rx, "tx": board.tx, "led": board.led, **board.held_high}
    lines = [f'FREQUENCY PORT "oscillator" {board.oscillator_mhz:g} MHZ;']
    for port, site in sites.items():
        pull = " PULLMODE=UP" if port == "rx" else ""  # an unplugged line is idle
        lines += [f'LOCATE COMP "{port}" SITE "{site}";', f'IOBUF PORT "{port}" IO_TYPE=LVCMOS33{pull};']
    return "\n".join([*lines, ""])


def _pll(board: Board, out: Path, progress: bool) -> tuple[str, float]:
    """Verilog of the PLL and the frequency that it makes."""
    asked = ["-i", f"{board.oscillator_mhz:g}", "-o", f"{board.mhz:g}", "-n", "pll"]
    asked += ["--clkin_name", "clkin", "--clkout0_name", "clkout", "-f", "pll.v"]
    run(ECPPLL, asked, folder=out, log="pll.log", what=f"PLL of {board.name}", progress=progress)
    made = re.search(r"clkout0 frequency: ([\d.]+) MHz", (out / "pll.log").read_text())
    if made is None or abs(float(made[1]) - board.mhz) > ROUNDING_MHZ:
        got = made[1] if made else "no clock"
        raise SynthError(f"board {board.name}: mhz must be one that its PLL makes, not {board.mhz:g}; nearest: {got}")
    return (out / "pll.v").read_text(), board.mhz


def _place(board: Board, part: Target, seed: int, out: Path, progress: bool) -> None:
    arguments = [*part.flags]
    arguments += ["--json", f"{TOP}.json", "--lpf", f"{board.name}.lpf", "--textcfg", f"seed{seed}.config"]
    arguments += ["--report", f"seed{seed}.json", "--seed", str(seed)]
    arguments += [*ROUTER, *SPREADING, "--freq", f"{board.mhz:g}", "--timing-allow-fail"]
    what = f"place and route {board.name} on {part.name}, seed {seed}"
    run(NEXTPNR, arguments, folder=out, log=f"seed{seed}.log", what=what, progress=progress)
