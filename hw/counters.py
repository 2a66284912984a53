"""Counts what the groups do, for utilisation per command."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from spec.chip import Chip
from spec.engine import COUNTER_BITS, COUNTERS


def counter_steps(chip: Chip):
    """By how much each counter goes on in a cycle."""
    by_lane, by_group = range(chip.total_lanes + 1), range(chip.groups + 1)
    steps = {
        "cycles": 1,
        "busy_lane_cycles": by_lane,
        "steady_cycles": 1,
        "steady_busy_lane_cycles": by_lane,
        "outputs_computed": by_lane,
        "drain_stall_lane_cycles": by_lane,
        "load_stall_group_cycles": by_group,
        "saturations": by_group,
    }
    return data.StructLayout({name: steps[name] for name in COUNTERS})


class Counters(wiring.Component):
    """:data:`spec.engine.COUNTERS` of the command under way; they hold from its end to the next start.

    Members
    -------
    steps : what is added to ``values`` in this cycle
    running : a command is under way; its rise clears the counters
    final_left : a group has nothing left to start; ends the steady window
    busy, blocked, outputs : per group, lanes; load_wait, saturated, working : per group, one bit
    values : the counters, in the order of their names; zero from the third cycle after a reset on
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        lanes = data.ArrayLayout(range(chip.lanes + 1), chip.groups)
        super().__init__(
            {
                "running": In(1),
                "final_left": In(1),
                "busy": In(lanes),
                "blocked": In(lanes),
                "outputs": In(lanes),
                "load_wait": In(chip.groups),
                "saturated": In(chip.groups),
                "working": In(chip.groups),
                "steps": Out(counter_steps(self.chip)),
                "values": Out(data.StructLayout(dict.fromkeys(COUNTERS, COUNTER_BITS))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        groups = range(self.chip.groups)
        was_running, rested = Signal(), Signal(init=1)  # opposites, both in registers
        seen = Signal(self.chip.groups, reset_less=True)
        steady = Signal(reset_less=True)
        busy, blocked, outputs = (
            Signal(range(self.chip.total_lanes + 1), name=name) for name in ("busy_lanes", "blocked_lanes", "new_outputs")
        )
        load_wait, saturated = (Signal(range(self.chip.groups + 1), name=name) for name in ("waiting_groups", "clipped"))
        m.d.sync += [
            was_running.eq(self.running),
            rested.eq(~self.running),
            busy.eq(sum(self.busy[g] for g in groups)),
            blocked.eq(sum(self.blocked[g] for g in groups)),
            outputs.eq(sum(self.outputs[g] for g in groups)),
            load_wait.eq(sum(self.load_wait[g] for g in groups)),
            saturated.eq(sum(self.saturated[g] for g in groups)),
            seen.eq(seen | self.working),
            steady.eq(seen.all() & ~self.final_left),
        ]
        steps = self.steps
        v = Signal(self.values.shape(), name="counted", reset_less=True)
        late = Signal.like(steps, reset_less=True)  # so that 40 bits of carry begin at registers; no event is in a command's last cycles
        m.d.comb += [self.values.eq(v), self.values.cycles.eq(v.cycles + late.cycles)]  # cycles go on to the end
        m.d.comb += steps.cycles.eq(self.running & was_running)
        with m.If(~rested):  # nothing happens in a command's last cycle, so that the end of one need not be seen here
            m.d.comb += [
                steps.busy_lane_cycles.eq(busy),
                steps.outputs_computed.eq(outputs),
                steps.drain_stall_lane_cycles.eq(blocked),
                steps.load_stall_group_cycles.eq(load_wait),
                steps.saturations.eq(saturated),
            ]
            with m.If(steady):
                m.d.comb += [steps.steady_cycles.eq(1), steps.steady_busy_lane_cycles.eq(busy)]
        m.d.sync += late.eq(steps)
        m.d.sync += [v[name].eq(v[name] + late[name]) for name in COUNTERS]
        # Registers clear the counters, some a cycle after the others: after a reset too. Nothing is counted so early but cycles.
        clears = Signal(2, init=-1)
        m.d.sync += clears.eq(Cat(self.running & ~was_running, clears))
        for n, name in enumerate(COUNTERS):
            with m.If(clears[n % 2]):
                m.d.sync += v[name].eq(0)
        with m.If(rested):
            m.d.sync += [seen.eq(0), steady.eq(0)]
        return m
