"""The generated machine against the emulator, byte for byte, and what must stop it."""

from dataclasses import replace

import numpy as np
import pytest
from engine_player import CaseFailed
from machine_cases import MACHINE_CHIPS
from machine_fuzz import Fuzzer
from machine_player import Player, build_case_machine

from spec.isa import ErrorCode, Opcode, encode
from spec.registers import ID_VALUE, Status
from tb.native.machine_host import MachineStuck, NativeMachine, RegisterRefused
from tb.native.memory import Memory
from tb.programs import RING, ending

CASES = 15  # programs of each chip, of sixty commands
DESCRIPTORS = 400  # half of them broken, of each chip
MANY = 2500  # of each chip in the slow tests
WILD = 20
TINY = MACHINE_CHIPS["tiny"]
CHIPS = pytest.mark.parametrize("chip", MACHINE_CHIPS.values(), ids=MACHINE_CHIPS)


@pytest.mark.rtl
@CHIPS
def test_random_programs_leave_what_the_emulator_leaves(chip, seed):
    tally = Player(chip, build_case_machine(chip), seed).play(CASES)
    print(f"seed {seed}: {tally}")
    assert tally.cases == CASES
    assert tally.differing_words == 0


def fuzz(chip, seed, descriptors, wild):
    fuzzer = Fuzzer(chip, build_case_machine(chip), seed)
    number = 0
    while fuzzer.descriptors < descriptors:
        fuzzer.fuzz_one(number)
        number += 1
    for number in range(wild):
        fuzzer.wild_one(number)
    print(f"seed {seed}: {fuzzer.descriptors} descriptors, {dict(fuzzer.found)}")
    return fuzzer.found


@pytest.mark.rtl
@CHIPS
def test_broken_descriptors_stop_the_machine_as_they_stop_the_emulator(chip, seed):
    found = fuzz(chip, seed, DESCRIPTORS, WILD)
    assert {"OPCODE", "FIELD", "READ_OUTSIDE", "WRITE_OUTSIDE", "READ_BUS", "WRITE_BUS"} <= set(found)


@pytest.mark.rtl
@pytest.mark.slow
@CHIPS
def test_ten_thousand_descriptors(chip, seed):
    fuzz(chip, seed + 1, MANY, 10 * WILD)


@pytest.fixture(scope="module")
def player():
    return Player(TINY, build_case_machine(TINY), 1)


@pytest.mark.rtl
def test_a_wrong_word_a_lost_event_and_a_wrong_count_fail_a_case(player, monkeypatch):
    case = player.draw(0, 30)
    assert not player.differs(case)
    case.expected[case.layout.image + 5] ^= 1
    assert player.differs(case).startswith("1 words differ, first at 0x")
    case.solved()
    last = case.events.pop()
    assert last.opcode == Opcode.END
    case.events.pop()
    assert "issued, or in another order" in player.differs(case)
    monkeypatch.setattr(player, "draw", lambda *_: replace(case).solved())
    monkeypatch.setattr(player, "differs", lambda _: "wrong")
    with pytest.raises(CaseFailed, match=r"chip tiny, seed 1, case 3: wrong; Memory"):
        player.play_one(3)


@pytest.mark.rtl
def test_the_same_program_takes_the_same_cycles(player):
    case = player.draw(1, 30)
    case.how = replace(case.how, stall=0.25, jitter=9)
    runs = [player.run(case) for _ in range(2)]
    assert runs[0] == runs[1]
    case.how = replace(case.how, seed=case.how.seed ^ 1)
    assert player.run(case).cycles != runs[0].cycles


@pytest.mark.rtl
def test_units_that_rest_change_no_word_and_hardly_a_cycle(player):
    """Who goes first where units meet depends on turns that go on, or not, while a unit has no command."""
    for number in range(6):
        case = player.draw(number)
        case.how = Memory()  # one that does not draw numbers
        cycles = []
        for rests in (True, False):
            player.prepare(case).rest(rests)
            assert not player.differs(case)
            player.prepare(case)
            cycles.append(player.run(case).cycles)
        player.machine.rest(True)
        assert cycles[0] == pytest.approx(cycles[1], rel=0.005)


@pytest.mark.rtl
def test_a_host_sees_registers_memory_and_events():
    layout = Player(TINY, build_case_machine(TINY), 0).draw(0, 0).layout
    data = np.arange(layout.size, dtype=np.int64).astype(np.uint8)
    with NativeMachine(TINY, build_case_machine(TINY), data, Memory(read_latency=5)) as machine:
        assert machine.read("id") == ID_VALUE
        with pytest.raises(RegisterRefused, match=r"^register id: write of 0x1 was answered by 2$"):
            machine.write("id", 1)
        program = [
            encode(Opcode.LOAD, tag=7, address=layout.image, bricks=40),
            encode(Opcode.STORE, tag=8, wait=1, address=layout.write[0], bricks=40),
            encode(Opcode.END),
        ]
        outcome = machine.run(RING, machine.load(RING, b"".join(program)))
        assert (outcome.status, outcome.error) == (Status.ENDED, ErrorCode.NONE)
        np.testing.assert_array_equal(data[layout.write[0] :][:640], data[layout.image :][:640])
        events = machine.take_events()
        assert events["tag"].tolist() == [7, 8]
        assert events["unit"].tolist() == [0, 1]
        assert (events["done"] > events["issued"]).all()
        assert events["issued"][1] > events["done"][0]
        assert events["read_beats"][0] >= 80
        assert events["write_beats"].tolist() == [0, 80]
        counters = machine.counters()
        assert (counters["bricks_read"], counters["bricks_written"]) == (40, 40)
        assert counters["run_cycles"] == pytest.approx(outcome.cycles, abs=20)
        assert not len(machine.take_events())


@pytest.mark.rtl
def test_a_program_without_end_is_given_up():
    with NativeMachine(TINY, build_case_machine(TINY), 1 << 16) as machine:
        machine.load(RING, encode(Opcode.FENCE))
        with pytest.raises(MachineStuck, match=r"^no end after \d+ cycles, status <Status.RUNNING"):
            machine.run(RING, 1, limit=5000)
        machine.write("control", 2)
        assert Status.ABORTED in machine.wait(5000).status


def test_endings_store_all_of_the_scratchpad(player):
    case = player.draw(2, 3)
    assert case.descriptors[-2:] == ending(case.layout)
    assert (case.expected[case.layout.image : case.layout.end] != case.memory[case.layout.image : case.layout.end]).any()
