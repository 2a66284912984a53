"""A FuseSoC core description (CAPI2) of the generated machine."""

from gradloom.soc.axi_top import TOP
from spec.chip import Chip
from spec.version import VERSION

VLNV = f"gradloom::machine:{VERSION}"
# What Verilator says of any Verilog that Yosys wrote: several modules in a file, operands that Verilog extends, registers with a
# first value and a reset; and of outputs for tracing, which stay open.
WAIVED = ("DECLFILENAME", "WIDTHEXPAND", "PROCASSINIT", "UNUSEDSIGNAL", "PINCONNECTEMPTY", "VARHIDDEN")


def core_file(chip: Chip) -> str:
    """The text of ``gradloom_machine.core``: one file of Verilog, and a target that lints it."""
    return f"""\
CAPI=2:
name: {VLNV}
description: Neural network training accelerator, chip {chip.name} ({chip.groups} groups of {chip.lanes} lanes)

filesets:
  rtl:
    files:
      - {TOP}.v
    file_type: verilogSource

targets:
  default:
    filesets: [rtl]
    toplevel: {TOP}

  lint:
    filesets: [rtl]
    toplevel: {TOP}
    flow: lint
    flow_options:
      tool: verilator
      verilator_options: [-Wall, {", ".join(f"-Wno-{rule}" for rule in WAIVED)}]
"""
