"""The vector unit: one VECTOR command at a time, from the scratchpad to the scratchpad."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.fifo import Fifo
from hw.finish import write_request
from hw.layouts import brick
from hw.logic import select
from hw.vector_brick import VectorMask, VectorMax, VectorTranspose
from hw.vector_layouts import vector_command, vector_modes, vector_tag
from hw.vector_port import READ_AHEAD, Skid, VectorPort
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

        # Steps go to both ports, their tags to a queue.
        m.submodules.walk = walk = VectorWalk(chip)
        m.submodules.port_u = port_u = VectorPort(chip)
        m.submodules.port_v = port_v = VectorPort(chip)
        m.submodules.tags = tags = Fifo(vector_tag(chip), READ_AHEAD)  # it bounds what the ports ask for ahead
        step = walk.o
        ready_u, ready_v = port_u.i.ready, port_v.i.ready
        m.d.comb += [
            walk.command.eq(command),
            port_u.i.p.eq(step.p.u),
            port_v.i.p.eq(step.p.v),
            tags.i.p.eq(step.p.tag),
            step.ready.eq(ready_u & ready_v & tags.i.ready),
            port_u.i.valid.eq(step.valid & step.p.tag.read_u & ready_v & tags.i.ready),
            port_v.i.valid.eq(step.valid & step.p.tag.read_v & ready_u & tags.i.ready),
            tags.i.valid.eq(step.valid & ready_u & ready_v),
        ]
        for port, request, valid, words in (
            (port_u, self.request_u, self.valid_u, self.brick_u),
            (port_v, self.request_v, self.valid_v, self.brick_v),
        ):
            connect(m, port.request, flipped(request))
            m.d.comb += [port.valid.eq(valid), port.brick.eq(words), port.open.eq(self.running)]

        # A step begins when its bricks are there, and places for what it gives.
        places = bricks_ahead(chip)
        ahead = Signal(range(places + 1), init=2)  # results under way, and two; the top bit alone when there is no room
        tag = Signal(vector_tag(chip), reset_less=True)
        u, v = Signal(brick(chip), reset_less=True), Signal(brick(chip), reset_less=True)
        here = Signal()
        left = Signal(range(max(2, beats(chip))))  # cycles of the step, this one not counted
        take, turn = Signal(), Signal()
        waiting = tags.o.p
        computes = ~(waiting.load | waiting.unload | waiting.flush)
        gives = waiting.last | waiting.unload
        m.d.comb += [
            turn.eq(left == 0),
            take.eq(
                tags.o.valid
                & (port_u.o.valid | ~waiting.read_u)
                & (port_v.o.valid | ~waiting.read_v)
                & (turn | ~here)
                & ~ahead[-1]
            ),
            tags.o.ready.eq(take),
            port_u.o.ready.eq(take & waiting.read_u),
            port_v.o.ready.eq(take & waiting.read_v),
        ]
        with m.If(take):
            m.d.sync += [
                tag.eq(waiting),
                u.eq(Mux(waiting.read_u, port_u.o.p, 0)),
                v.eq(Mux(waiting.read_v, port_v.o.p, 0)),
                here.eq(1),
                left.eq(Mux(multiplies & computes, beats(chip) - 1, finds & waiting.last)),
            ]
        with m.Elif(turn):
            m.d.sync += here.eq(0)
        with m.Else():
            m.d.sync += left.eq(left - 1)
            with m.If(multiplies):
                m.d.sync += [
                    words.as_value().eq(words.as_value()[chip.vector_words * chip.width :]) for words in (u, v)
                ]
        m.d.sync += ahead.eq(ahead + Mux(take & gives, Mux(finds, 2, 1), 0) - (self.o.valid & self.o.ready))

        m.submodules.scale = scale = VectorScale(chip, self.target)
        m.submodules.largest = largest = VectorMax(chip)
        m.submodules.mask = mask = VectorMask(chip)
        m.submodules.transpose = transpose = VectorTranspose(chip)
        m.d.comb += [
            scale.modes.eq(modes),
            scale.compute.eq(here & multiplies & ~(tag.load | tag.unload)),
            scale.load.eq(here & tag.load),
            scale.unload.eq(here & tag.unload),
            scale.turn.eq(turn),
            scale.tag.eq(tag),
            scale.u.eq(u),
            scale.v.eq(v),
            largest.step.eq(here & finds),
            largest.second.eq(turn & tag.last),
            largest.tag.eq(tag),
            largest.u.eq(u),
            mask.step.eq(here & masks),
            mask.tag.eq(tag),
            mask.u.eq(u),
            transpose.step.eq(here & transposes),
            transpose.u.eq(u),
            transpose.clear.eq(~self.running),
            self.saturated.eq(scale.saturated),
        ]

        # Results meet their addresses, which wait in the order of the steps.
        m.submodules.addresses = addresses = Fifo(address, places)
        m.submodules.results = results = Fifo(write_request(chip), places)
        m.submodules.skid = skid = Skid(write_request(chip))
        units = [scale, largest, mask, transpose]
        number = Cat(finds | transposes, masks | transposes)
        result = Signal(write_request(chip), reset_less=True)
        result_valid = Signal()
        some = Cat(unit.valid for unit in units).any()
        m.d.comb += [
            addresses.i.p.eq(Mux(finds & turn, tag.out_places, tag.out)),
            addresses.i.valid.eq(here & (tag.unload | (tag.last & (turn | finds)))),
            addresses.o.ready.eq(some),
            results.i.valid.eq(result_valid),
            results.i.p.eq(result),
        ]
        m.d.sync += [
            result_valid.eq(some),
            result.address.eq(addresses.o.p),
            result.words.eq(select(number, [unit.o for unit in units])),
        ]
        connect(m, results.o, skid.i)
        connect(m, skid.o, flipped(self.o))

        # One command at a time.
        timer = Signal(range(SETTLE + 1))
        quiet = Signal()
        m.d.comb += walk.start.eq(start)
        m.d.sync += quiet.eq(~(start | walk.busy | tags.o.valid | here | (ahead != ahead.init)))
        m.d.sync += start.eq(self.command.valid & self.command.ready)
        with m.FSM():
            with m.State("SETTLE"):
                m.d.sync += timer.eq(timer + 1)
                with m.If(timer == SETTLE - 1):
                    m.next = "IDLE"
            with m.State("IDLE"):
                m.d.comb += self.command.ready.eq(1)
                m.d.sync += timer.eq(0)
                with m.If(self.command.valid):
                    m.d.sync += [command.eq(self.command.p), self.running.eq(1)]
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
                m.d.sync += [self.done.eq(0), self.running.eq(0)]
                m.next = "IDLE"
        return m
