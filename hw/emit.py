"""Component to Verilog: one module per distinct unit, names as in the Python.

Amaranth alone writes a module per instance, with ports that depend on what surrounds
it. Here every :class:`~amaranth.lib.wiring.Component` in the hierarchy becomes a
module of its own whose ports are its signature; units that come out equal are written once.
The reasons are in docs/decisions/0003-verilog-emission.md.
"""

import json
import re
from collections import Counter
from collections.abc import Hashable
from copy import copy
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from amaranth.back import rtlil as amaranth_rtlil
from amaranth.hdl import Cat, ClockSignal, Fragment, Instance, ResetInserter, ResetSignal, Signal, Value
from amaranth.hdl._ast import SignalDict
from amaranth.hdl._ir import PortDirection
from amaranth.hdl._mem import MemoryInstance
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from pyosys import libyosys

from hw import rtlil
from hw.logic import ResetBy
from spec.netlist import Netlist
from spec.version import VERSION

CLOCK = ("clk", "rst")
TRIGGER = re.compile(r"\\\$auto\$verilog_backend\.cc:\d+:dump_module\$\d+ ")
START = "_start_"
MODULE = re.compile(r"^module .*?^endmodule$", re.DOTALL | re.MULTILINE)
COMBINATIONAL = re.compile(
    rf"^  always @\* begin\n    if \({START}\) begin end\n(    (\w+)(?:\[| ).*?)^  end\n", re.DOTALL | re.MULTILINE
)
PLAIN_REGISTERS = re.compile(r"(?:  always @\(posedge clk\)\n    \S+ <= .*;\n){2,}")
EMPTY_ELSE = re.compile(r"^( *)end else if \(\S+\) begin\n\1end$", re.MULTILINE)


class EmitError(ValueError):
    """A component that cannot be written as separate modules; names the unit and the fault."""


def emit(component: wiring.Component, name: str, *, spec: object, folder: Path) -> Netlist:
    """Write ``component`` as Verilog module ``name`` to ``folder``, with what it was made from.

    ``spec`` is the frozen dataclass that describes the component. Writes ``<name>.v``,
    ``spec.json``, ``ports.json`` and ``sources.json``, which says for every module's signals where the Python
    declares them; the same component and spec give the same bytes.

    Raises :class:`EmitError` for a unit that reaches past its signature, uses a clock domain other than ``sync``
    or has no logic, and :class:`hw.rtlil.RtlilError` for a memory with initial contents.
    """
    units = _Units()
    units.add(component, Fragment.get(component, None), name)
    units.check_boundaries()
    netlist = Netlist(verilog=folder / f"{name}.v", top=name)
    ports = rtlil.ports(units.bodies[name])

    verilog = _header(name, spec) + _to_verilog(rtlil.join_modules(units.bodies))
    folder.mkdir(parents=True, exist_ok=True)
    netlist.verilog.write_text(verilog)
    netlist.spec.write_text(json.dumps(asdict(spec), indent=2) + "\n")
    netlist.ports.write_text(json.dumps(ports, indent=2) + "\n")
    netlist.sources.write_text(json.dumps(units.sources, indent=2) + "\n")
    return netlist


