"""The generated machine against the emulator, byte for byte, and what must stop it."""

import numpy as np
import pytest
from engine_player import CaseFailed
from machine_cases import MACHINE_CHIPS
from machine_fuzz import Fuzzer
from machine_player import Player, build_case_machine

from spec.isa import Opcode, encode
from tb.native.machine_host import MachineStuck, NativeMachine, RegisterRefused
from tb.native.memory import Memory
from tb.programs import RING, beginning, ending, Layout

CASES = 15  # programs of each chip, of sixty commands
DESCRIPTORS = 300  # with broken ones among them, of each chip
WILD = 15


@pytest.mark.rtl
@pytest.mark.parametrize("chip", MACHINE_CHIPS.values(), ids=MACHINE_CHIPS)
def test_random_programs_leave_what_the_emulator_leaves(chip, seed):
    tally = Player(chip, build_case_machine(chip), seed).play(CASES)
    print(f"seed {seed}: {tally}")
    assert tally.cases == CASES
    assert tally.differing_words == 0
