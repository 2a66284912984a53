"""The product unit: groups of lanes, one product at a time."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.arbiter import Arbiter
from hw.counters import Counters, counter_steps
from hw.fifo import Skid
from hw.finish import Finish, write_request
from hw.group import Group
from hw.layouts import brick, command
from hw.logic import delayed, join
from hw.rowqueue import RowQueue
from hw.scratchpad import Scratchpad
from hw.sequencer import Sequencer
from spec.chip import Chip
from spec.engine import COUNTER_BITS, COUNTERS, Widths
from spec.product import ceil_div

# Readers, in the order in which they go first; group g has reader g % 2 of A. Nobody goes before B, which therefore never waits:
# the sequencer asks at the pace at which it can spread words.
B, A, MASK = 0, (1, 2), 3


class ProductUnit(wiring.Component):
    """``C = Convert(mask * (A @ B))`` on operands in a scratchpad, which is not part of it.

    Golden twin: :func:`golden.product.product`, word for word, whatever the chip and the tiling.
    Contract: answers come ``Scratchpad.LATENCY`` cycles after their requests; a brick of C is readable when
    ``done`` comes if the scratchpad takes it within ``hw.sequencer.FLUSH`` cycles.

    Members
    -------
    command : :py:`In(stream.Signature(command))`, accepted when idle; fields are those of
        :class:`spec.product.Product`, which checks them: the unit does not
    running, done : a command is under way; one pulse at its end
    read, valid, bricks : requests of ``READERS`` readers, B, two of A and the mask, and the answers
    write : :py:`Out(stream.Signature(write_request))`, bricks of C; may stall
    counters, steps : of the last command, and by how much they go on, see :data:`spec.engine.COUNTERS`
    """

    READERS = 4

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        address = Widths(chip).brick_address
        super().__init__(
            {
                "command": In(stream.Signature(command(chip))),
                "running": Out(1),
                "done": Out(1),
                "read": Out(stream.Signature(address)).array(self.READERS),
                "valid": In(self.READERS),
                "bricks": In(data.ArrayLayout(brick(chip), self.READERS)),
                "write": Out(stream.Signature(write_request(chip))),
                "counters": Out(data.StructLayout(dict.fromkeys(COUNTERS, COUNTER_BITS))),
                "steps": Out(counter_steps(chip)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip = self.chip
        address = Widths(chip).brick_address
        m.submodules.sequencer = sequencer = Sequencer(chip)
        m.submodules.queue = queue = RowQueue(chip)
        m.submodules.counters = counters = Counters(chip)
        a_arbiters = [Arbiter(address, ceil_div(chip.groups - n, len(A))) for n in range(min(len(A), chip.groups))]
        together = chip.finish_groups  # groups of one finish unit
        units = ceil_div(chip.groups, together)
        mask_arbiter = Arbiter(address, chip.groups + units)  # scans, then finishes
        m.submodules.c_arbiter = c_arbiter = Arbiter(write_request(chip), units)

        connect(m, flipped(self.command), sequencer.i)
        connect(m, sequencer.request, flipped(self.read[B]))
        m.d.comb += [
            self.write.valid.eq(c_arbiter.o.valid),
            self.write.p.eq(c_arbiter.o.p.value),
            c_arbiter.o.ready.eq(self.write.ready),
            self.running.eq(sequencer.running),
            self.done.eq(sequencer.done),
            self.counters.eq(counters.values),
            self.steps.eq(counters.steps),
            counters.running.eq(sequencer.running),
            counters.final_left.eq(sequencer.final_left),
            queue.command.eq(sequencer.command),
            queue.set.eq(sequencer.queue_set),
            queue.set_over.eq(sequencer.queue_over),
            queue.set_half.eq(sequencer.queue_half),
            queue.set_next.eq(sequencer.queue_next),
            queue.set_limit.eq(sequencer.queue_limit),
            sequencer.brick_valid.eq(self.valid[B]),
            sequencer.brick.eq(self.bricks[B]),
        ]
        answers = {}
        shared = [(f"a_{n}", arbiter, reader) for n, (arbiter, reader) in enumerate(zip(a_arbiters, A, strict=False))]
        for name, arbiter, reader in (*shared, ("mask", mask_arbiter, MASK)):
            # Requests wait in front of the scratchpad in registers, so that its choice of readers ends there.
            m.submodules[f"{name}_arbiter"] = arbiter
            m.submodules[f"{name}_skid"] = skid = Skid(arbiter.output)
            connect(m, arbiter.o, skid.i)
            m.d.comb += [
                self.read[reader].valid.eq(skid.o.valid),
                self.read[reader].p.eq(skid.o.p.value),
                skid.o.ready.eq(self.read[reader].ready),
            ]
            source = delayed(m, skid.o.p.source, Scratchpad.LATENCY, f"{name}_source")
            answers[reader] = Cat(self.valid[reader] & (source == n) for n in range(arbiter.count))
        finishes = []
        for u in range(units):
            finish = Finish(chip, min(together, chip.groups - u * together), self.target)
            m.submodules[f"finish_{u}"] = finish
            finishes.append(finish)
            connect(m, finish.request, mask_arbiter.i[chip.groups + u])
            connect(m, finish.o, c_arbiter.i[u])
            m.d.comb += [
                finish.command.eq(sequencer.command),
                finish.restart.eq(sequencer.restart),
                *join(finish.tiles, sequencer.tiles),
                finish.brick_valid.eq(answers[MASK][chip.groups + u]),
                finish.brick.eq(self.bricks[MASK]),
            ]
            m.d.sync += counters.saturated[u].eq(finish.saturated)
        idle = Signal(units)
        m.d.sync += idle.eq(Cat(finish.idle for finish in finishes))
        for g in range(chip.groups):
            group = Group(chip, self.target)
            m.submodules[f"group_{g}"] = group
            place, port = divmod(g, len(A))
            connect(m, group.a_request, a_arbiters[port].i[place])
            connect(m, group.scan_request, mask_arbiter.i[g])
            unit, source = divmod(g, together)
            finish = finishes[unit]
            connect(m, group.finish, finish.i[source])
            m.d.comb += [
                group.finished.eq(finish.finished[source]),
                group.finished_half.eq(finish.finished_half),
                group.read_address.eq(finish.read_address),
                finish.read_ready[source].eq(group.read_ready),
                finish.read_data[source].eq(group.read_data),
                group.command.eq(sequencer.command),
                group.span.eq(sequencer.span),
                group.restart.eq(sequencer.restart),
                *join(group.tiles, sequencer.tiles),
                sequencer.tile_done[g].eq(group.tile_done),
                sequencer.left[g].eq(group.left),
                sequencer.idle[g].eq(group.idle & idle[unit]),
                queue.request[g].eq(group.queue_request),
                queue.half[g].eq(group.queue_half),
                group.queue_grant.eq(queue.grant[g]),
                group.queue_none.eq(queue.none),
                group.queue_row.eq(queue.row),
                group.load.eq(sequencer.load),
                group.a_valid.eq(answers[A[port]][place]),
                group.a_brick.eq(self.bricks[A[port]]),
                group.scan_valid.eq(answers[MASK][g]),
                group.mask_brick.eq(self.bricks[MASK]),
                counters.busy[g].eq(group.busy),
                counters.blocked[g].eq(group.blocked),
                counters.outputs[g].eq(group.outputs),
                counters.load_wait[g].eq(group.load_wait),
                counters.working[g].eq(group.working),
            ]
        return m
