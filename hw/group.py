"""One group: lanes with their row lists, partial sums and Convert."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.drain import Drain
from hw.fetch import Fetch
from hw.finish import Finish, write_request
from hw.lanes import Lanes
from hw.layouts import brick, command, load_bus, row, tile
from hw.logic import counted, join
from hw.rowlist import RowLists
from hw.scan import Scan
from hw.visits import Visits
from spec.chip import Chip
from spec.engine import Widths


class Group(wiring.Component):
    """Works on ``slots`` rows at once; every lane holds every ``lanes``-th column of the tile of B.

    Members
    -------
    command, span, restart, tiles, tile_done, left, queue_* : see :class:`hw.visits.Visits`
    load : words of B for the banks
    a_request, a_valid, a_brick : bricks of A, answered in order
    scan_request, finish_request, scan_valid, finish_valid, mask_brick : bricks of the mask
    c : :py:`Out(stream.Signature(write_request))`, bricks of C
    busy, blocked : lanes that issued a product; lanes that waited for the drain
    outputs, load_wait, saturated : for the counters
    working : a row is in flight; idle : nothing at all is
    """

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        address = Widths(chip).brick_address
        super().__init__(
            {
                "command": In(command(chip)),
                "span": In(Widths(chip).column + 1),
                "restart": In(1),
                "tiles": In(tile(chip)).array(2),
                "tile_done": Out(2),
                "left": Out(2),
                "queue_request": Out(1),
                "queue_half": Out(1),
                "queue_grant": In(1),
                "queue_none": In(1),
                "queue_row": In(row(chip)),
                "load": In(load_bus(chip)),
                "a_request": Out(stream.Signature(address)),
                "a_valid": In(1),
                "a_brick": In(brick(chip)),
                "scan_request": Out(stream.Signature(address)),
                "scan_valid": In(1),
                "finish_request": Out(stream.Signature(address)),
                "finish_valid": In(1),
                "mask_brick": In(brick(chip)),
                "c": Out(stream.Signature(write_request(chip))),
                "busy": Out(range(chip.lanes + 1)),
                "blocked": Out(range(chip.lanes + 1)),
                "outputs": Out(range(chip.lanes + 1)),
                "load_wait": Out(1),
                "saturated": Out(1),
                "working": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip, target = self.chip, self.target
        m.submodules.visits = visits = Visits(chip, target)
        m.submodules.fetch = fetch = Fetch(chip, target)
        m.submodules.lists = lists = RowLists(chip, target)
        m.submodules.scan = scan = Scan(chip)
        m.submodules.lanes = lanes = Lanes(chip, target)
        m.submodules.drain = drain = Drain(chip, target)
        m.submodules.finish = finish = Finish(chip, target)

        m.d.comb += [
            visits.command.eq(self.command),
            visits.span.eq(self.span),
            visits.restart.eq(self.restart),
            drain.restart.eq(self.restart),
            *join(visits.tiles, self.tiles),
            self.tile_done.eq(visits.tile_done),
            self.left.eq(visits.left),
            self.queue_request.eq(visits.queue_request),
            self.queue_half.eq(visits.queue_half),
            visits.queue_grant.eq(self.queue_grant),
            visits.queue_none.eq(self.queue_none),
            visits.queue_row.eq(self.queue_row),
        ]
        connect(m, visits.fetch, fetch.i)
        connect(m, visits.finish, finish.i)
        connect(m, fetch.request, flipped(self.a_request))
        connect(m, scan.request, flipped(self.scan_request))
        connect(m, finish.request, flipped(self.finish_request))
        connect(m, finish.o, flipped(self.c))
        m.d.comb += [
            fetch.command.eq(self.command),
            fetch.brick_valid.eq(self.a_valid),
            fetch.brick.eq(self.a_brick),
            visits.fetch_done.eq(fetch.done),
            visits.fetch_slot.eq(fetch.done_slot),
            visits.fetch_last.eq(fetch.done_last),
            lists.w_enable.eq(fetch.w_enable << fetch.w_slot),
            lists.w_address.eq(fetch.w_address),
            lists.w_k.eq(fetch.w_k),
            lists.w_a.eq(fetch.w_a),
            *join(lists.ends, visits.ends),
            lists.filled.eq(visits.filled),
            scan.command.eq(self.command),
            *join(scan.tiles, self.tiles),
            scan.unscanned.eq(visits.unscanned),
            *join(scan.visits, visits.visits),
            *join(scan.mask_address, visits.mask_address),
            scan.brick_valid.eq(self.scan_valid),
            scan.brick.eq(self.mask_brick),
            visits.pushed.eq(scan.pushed),
            visits.pushed_slot.eq(scan.pushed_slot),
            visits.scanned.eq(scan.scanned),
            visits.scanned_slot.eq(scan.scanned_slot),
            *join(drain.visits, visits.visits),
            visits.written.eq(drain.written),
            visits.written_slot.eq(drain.written_slot),
            finish.command.eq(self.command),
            *join(finish.tiles, self.tiles),
            drain.read_address.eq(finish.read_address),
            finish.read_ready.eq(drain.read_ready),
            finish.read_data.eq(drain.read_data),
            finish.brick_valid.eq(self.finish_valid),
            finish.brick.eq(self.mask_brick),
            visits.finished.eq(finish.finished),
            visits.finished_half.eq(finish.finished_half),
        ]

        m.d.comb += [*join(lanes.pairs, lists.o), scan.fuller.eq(lanes.fuller), lanes.halves.eq(visits.halves), lanes.load.eq(self.load)]
        for n in range(chip.lanes):
            connect(m, scan.o[n], lanes.i[n])
            connect(m, lanes.o[n], drain.i[n])

        m.d.comb += [
            self.busy.eq(counted(m, lanes.busy, "busy")),
            self.blocked.eq(counted(m, lanes.blocked, "blocked")),
        ]
        m.d.sync += [
            self.outputs.eq(scan.outputs),
            self.load_wait.eq(scan.load_wait),
            self.saturated.eq(finish.saturated),
            self.working.eq(~visits.idle),
            self.idle.eq(visits.idle & finish.idle),
        ]
        return m
