"""Counts what the groups do, for utilisation per command."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from spec.chip import Chip
from spec.engine import COUNTER_BITS, COUNTERS


class Counters(wiring.Component):
    """:data:`spec.engine.COUNTERS` of the command under way; they hold from its end to the next start.

    Members
    -------
    running : a command is under way; its rise clears the counters
    final_left : a group has nothing left to start; ends the steady window
    busy, blocked, outputs : per group, lanes; load_wait, saturated, working : per group, one bit
    values : the counters, in the order of their names
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
                "values": Out(data.StructLayout(dict.fromkeys(COUNTERS, COUNTER_BITS))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        groups = range(self.chip.groups)
        was_running = Signal()
        seen = Signal(self.chip.groups)
        steady = Signal()
        busy, blocked, outputs, load_wait, saturated = (
            Signal(range(self.chip.total_lanes + 1), name=name)
            for name in ("busy_lanes", "blocked_lanes", "new_outputs", "waiting_groups", "clipped")
        )
        m.d.sync += [
            was_running.eq(self.running),
            busy.eq(sum(self.busy[g] for g in groups)),
            blocked.eq(sum(self.blocked[g] for g in groups)),
            outputs.eq(sum(self.outputs[g] for g in groups)),
            load_wait.eq(sum(self.load_wait[g] for g in groups)),
            saturated.eq(sum(self.saturated[g] for g in groups)),
            seen.eq(seen | self.working),
            steady.eq(seen.all() & ~self.final_left),
        ]
        v = self.values
        with m.If(self.running & ~was_running):
            m.d.sync += [v.eq(0), seen.eq(0), steady.eq(0)]
        with m.Elif(self.running):
            m.d.sync += [
                v.cycles.eq(v.cycles + 1),
                v.busy_lane_cycles.eq(v.busy_lane_cycles + busy),
                v.outputs_computed.eq(v.outputs_computed + outputs),
                v.drain_stall_lane_cycles.eq(v.drain_stall_lane_cycles + blocked),
                v.load_stall_group_cycles.eq(v.load_stall_group_cycles + load_wait),
                v.saturations.eq(v.saturations + saturated),
            ]
            with m.If(steady):
                m.d.sync += [
                    v.steady_cycles.eq(v.steady_cycles + 1),
                    v.steady_busy_lane_cycles.eq(v.steady_busy_lane_cycles + busy),
                ]
        return m