class _Units:
    """Modules written so far: ``bodies`` by name, children before parents, and ``sources`` of their signals."""

    def __init__(self):
        self.bodies = {}
        self.sources = {}
        self._by_body = {}  # (base name, body) -> name
        self._by_parameters = {}  # class and parameters of a component -> name
        self._signals = []  # (unit, signals it uses, signals it may share with other units)

    def add(self, component: wiring.Component, fragment: Fragment, name: str) -> str:
        """Write a unit after everything under it; return the name it got."""
        shared = SignalDict()
        self._replace_children(fragment, shared)
        members = _split_members(component, fragment)
        for _, value, _ in _interface(component):
            shared.update((signal, None) for signal in Value.cast(value)._rhs_signals())
        ports = {port: (value, direction) for port, value, direction in members}
        text, used = amaranth_rtlil.convert_fragment(fragment, ports, name, emit_src=True)
        self._signals.append((name, used, shared))
        return self._add_text(text, name, [*CLOCK, *ports])

    def _replace_children(self, fragment: Fragment, shared: SignalDict) -> None:
        """Turn components into instances; take in what is not a component and could not stand alone."""
        kept = []
        for child, label, location in fragment.subfragments:
            component, reset = _under_reset(child)
            if reset is not None:
                # Its own reset is the or of both, which is what ResetInserter means, or the one alone, and it stays one module.
                child = Fragment.get(component, None)
                kept.append((self._instance(component, child, label, shared, reset), label, location))
            elif isinstance(component, wiring.Component) and not isinstance(component, Memory):
                kept.append((self._instance(component, child, label, shared), label, location))
            elif type(child) is Fragment and not child.domains and not _is_transformed(child):
                self._replace_children(child, shared)
                for domain, statements in child.statements.items():
                    fragment.add_statements(domain, *statements)
                kept += [(inner, f"{label}_{name}", where) for inner, name, where in child.subfragments]
            else:
                if isinstance(child, MemoryInstance):
                    _skip_zeros(child)
                kept.append((child, label, location))
        fragment.subfragments[:] = kept

    def _instance(
        self,
        component: wiring.Component,
        fragment: Fragment,
        label: str,
        shared: SignalDict,
        reset: Value | None = None,
    ) -> Instance:
        members = _interface(component)
        parameters = _parameters(component)
        unit = self._by_parameters.get(parameters)
        if unit is None:
            unit = self.add(component, fragment, _snake(type(component).__name__))
            self._by_parameters[parameters] = unit
        clock = {"clk": ClockSignal("sync"), "rst": ResetSignal("sync") if reset is None else reset}
        connections = [("i", port, clock[port]) for port in CLOCK if port in rtlil.ports(self.bodies[unit])]
        for path, value, direction in members:
            for signal in Value.cast(value)._rhs_signals():
                # The parent writes `lane_3__o__valid` where the child says `o__valid`; the dot
                # marks the name as one that may go where nothing else uses it.
                signal.name = f"{label}.{path}" if label else path
                shared[signal] = None
            for port, field in _fields(path, value):
                connections.append(("i" if direction is PortDirection.Input else "o", port, field))
        return Instance(unit, *connections)

    def _add_text(self, text: str, name: str, order: list[str]) -> str:
        """Clean, merge and keep the modules of one unit: its own first, then those inlined under it."""
        located = {module: rtlil.locations(body) for module, body in rtlil.split_modules(text).items()}
        modules = rtlil.split_modules(rtlil.drop_locations(text))
        if name not in modules:
            raise EmitError(f"{name} has no logic")
        final = {}
        for module in reversed(modules):
            body = modules[module]
            for inner, renamed in final.items():
                body = body.replace(f"  cell \\{inner} ", f"  cell \\{renamed} ")
            if module == name:
                extra = [port for port in rtlil.ports(body) if port not in order]
                if extra:
                    raise EmitError(f"{name} needs {', '.join(extra)}; units have one clock domain, sync")
                body = rtlil.order_ports(body, order)
            body = rtlil.clean(body)
            final[module] = self._keep(re.sub(r"[.$]", "_", module), body)
            self.sources.setdefault(final[module], located[module])
        return final[name]

    def _keep(self, name: str, body: str) -> str:
        key = (name, body)
        if key not in self._by_body:
            distinct, count = name, 1
            while distinct in self.bodies:
                count += 1
                distinct = f"{name}_{count}"
            self._by_body[key] = distinct
            self.bodies[distinct] = body
        return self._by_body[key]

    def check_boundaries(self) -> None:
        """Raise where a unit reads or drives a signal of another one that is not in a signature."""
        users = SignalDict()
        for unit, used, _ in self._signals:
            for signal in used:
                users.setdefault(signal, []).append(unit)
        for unit, used, shared in self._signals:
            for signal in used:
                if signal not in shared and len(users[signal]) > 1:
                    others = sorted({other for other in users[signal] if other != unit}) or ["another instance"]
                    raise EmitError(f"{unit} shares signal {signal.name!r} with {', '.join(others)} past its signature")


def _skip_zeros(memory: MemoryInstance) -> None:
    """Save the zeros that a memory starts with the way through text and back; they are most of a large design."""
    if not any(memory._data._init._raw):
        memory._data = copy(memory._data)
        memory._data._init = copy(memory._data._init)
        memory._data._init._raw = []


def _is_transformed(fragment: Fragment) -> bool:
    """A fragment under DomainRenamer and the like: left inside its parent, clocks and all."""
    return bool(fragment.origins) and type(fragment.origins[0]).__name__ == "TransformedElaboratable"


def _under_reset(fragment: Fragment) -> tuple[object, Value | None]:
    """The component of a fragment, and what resets it if it stands under ResetInserter, and nothing else, or under ResetBy."""
    origin = fragment.origins[0] if fragment.origins else None
    if _is_transformed(fragment) and isinstance(origin._elaboratable_, wiring.Component):
        transforms = origin._transforms_
        if all(isinstance(t, ResetInserter) and list(t.controls) == ["sync"] for t in transforms):
            controls = [t.controls["sync"] for t in transforms]
            if [type(t) for t in transforms] == [ResetBy]:
                return origin._elaboratable_, Value.cast(controls[0])
            return origin._elaboratable_, Cat(ResetSignal("sync"), *controls).any()
    return origin, None


def _parameters(component: wiring.Component) -> tuple:
    """What decides a component's circuit: elaboration is pure, so that its class, signature and attributes do.

    Attributes that compare by identity make a component unlike any other, which costs time and nothing else.
    """
    members = set(component.signature.members)
    attributes = []
    for name, value in vars(component).items():
        # A leading underscore is Amaranth's own bookkeeping.
        if name not in members and not name.startswith("_"):
            attributes.append((name, type(value), value if isinstance(value, Hashable) else id(value)))
    interface = [(path, repr(value.shape()), direction) for path, value, direction in _interface(component)]
    return type(component), tuple(attributes), tuple(interface)


