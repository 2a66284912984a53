"""The lanes of a group and what decides for them."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.lane import Lane
from hw.layouts import item, load_bus, pair, result
from hw.logic import delayed, join
from spec.chip import BRICK, Chip
from spec.engine import results
from spec.product import ceil_div


class Lanes(wiring.Component):
    """Every lane computes columns of C one after another, each as one turn around a row list.

    All row lists circulate past the lanes without end. A lane joins the list of its next column at whatever pair is
    passing and leaves when that pair passes again: an exact sum does not depend on where it starts. So
    columns of one row follow each other without a lost cycle (a change of row costs two), and lanes
    need not keep step with one another.

    Decisions are kept as vectors with one bit for each lane: that is the same logic, and a simulator decides for all lanes with the
    instructions of one.

    Golden twin: one column of :func:`golden.product.exact_product` for each item.
    Pairs are handed on, ``HOP`` lanes a cycle: long wires to all lanes at once would set the clock.
    Latency: ``LATENCY`` cycles from a column's last pair at its lane to ``o[n].valid``.
    Stalls: ``i[n]`` waits while the lane's next column has not begun; a column starts only
    when at most ``spec.engine.results - 1`` earlier sums of its lane are still unread, so ``o[n]`` may stall freely.
    Contract: a list passes all lanes from the cycle its first item comes until the last of its sums has left; see
    ``spread``.

    Members
    -------
    pairs : pairs of every row list, at the first lane; a pair's word comes ``hw.rowlist.BEHIND`` cycles after its offset
    halves : bank half of every list, from ``FAR`` lanes on known later as `load` is
    i : one :py:`In(stream.Signature(item))` per lane, columns to compute, in order
    o : one :py:`Out(stream.Signature(result))` per lane
    load : words of B for the banks, in those of lane n ``n // FAR`` cycles later
    busy : a product was issued; blocked : a column waited for room behind an idle lane; one bit per lane
    """

    HOP = 4
    FAR = 16  # lanes that are reached in one cycle: what comes for those behind comes a cycle later for each so many

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
            }
        )

    @property
    def LATENCY(self) -> int:
        return Lane.LATENCY + results(self.chip)

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

        # The next column is in a register.
        push, take, head_valid = vector("push"), vector("take"), vector("head_valid")
        m.d.comb += push.eq(Cat(i.valid for i in self.i) & ~head_valid)
        m.d.sync += head_valid.eq(push | (head_valid & ~take))

        # Follow one list until the pair passes that the column began with.
        tuning = vector("tuning")  # the pair that comes begins the column
        running = vector("running")  # a pair passes that belongs to the column, or that ends it
        match = Cat(lane.match for lane in lanes)
        same = Cat(lane.same for lane in lanes)
        waits, closed = vector("waits"), vector("closed")  # a column may begin: there is room for it until it does; one ends
        again, fire = vector("again"), vector("fire")
        tags, sums = (Places(count, results(chip), name) for name in ("tag", "sum"))
        m.d.comb += [
            closed.eq(running & match),
            # The next column of the same list begins with the very pair that closed the last one.
            again.eq(closed & waits & same),
            take.eq(waits & ~tuning & (~running | match)),
            fire.eq(running & (~match | again)),
        ]
        m.d.sync += [
            waits.eq(head_valid & tags.rooms[0] & ~take),
            tuning.eq(take & ~again),
            running.eq(tuning | fire),
            self.busy.eq(fire),
            self.blocked.eq(head_valid & ~tags.rooms[0] & ~running & ~tuning),
        ]

        # That a pair was its column's last shows when the next one passes.
        add, last = fire, closed
        for n in range(Lane.LATENCY - 1):
            late = vector(f"add_{n}")
            m.d.sync += late.eq(add)
            coming, add = add, late
        for n in range(Lane.LATENCY - 2):
            late = vector(f"last_{n}")
            m.d.sync += late.eq(last)
            before, last = last, late
        # The same as `last`, but set under reset: sums begin with nothing and need no reset of their own.
        ends = vector("ends", init=-1)
        m.d.sync += ends.eq(before)
        leave = Cat(o.ready for o in self.o)
        tag_moves, sum_moves = tags.moves(m, take, leave & sums.valids[-1]), sums.moves(m, last, leave)

        pairs, load, halves = self.pairs, self.load, self.halves
        for n, lane in enumerate(lanes):
            m.submodules[f"lane_{n}"] = lane
            if n and n % self.FAR == 0:
                load = delayed(m, load, 1, f"load_{n // self.FAR}", control=True)
                halves = delayed(m, halves, 1, f"halves_{n // self.FAR}")
            if n % self.HOP == 0:
                pairs = [delayed(m, pair, 1, f"pair_{n // self.HOP}_{s}") for s, pair in enumerate(pairs)]
            here = (load.upper == n // BRICK) if count > BRICK else 1
            m.d.comb += [
                *join(lane.pairs, pairs),
                self.i[n].ready.eq(~head_valid[n]),
                lane.push.eq(push[n]),
                lane.item.eq(self.i[n].p),
                lane.take.eq(take[n]),
                lane.halves.eq(halves),
                lane.tuning.eq(tuning[n]),
                lane.coming.eq(coming[n]),
                lane.add.eq(add[n]),
                lane.last.eq(ends[n]),
                *join(lane.tag_moves, [move[n] for move in tag_moves]),
                *join(lane.sum_moves, [move[n] for move in sum_moves]),
                self.o[n].valid.eq(sums.valids[-1][n]),
                self.o[n].p.eq(lane.o),
                lane.load_enable.eq(load.enable & here),
                lane.load_address.eq(load.address),
                lane.load_word.eq(load.words[n % BRICK]),
            ]
        return m


class Places:
    """Registers that words move through toward the last place, closing up when it stalls; for every lane at once.

    ``rooms[n]`` : from place n on, one place at least is free; a word of place n - 1 moves on then.
    """

    def __init__(self, count: int, places: int, name: str):
        self.valids = [Signal(count, name=f"{name}_valid_{n}") for n in range(places)]
        self.rooms = [Signal(count, name=f"{name}_room_{n}") for n in range(places)]

    def moves(self, m: Module, enter, leave) -> list:
        """For each place the lanes whose place takes over a word; ``enter`` is never high without room."""
        moves = []
        taken = ~leave
        last = len(self.valids) - 1
        for n in reversed(range(last + 1)):
            after = self.valids[n] if n == last else self.valids[n] & ~self.rooms[n + 1]
            m.d.comb += self.rooms[n].eq(~after)
        for n, (valid, room) in enumerate(zip(self.valids, self.rooms, strict=True)):
            moves.append(enter & room)
            stays = ~room & taken if n == last else ~room
            m.d.sync += valid.eq((enter & room) | (valid & stays))
            enter = valid
        return moves
