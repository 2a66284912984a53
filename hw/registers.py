"""The AXI4-Lite slave: what the host writes and reads."""

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from hw.control import outcome
from spec.chip import Chip
from spec.engine import COUNTER_BITS
from spec.isa import DESCRIPTOR_BYTES, ERROR_BITS
from spec.registers import (
    COUNTER_NAMES,
    COUNTERS_AT,
    ID_VALUE,
    REGISTER_ADDRESS_BITS,
    REGISTER_BITS,
    REGISTERS,
    RING_BITS,
    Access,
    Control,
    Irq,
    version_value,
)

SLAVE_ERROR = 2

lite_address = data.StructLayout({"addr": REGISTER_ADDRESS_BITS})
lite_write = data.StructLayout({"data": REGISTER_BITS, "strb": REGISTER_BITS // 8})
lite_answer = data.StructLayout({"resp": 2})
lite_read = data.StructLayout({"data": REGISTER_BITS, "resp": 2})

# The five channels as the master sees them; the slave has them the other way round.
control_bus = wiring.Signature({
    "aw": Out(stream.Signature(lite_address)),
    "w": Out(stream.Signature(lite_write)),
    "b": In(stream.Signature(lite_answer)),
    "ar": Out(stream.Signature(lite_address)),
    "r": In(stream.Signature(lite_read)),
})
WRITABLE = {r.name: r.bits for r in REGISTERS if r.access in (Access.SETTING, Access.BOTH)}
settings = data.StructLayout(WRITABLE)
status = data.StructLayout({"running": 1, "busy": 4, "bus": 1})


class Registers(wiring.Component):
    """:data:`spec.registers.REGISTERS` and the counters; one write and one read at a time, side by side.

    Address and data of a write may come in any order and any number of cycles apart.
    Latency: a write's answer three cycles after the last of its parts, a read's three after its address, a counter's low word
    ``Tallies.LATENCY`` more at most.
    Errors: SLVERR, and nothing changes, as docs/units/machine.md says.

    Members
    -------
    ctl : :py:`In(control_bus)`
    settings : what the host has written
    control : pulses, the bits of :class:`spec.registers.Control`
    status : of the machine; settings are taken while none of it is set
    reached, error, error_index : see :class:`hw.control.Control`
    advance, head : the ring's head moves on
    wanted, number, answer, value : a counter, see :class:`hw.tallies.Tallies`
    irq : high while a bit is set both in IRQ_STATUS and IRQ_ENABLE
    """

    def __init__(self, chip: Chip):
        self.chip = chip
        super().__init__({
            "ctl": In(control_bus),
            "settings": Out(settings),
            "control": Out(len(Control)),
            "status": In(status),
            "reached": In(outcome),
            "error": In(ERROR_BITS),
            "error_index": In(RING_BITS),
            "advance": In(1),
            "head": In(RING_BITS),
            "wanted": Out(1),
            "number": Out(range(len(COUNTER_NAMES))),
            "answer": In(1),
            "value": In(COUNTER_BITS),
            "irq": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        flags = Signal(len(Irq))  # ended, failed, aborted: how the last run stopped
        pending = Signal(len(Irq))
        reached = self.reached.as_value()
        cleared = Signal(len(Irq))
        self._write(m, cleared)
        with m.If(self.control[0]):  # a start
            m.d.sync += flags.eq(0)
        with m.If(reached.any()):
            m.d.sync += flags.eq(reached)
        m.d.sync += pending.eq((pending & ~cleared) | reached)
        with m.If(self.advance):
            m.d.sync += self.settings.ring_head.eq(self.head)
        m.d.sync += self.irq.eq((pending & self.settings.irq_enable).any())
        self._read(m, flags, pending)
        return m

    def _write(self, m, cleared):
        address, data = Signal(REGISTER_ADDRESS_BITS), Signal(lite_write)
        address_here, data_here = Signal(), Signal()
        bus = self.ctl
        m.d.comb += [bus.aw.ready.eq(~address_here), bus.w.ready.eq(~data_here)]
        with m.If(bus.aw.valid & ~address_here):
            m.d.sync += [address.eq(bus.aw.p.addr), address_here.eq(1)]
        with m.If(bus.w.valid & ~data_here):
            m.d.sync += [data.eq(bus.w.p), data_here.eq(1)]

        locked = Signal()
        whole = Signal()
        m.d.sync += [locked.eq(self.status.as_value().any()), whole.eq(data.strb.all())]
        hits = {r.name: Signal(name=f"write_{r.name}") for r in REGISTERS if r.access is not Access.READ}
        setting = Cat(hits[r.name] for r in REGISTERS if r.access is Access.SETTING).any()
        allowed = Signal()
        act = Signal()
        m.d.sync += [hits[r.name].eq(address == r.offset) for r in REGISTERS if r.name in hits]
        decided = Signal()
        m.d.sync += [decided.eq(act), allowed.eq(act & whole & Cat(hits.values()).any() & ~(setting & locked))]
        with m.If(bus.b.ready & bus.b.valid):
            m.d.sync += [bus.b.valid.eq(0), address_here.eq(0), data_here.eq(0)]
        m.d.sync += act.eq(address_here & data_here & ~act & ~decided & ~bus.b.valid)
        with m.If(decided):
            m.d.sync += [bus.b.valid.eq(1), bus.b.p.resp.eq(Mux(allowed, 0, SLAVE_ERROR))]

        m.d.sync += self.control.eq(0)
        with m.If(allowed):
            for name, bits in WRITABLE.items():
                with m.If(hits[name]):
                    m.d.sync += self.settings[name].eq(data.data[:bits])
            with m.If(hits["ring_base"]):
                low = exact_log2(DESCRIPTOR_BYTES)
                m.d.sync += self.settings.ring_base.eq(Cat(Const(0, low), data.data[low:]))
            with m.If(hits["control"]):
                m.d.sync += self.control.eq(data.data)
            with m.If(hits["irq_status"]):
                m.d.comb += cleared.eq(data.data)

    def _read(self, m, flags, pending):
        bus = self.ctl
        values = {r.name: Const(0, REGISTER_BITS) for r in REGISTERS if r.access is Access.WRITE} | {
            "id": Const(ID_VALUE, REGISTER_BITS),
            "version": Const(version_value(), REGISTER_BITS),
            "chip": Const(int(self.chip.digest, 16), REGISTER_BITS),
            "status": Cat(self.status.running, flags, self.status.busy, self.status.bus),
            "error": self.error,
            "error_index": self.error_index,
            "irq_status": pending,
            **{name: self.settings[name] for name in WRITABLE},
        }
        choices = [(r.offset, values[r.name]) for r in REGISTERS]
        address = Signal(REGISTER_ADDRESS_BITS)
        stage = Signal(2)  # an address is here, decoded
        hits = Signal(len(choices))
        of_counter, of_high = Signal(), Signal()  # a counter's word, its high one
        place = (address - COUNTERS_AT)[:REGISTER_ADDRESS_BITS]
        m.d.comb += bus.ar.ready.eq(~stage.any() & ~self.wanted & ~bus.r.valid)
        m.d.sync += stage.eq(Cat(bus.ar.valid & bus.ar.ready, stage))
        with m.If(bus.ar.valid & bus.ar.ready):
            m.d.sync += address.eq(bus.ar.p.addr)
        with m.If(stage[0]):
            m.d.sync += [
                hits.eq(Cat(address == at for at, _ in choices)),
                of_counter.eq((place[3:] < len(COUNTER_NAMES)) & (place[:2] == 0)),
                of_high.eq(place[2]),
                self.number.eq(place[3:]),
            ]
        words = [value & hits[n].replicate(len(value)) for n, (_, value) in enumerate(choices)]
        words.append(self.value[REGISTER_BITS:] & (of_counter & of_high).replicate(COUNTER_BITS - REGISTER_BITS))
        with m.If(bus.r.ready):
            m.d.sync += bus.r.valid.eq(0)
        with m.If(stage[1]):
            # A counter's low word comes when its turn does; until then its high one stays the old one's.
            m.d.sync += [
                self.wanted.eq(of_counter & ~of_high),
                bus.r.valid.eq(~(of_counter & ~of_high)),
                bus.r.p.data.eq(reduce(or_, words)),
                bus.r.p.resp.eq(Mux(of_counter | hits.any(), 0, SLAVE_ERROR)),
            ]
        with m.If(self.answer):
            m.d.sync += [self.wanted.eq(0), bus.r.valid.eq(1), bus.r.p.data.eq(self.value)]
