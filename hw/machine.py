"""The machine: everything between the host's bus and the memory's."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.axi import axi_address, memory_bus
from hw.chain import Chain
from hw.commands import give
from hw.control import LOAD, PRODUCT, STORE, VECTOR, Control, events
from hw.descriptors import SLOTS, Descriptors
from hw.load import Load
from hw.logic import ResetBy
from hw.product import ProductUnit
from hw.read_share import ReadShare
from hw.registers import Registers, control_bus
from hw.scratchpad import Scratchpad
from hw.store import Store
from hw.tallies import Tallies
from hw.vector import VectorUnit
from spec.axi import Axi, axi
from spec.chip import Chip
from spec.engine import COUNTER_BITS, COUNTERS
from spec.isa import Opcode
from spec.registers import Control as Bits

# Who goes first to a bank; C must be in place when its product is done. The mask and a store share a port, as they read
# seldom, and so do u and v.
READERS = {"product": 0, "store": ProductUnit.READERS, "u": 1 + ProductUnit.READERS, "v": 2 + ProductUnit.READERS}
PAIRS = 2
WRITERS = {"product": 0, "load": 1, "vector": 2}


def reads_under_way(spec: Axi) -> int:
    """Bursts that loads and descriptors may have on the read channel, addresses that are offered among them."""
    return spec.outstanding + SLOTS + 2


class Machine(wiring.Component):
    """Fetches descriptors from a ring in memory and carries them out; see docs/machine.md.

    Members
    -------
    ctl : :py:`In(control_bus)`, AXI4-Lite: the registers of :data:`spec.registers.REGISTERS`
    mem : :py:`Out(memory_bus(spec))`, AXI4 with one ID
    irq : high while a bit is set both in IRQ_STATUS and IRQ_ENABLE
    events : for tracing; ``issued`` and ``done`` are pulses, a bit for each :class:`spec.isa.Unit`, and ``tag`` is
        that of the command that is issued in this cycle
    counters : with ``traced`` only, the product unit's, of its last command
    """

    def __init__(self, chip: Chip, target: str | None = None, *, traced: bool = True):
        self.chip = chip
        self.target = target
        self.traced = traced
        super().__init__({
            "ctl": In(control_bus),
            "mem": Out(memory_bus(axi(chip))),
            "irq": Out(1),
            "events": Out(events),
            **({"counters": Out(data.StructLayout(dict.fromkeys(COUNTERS, COUNTER_BITS)))} if traced else {}),
        })

    def elaborate(self, platform):
        m = Module()
        chip, spec, target = self.chip, axi(self.chip), self.target
        m.submodules.registers = registers = Registers(chip)
        m.submodules.control = control = Control()
        m.submodules.descriptors = descriptors = Descriptors(chip, spec, target)
        m.submodules.load = load = Load(chip, spec)
        m.submodules.store = store = Store(chip, spec, target)
        m.submodules.share = share = ReadShare(spec, reads_under_way(spec))
        m.submodules.scratchpad = scratchpad = Scratchpad(
            chip, readers=len(READERS) + ProductUnit.READERS - 1, writers=len(WRITERS), pairs=PAIRS, target=target
        )
        m.submodules.tallies = tallies = Tallies(chip, target)
        # Both touch nothing but the scratchpad, so that they can be dropped at any time.
        product, vector = ProductUnit(chip, target), VectorUnit(chip, target)
        for name, unit in (("product", product), ("vector", vector)):
            held = Signal(init=1, name=f"{name}_held")
            m.d.sync += held.eq(control.unit_reset)
            m.submodules[name] = ResetBy(held)(unit)

        connect(m, flipped(self.ctl), registers.ctl)
        connect(m, descriptors.o, control.i)
        connect(m, descriptors.ar, share.masters_ar[0])
        connect(m, share.masters_r[0], descriptors.r)
        m.submodules.load_ar = load_ar = Chain(axi_address, 1)
        connect(m, load.ar, load_ar.i)
        connect(m, load_ar.o, share.masters_ar[1])
        connect(m, share.masters_r[1], load.r)
        bus = flipped(self.mem)
        for unit, channels in ((share, ("ar", "r")), (store, ("aw", "w", "b"))):
            for name in channels:
                connect(m, getattr(unit, name), getattr(bus, name))

        # Settings. The windows are held in whole cycles before anything uses them.
        settings = registers.settings
        m.d.comb += [
            descriptors.start.eq(control.fetch_start),
            descriptors.stop.eq(control.fetch_stop),
            control.fetch_idle.eq(descriptors.idle),
            descriptors.head.eq(settings.ring_head),
            descriptors.base.eq(settings.ring_base),
            descriptors.size.eq(settings.ring_size),
            *(self._window(unit.window, settings, "read") for unit in (descriptors, load)),
            self._window(store.window, settings, "write"),
            control.watchdog.eq(settings.watchdog),
            control.start.eq(registers.control[Bits.START.bit_length() - 1]),
            control.cancel.eq(registers.control[Bits.ABORT.bit_length() - 1]),
            tallies.clear.eq(registers.control[Bits.CLEAR.bit_length() - 1]),
        ]

        # Commands; they begin a cycle after their issue. A descriptor's words stay for some cycles more, and an idle unit is ready.
        begins = Signal(len(control.offer))
        m.d.sync += begins.eq(control.offer & control.accept)
        # A unit that has become ready stays so until it is given something, so what is decided by is a cycle old.
        ready = Cat(unit.command.ready for unit in (load, store, product, vector))
        m.d.sync += control.accept.eq(ready & ~begins)
        opcodes = ((LOAD, Opcode.LOAD, load), (STORE, Opcode.STORE, store))
        opcodes += ((PRODUCT, Opcode.PRODUCT, product), (VECTOR, Opcode.VECTOR, vector))
        for n, opcode, unit in opcodes:
            m.d.comb += [
                unit.command.valid.eq(begins[n]),
                control.done[n].eq(unit.done),
                *give(unit.command.p, descriptors.words, opcode),
            ]
        m.d.comb += [
            load.stop.eq(control.stop),
            store.stop.eq(control.stop),
            control.load_error.eq(load.error),
            control.store_error.eq(store.error),
        ]

        # The scratchpad.
        reads = [*product.read, store.request, vector.request_u, vector.request_v]
        for port, request in zip(scratchpad.read, reads, strict=True):
            connect(m, request, port)
        for port, write in zip(scratchpad.write, (product.write, load.write, vector.o), strict=True):
            connect(m, write, port)
        first = READERS["product"]
        for n in range(ProductUnit.READERS):
            m.d.comb += [
                product.valid[n].eq(scratchpad.valid[first + n]),
                product.bricks[n].eq(scratchpad.bricks[first + n]),
            ]
        m.d.comb += [
            store.valid.eq(scratchpad.valid[READERS["store"]]),
            store.brick.eq(scratchpad.bricks[READERS["store"]]),
            vector.valid_u.eq(scratchpad.valid[READERS["u"]]),
            vector.brick_u.eq(scratchpad.bricks[READERS["u"]]),
            vector.valid_v.eq(scratchpad.valid[READERS["v"]]),
            vector.brick_v.eq(scratchpad.bricks[READERS["v"]]),
        ]

        # What the host and the tracer see.
        if self.traced:
            m.d.comb += self.counters.eq(product.counters)
        moves = [getattr(self.mem, name) for name in ("ar", "r", "aw", "w", "b")]
        moves += [*scratchpad.read, *scratchpad.write]
        moved = Signal(len(moves))
        m.d.sync += [moved.eq(Cat(move.valid & move.ready for move in moves)), control.moved.eq(moved.any())]
        m.d.comb += [
            registers.status.running.eq(control.running),
            registers.status.busy.eq(control.busy),
            registers.status.bus.eq(~descriptors.idle | control.busy[LOAD] | control.busy[STORE]),
            registers.reached.eq(control.reached),
            registers.error.eq(control.error),
            registers.error_index.eq(control.error_index),
            registers.advance.eq(control.advance),
            registers.head.eq(control.head),
            tallies.wanted.eq(registers.wanted),
            tallies.number.eq(registers.number),
            registers.answer.eq(tallies.answer),
            registers.value.eq(tallies.value),
            self.irq.eq(registers.irq),
            self.events.eq(control.events),
            tallies.running.eq(control.running),
            tallies.busy.eq(control.busy),
            tallies.commands.eq(control.commands),
            tallies.brick_read.eq(load.brick),
            tallies.brick_written.eq(store.moved),
            tallies.vector_saturated.eq(vector.saturated),
            tallies.engine.eq(product.steps),
        ]
        return m

    @staticmethod
    def _window(target, settings, kind):
        return target.eq(Cat(settings[f"{kind}_base"], settings[f"{kind}_limit"]))
