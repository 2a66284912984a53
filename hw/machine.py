"""The machine: everything between the host's bus and the memory's."""

from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.axi import memory_bus
from hw.registers import control_bus
from spec.axi import axi
from spec.chip import Chip
from spec.engine import COUNTER_BITS, COUNTERS
from spec.isa import TAG_BITS, Unit

events = data.StructLayout({"issued": len(Unit), "done": len(Unit), "tag": TAG_BITS})


class Machine(wiring.Component):
    """Fetches descriptors from a ring in memory and carries them out; see docs/machine.md.

    Members
    -------
    ctl : :py:`In(control_bus)`, AXI4-Lite: the registers of :data:`spec.registers.REGISTERS`
    mem : :py:`Out(memory_bus(spec))`, AXI4 with one ID
    irq : high while a bit is set both in IRQ_STATUS and IRQ_ENABLE
    events : for tracing; ``issued`` and ``done`` are pulses, a bit for each :class:`spec.isa.Unit`, and ``tag`` is
        that of the command that is issued in this cycle
    counters : the product unit's, of its last command
    """

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        super().__init__({
            "ctl": In(control_bus),
            "mem": Out(memory_bus(axi(chip))),
            "irq": Out(1),
            "events": Out(events),
            "counters": Out(data.StructLayout(dict.fromkeys(COUNTERS, COUNTER_BITS))),
        })
