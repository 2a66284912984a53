"""All proofs: what is claimed of which unit, how it is proved, and the faults that must break it."""

from dataclasses import dataclass
from enum import Enum


class Method(Enum):
    """How a claim is carried to every cycle."""

    REACHABLE = "property-directed reachability"  # finds the invariant itself; no bound
    INDUCTION = "k-induction"  # no bound


@dataclass(frozen=True)
class Fault:
    """One change of one file, with which the proof must fail."""

    name: str
    file: str
    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class Proof:
    """``harness`` is ``module:function``, which is called without arguments and gives a :class:`prove.harness.Harness`.

    ``depth`` of an induction is the number of cycles that one step looks back; ``reach`` how many cycles the harness'
    events may take, and a fault to show where the solver is given a bound.
    """

    name: str
    units: tuple[str, ...]
    claim: str
    harness: str
    faults: tuple[Fault, ...]
    method: Method = Method.REACHABLE
    depth: int = 0
    reach: int = 12
    quick: bool = False  # also proved by `make test`


PROOFS = (
    Proof(
        name="fifo",
        units=("hw/fifo.py",),
        claim="nothing lost, doubled or reordered; a word waits unchanged; full exactly when `depth` words wait, never hidden",
        harness="prove.streams:fifo",
        faults=(
            Fault("fifo: word leaves though the output stalls", "hw/fifo.py", "get.eq(self.o.ready & some)", "get.eq(some)"),
        ),
        quick=True,
    ),
    Proof(
        name="chain",
        units=("hw/chain.py",),
        claim="as fifo; a word shows within `depth` cycles",
        harness="prove.streams:chain",
        faults=(Fault("chain: last place freed though the output stalls", "hw/chain.py", "with m.Elif(self.o.ready):", "with m.Else():"),),
        quick=True,
    ),
    Proof(
        name="block fifo",
        units=("hw/fifo.py",),
        claim="as fifo, a word shows within LATENCY cycles; whatever the block RAM gives for a word that is read while it is written",
        harness="prove.streams:block_fifo",
        faults=(
            Fault("block fifo: word asked for before it is written", "hw/fifo.py", "some.eq(unread.any())", "some.eq(unread.any() | put)"),
            Fault("block fifo: memory moves on though the output stalls", "hw/fifo.py", "memory.r_en.eq(move)", "memory.r_en.eq(1)"),
        ),
    ),
    Proof(
        name="skid",
        units=("hw/fifo.py",),
        claim="nothing lost, doubled or reordered; a word waits unchanged and shows at once; full exactly when two wait",
        harness="prove.streams:skid",
        faults=(Fault("skid: spare word overwritten", "hw/fifo.py", "with m.If(free):\n            m.d.sync += spare", "with m.If(1):\n            m.d.sync += spare"),),
        quick=True,
    ),
    Proof(
        name="arbiter",
        units=("hw/arbiter.py",),
        claim="one grant at a time, to who asks; each stream's words come out once, in order, under its number; who waits sees no other "
        "served more than twice and is served within 2 * count + 1 cycles in which the output moves",
        harness="prove.shares:arbiter",
        reach=18,
        faults=(
            Fault("arbiter: word taken though the output stalls", "hw/arbiter.py", "i.ready.eq(grant[n] & advance)", "i.ready.eq(grant[n])"),
            Fault("arbiter: late comers join the batch", "hw/arbiter.py", "Mux(rest.any(), rest, asking)", "Mux(rest.any(), rest | asking, asking)"),
        ),
    ),
    Proof(
        name="turns",
        units=("hw/turns.py",),
        claim="one turn at a time; a word comes out LATENCY cycles later under its stream's number, nothing else ever does; "
        "each stream has its turn once a round",
        harness="prove.shares:turns",
        faults=(
            Fault("turns: words taken out of turn", "hw/turns.py", "valid.eq(i.valid & turn[n])", "valid.eq(i.valid)"),
            Fault("turns: round a place too long", "hw/turns.py", "turn.eq(turn.rotate_left(1))", "turn.eq(turn << 1)"),
        ),
        quick=True,
    ),
    Proof(
        name="compact turns",
        units=("hw/turns.py",),
        claim="the same of the form that merges words on their way into the first register",
        harness="prove.shares:compact_turns",
        faults=(Fault("turns: words of all streams merged", "hw/turns.py", "word & turn[n].replicate(len(word))", "word"),),
        quick=True,
    ),
    Proof(
        name="turns with a pause",
        units=("hw/turns.py",),
        claim="the same of three streams in rounds of five cycles; a stream's turns are `pause` cycles apart",
        harness="prove.shares:paused_turns",
        faults=(Fault("turns: two turns in a round", "hw/turns.py", "turn = Signal(self.round, init=1, reset_less=True)", "turn = Signal(self.round, init=5, reset_less=True)"),),
    ),
    Proof(
        name="read share",
        units=("hw/read_share.py",),
        claim="addresses of both masters go out once, in order, waiting unchanged; beats go to the master whose burst they are of; "
        "master 0 waits for nobody, master 1 for master 0 alone",
        harness="prove.shares:read_share",
        faults=(
            Fault("read share: both masters taken at once", "hw/read_share.py", "second.ready.eq(free & ~first.valid)", "second.ready.eq(free)"),
            Fault("read share: owner forgotten with the burst's first beat", "hw/read_share.py",
                  "self.r.valid & self.r.ready & self.r.p.last", "self.r.valid & self.r.ready"),
        ),
    ),
    Proof(
        name="row queue, progress",
        units=("hw/rowqueue.py",),
        claim="one grant at a time, to who asks, within 2 * groups cycles, not counting two for each tile that begins meanwhile",
        harness="prove.shares:rowqueue_grants",
        faults=(
            Fault("row queue: last group left out", "hw/rowqueue.py", "turn == self.groups - 1", "turn == self.groups - 2"),
            Fault("row queue: two groups granted", "hw/rowqueue.py", "self.grant.eq(0),", ""),
        ),
        quick=True,
    ),
    Proof(
        name="row queue, rows",
        units=("hw/rowqueue.py",),
        claim="a row given is the one behind the last, the first one anew where a tile says so, never its half's limit: each once, none left out; "
        "whole 16-bit rows and limits",
        harness="prove.shares:rowqueue_rows",
        method=Method.INDUCTION,
        depth=4,
        faults=(
            Fault("row queue: row given twice", "hw/rowqueue.py", "picked.eq(0),", ""),
            Fault("row queue: limit of the other half", "hw/rowqueue.py", "nones.bit_select(half, 1)", "nones.bit_select(~half, 1)"),
        ),
    ),
    Proof(
        name="bursts",
        units=("hw/axi.py",),
        claim="a job's bursts cover it from first to last brick without gap or overlap, each in one page and on the bus once; "
        "whole 32-bit addresses, counts up to 65,535",
        harness="prove.bus:bursts",
        method=Method.INDUCTION,
        depth=2,
        faults=(Fault("axi: burst crosses a page", "hw/axi.py", "room.eq(spec.burst_bricks - at)", "room.eq(spec.burst_bricks)"),),
    ),
    Proof(
        name="axi writer",
        units=("hw/axi_write.py", "hw/axi.py", "hw/fifo.py"),
        claim="bricks leave as their beats, in order, once, sign-extended; every burst announced is sent with as many beats, WLAST on its last; AW and W "
        "wait unchanged; `done` follows a job's last answer with its first failure; no more bursts under way than allowed; it goes on when bus and bricks do",
        harness="prove.bus:writer",
        reach=14,
        faults=(
            Fault("axi_write: WLAST on every brick", "hw/axi_write.py", "self.w.p.last.eq(ends & complete)", "self.w.p.last.eq(complete)"),
            Fault("axi_write: brick taken though a beat waits", "hw/axi_write.py", "unsent.o.valid & self.w.ready & complete", "unsent.o.valid & complete"),
            Fault("axi_write: failure of the last job kept", "hw/axi_write.py", "found.eq(Mux(due.o.p.end, 0, now))", "found.eq(now)"),
        ),
    ),
    Proof(
        name="axi reader, bricks",
        units=("hw/axi_read.py", "hw/axi.py", "hw/fifo.py"),
        claim="bricks come out as their beats came in, once, in order, within three cycles; AR and bricks wait unchanged; "
        "no more bursts under way than allowed; a job's next burst is asked for within three cycles",
        harness="prove.bus:reader_bricks",
        reach=14,
        faults=(
            Fault("axi_read: brick overwritten before it is taken", "hw/axi_read.py", "due.o.valid & (self.o.ready | ~complete)", "due.o.valid"),
            Fault("axi_read: beats in the wrong order", "hw/axi_read.py", "bits = Cat(earlier, beat.data)", "bits = Cat(beat.data, earlier)"),
        ),
    ),
    Proof(
        name="axi reader, jobs",
        units=("hw/axi_read.py", "hw/axi.py", "hw/fifo.py"),
        claim="`done` follows each job's last brick, with the first failure that any of its beats met",
        harness="prove.bus:reader_jobs",
        reach=14,
        faults=(
            Fault("axi_read: job ends with every burst", "hw/axi_read.py", "self.done.eq(take & beat.last & burst.end)",
                  "self.done.eq(take & beat.last)"),
            Fault("axi_read: last failure kept, not the first", "hw/axi_read.py", "Mux((found == 0) & beat.resp[1]", "Mux(beat.resp[1]"),
        ),
    ),
    Proof(
        name="walk",
        units=("hw/walk.py",),
        claim="run i of round j has address base + j * step_2 + i * step_1, all of them, each once, in order, waiting unchanged; "
        "4-bit addresses, whole 16-bit counts",
        harness="prove.transfers:walk",
        method=Method.INDUCTION,
        depth=2,
        faults=(
            Fault("walk: rounds begin where the last run was", "hw/walk.py", "Mux(last_1, first, at)", "at"),
            Fault("walk: one run left out of later rounds", "hw/walk.py", "last_1.eq(single),", "last_1.eq(runs == 2),"),
        ),
    ),
    Proof(
        name="load, bricks",
        units=("hw/load.py", "hw/transfer.py"),
        claim="a brick from memory is written once, with the address that is next, and nothing else is but zeros when filling; a write waits unchanged "
        "while the command lasts, but for zeros when it is stopped",
        harness="prove.transfers:load_bricks",
        method=Method.INDUCTION,
        depth=2,
        faults=(
            Fault("load: brick dropped while the scratchpad is busy", "hw/load.py", "reader.o.ready.eq(self.write.ready & places.o.valid & ~fill)",
                  "reader.o.ready.eq(places.o.valid & ~fill)"),
        ),
    ),
    Proof(
        name="store, bricks",
        units=("hw/store.py", "hw/transfer.py", "hw/fifo.py"),
        claim="answers of the scratchpad, which cannot wait, always find room; a request waits unchanged while the command lasts",
        harness="prove.transfers:store_bricks",
        method=Method.INDUCTION,
        depth=2,
        reach=28,
        faults=(
            Fault("store: asks without room for the answer", "hw/store.py", "requests.i.valid.eq(places.o.valid & ~ahead[-1])",
                  "requests.i.valid.eq(places.o.valid)"),
        ),
    ),
    Proof(
        name="write window",
        units=("hw/store.py", "hw/transfer.py", "hw/walk.py", "hw/axi_write.py", "hw/axi.py"),
        claim="every burst on AW lies inside the write window from first to last byte: all descriptors whose fields are in range, all windows",
        harness="prove.windows:store",
        method=Method.INDUCTION,
        depth=3,
        faults=(
            Fault("transfer: end of a run not held against the window", "hw/transfer.py", "Cat(Const(-1, below), last) >", "Cat(Const(-1, below), at) >"),
            Fault("transfer: window ends a brick late", "hw/transfer.py", "Cat(Const(-1, below), last) >", "Cat(Const(0, below), last) >"),
        ),
    ),
    Proof(
        name="read window",
        units=("hw/load.py", "hw/transfer.py", "hw/walk.py", "hw/axi_read.py", "hw/axi.py"),
        claim="every burst of a load on AR lies inside the read window: all descriptors whose fields are in range, all windows",
        harness="prove.windows:load",
        method=Method.INDUCTION,
        depth=3,
        faults=(
            Fault("transfer: window begins a brick early", "hw/transfer.py", "Cat(Const(0, below), at) <", "Cat(Const(-1, below), at) <"),
        ),
    ),
    Proof(
        name="descriptor window",
        units=("hw/descriptors.py",),
        claim="every burst that fetches a descriptor lies inside the read window, wherever ring and index lie; AR waits unchanged",
        harness="prove.windows:descriptors",
        method=Method.INDUCTION,
        depth=3,
        faults=(
            Fault("descriptors: end not held against the window", "hw/descriptors.py", "(last > self.window.limit)", "(first > self.window.limit)"),
        ),
    ),
    Proof(
        name="field check",
        units=("hw/check.py",),
        claim="a descriptor passes exactly if opcode and all fields are within the bounds of `spec.isa`; all 2^1024 descriptors, of one chip",
        harness="prove.windows:checked",
        method=Method.INDUCTION,
        depth=6,
        faults=(
            Fault("check: smallest value not looked at", "hw/check.py", "if low > least:", "if low > least + 1:"),
            Fault("check: address off a brick", "hw/check.py", "return bits[: exact_log2(brick_bytes(self.chip))].any()", "return None"),
        ),
        quick=True,
    ),
    Proof(
        name="convert",
        units=("hw/convert.py",),
        claim="word and saturation are those of docs/units/convert.md for every 12-bit sum to 8 bits, every shift, rounding and random bits, "
        "while nothing stalls",
        harness="prove.convert:convert",
        method=Method.INDUCTION,
        depth=15,
        reach=17,
        faults=(
            Fault("convert: nearest adds half a step", "hw/convert.py", "count.eq(self.shift - 1)", "count.eq(self.shift)"),
            Fault("convert: bits dropped on the way not looked at", "hw/convert.py", "overflow = overflow | dropped", "overflow = dropped"),
        ),
    ),
    Proof(
        name="convert under stalls",
        units=("hw/convert.py", "hw/keyed.py"),
        claim="a cycle in which the output stalls changes no register, hash included, and takes nothing: words are those without the stall",
        harness="prove.convert:frozen",
        method=Method.INDUCTION,
        depth=3,
        reach=16,
        faults=(Fault("convert: stages load though the output stalls", "hw/convert.py", " & en.replicate(len(loads))", ""),),
        quick=True,
    ),
    Proof(
        name="lane head",
        units=("hw/lanes.py", "hw/lane.py"),
        claim="every column that comes to a lane begins once, in order, with its own slot and column",
        harness="prove.lanes:head",
        reach=16,
        faults=(
            Fault("lanes: head overwritten before it is taken", "hw/lanes.py", "for i in self.i) & ~head_valid", "for i in self.i)"),
        ),
    ),
    Proof(
        name="lane sums",
        units=("hw/lanes.py", "hw/lane.py"),
        claim="every column that begins gives one sum under its own slot and column, in order; at most `results` wait; a sum waits under the same tag",
        harness="prove.lanes:sums",
        reach=18,
        faults=(
            Fault("lanes: tag leaves without its sum", "hw/lanes.py", "leave & sums.valids[-1]", "leave"),
            Fault("lanes: column begins without a place for its sum", "hw/lanes.py", "waits.eq(head_valid & tags.rooms[0] & ~take)",
                  "waits.eq(head_valid & ~take)"),
        ),
    ),
    Proof(
        name="scratchpad",
        units=("hw/scratchpad.py",),
        claim="one reader of a half or of a port at a time, one writer of a half; each waits for those before it that want the same, and for nobody else; "
        "each read is answered once, LATENCY cycles later",
        harness="prove.shares:scratchpad",
        faults=(
            Fault("scratchpad: first reader not waited for", "hw/scratchpad.py", "for other in ports[:n]", "for other in ports[1:n]"),
            Fault("scratchpad: answer though the read waits", "hw/scratchpad.py", "delayed(m, read.valid & read.ready,", "delayed(m, read.valid,"),
        ),
        quick=True,
    ),
    Proof(
        name="taps",
        units=("hw/taps.py", "hw/fifo.py"),
        claim="a tap waits unchanged until it is taken or the walk is stopped",
        harness="prove.units:taps",
        faults=(Fault("skid: next tap though this one waits", "hw/fifo.py", "with m.If(self.o.ready | ~self.o.valid):", "with m.If(1):"),),
    ),
    Proof(
        name="bricks",
        units=("hw/bricks.py", "hw/taps.py", "hw/fifo.py"),
        claim="a request for a brick waits unchanged, while room falls only with a request",
        harness="prove.units:bricks",
        faults=(
            Fault("bricks: address counts on though it waits", "hw/bricks.py", "with m.Elif(self.room & self.request.ready):",
                  "with m.Elif(self.room):"),
        ),
    ),
    Proof(
        name="scan",
        units=("hw/scan.py",),
        claim="requests for mask bricks and steps for the queues wait unchanged",
        harness="prove.units:scan",
        faults=(Fault("scan: step withdrawn", "hw/scan.py", "step | (pending_valid & ~self.o.ready)", "step"),),
    ),
    Proof(
        name="finish",
        units=("hw/finish.py", "hw/fifo.py"),
        claim="requests and bricks of C wait unchanged",
        harness="prove.units:finish",
        reach=42,
        faults=(Fault("finish: request for the mask withdrawn", "hw/finish.py",
                  "with m.If(self.request.ready):\n                    m.d.sync += waiting.eq(1)",
                  "with m.If(1):\n                    m.d.sync += waiting.eq(1)"),),
    ),
    Proof(
        name="registers",
        units=("hw/registers.py",),
        claim="answers on AXI4-Lite's B and R wait unchanged",
        harness="prove.units:registers",
        faults=(Fault("registers: answer to a read withdrawn", "hw/registers.py", "with m.If(bus.r.ready):", "with m.If(1):"),),
    ),
)
