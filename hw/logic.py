"""Small shared pieces of logic."""

from itertools import combinations

from amaranth.hdl import Cat, Const, Module, Mux, ResetInserter, Signal, Value
from amaranth.lib.memory import Memory


class ResetBy(ResetInserter):
    """A component's reset is this one signal, ``rst`` aside: a register that ``rst`` sets. Chosen from both it would be late everywhere."""


def popcount(bits: Value) -> Value:
    """How many bits are set: four at a time, each bit of whose count is one look-up table, and a tree of small sums."""
    counts = []
    for n in range(0, len(bits), 4):
        a, b, c, d = [*bits[n : n + 4], *[Const(0)] * 4][:4]
        ab, cd = a & b, c & d
        counts.append(Cat(a ^ b ^ c ^ d, ab ^ cd ^ ((a ^ b) & (c ^ d)), ab & cd))
    return total(counts)


def total(terms: list) -> Value:
    """Their sum, as a tree of adders."""
    while len(terms) > 1:
        terms = [sum(terms[n + 1 : n + 2], terms[n]) for n in range(0, len(terms), 2)]
    return terms[0]


def counted(m: Module, bits: Value, name: str) -> Signal:
    """How many bits are set, in registers: four at a time, then sums of two, a cycle each.

    Nothing is counted while no bit of sixteen is set, which spares a simulator the work. A reset counts when that of the bits does.
    """
    counts = [Signal(range(5), name=f"{name}_{n}", reset_less=True) for n in range(0, len(bits), 4)]
    for first in range(0, len(bits), 16):
        some = range(first // 4, min(first // 4 + 4, len(counts)))
        with m.If(bits[first : first + 16].any()):
            m.d.sync += [counts[n].eq(popcount(bits[4 * n : 4 * n + 4])) for n in some]
        with m.Else():
            m.d.sync += [counts[n].eq(0) for n in some]
    width = 4
    while len(counts) > 1:
        width *= 2
        counts = paired(m, counts, width, name)
    return counts[0]


def paired(m: Module, counts: list, most: int, name: str) -> list[Signal]:
    """Registers of the sums of two counts each, ``most`` at most."""
    pairs = [counts[n : n + 2] for n in range(0, len(counts), 2)]
    sums = [Signal(range(most + 1), name=f"{name}_{n}_{most}") for n in range(len(pairs))]
    m.d.sync += [both.eq(sum(pair[1:], pair[0])) for both, pair in zip(sums, pairs, strict=True)]
    return sums


def at_most_one(bits: Value) -> Value:
    """Whether no two of eight bits are set; two levels of look-up tables, as each half fits in one."""
    low, high = bits[:4], bits[4:]
    two = [Cat(a & b for a, b in combinations(half, 2)).any() for half in (low, high)]
    return ~(two[0] | two[1] | (low.any() & high.any()))


def balance(more: Value, fewer: Value) -> Value:
    """What to add to a counter of things that come and go: 1, 0 or -1, in one adder."""
    return Cat(more ^ fewer, fewer & ~more).as_signed()


def join(target, source) -> list:
    """Assignments of one array of members to another."""
    return [to.eq(what) for to, what in zip(target, source, strict=True)]


def select(index: Value, choices: list) -> Value:
    """``choices[index]`` as a tree of two-way multiplexers; past the end, any of them."""
    choices = [Value.cast(choice) for choice in choices]
    bit = 0
    while len(choices) > 1:
        pairs = [choices[n : n + 2] for n in range(0, len(choices), 2)]
        choices = [Mux(index[bit], pair[1], pair[0]) if len(pair) == 2 else pair[0] for pair in pairs]
        bit += 1
    return choices[0]


def cleared(m: Module, absent, word, name: str):
    """A register of ``word``, or of zero while ``absent``.

    Where one of several words is wanted, an or of such registers takes a third of the look-up tables of a
    multiplexer: their own reset clears them.
    """
    held = Signal(word.shape(), name=name, reset_less=True)
    with m.If(absent):
        m.d.sync += held.eq(0)
    with m.Else():
        m.d.sync += held.eq(word)
    return held


def delayed(m: Module, signal, cycles: int, name: str, *, control: bool = False):
    """``signal`` through ``cycles`` registers, kept as one shift register; reset clears it if it is ``control``."""
    bits = Value.cast(signal)
    line = Signal(len(bits) * cycles, name=f"{name}_line", reset_less=not control)
    m.d.sync += line.eq(Cat(bits, line)[: len(line)])
    late = Signal(signal.shape(), name=f"{name}_late")
    m.d.comb += late.eq(line[len(bits) * (cycles - 1) :])
    return late


def recalled(
    m: Module, word: Value, steps: int, step: Value, number: Signal, name: str, *, settled: bool = True
) -> Value:
    """``word`` of some steps ago, out of a small memory; ``number`` counts steps, and so many of them are remembered.

    Unless ``settled``, ``word`` comes out of logic and is written a cycle later, from a register; ``steps`` is then at least 2.
    """
    m.submodules[name] = memory = Memory(shape=len(word), depth=1 << len(number), init=[])
    write, read = memory.write_port(), memory.read_port(domain="comb")
    domain = m.d.comb if settled else m.d.sync
    enable, address, data = Signal(name=f"{name}_en"), Signal.like(number, name=f"{name}_at"), Signal(len(word), name=f"{name}_in", reset_less=True)
    domain += [enable.eq(step), address.eq(number), data.eq(word)]
    m.d.comb += [
        write.en.eq(enable),
        write.addr.eq(address),
        write.data.eq(data),
        read.addr.eq((number - steps)[: len(number)]),
    ]
    return read.data


def remembered(m: Module, signal, cycles: int, name: str, *, small: bool):
    """``signal`` some cycles ago, as :func:`delayed` gives it; if ``small``, out of a memory of look-up tables."""
    if not small:
        return delayed(m, signal, cycles, name)
    number = Signal(range(cycles + 1), name=f"{name}_number")
    m.d.sync += number.eq(number + 1)
    late = Signal(signal.shape(), name=f"{name}_late")
    m.d.comb += late.eq(recalled(m, signal, cycles, Const(1), number, f"{name}_line"))
    return late
