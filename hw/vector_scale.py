"""The vector unit's arithmetic: lanes side by side, what is loaded into them, and what leaves them as bricks."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.layouts import brick
from hw.logic import delayed, popcount, remembered, select
from hw.vector_lane import RESULT, VectorLane
from hw.vector_layouts import vector_modes, vector_tag
from spec.chip import BRICK, Chip
from spec.isa import SCALAR_WIDTH, entry_bricks, record_bricks
from spec.vector import beats


class VectorScale(wiring.Component):
    """AFFINE, REDUCE, MEAN and MAX_BACK.

    A step that computes comes as ``beats(chip)`` beats of ``vector_words`` words in a row; one that loads or unloads a channel
    as one. Nothing stalls: whoever sends steps has room for what they give.

    Latency: ``Convert.LATENCY + 9`` cycles from a step's last beat to ``o``; eight from an unloading one.

    Members
    -------
    modes : what the command does; holds while anything is under way
    compute, load, unload : what this cycle's step is
    tag, u, v : the step; ``beat`` : the number of its beat
    valid, o : complete bricks of words, or of sums
    saturated : words clipped in this cycle
    """

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        super().__init__({
            "modes": In(vector_modes()),
            "compute": In(1),
            "load": In(1),
            "unload": In(1),
            "beat": In(range(max(2, beats(chip)))),
            "tag": In(vector_tag(chip)),
            "u": In(brick(chip)),
            "v": In(brick(chip)),
            "valid": Out(1),
            "o": Out(brick(chip)),
            "saturated": Out(range(chip.vector_words + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        chip, modes = self.chip, self.modes
        count = chip.vector_words
        acc = signed(chip.acc_width)
        lanes = [VectorLane(chip, self.target) for _ in range(count)]

        # Words of the beat, and what they are for, in registers.
        compute, load, unload = Signal(), Signal(), Signal()
        tag, beat = Signal(vector_tag(chip), reset_less=True), Signal(self.beat.shape())
        m.d.sync += [
            compute.eq(self.compute),
            load.eq(self.load),
            unload.eq(self.unload),
            tag.eq(self.tag),
            beat.eq(self.beat),
        ]

        # Whose turn it is: a channel's lane follows from its number.
        channel = Signal(range(BRICK))
        one_done = Signal()
        m.d.comb += one_done.eq((load | unload) & tag.part_end)
        m.d.sync += channel.eq(channel + one_done)
        lane_bits = ceil_log2(count)
        lane_of = channel[:lane_bits] if lane_bits else Signal()
        load_1 = Signal(count)
        taken = Signal(count)  # lanes whose sums leave with this step
        m.d.comb += taken.eq((unload & tag.part_end) << lane_of)
        m.d.sync += load_1.eq((load & tag.part_end) << lane_of)

        # What is loaded: s0, s1, s2 of a table's entry, or a record's sums. It waits for the stage that needs it.
        whole = self.u.as_value()
        if max(entry_bricks(chip), record_bricks(chip)) > 1:
            before = Signal(len(whole), reset_less=True)
            with m.If(self.load & ~self.tag.part_end):
                m.d.sync += before.eq(whole)
        entry = whole if entry_bricks(chip) == 1 else Cat(before, whole)
        record = whole if record_bricks(chip) == 1 else Cat(before, whole)
        s0, s1 = Signal(signed(SCALAR_WIDTH), reset_less=True), Signal(signed(SCALAR_WIDTH), reset_less=True)
        sum_u, sum_uv = Signal(acc, reset_less=True), Signal(acc, reset_less=True)
        m.d.sync += [
            s0.eq(Mux(modes.ones, 1, entry[:SCALAR_WIDTH])),
            s1.eq(Mux(modes.both, 1, entry[SCALAR_WIDTH : 2 * SCALAR_WIDTH])),
            sum_u.eq(Mux(modes.records, record[: chip.acc_width], 0)),
            sum_uv.eq(
                Mux(
                    modes.scale,
                    entry[2 * SCALAR_WIDTH :][: chip.acc_width],
                    Mux(modes.records, record[chip.acc_width :][: chip.acc_width], 0),
                )
            ),
        ]
        s0, s1 = delayed(m, s0, 1, "s0"), delayed(m, s1, 1, "s1")
        sum_uv = remembered(m, sum_uv, 4, "sum_uv", small=chip.compact)
        sum_u = remembered(m, sum_u, 5, "sum_u", small=chip.compact)
        load_4 = delayed(m, load_1, 3, "load_4", control=True)
        load_5 = delayed(m, load_4, 1, "load_5", control=True)
        compute_1 = delayed(m, compute, 1, "compute_1", control=True)
        compute_4 = delayed(m, compute_1, 3, "compute_4", control=True)
        compute_5 = delayed(m, compute_4, 1, "compute_5", control=True)
        taken_4 = delayed(m, taken, 4, "taken_4", control=True)
        taken_5 = delayed(m, taken_4, 1, "taken_5", control=True)
        last_4 = delayed(m, compute & tag.last, 4, "last_4", control=True)

        # Rounding indices go on by a beat's words.
        index = Signal(32, reset_less=True)
        m.d.sync += index.eq(tag.index + (beat << lane_bits if beats(chip) > 1 else 0))
        index_5 = remembered(m, index, RESULT - 2, "index_5", small=chip.compact)

        for n, lane in enumerate(lanes):
            m.submodules[f"lane_{n}"] = lane
            for word, bricks, reads in ((lane.u, self.u, self.tag.read_u), (lane.v, self.v, self.tag.read_v)):
                held = Signal(signed(chip.width), reset_less=True)
                m.d.comb += word.eq(held)
                with m.If(reads):
                    m.d.sync += held.eq(select(self.beat, [bricks[k] for k in range(n, BRICK, count)]))
                with m.Else():
                    m.d.sync += held.eq(0)
            lane_index = Signal(32, name=f"index_{n}", reset_less=True)
            m.d.sync += lane_index.eq(index_5 + n)
            m.d.comb += [
                # A copy of its own, each a cycle later than the one before: what is equal would be merged and reach far.
                lane.modes.eq(delayed(m, modes, n + 1, f"modes_{n}") if count > 1 else modes),
                lane.place.eq(tag.place),
                lane.turn_1.eq(compute_1 | load_1[n]),
                lane.turn_4.eq(compute_4 | load_4[n] | taken_4[n]),
                lane.turn_5.eq(compute_5 | load_5[n] | taken_5[n]),
                lane.load_1.eq(load_1[n]),
                lane.load_4.eq(load_4[n]),
                lane.load_5.eq(load_5[n]),
                lane.clear_4.eq(last_4 | taken_4[n]),
                lane.clear_5.eq(taken_5[n]),
                lane.s0.eq(s0),
                lane.s1.eq(s1),
                lane.sum_uv.eq(sum_uv),
                lane.sum_u.eq(sum_u),
                lane.emit_6.eq(delayed(m, last_4, 2, f"emit_{n}", control=True)),
                lane.index.eq(lane_index),
            ]

        # Sums leave one channel after another, that of the products a stage before that of the words.
        unload_5 = delayed(m, unload, 5, "unload_5", control=True)
        end_6 = delayed(m, tag.part_end, 6, "end_6")
        lane_4 = delayed(m, lane_of, 4, "lane_4")
        products = Signal(acc, reset_less=True)
        sums = Signal(2 * chip.acc_width, reset_less=True)
        m.d.sync += [
            products.eq(select(lane_4, [lane.head_4 for lane in lanes])),
            sums.eq(Cat(select(delayed(m, lane_4, 1, "lane_5"), [lane.head_5 for lane in lanes]), products)),
        ]
        size = len(whole)
        leaving = sums if record_bricks(chip) == 1 else Mux(end_6, sums[size:], sums[:size])

        # Words of beats become bricks.
        words = Cat(lane.word for lane in lanes)
        gathered = Signal(brick(chip), reset_less=True)
        arrived = Signal(range(max(2, beats(chip))))
        complete = Signal()
        with m.If(modes.both):
            m.d.sync += gathered.as_value().eq(leaving)
        with m.Elif(lanes[0].valid):
            m.d.sync += gathered.as_value().eq(Cat(gathered.as_value()[len(words) :], words))
        with m.If(lanes[0].valid):
            m.d.sync += arrived.eq(Mux(arrived == beats(chip) - 1, 0, arrived + 1))
        m.d.sync += complete.eq(lanes[0].valid & (arrived == beats(chip) - 1))
        unloaded = delayed(m, unload_5, 2, "unload_7", control=True)
        m.d.comb += [self.o.eq(gathered), self.valid.eq(complete | unloaded)]
        m.d.sync += self.saturated.eq(popcount(Cat(lane.saturated for lane in lanes)))
        return m
