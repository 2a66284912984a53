"""The AXI4-Lite slave: what the host writes and reads."""

from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from spec.registers import REGISTER_ADDRESS_BITS, REGISTER_BITS

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
