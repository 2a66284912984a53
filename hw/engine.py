"""The engine: a product unit with a scratchpad of its own."""

from amaranth.hdl import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.finish import write_request
from hw.layouts import brick, command
from hw.product import ProductUnit
from hw.scratchpad import Scratchpad
from spec.chip import Chip
from spec.engine import COUNTER_BITS, COUNTERS, Widths


class Engine(wiring.Component):
    """``C = Convert(mask * (A @ B))`` on operands in the scratchpad.

    Golden twin: :func:`golden.product.product`, word for word, whatever the chip and the tiling.

    Members
    -------
    command, running, done, counters : see :class:`hw.product.ProductUnit`
    write : bricks from the host; waits while the product unit writes
    read, read_valid, read_brick : bricks for the host
    """

    def __init__(self, chip: Chip, target: str | None = None):
        self.chip = chip
        self.target = target
        address = Widths(chip).brick_address
        super().__init__(
            {
                "command": In(stream.Signature(command(chip))),
                "running": Out(1),
                "done": Out(1),
                "write": In(stream.Signature(write_request(chip))),
                "read": In(stream.Signature(address)),
                "read_valid": Out(1),
                "read_brick": Out(brick(chip)),
                "counters": Out(data.StructLayout(dict.fromkeys(COUNTERS, COUNTER_BITS))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        host = ProductUnit.READERS
        m.submodules.product = product = ProductUnit(self.chip, self.target)
        # The host shares the mask's port.
        m.submodules.scratchpad = scratchpad = Scratchpad(
            self.chip, readers=host + 1, writers=2, pairs=1, target=self.target
        )
        connect(m, flipped(self.command), product.command)
        for reader in range(host):
            connect(m, product.read[reader], scratchpad.read[reader])
        connect(m, flipped(self.read), scratchpad.read[host])
        connect(m, product.write, scratchpad.write[0])  # C goes first
        connect(m, flipped(self.write), scratchpad.write[1])
        m.d.comb += [
            self.running.eq(product.running),
            self.done.eq(product.done),
            self.counters.eq(product.counters),
            product.valid.eq(scratchpad.valid),
            *(product.bricks[reader].eq(scratchpad.bricks[reader]) for reader in range(host)),
            self.read_valid.eq(scratchpad.valid[host]),
            self.read_brick.eq(scratchpad.bricks[host]),
        ]
        return m
