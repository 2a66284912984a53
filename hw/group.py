"""One group: lanes with their row lists and partial sums."""

from amaranth.hdl import Module, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.drain import Drain
from hw.fetch import Fetch
from hw.lanes import Lanes
from hw.layouts import brick, command, load_bus, row, tile
from hw.logic import counted, delayed, join
from hw.queues import Queues
from hw.rowlist import RowLists
from hw.scan import Scan
from hw.visits import Visits, finish_job
from spec.chip import Chip
from spec.engine import Widths


class Group(wiring.Component):
    """Works on ``slots`` rows at once; every lane holds every ``lanes``-th column of the tile of B.

    Members
    -------
    command, span, restart, tiles, tile_done, left, queue_* : see :class:`hw.visits.Visits`
    load : words of B for the banks
    a_request, a_valid, a_brick : bricks of A, answered in order
    scan_request, scan_valid, mask_brick : bricks of the mask
    finish, finished, finished_half : rows whose sums are complete, and the answer when one was written; see :class:`hw.finish.Finish`,
        which several groups share
    read_* : the partial sums, for it; see :class:`hw.drain.Drain`
    busy, blocked : lanes that issued a product; lanes that waited for the drain
    outputs, load_wait : for the counters
    working : a row is in flight; idle : none is
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
                "mask_brick": In(brick(chip)),
                "finish": Out(stream.Signature(finish_job(chip))),
                "finished": In(1),
                "finished_half": In(1),
                "read_address": In(Widths(chip).psum_address),
                "read_ready": Out(1),
                "read_data": Out(signed(chip.acc_width)),
                "busy": Out(range(chip.lanes + 1)),
                "blocked": Out(range(chip.lanes + 1)),
                "outputs": Out(range(chip.lanes + 1)),
                "load_wait": Out(1),
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
        m.submodules.queues = queues = Queues(chip, target)
        m.submodules.lanes = lanes = Lanes(chip, target)
        m.submodules.drain = drain = Drain(chip, target)

        m.d.comb += [
            visits.command.eq(self.command),
            visits.span.eq(self.span),
            visits.restart.eq(self.restart),
            queues.restart.eq(self.restart),
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
        connect(m, visits.finish, flipped(self.finish))
        connect(m, fetch.request, flipped(self.a_request))
        connect(m, scan.o, queues.i)
        connect(m, scan.request, flipped(self.scan_request))
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
            drain.read_address.eq(self.read_address),
            self.read_ready.eq(drain.read_ready),
            self.read_data.eq(drain.read_data),
            visits.finished.eq(self.finished),
            visits.finished_half.eq(self.finished_half),
        ]

        m.d.comb += [*join(lanes.pairs, lists.o), queues.twins.eq(self.command.twins), lanes.halves.eq(visits.halves), lanes.load.eq(self.load)]
        column, far = queues.o[0].p, 0  # the same for all lanes; those far away get theirs as many cycles later
        for n in range(chip.lanes):
            if n // Lanes.FAR > far:
                far = n // Lanes.FAR
                column = delayed(m, column, 1, f"column_{far}")
            came = delayed(m, queues.o[n].valid, far, f"came_{n}", control=True) if far else queues.o[n].valid
            m.d.comb += [lanes.i[n].p.eq(column), lanes.i[n].valid.eq(came), queues.o[n].ready.eq(lanes.i[n].ready)]
            connect(m, lanes.o[n], drain.i[n])

        m.d.comb += [
            self.busy.eq(counted(m, lanes.busy, "busy")),
            self.blocked.eq(counted(m, lanes.blocked, "blocked")),
        ]
        m.d.sync += [
            self.outputs.eq(scan.outputs),
            self.load_wait.eq(scan.load_wait),
            self.working.eq(~visits.idle),
            self.idle.eq(visits.idle),
        ]
        return m
