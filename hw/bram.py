"""Block RAM with its output register used: a primitive or its portable twin."""

from amaranth.hdl import Array, Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.block_ram import dp16kd, pdpsc16k, sdpb
from spec.bram import BRAM_TARGETS, BramError, Storage

# By family; those without it have no output register in their block RAM, or leave it to inference.
PRIMITIVES = {"ecp5": dp16kd, "nexus": pdpsc16k, "gowin": sdpb}


class Bram(wiring.Component):
    """One write port, one read port, both free running on one clock.

    ``r_data`` is the word at the ``r_addr`` of ``LATENCY`` cycles ago. With ``stalls`` these are cycles in
    which ``r_en`` was high: in all others the memory's two registers hold. A write is seen by addresses that arrive in later cycles. **Reading the word
    that is written in the same cycle gives no defined word**: the portable twin gives the
    old one, block RAMs promise nothing. Contents after power-up are zero in the twin and
    must not be relied on.

    ``target`` None gives :class:`amaranth.lib.memory.Memory` and a register, as do families whose block RAM is left to
    inference; ``"ecp5"``
    instantiates DP16KD with REGMODE OUTREG, because Yosys never packs the
    register behind a memory into it (clock to data 5.7 ns without, 0.9 ns with).

    Members
    -------
    w_en, r_en : :py:`In(1)`; ``r_en`` with ``stalls`` only
    w_addr, r_addr : :py:`In(ceil(log2(depth)))`
    w_data : :py:`In(width)`
    r_data : :py:`Out(width)`

    Raises :class:`spec.bram.BramError` on a width, depth or target it cannot build.
    """

    LATENCY = Storage.LATENCY

    def __init__(self, *, width: int, depth: int, target: str | None = None, stalls: bool = False):
        self.stalls = stalls
        self.spec = Storage(width=width, depth=depth)
        if target is not None and target not in BRAM_TARGETS:
            raise BramError(f"bram target must be None or one of {', '.join(BRAM_TARGETS)}, not {target!r}")
        self.target = target
        super().__init__({
            "w_en": In(1),
            "w_addr": In(self.spec.address_width),
            "w_data": In(width),
            "r_addr": In(self.spec.address_width),
            "r_data": Out(width),
            **({"r_en": In(1)} if stalls else {}),
        })

    def elaborate(self, platform):
        m = Module()
        if self.target in PRIMITIVES:
            self._of_blocks(m, PRIMITIVES[self.target])
        else:
            self._portable(m)
        return m

    def _portable(self, m):
        # The name tells reports which memories are meant for block RAM (synth/memories.py).
        m.submodules.block_ram = memory = Memory(shape=self.spec.width, depth=self.spec.depth, init=[])
        write, read = memory.write_port(), memory.read_port()
        output = Signal(self.spec.width, reset_less=True)
        enable = self.r_en if self.stalls else Const(1)
        m.d.comb += [
            write.en.eq(self.w_en),
            write.addr.eq(self.w_addr),
            write.data.eq(self.w_data),
            read.addr.eq(self.r_addr),
            read.en.eq(enable),
            self.r_data.eq(output),
        ]
        with m.If(enable):
            m.d.sync += output.eq(read.data)

    def _of_blocks(self, m, primitive):
        depth, width = self.spec.block_shape()
        within = (depth - 1).bit_length()
        w_word, r_word = Signal(within), Signal(within)
        m.d.comb += [w_word.eq(self.w_addr), r_word.eq(self.r_addr)]

        rows = []
        for row in range(-(-self.spec.depth // depth)):
            # Constant where one block is deep enough: the address then has no bits above.
            chosen = self.w_addr[within:] == row
            pieces = []
            for low in range(0, self.spec.width, width):
                data = self.w_data[low : low + width]
                word = Signal(len(data), name=f"word_{row}_{low}")
                enable = self.r_en if self.stalls else Const(1)
                block = primitive(width, self.w_en & chosen, w_word, data, enable, r_word, word)
                m.submodules[f"block_{row}_{low}"] = block
                pieces.append(word)
            rows.append(Cat(pieces))

        if len(rows) == 1:
            m.d.comb += self.r_data.eq(rows[0])
        else:
            row_at = self.r_addr[within:]
            for _ in range(self.LATENCY):
                delayed = Signal(len(row_at), reset_less=True)
                with m.If(self.r_en if self.stalls else Const(1)):
                    m.d.sync += delayed.eq(row_at)
                row_at = delayed
            m.d.comb += self.r_data.eq(Array(rows)[row_at])
