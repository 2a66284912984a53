"""Xilinx 7-series and UltraScale+: utilisation only, as no open tool places and routes them from the Python index."""

from synth.part import Dsp, Family, Target

# Not with its DSP pass: products are instantiated. The pass moves an adder that stands behind an instance's output register
# in front of that register, and the result comes a cycle early.
SCRIPT = """\
synth_xilinx {flags} -nodsp -flatten -noiopad -noclkbuf -top {top} -run begin:map_memory
{memories}
synth_xilinx {flags} -nodsp -flatten -noiopad -noclkbuf -top {top} -run map_memory:
autoname
"""


def accumulates(cell: dict) -> bool:
    """Whether the adder behind the multiplier sees its own register: OPMODE's Z multiplexer can choose P."""
    z = cell["connections"]["OPMODE"][4:7]
    return z[0] == z[2] == "0" and z[1] != "0"


def family(name: str, dsp: str, lut_ram: dict[str, tuple[int, int]], carry: str) -> Family:
    return Family(
        name=name,
        script=SCRIPT,
        lut_inputs=6,
        logic={f"LUT{n}": 1 for n in range(1, 7)} | {"INV": 1},
        carry={carry: 0},  # beside the look-up tables that feed it
        lut_ram=lut_ram,
        flip_flops=("FDRE", "FDSE", "FDCE", "FDPE"),
        dsp={dsp: Dsp(unregistered={"AREG": "0", "BREG": "0", "PREG": "0"}, accumulates=accumulates)},
        bram={"RAMB18E1": 0.5, "RAMB36E1": 1, "RAMB18E2": 0.5, "RAMB36E2": 1},
    )


# Look-up tables and bits of distributed RAM; shift registers of up to 32 places take one table a bit.
LUT_RAM = {
    "RAM32M": (4, 256),
    "RAM64M": (4, 256),
    "RAM32X1D": (2, 32),
    "RAM64X1D": (2, 64),
    "RAM128X1D": (4, 128),
    "SRL16E": (1, 0),
    "SRLC32E": (1, 0),
}
XC7 = family("xc7", "DSP48E1", LUT_RAM, "CARRY4")
XCUP = family("xcup", "DSP48E2", LUT_RAM | {"RAM32M16": (8, 512), "RAM64M8": (8, 512)}, "CARRY8")

TARGETS = (
    Target(
        name="xc7a100t",
        family=XC7,
        luts=63400,
        ff=126800,
        dsp=240,
        bram=135,
        source="Xilinx DS180, table 4",
        yosys="-family xc7",
    ),
    Target(
        name="xczu3eg",
        family=XCUP,
        luts=70560,
        ff=141120,
        dsp=360,
        bram=216,
        source="Xilinx DS891, table 2",
        yosys="-family xcup",
    ),
)
