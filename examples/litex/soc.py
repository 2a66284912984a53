"""A small LiteX SoC with a gradloom machine, written as Verilog: ``python soc.py RTL OUT [BUS]``.

RTL : the folder that ``gradloom generate --unit machine --out RTL`` wrote. OUT : ``soc.v`` goes there. BUS, if given: wishbone 32, wishbone 64,
axi-lite 32 or axi 64. There is no processor, so that
nothing else is needed: a Wishbone master on pins stands for it. With one, give ``cpu_type`` and leave the pins out.
"""

import os
import sys
from pathlib import Path

from litex.build.generic_platform import Pins, Subsignal
from litex.build.sim import SimPlatform
from litex.soc.integration.soc_core import SoCCore
from litex.soc.interconnect import wishbone
from migen import ClockDomain, Module

MEMORY = 0x40000000
REGISTERS = 0x90000000
HOST = [("adr", 30), ("dat_w", 32), ("dat_r", 32), ("sel", 4), ("cyc", 1), ("stb", 1), ("ack", 1), ("we", 1), ("err", 1)]
IO = [
    ("clk", 0, Pins(1)),
    ("rst", 0, Pins(1)),
    ("irq", 0, Pins(1)),
    ("host", 0, *(Subsignal(name, Pins(width)) for name, width in HOST)),
]


class Clocks(Module):
    def __init__(self, platform):
        self.clock_domains.cd_sys = ClockDomain()
        self.comb += [self.cd_sys.clk.eq(platform.request("clk")), self.cd_sys.rst.eq(platform.request("rst"))]


class Soc(SoCCore):
    """Memory of 64 KiB, a machine, and a master on pins, on a bus of ``bus_standard``."""

    def __init__(self, rtl, bus_standard="wishbone", bus_data_width=32):
        sys.path.insert(0, str(rtl))
        from gradloom_litex import add_gradloom

        platform = SimPlatform("gradloom", IO)
        self.submodules.crg = Clocks(platform)
        super().__init__(
            platform, int(100e6), cpu_type=None, integrated_main_ram_size=0x10000, with_uart=False, with_timer=False,
            bus_standard=bus_standard, bus_data_width=bus_data_width,
        )  # fmt: skip
        machine = add_gradloom(self, origin=REGISTERS, folder=rtl)
        host, pins = wishbone.Interface(data_width=32, adr_width=30), platform.request("host")
        self.bus.add_master("host", host)
        driven = ("adr", "dat_w", "sel", "cyc", "stb", "we")
        self.comb += [getattr(host, name).eq(getattr(pins, name)) for name in driven]
        self.comb += [getattr(pins, name).eq(getattr(host, name)) for name in ("dat_r", "ack", "err")]
        self.comb += platform.request("irq").eq(machine.irq)


def main(rtl, out, *bus):
    soc = Soc(Path(rtl).resolve(), *(int(word) if word.isdigit() else word for word in bus))
    soc.finalize()
    Path(out).mkdir(parents=True, exist_ok=True)
    os.chdir(out)  # where LiteX also puts the first contents of memories
    soc.platform.get_verilog(soc, name="soc").write("soc.v")


if __name__ == "__main__":
    main(*sys.argv[1:])
