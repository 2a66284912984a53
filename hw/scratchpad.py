"""The scratchpad: banks of bricks with several readers and one writer."""

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

    Two readers of one bank: the one with the smaller number goes first. The top address bits choose
    the bank. A brick written is readable from the next cycle on.

    Latency: ``LATENCY`` cycles from a read's transfer to ``valid``. Answers cannot stall.

    Members
    -------
    read : addresses, one stream per reader
    valid, bricks : the answers
    write : :py:`In(stream.Signature(write_request))`, always ready
    """

    LATENCY = 2 + Bram.LATENCY

    def __init__(self, chip: Chip, readers: int, target: str | None = None):
        self.chip = chip
        self.readers = readers
        self.target = target
        super().__init__(
            {
                "read": In(stream.Signature(Widths(chip).brick_address)).array(readers),
                "valid": Out(readers),
                "bricks": Out(data.ArrayLayout(brick(chip), readers)),
                "write": In(stream.Signature(write_request(chip))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chip = self.chip
        bits = ceil_log2(chip.scratch_depth)
        banks = range(chip.scratch_banks)

        wants = [[self.read[p].valid & (self.read[p].p >> bits == b) for b in banks] for p in range(self.readers)]
        for p in range(self.readers):
            beaten = [wants[p][b] & Cat(wants[q][b] for q in range(p)).any() for b in banks]
            m.d.comb += self.read[p].ready.eq(~Cat(beaten).any())

        m.d.comb += self.write.ready.eq(1)
        write = Signal(write_request(chip))
        write_valid = Signal()
        m.d.sync += [write.eq(self.write.p), write_valid.eq(self.write.valid)]
        answers = []
        for b in banks:
            bank = Bram(width=chip.width * BRICK, depth=chip.scratch_depth, target=self.target)
            m.submodules[f"bank_{b}"] = bank
            answers.append(bank.r_data)
            address = Signal(bits, name=f"address_{b}")
            for p in reversed(range(self.readers)):
                with m.If(wants[p][b]):
                    m.d.sync += address.eq(self.read[p].p)
            m.d.comb += [
                bank.r_addr.eq(address),
                bank.w_en.eq(write_valid & (write.address >> bits == b)),
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