def _interface(component: wiring.Component) -> list[tuple[str, object, PortDirection]]:
    """Members of the signature in order, nested names joined by two underscores."""
    members = []
    for path, member, value in component.signature.flatten(component):
        direction = PortDirection.Input if member.flow is wiring.In else PortDirection.Output
        members.append(("__".join(map(str, path)), value, direction))
    return members


def _fields(name: str, value: object) -> list[tuple[str, Value]]:
    """A structure's fields as ports of their own; anything else as one."""
    if isinstance(value, data.View) and isinstance(value.shape(), data.StructLayout):
        return [leaf for field, _ in value.shape() for leaf in _fields(f"{name}__{field}", value[field])]
    return [(name, Value.cast(value))]


def _split_members(component: wiring.Component, fragment: Fragment) -> list[tuple[str, Signal, PortDirection]]:
    """Ports of a unit. Structures get one per field, wired to the member inside the unit."""
    ports = []
    for path, value, direction in _interface(component):
        fields = _fields(path, value)
        if len(fields) == 1 and isinstance(fields[0][1], Signal):
            ports.append((path, fields[0][1], direction))
            continue
        signals = [Signal(field.shape(), name=name) for name, field in fields]
        whole = Value.cast(value)
        if direction is PortDirection.Input:
            fragment.add_statements("comb", whole.eq(Cat(signals)))
        else:
            fragment.add_statements("comb", Cat(signals).eq(whole))
        ports += [(name, signal, direction) for (name, _), signal in zip(fields, signals, strict=True)]
    return ports


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _header(name: str, spec: object) -> str:
    parameters = "".join(f"//   {field} = {value}\n" for field, value in asdict(spec).items())
    return (
        f"// {name}: generated by gradloom {VERSION} (Amaranth {version('amaranth')}, Yosys {version('pyosys')});"
        f" do not edit.\n// {type(spec).__name__}:\n{parameters}\n"
    )


def _to_verilog(text: str) -> str:
    """Verilog-2005 of an RTLIL design, through Yosys in this process."""
    design = libyosys.Design()
    with TemporaryDirectory() as scratch:
        source, target = Path(scratch, "design.il"), Path(scratch, "design.v")
        source.write_text(text)
        # No pass in between: processes stay, so that an `If` in Python is an `if` in Verilog.
        for command in (f"read_rtlil {source}", f"write_verilog -noattr {target}"):
            libyosys.Pass.call(design, f"tee -q {command}")
        verilog = target.read_text()
    return _readable(verilog)


def _readable(verilog: str) -> str:
    """Yosys' text without its banner, its start signal explained, and with registers as one writes them."""
    verilog = re.sub(r"^/\*.*?\*/\n+", "", verilog, flags=re.DOTALL)
    start = f"  reg {START} = 0;  // makes every combinational block below run at time 0"
    verilog = re.sub(rf"^  reg {TRIGGER.pattern} = 0;$", start, verilog, flags=re.MULTILINE)
    verilog = TRIGGER.sub(START, verilog)
    verilog = MODULE.sub(lambda module: _clocked(module[0]), verilog)
    while (shorter := EMPTY_ELSE.sub(r"\1end", verilog)) != verilog:
        verilog = shorter
    return verilog


def _clocked(module: str) -> str:
    """Assign a register where its next state was worked out: ``x <= y`` under its conditions, not ``x_next = y``.

    That is how one writes it, and a simulator then skips what a disabled register would load.
    """
    uses = Counter(re.findall(r"\w+", module))
    moved = set()

    def move(block: re.Match) -> str:
        state = block[2]
        register = state.removesuffix("_next")
        # Besides the uses in the block there may be its declaration and `x <= x_next`, and nothing else.
        inside = len(re.findall(rf"\b{state}\b", block[0]))
        if register == state or uses[state] != inside + 2 or f"    {register} <= {state};\n" not in module:
            return block[0]
        moved.add(state)
        body = block[1].replace(f"    {state} = {register};\n", "", 1)
        body = re.sub(rf"^( *){state}((?:\[[\d:]+\])?) = ", rf"\1{register}\2 <= ", body, flags=re.MULTILINE)
        return f"  always @(posedge clk) begin\n{body}  end\n"

    module = COMBINATIONAL.sub(move, module)
    for state in moved:
        module = module.replace(f"  always @(posedge clk)\n    {state.removesuffix('_next')} <= {state};\n", "")
        module = re.sub(rf"^  reg (?:signed )?(?:\[[\d:]+\] )?{state};\n", "", module, flags=re.MULTILINE)
    module = PLAIN_REGISTERS.sub(lambda run: _one_block(run[0]), module)
    if START not in module.replace(f"reg {START}", "", 1):
        module = re.sub(rf"^  reg {START} .*\n", "", module, flags=re.MULTILINE)
    return module


def _one_block(registers: str) -> str:
    lines = re.findall(r"^    \S+ <= .*;$", registers, re.MULTILINE)
    return "\n".join(["  always @(posedge clk) begin", *lines, "  end", ""])
