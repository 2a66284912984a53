"""The vector unit: one VECTOR command at a time, from the scratchpad to the scratchpad."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.fifo import BlockFifo, Fifo, Skid
from hw.finish import write_request
from hw.layouts import brick
from hw.logic import delayed, select
from hw.vector_brick import VectorMask, VectorMax, VectorTranspose
from hw.vector_layouts import vector_command, vector_modes, vector_plan, vector_tag
from hw.vector_port import Ahead, VectorPort, read_ahead
from hw.vector_scale import VectorScale
from hw.vector_walk import VectorWalk
from spec.chip import Chip
from spec.engine import Widths
from spec.isa import Kind
from spec.vector import beats, bricks_ahead

SETTLE = 10  # cycles after a reset until no answer to an earlier request can come


class VectorUnit(wiring.Component):
    """Steps come from :class:`hw.vector_walk.VectorWalk`; each waits for its bricks and for places for its results, and then
    nothing stalls it any more.

    Golden twin: :func:`golden.emulator_vector.vector`.
    Speed: see docs/units/vector.md. Stalls: requests and ``o`` freely.

    Members
    -------
    command : :py:`In(stream.Signature(vector_command))`; taken when idle
    running : a command is under way; done : a pulse at its end, when all of its result can be read
    saturated : words clipped in this cycle
    request_u, valid_u, brick_u : u, tables and records; addresses out, bricks in, in order, ``Scratchpad.LATENCY`` or more late
    request_v, valid_v, brick_v : the same for v
    o : :py:`Out(stream.Signature(write_request))`
    """

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        address = Widths(chip).brick_address
        super().__init__({
            "command": In(stream.Signature(vector_command(chip))),
            "running": Out(1),
            "done": Out(1),
            "saturated": Out(range(chip.vector_words + 1)),
            "request_u": Out(stream.Signature(address)),
            "valid_u": In(1),
            "brick_u": In(brick(chip)),
            "request_v": Out(stream.Signature(address)),
            "valid_v": In(1),
            "brick_v": In(brick(chip)),
            "o": Out(stream.Signature(write_request(chip))),
        })

    def elaborate(self, platform):
        m = Module()
        chip = self.chip
        address = Widths(chip).brick_address
        command = Signal(vector_command(chip), reset_less=True)
        kind = command.kind
        modes = Signal(vector_modes(), reset_less=True)
        reduces, back = kind == Kind.REDUCE, kind == Kind.MAX_BACK
        transposes, masks, finds, multiplies = (
            Signal(name=name, reset_less=True) for name in ("is_transpose", "is_mask", "is_max", "is_scale")
        )
        start = Signal()
        with m.If(start):
            m.d.sync += [
                modes.scale.eq(kind == Kind.AFFINE),
                modes.gate.eq(command.gate & (kind == Kind.AFFINE)),
                modes.relu.eq(command.relu & (kind == Kind.AFFINE)),
                modes.by_v.eq(reduces),
                modes.both.eq(reduces & ~command.convert),
                modes.back.eq(back),
                modes.records.eq(reduces & ~command.start),
                modes.ones.eq(back),
                modes.shift.eq(Mux(back, 0, command.shift)),
                modes.rounding.eq(command.rounding),
                modes.key.eq(command.key),
                transposes.eq(kind == Kind.TRANSPOSE),
                masks.eq(kind == Kind.MASK),
                finds.eq(kind == Kind.MAX),
                multiplies.eq(kind.matches(Kind.AFFINE, Kind.REDUCE, Kind.MAX_BACK, Kind.MEAN)),
            ]

        # Steps go to both ports, their tags to a memory and what they need to begin to a queue.
        m.submodules.walk = walk = VectorWalk(chip)
        m.submodules.port_u = port_u = VectorPort(chip, self.target)
        m.submodules.port_v = port_v = VectorPort(chip, self.target)
        m.submodules.tags = tags = Ahead(vector_tag(chip), chip, self.target)
        m.submodules.plans = plans = Fifo(vector_plan(), read_ahead(chip))  # it bounds what the ports ask for ahead
        step, coming = walk.o, walk.o.p.tag
        ready_u, ready_v = port_u.i.ready, port_v.i.ready
        m.d.comb += [
            walk.command.eq(command),
            port_u.i.p.eq(step.p.u),
            port_v.i.p.eq(step.p.v),
            tags.word.eq(coming),
            plans.i.p.read_u.eq(coming.read_u),
            plans.i.p.read_v.eq(coming.read_v),
            plans.i.p.gives.eq(coming.last | coming.unload),
            plans.i.p.long.eq(
                Mux(multiplies, ~(coming.load | coming.unload) & (beats(chip) > 1), finds & (coming.last))
            ),
            step.ready.eq(ready_u & ready_v & plans.i.ready),
            port_u.i.valid.eq(step.valid & coming.read_u & ready_v & plans.i.ready),
            port_v.i.valid.eq(step.valid & coming.read_v & ready_u & plans.i.ready),
            plans.i.valid.eq(step.valid & ready_u & ready_v),
            tags.put.eq(step.valid & step.ready),
        ]
        for port, request, valid, words in (
            (port_u, self.request_u, self.valid_u, self.brick_u),
            (port_v, self.request_v, self.valid_v, self.brick_v),
        ):
            connect(m, port.request, flipped(request))
            m.d.comb += [port.valid.eq(valid), port.brick.eq(words), port.open.eq(self.running)]

        # A step begins when its bricks are there, and places for what it gives.
        ahead = Signal(range(bricks_ahead(chip) + 1), init=2)  # results under way, and two; the top bit alone when there is no room
        m.submodules.plan = plan = Skid(vector_plan())
        connect(m, plans.o, plan.i)
        waiting = plan.o.p
        beat = Signal(range(max(2, beats(chip))))  # of the step under way
        begun, take = Signal(), Signal()
        turning = Signal(init=1)  # its last one, or there is none
        m.d.comb += [
            take.eq(
                plan.o.valid
                & (port_u.some | ~waiting.read_u)
                & (port_v.some | ~waiting.read_v)
                & turning
                & ~ahead[-1]
            ),
            plan.o.ready.eq(take),
            tags.take.eq(take),
            port_u.take.eq(take & waiting.read_u),
            port_v.take.eq(take & waiting.read_v),
        ]
        ends = Signal.like(beat)
        m.d.sync += ends.eq(Mux(multiplies, beats(chip) - 2, 0) if beats(chip) > 1 else 0)
        with m.If(take):
            m.d.sync += [begun.eq(1), beat.eq(0), turning.eq(~waiting.long)]
        with m.Elif(turning):
            m.d.sync += begun.eq(0)
        with m.Else():
            m.d.sync += [beat.eq(beat + 1), turning.eq(beat == ends)]
        left_o = Signal()
        m.d.sync += left_o.eq(self.o.valid & self.o.ready)
        m.d.sync += ahead.eq(ahead + Mux(take & waiting.gives, Mux(finds, 2, 1), 0) - left_o)

        # Its tag and its bricks come some cycles later, and stay until the next one's do.
        wait = Ahead.LATENCY - 1
        here, turn = (delayed(m, bit, wait, f"{bit.name}_late", control=True) for bit in (begun, turning))
        beat_late = delayed(m, beat, wait, "beat_late")
        tag, u, v = tags.o, port_u.o, port_v.o

        m.submodules.scale = scale = VectorScale(chip, self.target)
        m.submodules.largest = largest = VectorMax(chip)
        m.submodules.mask = mask = VectorMask(chip)
        m.submodules.transpose = transpose = VectorTranspose(chip)
        m.d.comb += [
            scale.modes.eq(modes),
            scale.compute.eq(here & multiplies & ~(tag.load | tag.unload)),
            scale.load.eq(here & tag.load),
            scale.unload.eq(here & tag.unload),
            scale.tag.eq(tag),
            scale.u.eq(u),
            scale.v.eq(v),
            scale.beat.eq(beat_late),
            largest.step.eq(here & finds),
            largest.second.eq(turn & tag.last),
            largest.tag.eq(tag),
            largest.u.eq(u),
            mask.step.eq(here & masks),
            mask.tag.eq(tag),
            mask.u.eq(u),
            transpose.step.eq(here & transposes),
            transpose.u.eq(u),
            transpose.absent.eq(~tag.read_u),
            transpose.clear.eq(~self.running),
            self.saturated.eq(scale.saturated),
        ]

        # Addresses are known before their results, in the same order; both leave together.
        addresses, results = (
            Fifo(shape, bricks_ahead(chip)) if chip.compact else BlockFifo(shape, bricks_ahead(chip), self.target)
            for shape in (address, brick(chip))
        )
        m.submodules.addresses, m.submodules.results = addresses, results
        units = [scale, largest, mask, transpose]
        number = Signal(2)
        m.d.sync += number.eq(Cat(finds | transposes, masks | transposes))
        m.d.comb += [
            addresses.i.p.eq(Mux(finds & turn, tag.index, tag.out)),
            addresses.i.valid.eq(here & (tag.unload | (tag.last & (turn | finds)))),
            results.i.valid.eq(Cat(unit.valid for unit in units).any()),
            results.i.p.eq(select(number, [unit.o for unit in units])),
            self.o.p.address.eq(addresses.o.p),
            self.o.p.words.eq(results.o.p),
            self.o.valid.eq(results.o.valid & addresses.o.valid),
            results.o.ready.eq(self.o.ready & addresses.o.valid),
            addresses.o.ready.eq(self.o.ready & results.o.valid),
        ]

        # One command at a time.
        timer = Signal(range(SETTLE + 1))
        quiet = Signal()
        m.d.comb += walk.start.eq(start)
        m.d.sync += quiet.eq(~(start | walk.busy | plans.o.valid | plan.o.valid | begun | (ahead != ahead.init)))
        m.d.sync += start.eq(self.command.valid & self.command.ready)
        with m.If(self.command.ready):
            m.d.sync += command.eq(self.command.p)
        with m.FSM():
            with m.State("SETTLE"):
                m.d.sync += timer.eq(timer + 1)
                with m.If(timer == SETTLE - 1):
                    m.d.sync += self.command.ready.eq(1)
                    m.next = "IDLE"
            with m.State("IDLE"):
                m.d.sync += timer.eq(0)
                with m.If(self.command.valid):
                    m.d.sync += [self.command.ready.eq(0), self.running.eq(1)]
                    m.next = "BEGIN"
            with m.State("BEGIN"):  # until `quiet` has seen the command
                m.d.sync += timer.eq(timer + 1)
                with m.If(timer == 3):
                    m.next = "RUN"
            with m.State("RUN"):
                with m.If(quiet):
                    m.d.sync += self.done.eq(1)
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.sync += [self.done.eq(0), self.running.eq(0), self.command.ready.eq(1)]
                m.next = "IDLE"
        return m
