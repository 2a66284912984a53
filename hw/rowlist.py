"""Row lists: the nonzeros of the rows in flight, circulating past the lanes."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.bram import Bram
from hw.layouts import pair
from hw.logic import remembered
from spec.chip import Chip
from spec.engine import Widths

# Cycles by which a pair's word passes after its offset: a lane picks the offset, adds its column's, addresses its bank and has the word of B; it
# picks that of A a cycle before.
BEHIND = 2 + Bram.LATENCY


class RowLists(wiring.Component):
    """One memory per slot; a filled list is read round and round, one pair a cycle.

    Contract: ``filled[s]`` rises when list ``s`` is complete; ``ends[s]`` holds; the list then
    circulates without a gap until ``filled[s]`` falls. Latency: ``LATENCY`` cycles to a pair's offset; its word follows
    ``BEHIND`` cycles later, when a lane has found the word of B that it meets.

    Members
    -------
    w_enable : one bit per slot; w_address, w_k, w_a : the pair to store
    ends, filled : state of every slot
    o : the pairs, one of each slot; their words late
    """

    LATENCY = 1 + Bram.LATENCY

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        widths = Widths(chip)
        super().__init__(
            {
                "w_enable": In(chip.slots),
                "w_address": In(widths.list_address),
                "w_k": In(widths.half_address),
                "w_a": In(chip.width),
                "ends": In(widths.list_address).array(chip.slots),
                "filled": In(chip.slots),
                "o": Out(pair(chip)).array(chip.slots),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, widths = self.chip, Widths(self.chip)
        word = data.StructLayout({"k": widths.half_address, "a": chip.width})
        written = Signal(word)
        m.d.comb += [written.k.eq(self.w_k), written.a.eq(self.w_a)]
        for s in range(chip.slots):
            memory = Bram(width=word.size, depth=chip.list_depth, target=self.target)
            m.submodules[f"memory_{s}"] = memory
            position = Signal(widths.list_address, name=f"position_{s}")
            # `following` is the position's successor, so that the turn is known a cycle before it is made.
            following = Signal(widths.list_address, name=f"following_{s}", init=1)
            last = Signal(name=f"last_{s}")
            running = Signal(name=f"running_{s}")
            first = Signal(name=f"first_{s}")
            m.d.comb += first.eq(last | ~running)
            m.d.sync += [
                running.eq(self.filled[s]),
                last.eq(Mux(first, self.ends[s] == 0, following == self.ends[s])),
            ]
            with m.If(first):
                m.d.sync += [position.eq(0), following.eq(1)]
            with m.Else():
                m.d.sync += [position.eq(following), following.eq(following + 1)]
            read = Signal(word, name=f"read_{s}")
            out = Signal(pair(chip), name=f"out_{s}")
            m.d.comb += [
                memory.w_en.eq(self.w_enable[s]),
                memory.w_addr.eq(self.w_address),
                memory.w_data.eq(written),
                memory.r_addr.eq(position),
                read.eq(memory.r_data),
                out.k.eq(read.k),
                out.a.eq(remembered(m, read.a, BEHIND, f"a_{s}", small=chip.compact)),
                self.o[s].eq(out),
            ]
        return m
