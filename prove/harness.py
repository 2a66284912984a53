"""What a proof is built with: a unit, an environment that may do anything it is allowed to, and what must then hold.

Registers and memories start with any contents; the first cycle resets. Reset may come again in any later cycle, and the harness'
own registers are reset with it. So what is proved holds from every state that a reset leaves, not from one that a
simulator happens to start in.
"""

from amaranth.asserts import AnyConst, AnySeq, Initial
from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, ClockDomain, Cover, Elaboratable, Fragment, Module, Mux, Signal, Value
from amaranth.lib import wiring

TOP = "top"


class _Elaborated(Elaboratable):
    """A unit that has been elaborated already, so that its inner signals are at hand."""

    def __init__(self, fragment: Fragment):
        self.fragment = fragment

    def elaborate(self, platform):
        return self.fragment


class Harness:
    """A module with a unit in it; statements about it are added one by one.

    ``m`` : the module, for registers of one's own; ``live`` : the first reset is over, nothing need hold before.
    """

    def __init__(self):
        self.m = Module()
        self.m.domains.sync = self._domain = ClockDomain()
        self.live = Signal()
        self.m.d.comb += self.live.eq(~Initial())
        self.m.d.comb += Assume(self.live | self._domain.rst)
        self._fragment = Fragment()
        self._claims = self._events = 0

    def add(self, unit: wiring.Component) -> wiring.Component:
        """Put ``unit`` under test, as ``self.unit``; its inputs are the harness' to drive."""
        self.unit = unit
        self._fragment = Fragment.get(unit, None)
        self.m.submodules.dut = _Elaborated(self._fragment)
        return unit

    def inside(self, path: str, bits: int = 0) -> Signal:
        """A signal inside the unit by its name, behind the names of submodules: ``runs.walk.at``; ``bits`` tells namesakes apart."""
        *folders, name = path.split(".")
        fragment = self._fragment
        for folder in folders:
            fragment = next(child for child, label, _ in fragment.subfragments if label == folder)
        found = {
            id(signal): signal
            for statements in fragment.statements.values()
            for statement in statements
            for signal in statement._lhs_signals()
            if signal.name == name and bits in {0, len(signal)}
        }
        (signal,) = found.values()
        return signal

    def registers(self) -> list[Signal]:
        """All registers of the unit and of what is in it; memories not."""
        found, fragments = {}, [self._fragment]
        while fragments:
            fragment = fragments.pop()
            fragments += [child for child, _, _ in fragment.subfragments]
            for statement in fragment.statements.get("sync", ()):
                found.update((id(signal), signal) for signal in statement._lhs_signals())
        return list(found.values())

    def at(self, state: str):
        """The unit's FSM that has such a state is in it."""
        found = []
        for signal in self.registers():
            names = _state_names(signal)
            if state in names:
                found.append(signal == names[state])
        (here,) = found
        return here

    # The environment

    def free(self, *values) -> None:
        """Inputs that may have any value in any cycle."""
        for value in values:
            value = Value.cast(value)
            self.m.d.comb += value.eq(AnySeq(len(value)))

    def any(self, shape, name: str):
        """A signal of any value in any cycle."""
        signal = Signal(shape, name=name)
        self.free(signal)
        return signal

    def constant(self, shape, name: str):
        """A signal of any value, the same in all cycles."""
        signal = Signal(shape, name=name)
        value = Value.cast(signal)
        self.m.d.comb += value.eq(AnyConst(len(value)))
        return signal

    def hold(self, *values) -> None:
        """Inputs of any value, the same in all cycles."""
        for value in values:
            value = Value.cast(value)
            self.m.d.comb += value.eq(AnyConst(len(value)))

    def assume(self, claim) -> None:
        self.m.d.comb += Assume(~self.live | Value.cast(claim).any())

    def source(self, *streams) -> None:
        """Input streams: words of any kind at any time, but a word that waits stays as it is."""
        for stream in streams:
            self.free(stream.valid, stream.p)
            self.assume(self._waits(stream))

    def sink(self, *streams) -> None:
        """Output streams, taken at any time."""
        for stream in streams:
            self.free(stream.ready)

    # What must hold

    def check(self, claim, unless=0) -> None:
        """``claim`` holds in every cycle, ``unless`` the latter does."""
        self._claims += 1
        self.m.d.comb += Assert(~self.live | Value.cast(claim).any() | unless)

    def reach(self, event) -> None:
        """``event`` can happen: the assumptions do not exclude it."""
        self._events += 1
        self.m.d.comb += Cover(self.live & ~self._domain.rst & Value.cast(event).any())

    def stable(self, *streams, unless=0) -> None:
        """A word that is offered stays, and stays as it is, until it is taken; ``unless`` the cycle before allowed otherwise."""
        for stream in streams:
            self.check(self._waits(stream, unless))

    def passes(self, gives, given, takes, taken, most: int, name: str = "passed"):
        """Words that go in come out: every one, once, in order. Returns how many are inside, at most ``most``.

        gives, given : a word goes in, and which; takes, taken : one comes out.
        One word, any one, is watched: it must come out as it is behind exactly those that went in before it.
        One that comes out though none is inside is one too many.
        """
        m = self.m
        given, taken = Value.cast(given), Value.cast(taken)
        inside = Signal(range(most + 2), name=f"{name}_inside")
        watching, ahead = Signal(name=f"{name}_watching"), Signal(range(most + 1), name=f"{name}_ahead")
        word = Signal(len(given), name=f"{name}_word")
        choose = self.any(1, f"{name}_choose")
        first, passing = Signal(name=f"{name}_first"), Signal(len(given), name=f"{name}_passing")
        m.d.sync += inside.eq(inside + gives - takes)
        # What goes in and comes out in the same cycle was never inside.
        m.d.comb += [first.eq(watching & (ahead == 0)), passing.eq(Mux(inside == 0, given, taken))]
        with m.If(watching & takes):
            m.d.sync += [ahead.eq(ahead - 1), watching.eq(ahead != 0)]
        with m.If(gives & choose & ~watching & ~(takes & (inside == 0))):
            m.d.sync += [watching.eq(1), ahead.eq(inside - takes), word.eq(given)]
        self.check((inside != 0) | gives, unless=~takes)
        self.check(inside <= most)
        self.check(ahead < inside, unless=~watching)
        self.check(taken == word, unless=~(takes & first))
        self.check(taken == passing, unless=~takes)
        return inside

    def within(self, cycles: int, waits, counts=1, name: str = "wait") -> None:
        """``waits`` does not last longer than ``cycles`` of the cycles that count."""
        m = self.m
        count = Signal(range(cycles + 2), name=f"{name}_cycles")
        with m.If(~waits):
            m.d.sync += count.eq(0)
        with m.Elif(Value.cast(counts).any()):
            m.d.sync += count.eq(count + 1)
        self.check((count < cycles) | ~(waits & counts))

    def before(self, value, cycles: int = 1, name: str = "before"):
        """``value`` as it was some cycles ago; zero after a reset."""
        late = Value.cast(value)
        for n in range(cycles):
            register = Signal(late.shape(), name=f"{name}_{n + 1}")
            self.m.d.sync += register.eq(late)
            late = register
        return late

    def queue(self, gives, given, takes, depth: int, name: str):
        """A model of a queue: how many words wait, and the oldest of them. The harness sees to it that it is never overrun."""
        m = self.m
        given = Value.cast(given)
        count = Signal(range(depth + 1), name=f"{name}_count")
        words = [Signal(len(given), name=f"{name}_{n}") for n in range(depth)]
        left = Signal(range(depth + 1), name=f"{name}_left")
        m.d.comb += left.eq(count - takes)
        m.d.sync += count.eq(left + gives)
        for n, word in enumerate(words):
            after = words[n + 1] if n + 1 < depth else word
            m.d.sync += word.eq(Mux(gives & (left == n), given, Mux(takes, after, word)))
        self.check(count <= depth)
        return count, words[0]

    def text(self) -> str:
        """The harness as RTLIL, for Yosys. Raises ValueError if it claims nothing or does not show that anything happens."""
        if not self._claims or not self._events:
            raise ValueError(f"a harness of {self._claims} claims and {self._events} events proves nothing")
        domain = self._domain
        return rtlil.convert(self.m, ports=[domain.clk, domain.rst], name=TOP, emit_src=False)

    def _waits(self, stream, unless=0):
        """Whether a word offered in the last cycle and not taken is still there."""
        word = Value.cast(stream.p)
        waited, held = Signal(name="waited"), Signal(len(word), name="held")
        self.m.d.sync += [waited.eq(stream.valid & ~stream.ready & ~unless), held.eq(word)]
        return ~waited | (stream.valid & (word == held))


def _state_names(signal: Signal) -> dict[str, int]:
    """The states that a register has names for: Amaranth keeps them for those who look at waves."""
    names = {}
    for number in range(1 << len(signal) if signal.decoder else 0):
        try:
            names[signal.decoder(number).rpartition("/")[0]] = number
        except KeyError:
            break
    return names


def fires(stream):
    """A word is taken."""
    return stream.valid & stream.ready


def one_hot(bits):
    """Not more than one of the bits is set."""
    bits = Value.cast(bits)
    return (bits & (bits - 1)[: len(bits)]) == 0
