"""Whole programs on a memory image: transfers, the ring, errors with code and index, races."""

from dataclasses import replace

import numpy as np
import pytest

from golden.emulator import Emulator, Stop
from golden.emulator_product import ProductOutcome
from golden.emulator_scratch import EmulatorError
from golden.emulator_transfer import TransferOutcome
from spec.chip import CHIPS, Chip
from spec.isa import DESCRIPTOR_BYTES, ErrorCode, Kind, Opcode, Unit, encode

CHIP = CHIPS["tiny"]
WIDE = replace(CHIP, width=18, acc_width=56)
RING = 1 << 16


def machine(program, chip=CHIP, size=1 << 17, **how):
    """An emulator with a program at RING in a memory of zeros."""
    memory = np.zeros(size, np.uint8)
    code = np.frombuffer(b"".join(program), np.uint8)
    memory[RING : RING + len(code)] = code
    return Emulator(chip, memory, **how)


def run(program, **how):
    emulator = machine(program, **how)
    return emulator.run(RING, len(program)), emulator


def load(wait=0, **values):
    return encode(Opcode.LOAD, wait, **values)


def store(wait=0, **values):
    return encode(Opcode.STORE, wait, **values)


END = encode(Opcode.END)


@pytest.mark.parametrize("chip", [CHIP, WIDE], ids=["two bytes", "four bytes"])
def test_transfers_are_those_of_plain_loops(rng, chip):
    size = 16 if chip.width <= 16 else 32
    for _ in range(20):
        counts = {
            "bricks": int(rng.integers(1, 4)),
            "count_1": int(rng.integers(1, 4)),
            "count_2": int(rng.integers(1, 4)),
        }
        steps = {f"{side}_{n}": int(rng.integers(-9, 10)) for side in ("memory", "scratch") for n in (1, 2)}
        at = {"address": 512 * size, "scratch": int(rng.integers(chip.scratch_bricks))}
        print(counts, steps, at)
        emulator = machine([load(**counts, **steps, **at), END], chip)
        words = emulator.memory[: 1024 * size].view("<i2" if size == 16 else "<i4").reshape(-1, 8)
        words[...] = rng.integers(-(1 << (chip.width - 1)), 1 << (chip.width - 1), words.shape)
        want = np.zeros_like(emulator.scratch)
        for j, i, k in np.ndindex(counts["count_2"], counts["count_1"], counts["bricks"]):
            to = at["scratch"] + j * steps["scratch_2"] + i * steps["scratch_1"] + k
            want[to % chip.scratch_bricks] = words[512 + j * steps["memory_2"] + i * steps["memory_1"] + k]
        assert emulator.run(RING, 2) == Stop(ErrorCode.NONE, 1)
        np.testing.assert_array_equal(emulator.scratch, want)

        emulator = machine([store(**counts, **steps, **at), END], chip)
        emulator.scratch[...] = rng.integers(-(1 << (chip.width - 1)), 1 << (chip.width - 1), want.shape)
        words = emulator.memory[: 1024 * size].view("<i2" if size == 16 else "<i4").reshape(-1, 8)
        want = np.zeros_like(words)
        for j, i, k in np.ndindex(counts["count_2"], counts["count_1"], counts["bricks"]):
            source = at["scratch"] + j * steps["scratch_2"] + i * steps["scratch_1"] + k
            want[512 + j * steps["memory_2"] + i * steps["memory_1"] + k] = emulator.scratch[
                source % chip.scratch_bricks
            ]
        emulator.run(RING, 2)
        np.testing.assert_array_equal(words, want)


def test_fill_writes_zeros_and_touches_no_memory():
    program = [load(fill=1, address=0xFFFFFF00, bricks=2, count_1=3, scratch=510, scratch_1=-4), END]
    emulator = machine(program, read=(RING, RING + 2 * DESCRIPTOR_BYTES))
    emulator.scratch[...] = 7
    assert emulator.run(RING, 2) == Stop(ErrorCode.NONE, 1)
    assert np.flatnonzero(~emulator.scratch.any(axis=1)).tolist() == [502, 503, 506, 507, 510, 511]


