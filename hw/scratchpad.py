"""The scratchpad: banks of bricks with several readers and writers."""


from amaranth.hdl import Cat, Module, Signal
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

    Two readers of one such half, or two writers: the one with the smaller number goes first; others never wait. The top
    address bits choose the bank. A brick written is readable from the next cycle on.

    Latency: ``LATENCY`` cycles from a read's transfer to ``valid``. Answers cannot stall.

    Members
    -------
    read : addresses, one stream per reader
    valid, bricks : the answers
    write : :py:`In(stream.Signature(write_request))`, one stream per writer; a single one is always ready
    """

    LATENCY = 2 + Bram.LATENCY

    def __init__(self, chip: Chip, readers: int, writers: int = 1, target: str | None = None):
        self.chip = chip
        self.readers = readers
        self.writers = writers
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

        wants = self._arbitrate(m, self.read, [half_of(read.p) for read in self.read])
        stores = self._arbitrate(m, self.write, [half_of(write.p.address) for write in self.write])

        writes = [Signal(write_request(chip), name=f"write_{w}", reset_less=True) for w in range(self.writers)]
        m.d.sync += [held.eq(write.p) for held, write in zip(writes, self.write, strict=True)]
        answers = []
        for h in halves:
            memory = Bram(width=chip.width * BRICK, depth=chip.scratch_depth // 2, target=self.target)
            m.submodules[f"half_{h}"] = memory
            answers.append(memory.r_data)
            address = Signal(bits - 1, name=f"address_{h}")
            for p in reversed(range(self.readers)):
                with m.If(wants[p][h]):
                    m.d.sync += address.eq(self.read[p].p[1:bits])
            # At most one writer is granted. Nothing is chosen while none is, which spares a simulator wide words.
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
        for p in range(self.readers):
            chosen = Signal(range(len(halves)), name=f"half_of_{p}")
            valid = Signal(name=f"valid_{p}")
            m.d.sync += [
                chosen.eq(half_of(self.read[p].p)),
                valid.eq(self.read[p].valid & self.read[p].ready),
                self.bricks[p].eq(select(delayed(m, chosen, Bram.LATENCY, f"half_{p}"), answers)),
                self.valid[p].eq(delayed(m, valid, Bram.LATENCY, f"valid_{p}", control=True)),
            ]
        return m

    def _arbitrate(self, m, ports, places):
        """Ready of each port, by its number; and for each port which half it wants, a value for each half."""
        halves = range(2 * self.chip.scratch_banks)
        wants = [[port.valid & (place == h) for h in halves] for port, place in zip(ports, places, strict=True)]
        for n, port in enumerate(ports):
            beaten = [wants[n][h] & Cat(wants[k][h] for k in range(n)).any() for h in halves]
            m.d.comb += port.ready.eq(~Cat(beaten).any())
        return wants
