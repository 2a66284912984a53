"""The planted faults: what a designer could get wrong, each as one change of one file.

``chip`` is the smallest chip of ``tests/engine_cases.py`` whose cases show it. A fault of a unit that the engine does not
hold names the unit whose ``bench`` must catch it instead.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    name: str
    file: str
    old: str
    new: str
    chip: str = "1x2w8"
    bench: str = ""  # of :data:`tb.benches.UNITS`; the engine's cases if empty

    @property
    def unit(self) -> str:
        return self.file.removeprefix("hw/").removesuffix(".py")


FAULTS = (
    # Drain and partial sums
    Fault("drain: address off by one", "hw/drain.py",
          "(taken_visit.base + taken.column)", "(taken_visit.base + taken.column + 1)"),
    Fault("drain: lanes swapped", "hw/drain.py", "Cat(taken_lane, ", "Cat(taken_lane ^ 1, "),
    Fault("drain: first tile adds to the old sum", "hw/drain.py", "old.eq(0)", "old.eq(memory.r_data)"),
    Fault("drain: sum loses its sign", "hw/drain.py",
          "place_sum = Signal(signed(widths.lane_sum)", "place_sum = Signal((widths.lane_sum)"),
    Fault("drain: sum read before the last one is written", "hw/drain.py", "PAUSE = Bram.LATENCY + 3", "PAUSE = 2",
          "2x4w16"),
    Fault("drain: sum added a cycle late", "hw/drain.py",
          "delayed(m, place_sum, SUM_LATENCY + 1", "delayed(m, place_sum, SUM_LATENCY + 2"),
    Fault("turns: names the stream after", "hw/turns.py",
          "init=self.round - self.LATENCY % self.round", "init=self.round - self.LATENCY % self.round - 1", "2x4w16"),
    Fault("turns: round does not begin anew", "hw/turns.py", "register in (turn, waits, source)", "register in (turn, waits)",
          "2x4w16"),
    # Lanes
    Fault("lane: sum cleared late", "hw/lane.py", "total.eq(0)", "total.eq(added)"),
    Fault("lane: bubbles are added", "hw/lane.py", "with m.Elif(self.add):", "with m.Else():"),
    Fault("lane: wrong bank half", "hw/lane.py",
          "(k + current.column)[: widths.half_address], half)", "(k + current.column)[: widths.half_address], ~half)"),
    Fault("lane: half of the column before", "hw/lane.py", "half.eq(select(head.slot", "half.eq(select(current.slot"),
    Fault("lane: address a cycle early", "hw/lane.py", "(k + current.column)", "(passing.k + current.column)"),
    Fault("lane: column ends with the pair it begins with", "hw/lane.py", "(coming_k == start) & ~self.tuning",
          "coming_k == start"),
    Fault("lane: tag of the column before", "hw/lane.py", "head.as_value(), added", "current.as_value(), added"),
    Fault("lanes: starts though no place is free", "hw/lanes.py",
          "waits.eq(head_valid & tags.rooms[0])", "waits.eq(head_valid)", "2x8w12"),
    Fault("lanes: list left one pair late", "hw/lanes.py", "fire.eq(running & (~match | again))", "fire.eq(running)"),
    Fault("lanes: next column goes on in the same list", "hw/lanes.py", "again.eq(closed & waits & same)",
          "again.eq(closed & waits)"),
    Fault("lanes: pointer counts on without its carry", "hw/lanes.py", "reduce(and_, pointer[:b])", "pointer[b - 1]"),
    Fault("lanes: queue overrun", "hw/lanes.py", "for i in self.i) & ~(full | pushed)", "for i in self.i) & ~(full & pushed | pushed)"),
    Fault("lanes: full queue taken for an empty one", "hw/lanes.py", "nonempty.eq(reduce(or_, apart))",
          "nonempty.eq(reduce(or_, apart[:-1]))"),
    Fault("lanes: head overwritten before it is taken", "hw/lanes.py", "pop.eq(nonempty & ~head_valid)",
          "pop.eq(nonempty)"),
    Fault("lanes: tag leaves without its sum", "hw/lanes.py", "leave & sums.valids[-1]", "leave"),
    Fault("lanes: tag enters when its column ends", "hw/lanes.py", "tags.moves(m, take,", "tags.moves(m, closed,"),
    Fault("lanes: sum taken a product early", "hw/lanes.py", "range(Lane.LATENCY - 2)", "range(Lane.LATENCY - 3)"),
    Fault("lanes: waiting sum overwritten", "hw/lanes.py", "moves.append(enter & room)", "moves.append(enter)", "2x8w12"),
    Fault("lanes: words of B in the lanes next door", "hw/lanes.py",
          "(self.load.upper == n // BRICK) if count > BRICK else 1", "1", "1x16w16"),
    # Scan
    Fault("scan: wrong mask bit", "hw/scan.py",
          "bits[n * chip.lanes : (n + 1)", "bits[n * chip.lanes + 1 : (n + 1)"),
    Fault("scan: a column too many", "hw/scan.py", "(~final).replicate", "(final | ~final).replicate"),
    Fault("scan: full lane queue overrun", "hw/scan.py", "~(pending & ~ready).any()", "1"),
    Fault("scan: second mask brick is the first", "hw/scan.py", "address.eq(address + 1)", "address.eq(address)", "4x4w8"),
    # Visits
    Fault("visits: a kept row forgotten", "hw/visits.py", "coming.eq(kept)", "coming.eq(Mux(kept == 1, 1, kept - 1))"),
    Fault("visits: address taken a cycle early", "hw/visits.py",
          "with m.If(wait == Multiplier.LATENCY - 1):", "with m.If(wait == Multiplier.LATENCY - 2):"),
    Fault("visits: row ends before its sums arrive", "hw/visits.py", "settled & empty & scanned", "settled & scanned"),
    Fault("visits: sums overwritten before they are read", "hw/visits.py", "free & room", "free"),
    Fault("visits: ring of rows a place too long", "hw/visits.py",
          "number + 1 == command.rows", "number == command.rows"),
    Fault("visits: rows of an aborted chain kept", "hw/visits.py", "head[1].eq(0), used.eq(0)]", "head[1].eq(0)]"),
    Fault("visits: scanned before the list is there", "hw/visits.py", "everywhere & ~scanned", "busy & ~scanned"),
    Fault("visits: push and sum at once counted wrong", "hw/visits.py", "Mux(here, pushed_less, -1)",
          "Mux(here, self.pushed, -1)"),
    # Sequencer
    Fault("sequencer: tile loaded over one in use", "hw/sequencer.py",
          "with m.If(~(opens | any_done).bit_select(half, 1)):", "with m.If(1):"),
    Fault("sequencer: k_tail ignored", "hw/sequencer.py", "Mux(k_spare == 0, -1, (1 << k_spare) - 1)", "-1"),
    Fault("sequencer: index of a column tile", "hw/sequencer.py", "command.index_base + n_base", "command.index_base"),
    Fault("sequencer: rows past the last", "hw/sequencer.py",
          "Mux(row_next > command.m, command.m, row_next)", "row_next"),
    Fault("sequencer: C of a column tile", "hw/sequencer.py",
          "command.c_base + (n_base >> ceil_log2(BRICK))", "command.c_base"),
    Fault("sequencer: bricks of B come too fast", "hw/sequencer.py", "asking & (pace == 0)", "asking"),
    Fault("sequencer: a chain's sums cleared on the way", "hw/sequencer.py",
          "command.start & (k_base == 0)", "k_base == 0"),
    Fault("sequencer: bank rows too close", "hw/sequencer.py",
          "k_offset.eq(k_offset + command.columns)", "k_offset.eq(k_offset + command.columns - 1)"),
    # Fetch and row lists
    Fault("fetch: empty row without its zero", "hw/fetch.py", "filler.eq(quiet[-1] & none)", "filler.eq(0)"),
    Fault("fetch: zeros dropped with skip off", "hw/fetch.py", ".any() | ~self.skip", ".any()"),
    Fault("fetch: bricks asked for without room", "hw/fetch.py", "asking & (held != BUFFERS)", "asking",
          "2x4w16"),
    Fault("fetch: offset of words 4 to 7", "hw/fetch.py",
          "Cat(number, brick_number)", "Cat(number[:2], number[1], brick_number)"),
    Fault("fetch: list a pair too long", "hw/fetch.py", "self.done_last.eq(count)", "self.done_last.eq(count + 1)"),
    Fault("rowlist: last pair missing", "hw/rowlist.py",
          "following == self.ends[s]", "following + 1 == self.ends[s]"),
    Fault("rowlist: list of one pair reads on", "hw/rowlist.py", "Mux(first, self.ends[s] == 0", "Mux(first, 0"),
    # Shared units
    Fault("rowqueue: a row handed out twice", "hw/rowqueue.py",
          "Mux(none, following[h]", "Mux(none | (turn == 1), following[h]", "2x4w16"),
    Fault("rowqueue: last row kept back", "hw/rowqueue.py",
          "none = following[h] == limits[h]", "none = following[h] + 1 == limits[h]"),
    Fault("arbiter: stall dropped", "hw/arbiter.py", "grant[n] & advance", "grant[n]", "7x4w12"),
    Fault("scratchpad: bank conflict not seen", "hw/scratchpad.py", "~Cat(beaten).any()", "1"),
    Fault("engine: answer goes to another group", "hw/engine.py",
          "arbiter.o.p.source, Scratchpad.LATENCY", "arbiter.o.p.source, Scratchpad.LATENCY - 1", "2x4w16"),
    Fault("engine: host's write lost under C", "hw/engine.py", "self.write.ready.eq(~c_arbiter.o.valid)",
          "self.write.ready.eq(1)"),
    Fault("counters: a group not counted", "hw/counters.py", "self.outputs[g] for g in groups)",
          "self.outputs[g] for g in groups[1:])"),
    # Finish and Convert
    Fault("finish: index stride ignored", "hw/finish.py", "strides = command.index_stride", "strides = command.c_stride"),
    Fault("finish: last partial brick not zeroed", "hw/finish.py", "delayed(m, ended, 2, \"ended\") | ", ""),
    Fault("finish: masked word not zeroed", "hw/finish.py", "command.masked & ~select(", "0 & ~select("),
    Fault("finish: drain's read taken for its own", "hw/finish.py", "free.eq(self.read_ready)", "free.eq(1)"),
    Fault("convert: no saturation", "hw/convert.py", "Mux(saturated, extreme, value)", "value"),
    Fault("convert: clips to the wrong end", "hw/convert.py", "(~negative).replicate(width - 1), negative",
          "negative.replicate(width - 1), ~negative"),
    Fault("convert: a tie goes up", "hw/convert.py", "count.eq(self.shift - 1)", "count.eq(self.shift)"),
    Fault("keyed: key halves swapped", "hw/keyed.py", "key_halves[number % 2]", "key_halves[1 - number % 2]"),
    Fault("keyed: round constant missing", "hw/keyed.py", "low.eq(mixed ^ constant)", "low.eq(mixed)"),
    Fault("multiplier: an operand loses its sign", "hw/multiplier.py", "b_in = Signal(self.b.shape()",
          "b_in = Signal(len(self.b)"),
    # Vector unit
    Fault("vector_loop: sums are not loaded for the next channels", "hw/vector_loop.py",
          "with m.If(over):\n                        m.next = \"IDLE\"\n                    with m.Elif(loads_again):",
          "with m.If(over):\n                        m.next = \"IDLE\"\n                    with m.Elif(0):", bench="vector"),
    Fault("vector_loop: a window's rows end with their line", "hw/vector_loop.py",
          "taps_end & (row | rowlike) & line", "taps_end & row & line", bench="vector"),
    Fault("vector_walk: rounding index of the position before", "hw/vector_walk.py",
          "begins(6, *rows), index_row)", "begins(6, TAP), index_row)", bench="vector"),
    Fault("vector_walk: a row without a tap inside gives nothing", "hw/vector_walk.py",
          "~computes | seen | last |", "~computes | seen |", bench="vector"),
    Fault("vector_walk: first tap is the first that is read or not", "hw/vector_walk.py",
          "pending.eq(first & ~passes)", "pending.eq(0)", bench="vector"),
    Fault("vector_walk: last block of a line too long", "hw/vector_walk.py", "(at >= tail)", "(at > tail)", bench="vector"),
    Fault("vector_window: holes count as taps", "hw/vector_window.py", "(phase == 0) & (at >= 0)", "(at >= 0)",
          bench="vector"),
    Fault("vector_window: the position's upper end", "hw/vector_window.py", "at[:-1] < self.size", "at[:-1] <= self.size",
          bench="vector"),
    Fault("vector: asks without room", "hw/vector.py", "Fifo(vector_tag(chip), READ_AHEAD)",
          "Fifo(vector_tag(chip), 2 * READ_AHEAD)", bench="vector"),
    Fault("vector_port: answers of before a reset count", "hw/vector_port.py", "answers.i.valid.eq(self.valid & self.open)",
          "answers.i.valid.eq(self.valid)", bench="vector"),
    Fault("vector_lane: gate lets zero through", "hw/vector_lane.py", "positive.eq(~self.v[-1] & self.v.any())",
          "positive.eq(~self.v[-1])", bench="vector"),
    Fault("vector_lane: sum goes on into the next row", "hw/vector_lane.py", "Mux(self.clear_3, 0, sum_3)", "sum_3",
          bench="vector"),
    Fault("vector_lane: relu clears every word", "hw/vector_lane.py", "modes.relu & converter.o.p.word[-1]",
          "modes.relu", bench="vector"),
    Fault("vector_scale: rounding index of a beat", "hw/vector_scale.py", "lane_index.eq(index_4 + n)", "lane_index.eq(index_4)",
          bench="vector"),
    Fault("vector_scale: sums of u of the lane before", "hw/vector_scale.py", 'delayed(m, lane_3, 1, "lane_4")',
          'delayed(m, lane_3, 2, "lane_4")', bench="vector"),
    Fault("vector_brick: the last of equal words wins", "hw/vector_brick.py", "(word > best)", "(word >= best)", bench="vector"),
    Fault("vector_brick: bits of the bricks before", "hw/vector_brick.py", "with m.Elif(step & here[0]):", "with m.Elif(0):",
          bench="vector"),
    Fault("vector_brick: block leaves mirrored", "hw/vector_brick.py", "words[last - n][last]", "words[n][last]", bench="vector"),
    Fault("vector: results without a place", "hw/vector.py", "                & ~ahead[-1]\n", "", bench="vector"),
    Fault("vector: done before the last write", "hw/vector.py", " | (ahead != ahead.init)", "", bench="vector"),
    Fault("vector: ready too early after a reset", "hw/vector.py", "SETTLE = 10 ", "SETTLE = 1 ", bench="vector"),
)  # fmt: skip
