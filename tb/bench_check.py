"""Field ranges against :func:`spec.isa.fault`: every field at, inside and outside its bounds, and random words."""

import cocotb

from spec.chip import Chip
from spec.isa import DESCRIPTOR_WORDS, LAYOUT, ErrorCode, Opcode, encode, fault
from tb.kit import cycles, generator, load_spec, start
from tb.models import setting


async def error_of(dut, descriptor):
    """What the unit says, its latency after the words came; before that they were noise."""
    dut.words.value = int.from_bytes(descriptor, "little")
    await cycles(dut, setting("latency") + 1)
    return int(dut.error.value)


def good(rng, chip, opcode):
    """A descriptor of random legal fields; those without a range hold anything."""
    values = {}
    for place in LAYOUT[opcode]:
        low, high = place.field.bounds(chip)
        if place.field.name != "opcode":
            values[place.field.name] = int(rng.choice([low, high, int(rng.integers(low, high + 1))]))
    if "address" in values:
        values["address"] &= -64
    return values


@cocotb.test(timeout_time=20, timeout_unit="ms")
@cocotb.parametrize(opcode=[int(opcode) for opcode in Opcode])
async def finds_every_field_out_of_range(dut, opcode):
    rng, chip, opcode = generator(), load_spec(Chip), Opcode(opcode)
    await start(dut)
    for place in LAYOUT[opcode]:
        name, bits = place.field.name, place.field.bits
        if name == "opcode":
            continue
        low, high = place.field.bounds(chip)
        least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if place.field.signed else (0, (1 << bits) - 1)
        tried = {low, high, low - 1, high + 1, least, most, *rng.integers(least, most + 1, 4).tolist()}
        tried |= {1 << n for n in range(bits - 1)}
        for value in sorted(tried):
            if least <= value <= most:
                values = good(rng, chip, opcode) | {name: value}
                descriptor = encode(opcode, values.pop("wait"), values.pop("tag"), **values)
                want = fault(chip, descriptor)[0]
                assert want in {ErrorCode.NONE, ErrorCode.FIELD}
                assert await error_of(dut, descriptor) == want, f"{name} = {value}"


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def agrees_with_golden_on_any_words(dut):
    rng, chip = generator(), load_spec(Chip)
    await start(dut)
    seen = set()
    for number in range(1500):
        descriptor = bytearray(rng.bytes(4 * DESCRIPTOR_WORDS))
        if number >= 256:  # before that every value of the opcode's byte
            opcode = Opcode(int(rng.integers(min(Opcode), max(Opcode) + 1)))
            values = good(rng, chip, opcode)
            legal = encode(opcode, values.pop("wait"), values.pop("tag"), **values)
            # A few bits of a legal one are turned, and words behind its last field are noise.
            last = max(place.word for place in LAYOUT[opcode]) * 4 + 4
            descriptor[:last] = legal[:last]
            for bit in rng.integers(0, 8 * last, int(rng.integers(0, 3))):
                descriptor[bit // 8] ^= 1 << bit % 8
        else:
            descriptor[0] = number
        want = fault(chip, bytes(descriptor))[0]
        assert await error_of(dut, bytes(descriptor)) == want
        seen.add(want)
    assert seen == {ErrorCode.NONE, ErrorCode.OPCODE, ErrorCode.FIELD}
