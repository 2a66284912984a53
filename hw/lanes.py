"""The lanes of a group and what decides for them."""

from functools import reduce
from operator import and_, or_

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lane import Lane
from hw.layouts import item, load_bus, pair, result, ring
from hw.logic import delayed, join
from spec.chip import BRICK, Chip
from spec.engine import RESULTS
from spec.product import ceil_div


class Lanes(wiring.Component):
    """Every lane computes columns of C one after another, each as one turn around a row list.

    All row lists circulate past the lanes without end. A lane joins the list of its next column at whatever pair is
    passing and leaves when that pair passes again: an exact sum does not depend on where it starts. So
    columns of one row follow each other without a lost cycle (a change of row costs two), and lanes
    need not keep step with one another.

    Decisions are kept as vectors with one bit for each lane, and small counts as planes of such vectors: that is the
    same logic, and a simulator decides for all lanes with the instructions of one.

    Golden twin: one column of :func:`golden.product.exact_product` for each item.
    Pairs are handed on, ``HOP`` lanes a cycle: long wires to all lanes at once would set the clock.
    Latency: ``LATENCY`` cycles from a column's last pair at its lane to ``o[n].valid``.
    Stalls: ``i[n]`` takes an item every second cycle and waits when the lane's queue is full; a column starts only
    when at most ``RESULTS - 1`` earlier sums of its lane are still unread, so ``o[n]`` may stall freely.
    Contract: a list passes all lanes from the cycle its first item comes until the last of its sums has left; see
    ``spread``.

    Members
    -------
    pairs : pairs of every row list, at the first lane
    halves : bank half of every list
    i : one :py:`In(stream.Signature(item))` per lane, columns to compute, in order
    o : one :py:`Out(stream.Signature(result))` per lane
    load : words of B for the banks
    busy : a product was issued; blocked : a column waited for room behind an idle lane; one bit per lane
    fuller : more columns are queued or under way here than in the ring's next lane; not counted beyond ``2 ** LEVEL / 2`` apart
    """

    LATENCY = Lane.LATENCY + RESULTS
    HOP = 4
    LEVEL = 4  # bits of a lane's number of columns

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        super().__init__(
            {
                "pairs": In(pair(chip)).array(chip.slots),
                "halves": In(chip.slots),
                "i": In(stream.Signature(item(chip))).array(chip.lanes),
                "o": Out(stream.Signature(result(chip))).array(chip.lanes),
                "load": In(load_bus(chip)),
                "busy": Out(chip.lanes),
                "blocked": Out(chip.lanes),
                "fuller": Out(chip.lanes),
            }
        )

    @staticmethod
    def spread(lanes: int) -> int:
        """Cycles from a pair on ``pairs`` until it has come to the last of ``lanes`` lanes."""
        return ceil_div(lanes, Lanes.HOP)

    def elaborate(self, platform):
        m = Module()
        chip = self.chip
        count = chip.lanes
        lanes = [Lane(chip, self.target) for _ in range(count)]

        def vector(name, **options):
            return Signal(count, name=name, **options)

        # Queues: a word is popped to the head when that is free. Pointers have one bit more than addresses.
        push, pop, take = vector("push"), vector("pop"), vector("take")
        nonempty, head_valid = vector("nonempty"), vector("head_valid")
        planes = range(chip.queue_depth.bit_length())
        write, read = [vector(f"write_{b}") for b in planes], [vector(f"read_{b}") for b in planes]
        apart = [one ^ other for one, other in zip(write, read, strict=True)]
        full, pushed = vector("full"), vector("pushed")
        m.d.comb += [
            push.eq(Cat(i.valid for i in self.i) & ~(full | pushed)),
            pop.eq(nonempty & ~head_valid),
        ]
        # Fill levels and carries are known a cycle late, and so pushes and pops are two cycles apart.
        for pointer, steps, name in ((write, push, "write"), (read, pop, "read")):
            m.d.sync += pointer[0].eq(pointer[0] ^ steps)
            for b, plane in list(enumerate(pointer))[1:]:
                carry = vector(f"{name}_carry_{b}")
                m.d.sync += [carry.eq(reduce(and_, pointer[:b])), plane.eq(plane ^ (steps & carry))]
        m.d.sync += [
            pushed.eq(push),
            full.eq(apart[-1] & ~reduce(or_, apart[:-1])),
            nonempty.eq(reduce(or_, apart)),
            head_valid.eq(pop | (head_valid & ~take)),
        ]

        # Follow one list until the pair passes that the column began with.
        tuning = vector("tuning")  # the pair that comes begins the column
        running = vector("running")  # a pair passes that belongs to the column, or that ends it
        match = Cat(lane.match for lane in lanes)
        same = Cat(lane.same for lane in lanes)
        waits, closed = vector("waits"), vector("closed")
        again, fire = vector("again"), vector("fire")
        tags, sums = Places(count, "tag"), Places(count, "sum")
        m.d.comb += [
            waits.eq(head_valid & tags.rooms[0]),
            closed.eq(running & match),
            # The next column of the same list begins with the very pair that closed the last one.
            again.eq(closed & waits & same),
            take.eq(waits & ~tuning & (~running | match)),
            fire.eq(running & (~match | again)),
        ]
        m.d.sync += [
            tuning.eq(take & ~again),
            running.eq(tuning | fire),
            self.busy.eq(fire),
            self.blocked.eq(head_valid & ~waits & ~running & ~tuning),
        ]

        # Columns that came and are not computed, modulo a power of two; borrows of the difference to the next lane's.
        level = [vector(f"level_{b}") for b in range(self.LEVEL)]
        more, fewer, borrow = push & ~closed, closed & ~push, Const(0, count)
        for plane in level:
            after = Cat(plane[n] for n in ring(chip))
            m.d.sync += plane.eq(plane ^ (more | fewer))
            more, fewer = more & plane, fewer & ~plane
            sign = after ^ plane ^ borrow
            borrow = (~after & (plane | borrow)) | (plane & borrow)
        m.d.sync += self.fuller.eq(sign)

        # That a pair was its column's last shows when the next one passes.
        add, last = fire, closed
        for n in range(Lane.LATENCY - 1):
            late = vector(f"add_{n}")
            m.d.sync += late.eq(add)
            coming, add = add, late
        for n in range(Lane.LATENCY - 2):
            late = vector(f"last_{n}")
            m.d.sync += late.eq(last)
            last = late
        leave = Cat(o.ready for o in self.o)
        tag_moves, sum_moves = tags.moves(m, take, leave & sums.valids[-1]), sums.moves(m, last, leave)

        pairs = self.pairs
        for n, lane in enumerate(lanes):
            m.submodules[f"lane_{n}"] = lane
            if n % self.HOP == 0:
                pairs = [delayed(m, pair, 1, f"pair_{n // self.HOP}_{s}") for s, pair in enumerate(pairs)]
            here = (self.load.upper == n // BRICK) if count > BRICK else 1
            m.d.comb += [
                *join(lane.pairs, pairs),
                self.i[n].ready.eq(~(full[n] | pushed[n])),
                lane.push.eq(push[n]),
                lane.item.eq(self.i[n].p),
                lane.pop.eq(pop[n]),
                lane.take.eq(take[n]),
                lane.push_at.eq(Cat(plane[n] for plane in write[:-1])),
                lane.pop_at.eq(Cat(plane[n] for plane in read[:-1])),
                lane.halves.eq(self.halves),
                lane.tuning.eq(tuning[n]),
                lane.coming.eq(coming[n]),
                lane.add.eq(add[n]),
                lane.last.eq(last[n]),
                *join(lane.tag_moves, [move[n] for move in tag_moves]),
                *join(lane.sum_moves, [move[n] for move in sum_moves]),
                self.o[n].valid.eq(sums.valids[-1][n]),
                self.o[n].p.eq(lane.o),
                lane.load_enable.eq(self.load.enable & here),
                lane.load_address.eq(self.load.address),
                lane.load_word.eq(self.load.words[n % BRICK]),
            ]
        return m


class Places:
    """Registers that words move through toward the last place, closing up when it stalls; for every lane at once.

    ``rooms[n]`` : from place n on, one place at least is free; a word of place n - 1 moves on then.
    """

    def __init__(self, count: int, name: str):
        self.valids = [Signal(count, name=f"{name}_valid_{n}") for n in range(RESULTS)]
        self.rooms = [Signal(count, name=f"{name}_room_{n}") for n in range(RESULTS)]

    def moves(self, m: Module, enter, leave) -> list:
        """For each place the lanes whose place takes over a word; ``enter`` is never high without room."""
        moves = []
        taken = ~leave
        for n in reversed(range(RESULTS)):
            after = self.valids[n] if n == RESULTS - 1 else self.valids[n] & ~self.rooms[n + 1]
            m.d.comb += self.rooms[n].eq(~after)
        for n, (valid, room) in enumerate(zip(self.valids, self.rooms, strict=True)):
            moves.append(enter & room)
            stays = ~room & taken if n == RESULTS - 1 else ~room
            m.d.sync += valid.eq((enter & room) | (valid & stays))
            enter = valid
        return moves
