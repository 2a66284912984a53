"""The scratchpad: banks of bricks with several readers and writers."""
from amaranth.hdl import Cat, Module, Mux, Signal
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

    Latency: ``LATENCY`` cycles from a read's transfer to ``valid``. Answers cannot stall.

    Members
    -------
    read : addresses, one stream per reader
    valid, bricks : the answers
    write : :py:`In(stream.Signature(write_request))`, one stream per writer; the first is always ready
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
        halves = range(2 * chip.scratch_banks)

        def half_of(address):
            return Cat(address[0], address[bits:])

        # Writers of one half wait for each other.
        places = [half_of(port.p.address) for port in self.write]
        stores = [[port.valid & (place == h) for h in halves] for port, place in zip(self.write, places, strict=True)]
        for w, port in enumerate(self.write):
            m.d.comb += port.ready.eq(~Cat(stores[w][h] & Cat(stores[k][h] for k in range(w)).any() for h in halves).any())
        writes = [Signal(write_request(chip), name=f"write_{w}", reset_less=True) for w in range(self.writers)]
        m.d.sync += [held.eq(port.p) for held, port in zip(writes, self.write, strict=True)]

        ports = self._ports(m)
        wants = [[port.valid & (half_of(port.address) == h) for h in halves] for port in ports]
        for n, port in enumerate(ports):
            beaten = [wants[n][h] & Cat(wants[k][h] for k in range(n)).any() for h in halves]
            m.d.comb += port.granted.eq(~Cat(beaten).any())
        answers = []
        for h in halves:
            memory = Bram(width=chip.width * BRICK, depth=chip.scratch_depth // 2, target=self.target)
            m.submodules[f"half_{h}"] = memory
            answers.append(memory.r_data)
            address = Signal(bits - 1, name=f"address_{h}")
            for n, port in reversed(list(enumerate(ports))):
                with m.If(wants[n][h]):
                    m.d.sync += address.eq(port.address[1:bits])
            granted = Signal(self.writers, name=f"granted_{h}")
            m.d.sync += granted.eq(Cat(stores[w][h] & port.ready for w, port in enumerate(self.write)))
            write = Signal(write_request(chip), name=f"write_to_{h}")
            for w, held in enumerate(writes):
                with m.If(granted[w]):
                    m.d.comb += write.eq(held)
            m.d.comb += [
                memory.r_addr.eq(address),
                memory.w_en.eq(granted.any()),
                memory.w_addr.eq(write.address[1:bits]),
                memory.w_data.eq(write.words),
            ]
        for n, port in enumerate(ports):
            half = Signal(range(len(halves)), name=f"half_of_{n}")
            words = Signal(brick(chip), name=f"words_{n}", reset_less=True)
            m.d.sync += [
                half.eq(half_of(port.address)),
                words.as_value().eq(select(delayed(m, half, Bram.LATENCY, f"half_{n}"), answers)),
            ]
            for reader in port.readers:
                read = self.read[reader]
                moved = delayed(m, read.valid & read.ready, self.LATENCY, f"valid_{reader}", control=True)
                m.d.comb += [self.bricks[reader].eq(words), self.valid[reader].eq(moved)]
        return m

    def _ports(self, m):
        """Ports and what their readers want of them."""
        alone = self.readers - 2 * self.pairs
        ports = [Port((n,), self.read[n].valid, self.read[n].p, n) for n in range(alone)]
        for n in range(alone, self.readers, 2):
            first, second = self.read[n], self.read[n + 1]
            port = Port((n, n + 1), first.valid | second.valid, Mux(first.valid, first.p, second.p), n)
            m.d.comb += second.ready.eq(port.granted & ~first.valid)
            ports.append(port)
        for port in ports:
            m.d.comb += self.read[port.readers[0]].ready.eq(port.granted)
        return ports


class Port:
    """One reading side of the memories."""

    def __init__(self, readers: tuple[int, ...], valid, address, number: int):
        self.readers = readers
        self.valid = valid
        self.address = address
        self.granted = Signal(name=f"granted_{number}")
