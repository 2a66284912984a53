"""What a board's FPGA holds: machine, memory, the host's serial line."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from hw.machine import Machine
from hw.on_chip_memory import OnChipMemory
from hw.uart_bridge import UartBridge
from spec.axi import axi
from spec.boards import Design


class BoardLogic(wiring.Component):
    """Everything but pins and PLL, which ``synth/board.py`` puts around it; docs/boards.md.

    Members
    -------
    rx, tx : the serial line
    led : a blink a second while the clock runs, lit from a run's interrupt until the host clears it
    """

    def __init__(self, design: Design, target: str | None = None):
        self.design = design
        self.target = target
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), "led": Out(1)})

    def elaborate(self, platform):
        m = Module()
        design, target = self.design, self.target
        m.submodules.machine = machine = Machine(design.chip, target, traced=False)
        m.submodules.memory = memory = OnChipMemory(axi(design.chip), design.memory_bytes, target)
        m.submodules.bridge = bridge = UartBridge(design, target)
        connect(m, machine.mem, memory.bus)
        connect(m, bridge.ctl, machine.ctl)
        connect(m, bridge.memory, memory.host)

        beat = Signal(range(design.clock_hz // 2))
        blink = Signal()
        m.d.sync += beat.eq(beat + 1)
        with m.If(beat == design.clock_hz // 2 - 1):
            m.d.sync += [beat.eq(0), blink.eq(~blink)]
        m.d.sync += self.led.eq(blink | machine.irq)
        m.d.comb += [bridge.rx.eq(self.rx), self.tx.eq(bridge.tx)]
        return m
