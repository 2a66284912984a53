"""Cuts a product into bank tiles, loads them and opens them to the groups."""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.layouts import brick, command, load_bus, tile
from hw.logic import select
from spec.chip import BRICK, Chip
from spec.engine import DIMENSION_BITS, Widths, bits_for, load_cycles_per_brick
from spec.product import MASK_COLUMNS, ceil_div

FLUSH = 8  # cycles until the last brick of C has reached the scratchpad


class Sequencer(wiring.Component):
    """Column tiles outermost, then row tiles, then tiles of the reduction, innermost.

    While the groups work on the tile in one half of the banks, the next one is loaded into the other.
    A half is loaded again when every group is done with it.

    Tile t of B begins ``t * b_tile`` further on; of A it is the bricks behind the first ``t * a_tile``, or, with slabs, all bricks
    ``t * a_slab`` further on.

    Members
    -------
    i : :py:`In(stream.Signature(command))`, accepted when the machine is idle
    command, tiles : what is computed; span : columns of all segments of a row, in one lane; restart : a pulse before the first tile of a new reduction, and while the unit is reset: what it clears needs no reset of its own, so no table joins the two
    tile_done : two bits per group; left : two bits per group, nothing more to start in this half
    idle : one bit per group
    queue_* : rows of a new tile
    request, brick_valid, brick : bricks of B
    load : their words, for all groups
    running : a command is under way; done : one pulse at its end
    final_left : a group has nothing left to start in this command
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        super().__init__(
            {
                "i": In(stream.Signature(command(chip))),
                "command": Out(command(chip)),
                "span": Out(Widths(chip).column + 1),
                "restart": Out(1, init=1),
                "tiles": Out(tile(chip)).array(2),
                "tile_done": In(data.ArrayLayout(2, chip.groups)),
                "left": In(data.ArrayLayout(2, chip.groups)),
                "idle": In(chip.groups),
                "queue_set": Out(1),
                "queue_half": Out(1),
                "queue_over": Out(1),
                "queue_next": Out(DIMENSION_BITS),
                "queue_limit": Out(DIMENSION_BITS),
                "request": Out(stream.Signature(Widths(chip).brick_address)),
                "brick_valid": In(1),
                "brick": In(brick(chip)),
                "load": Out(load_bus(chip)),
                "running": Out(1),
                "done": Out(1),
                "final_left": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, widths, command = self.chip, Widths(self.chip), self.command
        half = Signal()
        k_base, n_base, row_base = (Signal(DIMENSION_BITS + 1, name=n) for n in ("k_base", "n_base", "row_base"))
        k_next, n_next, row_next = (Signal(DIMENSION_BITS + 1, name=n) for n in ("k_next", "n_next", "row_next"))
        m.d.sync += [
            k_next.eq(k_base + command.k_tile),
            n_next.eq(n_base + (command.columns << ceil_log2(chip.lanes))),
            row_next.eq(row_base + command.row_tile),
        ]
        # What the present tile is the first or the last of settles before it opens.
        k_first, k_last, row_last, n_last = (Signal(name=name) for name in ("k_first", "k_last", "row_last", "n_last"))
        rows_last, tile_last = Signal(), Signal()  # of these columns; of the command
        m.d.sync += [
            k_first.eq(k_base == 0),
            k_last.eq(k_next >= command.k),
            row_last.eq(row_next >= command.m),
            n_last.eq(n_next >= command.n),
            rows_last.eq(k_last & row_last),
            tile_last.eq(k_last & row_last & n_last),
        ]
        a_skip = Signal(DIMENSION_BITS)
        a_base = Signal(widths.brick_address)
        b_tile = Signal(widths.brick_address)  # how far on the tile of B lies
        # Of the next tile, unless it is the first of other rows or columns; they settle as `k_next` does.
        skip_next, base_next, b_next = Signal.like(a_skip), Signal.like(a_base), Signal.like(b_tile)
        segments = Signal(len(command.seg_x)), Signal(len(command.seg_y))  # left to count
        opens = Cat(self.tiles[h].open for h in range(2))
        all_done = Signal(2)
        any_done = Signal(2)
        engaged = Signal(2)  # what `opens | any_done` is in the next cycle, but for a tile that opens in this one
        for h in range(2):
            done = Cat(self.tile_done[g][h] for g in range(chip.groups))
            closes = self.tiles[h].loaded & all_done[h]
            m.d.sync += [all_done[h].eq(done.all()), any_done[h].eq(done.any())]
            m.d.comb += engaged[h].eq((opens[h] & ~closes) | done.any())
            with m.If(opens[h] & closes):
                m.d.sync += self.tiles[h].open.eq(0)
        still = Signal()  # something is at work; a cycle late
        m.d.sync += still.eq(opens.any() | any_done.any() | ~self.idle.all())
        free = Signal()  # no tile is at work in this half; settled when the next may open
        m.d.sync += free.eq(~engaged.bit_select(half, 1))
        final = Signal()
        final_half = Signal()
        m.d.sync += self.final_left.eq(
            final & Cat(self.left[g].bit_select(final_half, 1) for g in range(chip.groups)).any()
        )

        # Requests walk the tile's rows of B, then its bricks.
        asking = Signal()
        row_address = Signal(widths.brick_address)
        address = Signal(widths.brick_address)
        rows_left = Signal(widths.half_address + 1)
        bricks_left = Signal(widths.psum_address)
        bricks = Signal(widths.psum_address)  # of one row of the tile
        pace = Signal(range(2 * load_cycles_per_brick(chip)))
        offered = Signal()  # asking, and pace is 0: all that reads the scratchpad hangs on it
        m.d.comb += [self.request.valid.eq(offered), self.request.p.eq(address)]
        with m.If(pace != 0):
            m.d.sync += [pace.eq(pace - 1), offered.eq(asking & (pace == 1))]
        narrow = Signal()  # a row of the tile is one brick
        last_brick, last_row = Signal(), Signal()  # one is left
        with m.If(self.request.valid & self.request.ready):
            m.d.sync += [address.eq(address + 1), bricks_left.eq(bricks_left - 1), last_brick.eq(bricks_left == 2)]
            once = load_cycles_per_brick(chip)
            m.d.sync += pace.eq(Mux(command.twins, 2 * once - 1, once - 1))
            with m.If(command.twins | (once != 1)):
                m.d.sync += offered.eq(0)
            with m.If(last_brick):
                m.d.sync += [
                    address.eq(row_address),
                    row_address.eq(row_address + command.b_stride),
                    bricks_left.eq(bricks),
                    last_brick.eq(narrow),
                    rows_left.eq(rows_left - 1),
                    last_row.eq(rows_left == 2),
                ]
                with m.If(last_row):
                    m.d.sync += [asking.eq(0), offered.eq(0)]

        n_length = Signal(widths.psum_address + 1)
        n_rest = Signal(DIMENSION_BITS + 1)
        k_rest = Signal(DIMENSION_BITS + 1)
        k_over, n_over = Signal(), Signal()  # the last tile, and not a whole one
        m.d.sync += [
            n_rest.eq(command.n - n_base),
            k_rest.eq(command.k - k_base),
            k_over.eq(k_next > command.k),
            n_over.eq(n_next > command.n),
            n_length.eq(Mux(n_over, n_rest, command.columns << ceil_log2(chip.lanes))),
        ]
        n_spare, n_whole = Signal(ceil_log2(chip.lanes)), Signal()
        m.d.sync += [
            n_spare.eq(n_length),
            n_whole.eq(n_length[: len(n_spare)] == 0),
            narrow.eq(n_length <= BRICK),
        ]
        k_length = Signal(widths.half_address + 1)
        m.d.sync += k_length.eq(Mux(k_over, k_rest, command.k_tile))
        n_steps, n_tail = (Signal.like(self.tiles[0][name], name=name) for name in ("n_steps", "n_tail"))
        m.d.sync += [
            n_steps.eq((n_length + chip.lanes - 1) >> ceil_log2(chip.lanes)),
            n_tail.eq(Cat(*(n_whole | (n_spare > lane) for lane in range(chip.lanes - 1)), n_whole)),
        ]
        fresh = Signal(tile(chip))  # the tile at the present bases
        m.d.comb += [
            fresh.a_base.eq(a_base),
            fresh.a_skip.eq(a_skip),
            fresh.c_base.eq(command.c_base + (n_base >> ceil_log2(BRICK))),
            fresh.mask_base.eq(command.mask_base + (n_base >> ceil_log2(MASK_COLUMNS))),
            fresh.index_base.eq(command.index_base + n_base),
            fresh.k_length.eq(k_length),
            fresh.n_length.eq(n_length),
            fresh.n_steps.eq(n_steps),
            fresh.n_tail.eq(n_tail),
            fresh.first.eq(command.start & k_first),
            fresh.last.eq(command.finish & k_last),
            fresh.open.eq(1),
            fresh.loaded.eq(0),
        ]
        first_row, second_row = Signal(widths.brick_address), Signal(widths.brick_address)  # of the tile of B
        b_column = Signal(widths.brick_address)
        m.d.sync += [
            b_column.eq(command.b_base + (n_base >> ceil_log2(BRICK))),
            first_row.eq(b_column + b_tile),
            second_row.eq(first_row + command.b_stride),
        ]
        settle = Signal(2)
        flush = Signal(range(FLUSH + 1))
        loading_done = Signal()
        m.d.comb += [self.i.ready.eq(~self.running), self.queue_half.eq(half)]
        m.d.sync += [self.done.eq(0), self.restart.eq(0), self.queue_set.eq(0)]

        resting = Signal(init=1)  # the first state, in a register of its own: hundreds of others hang on it alone
        with m.If(resting):  # whether or not there is a command
            m.d.sync += [command.eq(self.i.p), k_base.eq(0), n_base.eq(0), row_base.eq(0), final.eq(0), settle.eq(0), flush.eq(0)]
            m.d.sync += [a_skip.eq(0), a_base.eq(self.i.p.a_base), b_tile.eq(0), self.span.eq(0)]
            m.d.sync += [left.eq(count) for left, count in zip(segments, (self.i.p.seg_x, self.i.p.seg_y), strict=True)]
        puts = Signal(2)  # a tile opens in this half
        for h in range(2):
            with m.If(puts[h]):
                m.d.sync += self.tiles[h].eq(fresh)
        moves_on = Signal()
        m.d.sync += [
            puts.eq(0),
            moves_on.eq(0),
            skip_next.eq(a_skip + Mux(command.slabs, 0, command.a_tile)),
            base_next.eq(a_base + Mux(command.slabs, command.a_slab, 0)),
            b_next.eq(b_tile + command.b_tile),
        ]
        with m.If(moves_on):
            m.d.sync += [half.eq(~half), settle.eq(0), k_base.eq(k_next)]
            m.d.sync += [b_tile.eq(b_next), a_base.eq(base_next), a_skip.eq(skip_next)]
            with m.If(k_last):
                m.d.sync += [k_base.eq(0), row_base.eq(row_next), a_skip.eq(0), a_base.eq(command.a_base), b_tile.eq(0)]
            with m.If(rows_last):
                m.d.sync += [row_base.eq(0), n_base.eq(n_next)]
            with m.If(tile_last):
                m.d.sync += [final.eq(1), final_half.eq(half)]
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.i.valid & self.i.ready):
                    m.d.sync += [self.running.eq(1), resting.eq(0), self.restart.eq(self.i.p.start)]
                    m.next = "SPAN"
            with m.State("SPAN"):
                m.d.sync += [self.span.eq(self.span + command.columns), segments[0].eq(segments[0] - 1)]
                with m.If(segments[0] == 1):
                    m.d.sync += [segments[0].eq(command.seg_x), segments[1].eq(segments[1] - 1)]
                    with m.If(segments[1] == 1):
                        m.next = "SETTLE"
            with m.State("SETTLE"):  # sums of the new bases settle
                m.d.sync += settle.eq(settle + 1)
                with m.If(settle == 3):
                    m.next = "OPEN"
            with m.State("OPEN"):
                with m.If(free):
                    m.d.sync += puts.eq(Cat(~half, half))
                    m.next = "PUT"
            with m.State("PUT"):
                m.d.sync += [
                    rows_left.eq(k_length),
                    bricks.eq((n_length + BRICK - 1) >> ceil_log2(BRICK)),
                    bricks_left.eq((n_length + BRICK - 1) >> ceil_log2(BRICK)),
                    last_brick.eq(narrow),
                    last_row.eq(k_length == 1),
                ]
                m.d.sync += self.queue_set.eq(k_first)  # groups ask some cycles after the tile opens
                m.d.sync += [address.eq(first_row), row_address.eq(second_row), asking.eq(1), offered.eq(pace >> 1 == 0)]
                m.next = "LOAD"
            with m.State("LOAD"):
                with m.If(loading_done):
                    for h in range(2):
                        with m.If(half == h):
                            m.d.sync += self.tiles[h].loaded.eq(1)
                    m.d.sync += moves_on.eq(1)
                    m.next = "ON"
            with m.State("ON"):  # to the next tile
                m.next = "SETTLE"
                with m.If(tile_last):
                    m.next = "FLUSH"
            with m.State("FLUSH"):
                with m.If(still):
                    m.d.sync += flush.eq(0)
                with m.Else():
                    m.d.sync += flush.eq(flush + 1)
                    with m.If(flush == FLUSH - 1):
                        m.d.sync += [self.running.eq(0), resting.eq(1), self.done.eq(1)]
                        m.next = "IDLE"
        m.d.comb += self.queue_next.eq(row_base)
        m.d.sync += [
            self.queue_over.eq(row_base == 0),
            self.queue_limit.eq(Mux(row_next > command.m, command.m, row_next)),
        ]

        self._spread(m, half, bricks, k_length, loading_done)
        return m

    def _spread(self, m, half, bricks, k_length, loading_done):
        """Answers become bank writes: word ``c * lanes + n`` of row ``k`` goes to lane ``n`` at ``k * columns + c``.

        With ``twins`` each is written once more, to the ring's next lane, a quarter of the bank further on.
        """
        chip, widths, command = self.chip, Widths(self.chip), self.command
        parts = load_cycles_per_brick(chip)
        lanes = min(chip.lanes, BRICK)
        held = Signal(brick(chip))
        part = Signal(range(max(2, parts)))
        busy = Signal()
        uppers = ceil_div(chip.lanes, BRICK)
        upper = Signal(bits_for(uppers))  # which eight of the lanes
        last_upper = Signal(init=uppers == 1)  # the last ones
        again = Signal()  # the same words a second time
        plain = Signal(init=1)  # not so; a register of its own for all the words' bits
        moves = Signal()  # on to the next words; a register, as much hangs on it
        column = Signal(widths.column + 1)
        k_offset = Signal(widths.half_address + 1)
        bricks_behind = Signal(signed(widths.psum_address + 1))  # the one that comes and the next; negative at a row's last
        rows_left = Signal(widths.half_address + 1)
        begun = Signal()
        writing = Signal()
        row_ends = Signal()
        brick_ends = Signal()

        with m.If(self.brick_valid):
            m.d.sync += [held.eq(self.brick), part.eq(0), busy.eq(1)]
        with m.Elif(brick_ends):
            m.d.sync += busy.eq(0)
        if parts > 1:
            with m.Elif(moves):
                m.d.sync += part.eq(part + 1)
        m.d.sync += [
            again.eq(busy & ~moves),
            plain.eq(~busy | moves),
            moves.eq(Mux(command.twins, busy & ~moves, self.brick_valid | (busy & ~brick_ends))),
        ]
        m.d.comb += [
            writing.eq(busy & (column < command.columns)),
            brick_ends.eq(moves & (part == parts - 1) if parts > 1 else moves),
            row_ends.eq(brick_ends & bricks_behind[-1]),
        ]
        now = Signal(tile(chip))
        m.d.comb += now.eq(select(half, self.tiles))
        # A cycle late: `bricks` are the tile's when it begins, and all of them have come when it ends.
        m.d.sync += begun.eq(now.open & ~now.loaded)
        with m.If(begun):
            with m.If(moves):
                m.d.sync += column.eq(column + last_upper)
            with m.If(brick_ends):
                wraps = last_upper | bricks_behind[-1]
                m.d.sync += [bricks_behind.eq(bricks_behind - 1), upper.eq(Mux(wraps, 0, upper + 1))]
                if uppers > 1:
                    m.d.sync += last_upper.eq(~wraps & (upper == uppers - 2))
            with m.If(row_ends):
                m.d.sync += [
                    bricks_behind.eq(bricks - 2),
                    column.eq(0),
                    k_offset.eq(k_offset + command.columns),
                    rows_left.eq(rows_left + 1),
                ]
        with m.Else():
            m.d.sync += [column.eq(0), k_offset.eq(0), bricks_behind.eq(bricks - 2), rows_left.eq(0)]
            m.d.sync += [upper.eq(0), last_upper.eq(uppers == 1)]
        m.d.sync += loading_done.eq(rows_left == k_length)  # counts while a tile is loaded; long reset when the next one is
        words = held.as_value().word_select(part, lanes * chip.width)
        address = (k_offset + column)[: widths.half_address]
        m.d.sync += [
            self.load.enable.eq(writing),
            self.load.upper.eq(upper),
            self.load.address.eq(Cat(address[:-1], address[-1] | again, half)),
            self.load.words.eq(Mux(plain, words, words.rotate_left(chip.width))),
        ]
