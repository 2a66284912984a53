"""The machine's counters, since they were last cleared."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.bram import Bram
from hw.counters import counter_steps
from hw.logic import delayed, select
from spec.chip import Chip
from spec.engine import COUNTER_BITS, COUNTERS
from spec.isa import Unit
from spec.registers import COUNTER_NAMES

HALF = COUNTER_BITS // 2
ROUND = 2 * len(COUNTER_NAMES)  # cycles


class Tallies(wiring.Component):
    """Totals lie in a block RAM, as halves. Two cycles belong to each counter, one counter behind the other: what was counted in a
    small register since its last turn is added, first to the low half, and its carry to the high one.

    Latency: an answer comes at most ``LATENCY`` cycles after its question and holds everything that was to be counted two
    cycles before that, and may hold what came since.

    Members
    -------
    clear : all to zero
    running, busy, commands, brick_read, brick_written, vector_saturated : what is counted
    engine : by how much each of the product unit's counters goes on
    wanted, number : a counter is asked for, in the order of :data:`spec.registers.COUNTER_NAMES`; both hold until ``answer``
    answer, value : a pulse; the total, which holds until the next one
    """

    LATENCY = ROUND + 6

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        super().__init__({
            "clear": In(1),
            "running": In(1),
            "busy": In(len(Unit)),
            "commands": In(1),
            "brick_read": In(1),
            "brick_written": In(1),
            "vector_saturated": In(range(chip.vector_words + 1)),
            "engine": In(counter_steps(chip)),
            "wanted": In(1),
            "number": In(range(len(COUNTER_NAMES))),
            "answer": Out(1),
            "value": Out(COUNTER_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Bram(width=HALF, depth=2 * len(COUNTER_NAMES), target=self.target)
        number = Signal(range(len(COUNTER_NAMES)))  # whose turn it is
        high = Signal()  # which half
        unknown = Signal(range(ROUND + 1), init=ROUND)  # halves that the memory does not hold
        m.d.sync += high.eq(~high)
        with m.If(high):
            m.d.sync += number.eq(Mux(number == len(COUNTER_NAMES) - 1, 0, number + 1))
        with m.If(unknown != 0):
            m.d.sync += unknown.eq(unknown - 1)
        with m.If(self.clear):
            m.d.sync += [number.eq(0), high.eq(0), unknown.eq(ROUND)]

        recent = self._count(m, number, high)
        addend, high_late = delayed(m, recent, 1, "recent"), delayed(m, high, Bram.LATENCY, "high")
        known = delayed(m, unknown == 0, Bram.LATENCY, "known")
        total = Signal(HALF)
        carry = Signal()
        m.d.comb += memory.r_addr.eq(Cat(high, number))
        m.d.sync += [
            Cat(total, carry).eq(Mux(known, memory.r_data, 0) + Mux(high_late, carry, addend)),
            memory.w_en.eq(1),
        ]
        m.d.comb += [memory.w_addr.eq(delayed(m, memory.r_addr, Bram.LATENCY + 1, "address")), memory.w_data.eq(total)]

        # The halves of the total that is asked for, as they are written.
        hit, low_hit = Signal(), Signal()
        m.d.comb += hit.eq(Mux(high, low_hit, self.wanted & (number == self.number)))
        m.d.sync += low_hit.eq(hit & ~high & ~self.clear)
        with m.If(delayed(m, hit, Bram.LATENCY + 1, "hit", control=True)):
            m.d.sync += self.value.eq(Cat(self.value[HALF:], total))
        m.d.sync += self.answer.eq(delayed(m, hit & high, Bram.LATENCY + 1, "whole", control=True))
        return m

    def _count(self, m, number, high):
        """What was counted since its last turn by the counter whose turn it is, a cycle later."""
        steps = {
            "run_cycles": self.running,
            **{f"{unit.name.lower()}_cycles": self.busy[n] for n, unit in enumerate(Unit)},
            "commands": self.commands,
            "bricks_read": self.brick_read,
            "bricks_written": self.brick_written,
            "vector_saturations": self.vector_saturated,
            **{f"engine_{name}": self.engine[name] for name in COUNTERS},
        }
        counts = []
        for n, name in enumerate(COUNTER_NAMES):
            most = (1 << len(steps[name])) - 1
            step = Signal(len(steps[name]), name=f"{name}_step")
            count = Signal(range(ROUND * most + 1), name=name)
            m.d.sync += [step.eq(steps[name]), count.eq(Mux(~high & (number == n), 0, count) + step)]
            counts.append(count)
        with m.If(self.clear):
            m.d.sync += [count.eq(0) for count in counts]
        recent = Signal(range(max(1 << len(count) for count in counts)))
        m.d.sync += recent.eq(select(number, counts))
        return recent
