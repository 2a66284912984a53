"""CMSIS-SVD of the machine: the register view of debuggers, and the input of svd2rust and its like."""

from xml.etree import ElementTree as ET

from gradloom.soc.register_map import BYTES, STANDARD_ACCESS, entries
from spec.chip import Chip
from spec.registers import REGISTER_BITS
from spec.version import VERSION

BASE = 0  # of the one peripheral; where the slave lies is the SoC's business


def svd(chip: Chip) -> str:
    """The text of ``gradloom_machine.svd``."""
    device = ET.Element("device", {
        "schemaVersion": "1.3",
        "xmlns:xs": "http://www.w3.org/2001/XMLSchema-instance",
        "xs:noNamespaceSchemaLocation": "CMSIS-SVD.xsd",
    })  # fmt: skip
    _texts(device, name="gradloom", version=VERSION, description=f"gradloom machine, chip {chip.name}")
    _texts(device, addressUnitBits="8", width=str(REGISTER_BITS), size=str(REGISTER_BITS), resetValue="0x0")
    peripheral = ET.SubElement(ET.SubElement(device, "peripherals"), "peripheral")
    _texts(peripheral, name="GRADLOOM", description="Neural network training accelerator", baseAddress=f"{BASE:#x}")
    block = ET.SubElement(peripheral, "addressBlock")
    _texts(block, offset="0x0", size=f"{BYTES:#x}", usage="registers")
    interrupt = ET.SubElement(peripheral, "interrupt")
    _texts(interrupt, name="GRADLOOM", description="A bit is set both in irq_status and irq_enable", value="0")
    registers = ET.SubElement(peripheral, "registers")
    for entry in entries(chip):
        register = ET.SubElement(registers, "register")
        access, modified = STANDARD_ACCESS[entry.access]
        _texts(register, name=entry.name.upper(), description=entry.doc or entry.name)
        _texts(register, addressOffset=f"{entry.offset:#05x}", access=access, resetValue=f"{entry.reset:#010x}")
        if modified:
            _texts(register, modifiedWriteValues=modified)
        fields = ET.SubElement(register, "fields")
        for field in entry.fields:
            node = ET.SubElement(fields, "field")
            _texts(node, name=field.name.upper(), bitOffset=str(field.lsb), bitWidth=str(field.width))
            if field.values:
                values = ET.SubElement(node, "enumeratedValues")
                for name, value in field.values:
                    _texts(ET.SubElement(values, "enumeratedValue"), name=name.upper(), value=str(value))
    ET.indent(device)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(device, encoding="unicode") + "\n"


def _texts(parent: ET.Element, **values: str) -> None:
    for name, value in values.items():
        ET.SubElement(parent, name).text = value
