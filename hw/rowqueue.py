"""Hands out rows of C to the groups, so that rows with many zeros balance out."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spec.engine import DIMENSION_BITS


class RowQueue(wiring.Component):
    """One counter for each bank half. Groups are asked in turn, one a cycle.

    Latency: 1 to ``groups`` cycles from request to grant.

    Members
    -------
    set, set_half, set_next, set_limit : the rows of a new tile, from next up to but without limit
    request, half : one bit per group; held until granted
    grant : one bit per group; row : its row; none : no row is left in that tile
    """

    def __init__(self, groups: int):
        self.groups = groups
        super().__init__(
            {
                "set": In(1),
                "set_half": In(1),
                "set_next": In(DIMENSION_BITS),
                "set_limit": In(DIMENSION_BITS),
                "request": In(groups),
                "half": In(groups),
                "grant": Out(groups),
                "none": Out(1),
                "row": Out(DIMENSION_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        turn = Signal(range(max(2, self.groups)))
        m.d.sync += [turn.eq(Mux(turn == self.groups - 1, 0, turn + 1)), self.grant.eq(0)]
        following = [Signal(DIMENSION_BITS, name=f"next_{h}") for h in range(2)]
        limits = [Signal(DIMENSION_BITS, name=f"limit_{h}") for h in range(2)]
        half = self.half.bit_select(turn, 1)
        # The group that was granted a cycle ago may still show its request.
        asks = (self.request & ~self.grant).bit_select(turn, 1)
        for h in range(2):
            with m.If(asks & (half == h)):
                none = following[h] == limits[h]
                m.d.sync += [
                    self.grant.bit_select(turn, 1).eq(1),
                    self.none.eq(none),
                    self.row.eq(following[h]),
                    following[h].eq(Mux(none, following[h], following[h] + 1)),
                ]
            with m.If(self.set & (self.set_half == h)):
                m.d.sync += [following[h].eq(self.set_next), limits[h].eq(self.set_limit)]
        return m
