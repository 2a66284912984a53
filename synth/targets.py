"""Parts the flow can price: what they hold and how the tools name them."""

from dataclasses import dataclass


class SynthError(ValueError):
    """A synthesis that cannot be run or did not finish; says what and why."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One FPGA part in one package and speed grade. Capacities: Lattice FPGA-DS-02012, table 1.1."""

    name: str
    device: str  # nextpnr's device flag
    package: str
    speed: int  # 6 is the slowest and cheapest grade
    lut4: int
    ff: int
    dsp: int  # 18 x 18 multipliers
    bram: int  # 18 kbit block RAMs


TARGETS = {
    target.name: target
    for target in (
        Target(name="ecp5-25k", device="25k", package="CABGA381", speed=6, lut4=24288, ff=24288, dsp=28, bram=56),
        Target(name="ecp5-45k", device="45k", package="CABGA381", speed=6, lut4=43848, ff=43848, dsp=72, bram=108),
        Target(name="ecp5-85k", device="85k", package="CABGA381", speed=6, lut4=83640, ff=83640, dsp=156, bram=208),
    )
}


def load_target(name: str) -> Target:
    """The named part; raises :class:`SynthError` with the known names."""
    if name not in TARGETS:
        raise SynthError(f"unknown target {name!r}; known targets: {', '.join(TARGETS)}")
    return TARGETS[name]
