"""The engine: groups of lanes around a scratchpad, one product at a time."""

from amaranth.hdl import Cat, Module, Mux
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.arbiter import Arbiter
from hw.counters import Counters
from hw.finish import write_request
from hw.group import Group
from hw.layouts import brick, command
from hw.logic import delayed, join
from hw.rowqueue import RowQueue
from hw.scratchpad import Scratchpad
from hw.sequencer import Sequencer
from spec.chip import Chip
from spec.engine import COUNTER_BITS, COUNTERS, Widths


class Engine(wiring.Component):
    """``C = Convert(mask * (A @ B))`` on operands in the scratchpad.

    Golden twin: :func:`golden.product.product`, word for word, whatever the chip and the tiling.

    Members
    -------
    command : :py:`In(stream.Signature(command))`, accepted when idle; fields are those of
        :class:`spec.product.Product`, which checks them: the engine does not
    running, done : a command is under way; one pulse at its end
    write : bricks from the host; waits while the engine writes
    read, read_valid, read_brick : bricks for the host
    counters : of the last command, see :data:`spec.engine.COUNTERS`
    """

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        address = Widths(chip).brick_address
        super().__init__(
            {
                "command": In(stream.Signature(command(chip))),
                "running": Out(1),
                "done": Out(1),
                "write": In(stream.Signature(write_request(chip))),
                "read": In(stream.Signature(address)),
                "read_valid": Out(1),
                "read_brick": Out(brick(chip)),
                "counters": Out(data.StructLayout(dict.fromkeys(COUNTERS, COUNTER_BITS))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip = self.chip
        address = Widths(chip).brick_address
        m.submodules.sequencer = sequencer = Sequencer(chip)
        m.submodules.queue = queue = RowQueue(chip.groups)
        m.submodules.counters = counters = Counters(chip)
        m.submodules.scratchpad = scratchpad = Scratchpad(chip, readers=4, target=self.target)
        m.submodules.a_arbiter = a_arbiter = Arbiter(address, chip.groups)
        m.submodules.mask_arbiter = mask_arbiter = Arbiter(address, 2 * chip.groups)  # scans and finishes
        m.submodules.c_arbiter = c_arbiter = Arbiter(write_request(chip), chip.groups)

        connect(m, flipped(self.command), sequencer.i)
        connect(m, sequencer.request, scratchpad.read[1])
        connect(m, flipped(self.read), scratchpad.read[3])
        m.d.comb += [
            self.running.eq(sequencer.running),
            self.done.eq(sequencer.done),
            self.counters.eq(counters.values),
            counters.running.eq(sequencer.running),
            counters.final_left.eq(sequencer.final_left),
            queue.set.eq(sequencer.queue_set),
            queue.set_half.eq(sequencer.queue_half),
            queue.set_next.eq(sequencer.queue_next),
            queue.set_limit.eq(sequencer.queue_limit),
            sequencer.brick_valid.eq(scratchpad.valid[1]),
            sequencer.brick.eq(scratchpad.bricks[1]),
        ]
        answers = {}
        for name, arbiter, reader in (("a", a_arbiter, 0), ("mask", mask_arbiter, 2)):
            m.d.comb += [
                scratchpad.read[reader].valid.eq(arbiter.o.valid),
                scratchpad.read[reader].p.eq(arbiter.o.p.value),
                arbiter.o.ready.eq(scratchpad.read[reader].ready),
            ]
            source = delayed(m, arbiter.o.p.source, Scratchpad.LATENCY, f"{name}_source")
            answers[name] = Cat(scratchpad.valid[reader] & (source == n) for n in range(arbiter.count))
        m.d.comb += [
            self.read_valid.eq(scratchpad.valid[3]),
            self.read_brick.eq(scratchpad.bricks[3]),
            # The engine's own bricks go first.
            c_arbiter.o.ready.eq(1),
            self.write.ready.eq(~c_arbiter.o.valid),
            scratchpad.write.valid.eq(c_arbiter.o.valid | self.write.valid),
            scratchpad.write.p.eq(Mux(c_arbiter.o.valid, c_arbiter.o.p.value, self.write.p)),
        ]

        for g in range(chip.groups):
            group = Group(chip, self.target)
            m.submodules[f"group_{g}"] = group
            connect(m, group.a_request, a_arbiter.i[g])
            connect(m, group.scan_request, mask_arbiter.i[2 * g])
            connect(m, group.finish_request, mask_arbiter.i[2 * g + 1])
            connect(m, group.c, c_arbiter.i[g])
            m.d.comb += [
                group.command.eq(sequencer.command),
                group.restart.eq(sequencer.restart),
                *join(group.tiles, sequencer.tiles),
                sequencer.tile_done[g].eq(group.tile_done),
                sequencer.left[g].eq(group.left),
                sequencer.idle[g].eq(group.idle),
                queue.request[g].eq(group.queue_request),
                queue.half[g].eq(group.queue_half),
                group.queue_grant.eq(queue.grant[g]),
                group.queue_none.eq(queue.none),
                group.queue_row.eq(queue.row),
                group.load.eq(sequencer.load),
                group.a_valid.eq(answers["a"][g]),
                group.a_brick.eq(scratchpad.bricks[0]),
                group.scan_valid.eq(answers["mask"][2 * g]),
                group.finish_valid.eq(answers["mask"][2 * g + 1]),
                group.mask_brick.eq(scratchpad.bricks[2]),
                counters.busy[g].eq(group.busy),
                counters.blocked[g].eq(group.blocked),
                counters.outputs[g].eq(group.outputs),
                counters.load_wait[g].eq(group.load_wait),
                counters.saturated[g].eq(group.saturated),
                counters.working[g].eq(group.working),
            ]
        return m
