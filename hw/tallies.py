"""The machine's counters, since they were last cleared."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from spec.chip import Chip
from spec.engine import COUNTER_BITS, COUNTERS
from spec.isa import Unit
from spec.registers import COUNTER_NAMES

totals = data.StructLayout(dict.fromkeys(COUNTER_NAMES, COUNTER_BITS))


class Tallies(wiring.Component):
    """Counts by the cycle; the engine's own counters are added when a product is done, one after the other, which is complete
    ``len(COUNTERS) + 1`` cycles later.

    Members
    -------
    clear : all to zero
    running, busy, commands, brick_read, brick_written, vector_saturated : what is counted
    product_done, engine : a pulse when a product is done, and its counters, which hold for that cycle
    values : in the order of :data:`spec.registers.COUNTER_NAMES`
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        super().__init__({
            "clear": In(1),
            "running": In(1),
            "busy": In(len(Unit)),
            "commands": In(1),
            "brick_read": In(1),
            "brick_written": In(1),
            "vector_saturated": In(range(chip.vector_words + 1)),
            "product_done": In(1),
            "engine": In(data.ArrayLayout(COUNTER_BITS, len(COUNTERS))),
            "values": Out(totals),
        })

    def elaborate(self, platform):
        m = Module()
        v = self.values
        steps = {
            "run_cycles": self.running,
            **{f"{unit.name.lower()}_cycles": self.busy[n] for n, unit in enumerate(Unit)},
            "commands": self.commands,
            "bricks_read": self.brick_read,
            "bricks_written": self.brick_written,
            "vector_saturations": self.vector_saturated,
        }
        for name, step in steps.items():
            late = Signal(len(step), name=f"{name}_step")
            m.d.sync += [late.eq(step), v[name].eq(v[name] + late)]

        # One adder walks over the engine's counters: sums and addends go round once, in step.
        own = [v[f"engine_{name}"] for name in COUNTERS]
        addends = Signal(data.ArrayLayout(COUNTER_BITS, len(COUNTERS)), reset_less=True)
        left = Signal(range(len(COUNTERS) + 1))
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
            for n in range(len(COUNTERS)):
                with m.If(left == len(COUNTERS) - n):
                    m.d.sync += own[n].eq(own[n] + addends[n])
        with m.If(self.product_done):
            m.d.sync += [addends.eq(self.engine), left.eq(len(COUNTERS))]
        with m.If(self.clear):
            m.d.sync += v.eq(0)
        return m
