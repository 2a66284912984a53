"""The scratchpad: banks of bricks with several readers and writers."""
from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from hw.bram import Bram
from hw.finish import write_request
from hw.layouts import brick
from hw.logic import delayed, select
from spec.chip import BRICK, Chip
from spec.engine import Widths


class Scratchpad(wiring.Component):
    """Every bank is two memories, of even and of odd bricks, that serve one read and one write a cycle each.

    Readers have a port each, but for the last ``2 * pairs`` of them, of which two and two share one. Two ports that read one such
    half in a cycle, two readers of one port, or two writers of one half: the one with the smaller number goes first; others never
    wait. The top address bits choose the bank. A brick written is readable from the next cycle on.
    A chip with ``one_writer`` has one port for all writers, which takes a brick of each every two cycles at most; one that is ``compact``
    has one for all readers too, and banks of one memory.

    Latency: ``LATENCY`` cycles from a read's transfer to ``valid``. Answers cannot stall.

    Members
    -------
    read : addresses, one stream per reader
    valid, bricks : the answers
    write : :py:`In(stream.Signature(write_request))`, one stream per writer; the first is always ready unless ``one_writer``
    """

    LATENCY = 2 + Bram.LATENCY

    def __init__(self, chip: Chip, readers: int, writers: int = 1, pairs: int = 0, target: str | None = None):
        self.chip = chip
        self.readers = readers
        self.writers = writers
        self.pairs = pairs
        self.target = target
        super().__init__(
            {
                "read": In(stream.Signature(Widths(chip).brick_address)).array(readers),
                "valid": Out(readers),
                "bricks": Out(data.ArrayLayout(brick(chip), readers)),
                "write": In(stream.Signature(write_request(chip))).array(writers),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip = self.chip
        bits = ceil_log2(chip.scratch_depth)
        split = int(not chip.one_port)  # address bits that choose a memory of the bank
        halves = range(chip.scratch_banks << split)

        def half_of(address):
            return Cat(address[:split], address[bits:]) if len(halves) > 1 else Const(0, 1)

        granted, writes = self._writers(m, halves, half_of)
        ports = self._ports(m)
        wants = [[port.valid & (half_of(port.address) == h) for h in halves] for port in ports]
        for n, port in enumerate(ports):  # by pairs, which are fewer levels of logic than the memories that they want
            beaten = [other.valid & (half_of(other.address) == half_of(port.address)) for other in ports[:n]]
            m.d.comb += port.granted.eq(~Cat(beaten).any())
        answers = []
        for h in halves:
            memory = Bram(width=chip.width * BRICK, depth=chip.scratch_depth >> split, target=self.target)
            m.submodules[f"half_{h}"] = memory
            answers.append(memory.r_data)
            address = Signal(bits - split, name=f"address_{h}")
            # Where nothing selects among memories there are no registers behind them, and one more in front.
            late = delayed(m, address, 1, f"address_{h}") if len(halves) == 1 else address
            for n, port in reversed(list(enumerate(ports))):
                with m.If(wants[n][h]):
                    m.d.sync += address.eq(port.address[split:bits])
            write = Signal(write_request(chip), name=f"write_to_{h}")
            m.d.comb += write.eq(writes[0])  # of one writer alone nothing is chosen
            for w, held in enumerate(writes[1:], 1):
                with m.If(granted[h][w]):
                    m.d.comb += write.eq(held)
            m.d.comb += [
                memory.r_addr.eq(late),
                memory.w_en.eq(granted[h].any()),
                memory.w_addr.eq(write.address[split:bits]),
                memory.w_data.eq(write.words),
            ]
        for n, port in enumerate(ports):
            words = Signal(brick(chip), name=f"words_{n}", reset_less=True)
            if len(answers) == 1:
                m.d.comb += words.as_value().eq(answers[0])
            else:
                half = Signal(range(len(halves)), name=f"half_of_{n}")
                m.d.sync += [
                    half.eq(half_of(port.address)),
                    words.as_value().eq(select(delayed(m, half, Bram.LATENCY, f"half_{n}"), answers)),
                ]
            for reader in port.readers:
                read = self.read[reader]
                moved = delayed(m, read.valid & read.ready, self.LATENCY, f"valid_{reader}", control=True)
                m.d.comb += [self.bricks[reader].eq(words), self.valid[reader].eq(moved)]
        return m

    def _writers(self, m, halves, half_of):
        """Bricks to be written, a cycle behind their transfers, and for each memory which of them it takes."""
        if self.chip.one_writer:
            return self._one_writer(m, halves, half_of)
        # Writers of one half wait for each other.
        places = [half_of(port.p.address) for port in self.write]
        stores = [[port.valid & (place == h) for h in halves] for port, place in zip(self.write, places, strict=True)]
        for w, port in enumerate(self.write):
            m.d.comb += port.ready.eq(~Cat(stores[w][h] & Cat(stores[k][h] for k in range(w)).any() for h in halves).any())
        writes = [Signal(write_request(self.chip), name=f"write_{w}", reset_less=True) for w in range(self.writers)]
        m.d.sync += [held.eq(port.p) for held, port in zip(writes, self.write, strict=True)]
        granted = [Signal(self.writers, name=f"granted_{h}") for h in halves]
        for h in halves:
            m.d.sync += granted[h].eq(Cat(stores[w][h] & port.ready for w, port in enumerate(self.write)))
        return granted, writes

    def _one_writer(self, m, halves, half_of):
        """The same for one writer at a time: who goes next is decided a cycle before its transfer, so each goes every second cycle at most."""
        grant = Signal(self.writers)
        asking = Cat(port.valid for port in self.write) & ~grant
        m.d.comb += [port.ready.eq(grant[w]) for w, port in enumerate(self.write)]
        m.d.sync += grant.eq(asking & -asking)
        chosen = Signal(write_request(self.chip), reset_less=True)
        for w, port in enumerate(self.write):
            with m.If(grant[w]):
                m.d.sync += chosen.eq(port.p)
        granted = [Signal(1, name=f"granted_{h}") for h in halves]
        for h in halves:
            m.d.sync += granted[h].eq(Cat(grant[w] & (half_of(port.p.address) == h) for w, port in enumerate(self.write)).any())
        return granted, [chosen]

    def _ports(self, m):
        """Ports and what their readers want of them."""
        alone = self.readers - 2 * self.pairs
        shares = [(n,) for n in range(alone)] + [(n, n + 1) for n in range(alone, self.readers, 2)]
        if self.chip.one_port:
            shares = [tuple(range(self.readers))]
        ports = []
        for readers in shares:
            streams = [self.read[n] for n in readers]
            address = streams[-1].p
            for read in reversed(streams[:-1]):
                address = Mux(read.valid, read.p, address)
            port = Port(readers, Cat(read.valid for read in streams).any(), address, readers[0])
            before = Const(0)
            for read in streams:
                m.d.comb += read.ready.eq(port.granted & ~before)
                before |= read.valid
            ports.append(port)
        return ports


class Port:
    """One reading side of the memories."""

    def __init__(self, readers: tuple[int, ...], valid, address, number: int):
        self.readers = readers
        self.valid = valid
        self.address = address
        self.granted = Signal(name=f"granted_{number}")
