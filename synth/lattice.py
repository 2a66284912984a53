"""What ECP5 and Nexus share."""

# A tile of eight flip-flops has two reset signals and few enables, so small sets of flip-flops with signals of their own
# leave the placer without a legal place on a full part. These get logic in front of the flip-flop instead: docs/synth.md.
FEWEST_RESET, FEWEST_ENABLED = 17, 5
FLIP_FLOPS = "$_DFF_?_ 01|$_DFF_?P?_ r|$_SDFF_?P?_ r|$_DFFE_??_ 01|$_DFFE_?P??_ r|$_SDFFE_?P??_ r"
FEW_SETS = f"""\
opt_clean
dfflegalize {" ".join(f"-cell {kind}" for kind in FLIP_FLOPS.split("|"))} -minsrst {FEWEST_RESET} -mince {FEWEST_ENABLED}
opt_expr
opt_clean"""
