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
    """Every bank serves one read and one write a cycle; readers of different banks never wait.

    Two readers of one bank, or two writers: the one with the smaller number goes first. The top address bits choose
    the bank. A brick written is readable from the next cycle on.

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
        banks = range(chip.scratch_banks)

        wants = self._arbitrate(m, self.read, [read.p for read in self.read], bits)
        stores = self._arbitrate(m, self.write, [write.p.address for write in self.write], bits)

        writes = [Signal(write_request(chip), name=f"write_{w}", reset_less=True) for w in range(self.writers)]
        m.d.sync += [held.eq(write.p) for held, write in zip(writes, self.write, strict=True)]
        answers = []
        for b in banks:
            bank = Bram(width=chip.width * BRICK, depth=chip.scratch_depth, target=self.target)
            m.submodules[f"bank_{b}"] = bank
            answers.append(bank.r_data)
            address = Signal(bits, name=f"address_{b}")
            for p in reversed(range(self.readers)):
                with m.If(wants[p][b]):
                    m.d.sync += address.eq(self.read[p].p)
            # At most one writer is granted. Nothing is chosen while none is, which spares a simulator wide words.
            granted = Signal(self.writers, name=f"granted_{b}")
            m.d.sync += granted.eq(Cat(stores[w][b] & port.ready for w, port in enumerate(self.write)))
            write = Signal(write_request(chip), name=f"write_to_{b}")
            for w, held in enumerate(writes):
                with m.If(granted[w]):
                    m.d.comb += write.eq(held)
            m.d.comb += [
                bank.r_addr.eq(address),
                bank.w_en.eq(granted.any()),
                bank.w_addr.eq(write.address),
                bank.w_data.eq(write.words),
            ]
        for p in range(self.readers):
            chosen = Signal(range(max(2, chip.scratch_banks)), name=f"bank_of_{p}")
            valid = Signal(name=f"valid_{p}")
            m.d.sync += [
                chosen.eq(self.read[p].p >> bits),
                valid.eq(self.read[p].valid & self.read[p].ready),
                self.bricks[p].eq(select(delayed(m, chosen, Bram.LATENCY, f"bank_{p}"), answers)),
                self.valid[p].eq(delayed(m, valid, Bram.LATENCY, f"valid_{p}")),
            ]
        return m

    def _arbitrate(self, m, ports, addresses, bits):
        """Ready of each port, by its number; and for each port which bank it wants, a value for each bank."""
        banks = range(self.chip.scratch_banks)
        wants = [[port.valid & (at >> bits == b) for b in banks] for port, at in zip(ports, addresses, strict=True)]
        for n, port in enumerate(ports):
            beaten = [wants[n][b] & Cat(wants[k][b] for k in range(n)).any() for b in banks]
            m.d.comb += port.ready.eq(~Cat(beaten).any())
        return wants
