"""What goes with a machine's Verilog: its header and its register map."""

from click.testing import CliRunner

from gradloom.cli import main
from gradloom.generate import files
from gradloom.header import header, machine_header
from spec.chip import CHIPS
from spec.isa import LAYOUT, ErrorCode, Opcode, encode
from spec.registers import COUNTER_REGISTERS, REGISTER_ADDRESS_BITS, REGISTERS, offset
from tb import toolchain

CHIP = CHIPS["ecp5-64"]


def test_header_says_where_encode_puts_each_field(tmp_path):
    (tmp_path / "machine.h").write_text(machine_header(CHIP))
    (tmp_path / "engine.h").write_text(header(CHIP))
    checks = []
    for opcode, places in LAYOUT.items():
        group = {Opcode.LOAD: "transfer", Opcode.STORE: "transfer"}.get(opcode, opcode.name.lower())
        for place in places:
            field = place.field
            if field.name == "opcode":
                continue
            name = f"GRADLOOM_{'HEAD' if place.word == 0 else group.upper()}_{field.name.upper()}"
            most = -1 if field.signed else (1 << field.bits) - 1
            zero = 0 if field.signed or not field.low else field.low
            base = encode(opcode, **{field.name: zero})
            full = encode(opcode, **{field.name: most})
            word = int.from_bytes(bytes(a ^ b for a, b in zip(base, full, strict=True)), "little")
            expected = (zero ^ most & (1 << field.bits) - 1) << place.lsb
            assert word >> 32 * place.word == expected
            checks += [f"{name}_WORD == {place.word}", f"{name}_LSB == {place.lsb}", f"{name}_BITS == {field.bits}"]
    checks += [f"GRADLOOM_OPCODE_{opcode.name} == {int(opcode)}" for opcode in Opcode]
    checks += [f"GRADLOOM_ERROR_{code.name} == {int(code)}" for code in ErrorCode]
    checks += [f"GRADLOOM_REG_{register.name.upper()} == {register.offset}" for register in REGISTERS]
    checks += [f"GRADLOOM_COUNT_{name.upper()} == {at}" for name, at in COUNTER_REGISTERS.items()]
    source = tmp_path / "check.c"
    asserts = "\n".join(f'_Static_assert({check}, "");' for check in dict.fromkeys(checks))
    source.write_text(f'#include "machine.h"\n#include "engine.h"\n#include "machine.h"\n{asserts}\n')
    compiler = ["gcc", "-x", "c", "-std=c11", "-Wall", "-Werror", "-c", str(source), "-o", str(tmp_path / "check.o")]
    toolchain.run_tool(compiler, tmp_path / "log")


def test_registers_lie_apart_within_the_map():
    places = [register.offset for register in REGISTERS]
    places += [at + half for at in COUNTER_REGISTERS.values() for half in (0, 4)]
    assert len(set(places)) == len(places)
    assert all(place % 4 == 0 and 0 <= place < 1 << REGISTER_ADDRESS_BITS for place in places)
    assert offset("id") == 0
    assert offset("run_cycles") == COUNTER_REGISTERS["run_cycles"]


def test_generate_writes_a_machine(tmp_path):
    folder = tmp_path / "rtl"
    result = CliRunner().invoke(main, ["generate", "--unit", "machine", "--chip", "tiny", "-o", str(folder)])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in folder.iterdir()) == sorted(files("machine"))
    assert "module machine(" in (folder / "machine.v").read_text()
    assert (folder / "machine.h").read_text() == machine_header(CHIPS["tiny"])
