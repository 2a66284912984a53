"""Issues commands in order, and ends a run: at END, at an error, at an abort, by the watchdog."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.commands import item
from spec.isa import ERROR_BITS, TAG_BITS, UNITS, ErrorCode, Opcode, Unit
from spec.registers import REGISTER_BITS, RING_BITS

LOAD, STORE, PRODUCT, VECTOR = range(len(Unit))
RESET_CYCLES = 16  # of products and vector commands that are dropped: until nothing asked for before is under way

events = data.StructLayout({"issued": len(Unit), "done": len(Unit), "tag": TAG_BITS})
# What a run came to; `pulse` when it does.
outcome = data.StructLayout({"ended": 1, "failed": 1, "aborted": 1})


class Control(wiring.Component):
    """One command under way in each unit; which units it waits for is in the command.

    A unit that becomes free gets a command that waits here three cycles after ``done``. What is wrong with a command stops the run
    when all units have ended, so that of several errors the first in program order is the one reported.

    Members
    -------
    start, cancel : pulses; a start begins when transfers and descriptors of an earlier run have ended
    watchdog : cycles without ``moved`` after which the run fails; 0 is never
    moved : something did: a transfer on the memory's bus or of the scratchpad
    i : :py:`In(stream.Signature(item))`, the next command; taken a cycle after its issue, even if that cycle stopped the run
    fetch_start, fetch_stop, fetch_idle : see :class:`hw.descriptors.Descriptors`
    offer, accept : a unit's command; done : it has ended; load_error, store_error : with ``done``, why
    stop : transfers ask for no more
    unit_reset : for the product and the vector unit
    running, busy : a run, a unit's command
    reached : pulses, how a run stopped; error, error_index : if it failed, until the next start
    events : for tracing; one cycle late
    commands : a pulse for each command issued, fences too
    advance, head : the same for the end too; the index behind it
    """

    def __init__(self):
        super().__init__({
            "start": In(1),
            "cancel": In(1),
            "watchdog": In(REGISTER_BITS),
            "moved": In(1),
            "i": In(stream.Signature(item)),
            "fetch_start": Out(1),
            "fetch_stop": Out(1),
            "fetch_idle": In(1),
            "offer": Out(len(Unit)),
            "accept": In(len(Unit)),
            "done": In(len(Unit)),
            "load_error": In(ERROR_BITS),
            "store_error": In(ERROR_BITS),
            "stop": Out(1),
            "unit_reset": Out(1),
            "running": Out(1),
            "busy": Out(len(Unit)),
            "reached": Out(outcome),
            "error": Out(ERROR_BITS),
            "error_index": Out(RING_BITS),
            "events": Out(events),
            "commands": Out(1),
                "advance": Out(1),
            "head": Out(RING_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        head = self.i.p.head
        issued = Signal(len(Unit))
        late = Signal()  # the watchdog's time is over
        concluding = Signal()  # the run ends with an error in this cycle
        dropping = Signal()  # products and vector commands are dropped
        coming = Signal(item)  # what was to be issued when the run stopped
        with m.If(self.running & ~self.fetch_stop):
            m.d.sync += coming.eq(self.i.p)

        # What the command is, and whether anything it waits for is under way. Only an issue makes units busy.
        own = Cat(Cat(head.opcode == opcode for opcode in UNITS if UNITS[opcode] == unit).any() for unit in Unit)
        everything = (head.opcode == Opcode.END).replicate(len(Unit))
        waits = Signal()
        target = Signal(len(Unit))
        unitless = Signal()  # FENCE or END
        ends = Signal()
        seen = Signal()
        go = Signal()  # the command may be issued
        passes = Signal()  # it is, and concerns no unit
        taken = Signal()  # the command was issued
        quiet = Signal()  # nothing is under way while units drain
        m.d.comb += waits.eq((self.busy & (head.wait | own | everything)).any())
        m.d.sync += [
            taken.eq(0),
            self.fetch_start.eq(0),
            target.eq(own),
            unitless.eq(~own.any()),
            ends.eq(head.opcode == Opcode.END),
            quiet.eq(0),
            seen.eq(self.i.valid & ~self.i.ready),
            go.eq(self.i.valid & ~self.i.ready & ~waits),
        ]

        wrong = self._judge(m, issued, late, concluding, coming)
        faulted = Signal()  # the command that comes is wrong in itself
        m.d.comb += faulted.eq(seen & (self.i.p.error != ErrorCode.NONE))
        resetting = Signal(range(RESET_CYCLES + 1))
        with m.FSM() as fsm:
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.comb += dropping.eq(1)
                    m.next = "READY"
            with m.State("READY"):
                with m.If(self._stopped(m, late, concluding, dropping)):
                    m.next = "IDLE"
                with m.Elif((resetting == 0) & ~self.busy.any() & self.fetch_idle):
                    m.d.sync += self.fetch_start.eq(1)
                    m.next = "RUN"
            with m.State("RUN"):
                with m.If(self._stopped(m, late, concluding, dropping)):
                    m.next = "IDLE"
                with m.Elif(wrong | faulted):
                    m.next = "DRAIN"
                with m.Elif(go):
                    m.d.sync += [self.offer.eq(target), passes.eq(unitless)]
                    m.next = "ISSUE"
            with m.State("ISSUE"):  # decided; a stop in this cycle comes behind it
                m.d.comb += issued.eq(self.offer & self.accept)
                with m.If(passes | issued.any()):
                    m.d.sync += [self.offer.eq(0), taken.eq(1)]
                    m.next = "TAKE"
                with m.If(self._stopped(m, late, concluding, dropping)):
                    m.d.sync += self.offer.eq(0)
                    m.next = "IDLE"
            with m.State("TAKE"):  # a cycle later, as many registers wait for it
                with m.If(ends):
                    m.next = "CLOSE"
                with m.Else():
                    m.next = "RUN"
                with m.If(self._stopped(m, late, concluding, dropping)):
                    m.next = "IDLE"
            with m.State("DRAIN"):
                with m.If(self._stopped(m, late, concluding, dropping)):
                    m.next = "IDLE"
                with m.Else():
                    m.d.sync += quiet.eq(~self.busy.any() & self.fetch_idle)
                    with m.If(quiet):
                        m.d.comb += concluding.eq(1)
                        m.next = "IDLE"
            with m.State("CLOSE"):  # behind END, for descriptors that were asked for ahead
                with m.If(self._stopped(m, late, concluding, dropping)):
                    m.next = "IDLE"
                with m.Elif(self.fetch_idle):
                    m.d.comb += self.reached.ended.eq(1)
                    m.next = "IDLE"
        m.d.comb += [
            self.i.ready.eq(taken),
            self.fetch_stop.eq(~(fsm.ongoing("RUN") | fsm.ongoing("ISSUE") | fsm.ongoing("TAKE"))),
            self.stop.eq(fsm.ongoing("IDLE") | fsm.ongoing("READY")),
            self.running.eq(~fsm.ongoing("IDLE")),
            self.commands.eq(self.i.ready & ~ends),
            self.advance.eq(self.i.ready),
            self.head.eq(self.i.p.following),
            self.reached.failed.eq(concluding),
        ]

        m.d.sync += self.unit_reset.eq(dropping | (resetting != 0))
        m.d.sync += self.busy.eq((self.busy | issued) & ~self.done)
        with m.If(dropping):
            m.d.sync += [resetting.eq(RESET_CYCLES), self.busy[PRODUCT].eq(0), self.busy[VECTOR].eq(0)]
        with m.Elif(resetting != 0):
            m.d.sync += resetting.eq(resetting - 1)
        m.d.sync += [self.events.issued.eq(issued), self.events.done.eq(self.done), self.events.tag.eq(head.tag)]
        self._watch(m, late)
        return m

    def _stopped(self, m, late, concluding, dropping):
        """An abort or the watchdog, in any state of a run; both drop what products and vector commands are under way."""
        with m.If(self.cancel):
            m.d.comb += [self.reached.aborted.eq(1), dropping.eq(1)]
        with m.Elif(late):
            m.d.comb += [concluding.eq(1), dropping.eq(1)]
        return self.cancel | late

    def _judge(self, m, issued, late, concluding, coming):
        """Keeps what went wrong, and says it at the end: transfers first, the one issued earlier before the other."""
        wrong = Signal()
        index = [Signal(RING_BITS, name=f"index_{unit.name.lower()}") for unit in Unit]
        load_error, store_error = Signal(ERROR_BITS), Signal(ERROR_BITS)
        store_older = Signal()
        for n in range(len(Unit)):
            with m.If(issued[n]):
                m.d.sync += index[n].eq(self.i.p.index)
        with m.If(issued[LOAD]):
            m.d.sync += store_older.eq(self.busy[STORE])
        with m.If(issued[STORE]):
            m.d.sync += store_older.eq(~self.busy[LOAD])
        m.d.sync += wrong.eq((load_error != 0) | (store_error != 0))
        with m.If(self.start & ~self.running):
            m.d.sync += [load_error.eq(0), store_error.eq(0), self.error.eq(0), self.error_index.eq(0)]
        with m.Elif(self.running & ~self.stop):
            for n, held, error in ((LOAD, load_error, self.load_error), (STORE, store_error, self.store_error)):
                with m.If(self.done[n] & (error != 0)):
                    m.d.sync += [held.eq(error), wrong.eq(1)]
        with m.If(concluding):
            with m.If((store_error != 0) & (store_older | (load_error == 0))):
                m.d.sync += [self.error.eq(store_error), self.error_index.eq(index[STORE])]
            with m.Elif(load_error != 0):
                m.d.sync += [self.error.eq(load_error), self.error_index.eq(index[LOAD])]
            with m.Elif(late):
                m.d.sync += [self.error.eq(ErrorCode.WATCHDOG), self.error_index.eq(coming.index)]
                for n in (STORE, LOAD, VECTOR, PRODUCT):
                    with m.If(self.busy[n]):
                        m.d.sync += self.error_index.eq(index[n])
            with m.Else():
                m.d.sync += [self.error.eq(coming.error), self.error_index.eq(coming.index)]
        return wrong

    def _watch(self, m, late):
        left = Signal(REGISTER_BITS)
        on = Signal()
        m.d.sync += [on.eq(self.watchdog != 0), left.eq(left - 1)]
        with m.If(~on | ~self.running | self.moved | self.advance | self.done.any()):
            m.d.sync += left.eq(self.watchdog)
        m.d.sync += late.eq(self.running & (late | (on & (left == 0))))
