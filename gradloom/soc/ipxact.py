"""IP-XACT of the machine (IEEE 1685-2014): its buses, registers, ports and file, for SoC assembly tools."""

from xml.etree import ElementTree as ET

from gradloom.soc.axi_top import TOP, Port, control_ports, memory_ports, ports
from gradloom.soc.register_map import BYTES, STANDARD_ACCESS, entries
from spec.axi import ADDRESS_BITS, Axi, axi
from spec.chip import Chip
from spec.registers import REGISTER_BITS
from spec.version import VERSION

NAMESPACE = "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"
AMBA = {"vendor": "amba.com", "library": "AMBA4"}
PLAIN = {"vendor": "xilinx.com", "library": "signal", "version": "1.0"}  # clock, reset, interrupt, as most tools know them


def ipxact(chip: Chip) -> str:
    """The text of ``gradloom_machine.xml``. Elements stand in the order of the standard's schema."""
    ET.register_namespace("ipxact", NAMESPACE)
    spec = axi(chip)
    component = ET.Element(_tag("component"))
    _texts(component, vendor="gradloom", library="ip", name=TOP, version=VERSION)
    _buses(_child(component, "busInterfaces"), spec)
    space = _child(_child(component, "addressSpaces"), "addressSpace")
    _texts(space, name="memory", range=str(1 << ADDRESS_BITS), width=str(spec.data_bits), addressUnitBits="8")
    memory_map = _child(_child(component, "memoryMaps"), "memoryMap")
    _texts(memory_map, name="registers")
    _registers(_child(memory_map, "addressBlock"), chip)
    _texts(memory_map, addressUnitBits="8")
    _model(_child(component, "model"), spec)
    file_set = _child(_child(component, "fileSets"), "fileSet")
    _texts(file_set, name="verilog")
    _texts(_child(file_set, "file"), name=f"{TOP}.v", fileType="verilogSource")
    _texts(component, description=f"Neural network training accelerator, chip {chip.name}")
    ET.indent(component)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(component, encoding="unicode") + "\n"


def _buses(parent: ET.Element, spec: Axi) -> None:
    lite = _bus(parent, "s_axi", AMBA | {"name": "AXI4-Lite", "version": "r0p0_0"}, control_ports())
    _child(_child(lite, "slave"), "memoryMapRef", memoryMapRef="registers")
    full = _bus(parent, "m_axi", AMBA | {"name": "AXI4", "version": "r0p0_0"}, memory_ports(spec))
    _child(_child(full, "master"), "addressSpaceRef", addressSpaceRef="memory")
    for name, kind, logical, mode in (
        ("aclk", "clock", "CLK", "slave"),
        ("aresetn", "reset", "RST", "slave"),
        ("irq", "interrupt", "INTERRUPT", "master"),
    ):
        (port,) = (port for port in ports(spec) if port.name == name)
        _child(_bus(parent, name, PLAIN | {"name": kind}, (port,), logical), mode)


def _bus(
    parent: ET.Element, name: str, kind: dict[str, str], members: tuple[Port, ...], logical: str = ""
) -> ET.Element:
    bus = _child(parent, "busInterface")
    _texts(bus, name=name)
    _child(bus, "busType", **kind)
    abstraction = _child(_child(bus, "abstractionTypes"), "abstractionType")
    _child(abstraction, "abstractionRef", **kind | {"name": f"{kind['name']}_rtl"})
    maps = _child(abstraction, "portMaps")
    for port in members:
        port_map = _child(maps, "portMap")
        _texts(_child(port_map, "logicalPort"), name=logical or port.name.removeprefix(f"{name}_").upper())
        _texts(_child(port_map, "physicalPort"), name=port.name)
    return bus


def _registers(block: ET.Element, chip: Chip) -> None:
    _texts(block, name="registers", baseAddress="0", range=str(BYTES), width=str(REGISTER_BITS), usage="register")
    for entry in entries(chip):
        register = _child(block, "register")
        _texts(register, name=entry.name, description=entry.doc or entry.name)
        _texts(register, addressOffset=f"'h{entry.offset:x}", size=str(REGISTER_BITS))
        access, modified = STANDARD_ACCESS[entry.access]
        for field in entry.fields:
            node = _child(register, "field")
            _texts(node, name=field.name, bitOffset=str(field.lsb))
            if access != "write-only":
                reset = entry.reset >> field.lsb & ((1 << field.width) - 1)
                _texts(_child(_child(node, "resets"), "reset"), value=f"'h{reset:x}")
            _texts(node, bitWidth=str(field.width), access=access)
            if field.values:
                values = _child(node, "enumeratedValues")
                for name, value in field.values:
                    _texts(_child(values, "enumeratedValue"), name=name, value=str(value))
            if modified:
                _texts(node, modifiedWriteValue=modified)


def _model(model: ET.Element, spec: Axi) -> None:
    view = _child(_child(model, "views"), "view")
    _texts(view, name="rtl", componentInstantiationRef="verilog")
    instance = _child(_child(model, "instantiations"), "componentInstantiation")
    _texts(instance, name="verilog", language="verilog", moduleName=TOP)
    _texts(_child(instance, "fileSetRef"), localName="verilog")
    listed = _child(model, "ports")
    for port in ports(spec):
        node = _child(listed, "port")
        _texts(node, name=port.name)
        wire = _child(node, "wire")
        _texts(wire, direction="out" if port.output else "in")
        if port.width > 1:
            vector = _child(_child(wire, "vectors"), "vector")
            _texts(vector, left=str(port.width - 1), right="0")


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"


def _child(parent: ET.Element, tag: str, /, **attributes: str) -> ET.Element:
    return ET.SubElement(parent, _tag(tag), attributes)


def _texts(parent: ET.Element, /, **values: str) -> None:
    for tag, value in values.items():
        _child(parent, tag).text = value