def test_a_program_runs_through_all_units_and_reports_its_commands(rng):
    a, b = rng.integers(-99, 99, (4, 8)), rng.integers(-99, 99, (8, 8))
    product = {
        "m": 4,
        "n": 8,
        "k": 8,
        "step_b": 1,
        "a_base": 0,
        "b_base": 4,
        "b_stride": 1,
        "c_base": 12,
        "c_stride": 1,
    }
    product |= {"a_tail": 8, "tap_k": 8, "k_tile": 8, "columns": 2, "rows": 4, "row_tile": 4, "skip": 1}
    mask = {"kind": Kind.MASK, "count": 4, "u_base": 12, "u_stride": 1, "out_base": 16, "out_stride": 1}
    program = [
        load(bricks=12, tag=1),
        encode(Opcode.PRODUCT, Unit.LOAD, tag=2, start=1, **product),
        encode(Opcode.FENCE, Unit.PRODUCT, tag=3),
        encode(Opcode.PRODUCT, tag=4, finish=1, **product),
        encode(Opcode.VECTOR, Unit.PRODUCT, tag=5, **mask),
        store(Unit.VECTOR, tag=6, address=1024, scratch=12, bricks=8),
        encode(Opcode.END, tag=7),
    ]
    emulator = machine(program, check=True)
    words = emulator.memory.view("<i2").reshape(-1, 8)
    words[:4], words[4:12] = a, b
    events = []
    assert emulator.run(RING, 7, on_event=events.append) == Stop(ErrorCode.NONE, 6)
    assert [event.tag for event in events] == list(range(1, 8))
    assert [event.index for event in events] == list(range(7))
    c = np.clip(2 * (a @ b), -32768, 32767)
    np.testing.assert_array_equal(words[64:68], c)
    np.testing.assert_array_equal(words[68:72, 0], ((c > 0) << np.arange(8)).sum(axis=1))
    assert events[0].outcome == TransferOutcome(ErrorCode.NONE, 192)
    outcome = events[3].outcome
    assert isinstance(outcome, ProductOutcome)
    assert (outcome.sums, outcome.macs) == (None, np.count_nonzero(a) * 8)
    assert outcome.saturations == np.count_nonzero(2 * (a @ b) != c)


def test_the_ring_goes_round_and_starts_from_any_index():
    program = [load(tag=1), END, load(tag=2), load(tag=3)]
    emulator = machine(program)
    tags = []
    assert emulator.run(RING, 4, 2, lambda event: tags.append(event.tag)) == Stop(ErrorCode.NONE, 1)
    assert tags == [2, 3, 1, 0]


@pytest.mark.parametrize(
    ("command", "windows", "code", "reason"),
    [
        (b"\x00" * DESCRIPTOR_BYTES, {}, ErrorCode.OPCODE, "opcode must be 1 to 6, not 0"),
        (load(scratch=2048), {}, ErrorCode.FIELD, "load: scratch must be 0 to 2047, not 2048"),
        (store(address=8), {}, ErrorCode.FIELD, "store: address must be a multiple of 16, not 8"),
        (load(address=2048), {"read": (RING, 2 * RING)}, ErrorCode.READ_OUTSIDE, "load at 0x800"),
        (load(address=2 * RING - 16, bricks=2), {"read": (RING, 2 * RING)}, ErrorCode.READ_OUTSIDE, "load at 0x1fff0"),
        (store(address=64), {"write": (80, 112)}, ErrorCode.WRITE_OUTSIDE, "store at 0x40"),
        (store(address=96, bricks=2), {"write": (80, 112)}, ErrorCode.WRITE_OUTSIDE, "store at 0x60"),
        (load(address=1 << 20), {}, ErrorCode.READ_BUS, "load at 0x100000"),
        (store(address=1 << 20), {}, ErrorCode.WRITE_BUS, "store at 0x100000"),
    ],
)
def test_errors_stop_with_code_and_index_and_the_machine_starts_again(command, windows, code, reason):
    program = [load(address=RING), command, store(address=80, tag=5), END]
    emulator = machine(program, **windows)
    emulator.memory[:256] = 3
    assert emulator.run(RING, 4) == Stop(code, 1, reason)
    assert (emulator.memory[:256] == 3).all()
    assert emulator.run(RING, 4, 2) == Stop(ErrorCode.NONE, 3)
    assert emulator.memory[80:96].tobytes() == load(address=RING)[:16]


