"""Attaches a gradloom machine to a LiteX SoC: registers, memory, interrupt.

Stands beside ``gradloom_machine.v``, both written by ``gradloom generate --unit machine``; needs LiteX and nothing else::

    from gradloom_litex import add_gradloom
    add_gradloom(soc)                    # registers at soc.mem_map["gradloom"], or where there is room

The processor then finds the registers at ``GRADLOOM_BASE`` and, if it takes interrupts, ``GRADLOOM_INTERRUPT``, whose event is
``gradloom_ev``. Addresses in descriptors are those of the SoC's bus.
"""

from pathlib import Path
from typing import Any

from litex.gen import LiteXModule
from litex.soc.integration.soc import SoCRegion
from litex.soc.interconnect import axi
from litex.soc.interconnect.csr_eventmanager import EventManager, EventSourceLevel
from migen import ClockSignal, Instance, ResetSignal, Signal

SIZE = 0x1000  # bytes of the registers
REGISTER_ADDRESS_BITS = 12
DATA_BITS = 64  # of the memory bus
HERE = Path(__file__).resolve().parent


class GradloomMachine(LiteXModule):
    """``ctl`` is an AXI-Lite slave, ``mem`` an AXI master, ``ev`` the interrupt as LiteX has it, ``irq`` the plain line."""

    def __init__(self, platform: Any, folder: Path = HERE) -> None:
        self.ctl = ctl = axi.AXILiteInterface(data_width=32, address_width=32)
        self.mem = mem = axi.AXIInterface(data_width=DATA_BITS, address_width=32, id_width=1)
        self.irq = Signal()
        self.ev = EventManager()
        self.ev.machine = EventSourceLevel(description="A run of the ring has stopped.")
        self.ev.finalize()
        self.comb += self.ev.machine.trigger.eq(self.irq)

        ports = {"i_aclk": ClockSignal("sys"), "i_aresetn": ~ResetSignal("sys"), "o_irq": self.irq}
        lite = (("aw", 0, "addr"), ("w", 0, "data strb"), ("b", 1, "resp"), ("ar", 0, "addr"), ("r", 1, "data resp"))
        for channel, out, fields in lite:
            ports |= _channel("s_axi", channel, getattr(ctl, channel), fields, out)
        for channel in ("aw", "ar"):
            ports[f"i_s_axi_{channel}addr"] = getattr(ctl, channel).addr[:REGISTER_ADDRESS_BITS]
            ports[f"i_s_axi_{channel}prot"] = 0
        # LiteX' converter from 64 bits takes a ready for its own even when it offers nothing (2024.12).
        for channel in ("aw", "w", "ar"):
            ready, endpoint = Signal(), getattr(ctl, channel)
            ports[f"o_s_axi_{channel}ready"] = ready
            self.comb += endpoint.ready.eq(ready & endpoint.valid)
        address = "addr len size burst id lock cache prot qos"
        full = (("aw", 1, address), ("w", 1, "data strb last"), ("b", 0, "resp id"), ("ar", 1, address), ("r", 0, "data resp last id"))
        for channel, out, fields in full:
            ports |= _channel("m_axi", channel, getattr(mem, channel), fields, out)
        self.specials += Instance("gradloom_machine", **ports)
        platform.add_source(str(Path(folder) / "gradloom_machine.v"))


def _channel(bus: str, name: str, endpoint: Any, fields: str, out: int) -> dict[str, Any]:
    """Connections of one channel; ``out``: the machine gives its payload."""
    ports = {f"{'o' if out else 'i'}_{bus}_{name}valid": endpoint.valid, f"{'i' if out else 'o'}_{bus}_{name}ready": endpoint.ready}
    for field in fields.split():
        ports[f"{'o' if out else 'i'}_{bus}_{name}{field}"] = getattr(endpoint, field)
    return ports


def add_gradloom(soc: Any, name: str = "gradloom", origin: int | None = None, folder: Path = HERE) -> GradloomMachine:
    """A machine as ``soc.<name>``; its memory bus is the SoC's main bus.

    On an AXI bus of 64 bits bursts stay bursts; on any other each beat becomes accesses of its own.
    """
    soc.check_if_exists(name)
    machine = GradloomMachine(soc.platform, folder)
    setattr(soc, name, machine)
    region = SoCRegion(origin=soc.mem_map.get(name) if origin is None else origin, size=SIZE, cached=False)
    soc.bus.add_slave(name, machine.ctl, region)
    master = machine.mem
    if not (soc.bus.standard == "axi" and soc.bus.data_width == DATA_BITS):
        master = axi.AXILiteInterface(data_width=DATA_BITS, address_width=32)
        machine.bridge = axi.AXI2AXILite(machine.mem, master)
    soc.bus.add_master(f"{name}_mem", master)
    if soc.irq.enabled:
        soc.irq.add(name, use_loc_if_exists=True)
    return machine
