"""``gradloom_machine.v``: the machine behind the standard's port names, every module with a prefix of its own."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spec.axi import ADDRESS_BITS, Axi
from spec.registers import REGISTER_ADDRESS_BITS, REGISTER_BITS
from spec.version import VERSION

TOP = "gradloom_machine"
PREFIX = "gradloom_"
INNER = "machine"  # what the top is called where it has the streams' names


@dataclass(frozen=True)
class Port:
    """A port of the top. ``inner`` is the machine's port behind it, ``constant`` what is driven where there is none."""

    name: str
    output: bool
    width: int = 1
    inner: str = ""
    constant: str = ""

    @property
    def declaration(self) -> str:
        bits = f"[{self.width - 1}:0]" if self.width > 1 else ""
        return f"{'output' if self.output else 'input':6} wire {bits:6} {self.name}"


def ports(spec: Axi) -> tuple[Port, ...]:
    """All ports, in order; a bus' direction is seen from the machine."""
    return (
        Port("aclk", False, inner="clk"),
        Port("aresetn", False),
        *control_ports(),
        *memory_ports(spec),
        Port("irq", True, inner="irq"),
    )


def control_ports() -> tuple[Port, ...]:
    """AXI4-Lite slave ``s_axi``."""
    address = {"addr": REGISTER_ADDRESS_BITS}
    word = {"data": REGISTER_BITS}
    result: list[Port] = []
    result += _channel("s_axi", "ctl", "aw", address, slave=True, unread={"prot": 3})
    result += _channel("s_axi", "ctl", "w", word | {"strb": REGISTER_BITS // 8}, slave=True)
    result += _channel("s_axi", "ctl", "b", {"resp": 2}, slave=True)
    result += _channel("s_axi", "ctl", "ar", address, slave=True, unread={"prot": 3})
    result += _channel("s_axi", "ctl", "r", word | {"resp": 2}, slave=True)
    return tuple(result)


def memory_ports(spec: Axi) -> tuple[Port, ...]:
    """AXI4 master ``m_axi``."""
    burst = {"addr": ADDRESS_BITS, "len": 8, "size": 3, "burst": 2}
    fixed = {"id": (1, "1'b0"), "lock": (1, "1'b0"), "cache": (4, "AXI_CACHE"), "prot": (3, "AXI_PROT"), "qos": (4, "4'd0")}
    data = {"data": spec.data_bits}
    result: list[Port] = []
    result += _channel("m_axi", "mem", "aw", burst, fixed=fixed)
    result += _channel("m_axi", "mem", "w", data | {"strb": spec.beat_bytes, "last": 1})
    result += _channel("m_axi", "mem", "b", {"resp": 2}, unread={"id": 1})
    result += _channel("m_axi", "mem", "ar", burst, fixed=fixed)
    result += _channel("m_axi", "mem", "r", data | {"resp": 2, "last": 1}, unread={"id": 1})
    return tuple(result)


def _channel(
    bus: str,
    inner: str,
    channel: str,
    fields: dict[str, int],
    *,
    slave: bool = False,
    fixed: dict[str, tuple[int, str]] | None = None,
    unread: dict[str, int] | None = None,
) -> Iterable[Port]:
    """Payload, valid and ready of one channel; ``fixed`` fields are driven, ``unread`` ones ignored."""
    outward = (channel in ("aw", "w", "ar")) != slave  # the machine gives the payload
    for field, width in fields.items():
        yield Port(f"{bus}_{channel}{field}", outward, width, f"{inner}__{channel}__payload__{field}")
    for field, (width, value) in (fixed or {}).items():
        yield Port(f"{bus}_{channel}{field}", True, width, constant=value)
    for field, width in (unread or {}).items():
        yield Port(f"{bus}_{channel}{field}", False, width)
    yield Port(f"{bus}_{channel}valid", outward, 1, f"{inner}__{channel}__valid")
    yield Port(f"{bus}_{channel}ready", not outward, 1, f"{inner}__{channel}__ready")


# What Vivado's block design reads; other tools ignore it.
ATTRIBUTES = {
    "aclk": '(* X_INTERFACE_INFO = "xilinx.com:signal:clock:1.0 aclk CLK", '
    'X_INTERFACE_PARAMETER = "ASSOCIATED_BUSIF s_axi:m_axi, ASSOCIATED_RESET aresetn" *)',
    "aresetn": '(* X_INTERFACE_INFO = "xilinx.com:signal:reset:1.0 aresetn RST", '
    'X_INTERFACE_PARAMETER = "POLARITY ACTIVE_LOW" *)',
    "irq": '(* X_INTERFACE_INFO = "xilinx.com:signal:interrupt:1.0 irq INTERRUPT", '
    'X_INTERFACE_PARAMETER = "SENSITIVITY LEVEL_HIGH" *)',
}


def wrap(verilog: str, spec: Axi) -> str:
    """One file with everything: the top, and the modules of ``verilog``, each renamed ``gradloom_...``.

    ``verilog`` is what :func:`hw.emit.emit` wrote of a machine. Raises ValueError where a module is called as none is named.
    """
    modules = re.findall(r"^module (\w+)\(", verilog, re.MULTILINE)
    inside = {name: f"{PREFIX}{name}_core" if name == INNER else f"{PREFIX}{name}" for name in modules}
    renamed = re.sub(r"^module (\w+)\(", lambda m: f"module {inside[m[1]]}(", verilog, flags=re.MULTILINE)
    used: list[str] = []

    def instance(match: re.Match[str]) -> str:
        used.append(match[1])
        return f"  {inside.get(match[1], match[1])} {match[2]} (\n"

    renamed = re.sub(r"^  (\w+) (\\?\S+) +\(\n", instance, renamed, flags=re.MULTILINE)
    unknown = sorted({name for name in used if name not in inside})
    if unknown or INNER not in modules:
        raise ValueError(f"machine's Verilog has no module {', '.join(unknown) or INNER}")
    machine = re.search(rf"^module {INNER}\(.*?^endmodule", verilog, re.MULTILINE | re.DOTALL)
    assert machine is not None
    outputs = re.findall(r"^  output (?:signed )?(?:\[[^]]*\] )?(\w+);", machine[0], re.MULTILINE)
    return renamed + "\n" + _top(spec, inside[INNER], outputs)


def _top(spec: Axi, inner: str, outputs: Sequence[str]) -> str:
    """The top; ``outputs`` of the machine that have no port here, which are for tracing, stay open."""
    every = ports(spec)
    declared = []
    for port in every:
        if port.name in ATTRIBUTES:
            declared.append(f"  {ATTRIBUTES[port.name]}")
        declared.append(f"  {port.declaration}" + ("," if port is not every[-1] else ""))
    driven = [f"  assign {port.name} = {port.constant};" for port in every if port.constant]
    behind = {"s_axi_bresp": "answer"}
    connected = [f".{port.inner}({behind.get(port.name, port.name)})" for port in every if port.inner]
    connected.insert(1, ".rst(~aresetn)")
    connected += [f".{name}()" for name in outputs if name not in {port.inner for port in every}]
    return "\n".join([
        f"// {TOP}: gradloom {VERSION}. AXI4-Lite slave s_axi (registers), AXI4 master m_axi (memory), level interrupt irq.",
        "// aresetn is synchronous to aclk, and resets the machine's buses: reset what is on them with it.",
        f"module {TOP} #(",
        "  parameter [3:0] AXI_CACHE = 4'b0011,  // AxCACHE: normal, not cached, bufferable",
        "  parameter [2:0] AXI_PROT = 3'b000     // AxPROT: data, secure, unprivileged",
        ") (",
        *declared,
        ");",
        *driven,
        "  // A write of no bytes, as bus width converters make them, does nothing; the machine refuses all that is not a word.",
        "  wire [1:0] answer;",
        "  reg no_bytes = 1'b0;",
        "  always @(posedge aclk)",
        "    if (s_axi_wvalid & s_axi_wready) no_bytes <= ~|s_axi_wstrb;  // one write at a time",
        "  assign s_axi_bresp = no_bytes ? 2'b00 : answer;",
        f"  {inner} core (",
        ",\n".join(f"    {connection}" for connection in connected),
        "  );",
        "endmodule",
        "",
    ])