def test_runs_before_the_one_outside_are_moved():
    program = [store(address=0, count_1=4, memory_1=2), END]
    stop, emulator = run(program, write=(0, 80))
    assert stop.code == ErrorCode.WRITE_OUTSIDE
    emulator = machine(program, write=(0, 80))
    emulator.scratch[...] = 1
    emulator.run(RING, 2)
    assert np.flatnonzero(emulator.memory[:RING].reshape(-1, 16).any(axis=1)).tolist() == [0, 2, 4]


def test_descriptors_outside_the_window_are_fetch_errors():
    reason = f"a descriptor at {RING + DESCRIPTOR_BYTES:#x} cannot be read"
    assert run([load(), END], read=(0, RING + 255))[0] == Stop(ErrorCode.FETCH, 1, reason)
    assert run([END], read=(RING + 1, 1 << 32))[0].code == ErrorCode.FETCH
    assert machine([END]).run(1 << 20, 1).code == ErrorCode.FETCH


def test_products_of_a_chain_have_the_same_rows():
    product = {"m": 2, "step_b": 1, "columns": 2, "rows": 4, "row_tile": 2, "c_stride": 1}
    first = encode(Opcode.PRODUCT, start=1, **product)
    for change in ({"step_b": 2}, {"origin_x": 1}, {"rows": 2}):
        stop = [first, encode(Opcode.PRODUCT, finish=1, **(product | change)), END]
        with pytest.raises(EmulatorError, match=f"^product: products of a chain differ in {next(iter(change))}\n"):
            run(stop)
    text = r"^product: a product that does not start needs sums of \(2, 1\), there are none\n"
    with pytest.raises(EmulatorError, match=text):
        run([first, encode(Opcode.PRODUCT, finish=1, c_base=9, **product), encode(Opcode.PRODUCT, **product), END])


RELU = {"kind": Kind.AFFINE, "u_base": 8, "out_base": 8, "table_base": 100, "uniform": 1}
RACES = [
    # (program, text or None where the waits are right)
    (
        [load(scratch=8), encode(Opcode.VECTOR, **RELU)],
        "vector and load that may still run both touch scratchpad brick 8",
    ),
    ([load(scratch=8), encode(Opcode.VECTOR, Unit.LOAD, **RELU)], None),
    ([load(scratch=9), encode(Opcode.VECTOR, **RELU)], None),
    ([load(scratch=9), load(scratch=9), encode(Opcode.VECTOR, **RELU)], None),  # one unit's commands do not overlap
    ([load(scratch=100), encode(Opcode.VECTOR, **RELU)], "both touch scratchpad brick 100"),
    ([encode(Opcode.VECTOR, **RELU), load(scratch=100)], "load and vector that may still run both touch"),
    ([encode(Opcode.VECTOR, **RELU), store(scratch=100)], None),  # both only read
    ([encode(Opcode.VECTOR, **RELU), store(scratch=8)], "store and vector that may still run"),
    ([encode(Opcode.VECTOR, **RELU), encode(Opcode.FENCE, Unit.VECTOR), store(scratch=8)], None),
    ([encode(Opcode.VECTOR, **RELU), encode(Opcode.FENCE, Unit.LOAD), store(scratch=8)], "store and vector"),
    ([store(address=1024), load(address=1040, scratch=5)], None),
    ([store(address=1024, bricks=2, scratch=30), load(address=1040)], "both touch memory at 0x410"),
    (
        [load(address=1024, bricks=4, count_1=3, memory_1=9), store(address=1328, scratch=99)],
        "both touch memory at 0x520",
    ),
    ([load(address=1024, bricks=4, count_1=3, memory_1=9), store(address=1232, scratch=99)], None),
    ([load(address=1024), store(address=1024, scratch=9, wait=Unit.LOAD)], None),
]


@pytest.mark.parametrize(("program", "text"), RACES)
def test_races_are_found(program, text):
    program = [*program, END]
    assert run(program)[0].code == ErrorCode.NONE  # without the check it is just carried out
    if text is None:
        assert run(program, check=True)[0].code == ErrorCode.NONE
    else:
        with pytest.raises(EmulatorError, match=text) as caught:
            run(program, check=True)
        assert caught.value.__notes__ == [f"at descriptor {len(program) - 2}, tag 0"]


def test_memory_of_another_kind_is_refused():
    with pytest.raises(TypeError, match=r"^memory must be bytes in one dimension, not int16 of \(4,\)$"):
        Emulator(Chip(), np.zeros(4, np.int16))
