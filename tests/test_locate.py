"""A machine with a planted fault: the command that is wrong is named, whatever comes after it."""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

import golden.emulator
import gradloom.tracing
from golden.emulator_scratch import EmulatorError
from golden.layers import GoldenExecute
from golden.presets import preset
from golden.tally import Tally
from gradloom.cli import main
from host.datasets import load
from host.driver import MEMORY, RING, Driver
from host.locate import Lockstep, WrongCommand
from host.machines import EmulatedMachine
from spec.chip import CHIPS
from spec.isa import Opcode

CHIP = CHIPS["tiny"]
CONFIG = replace(preset("cnn"), batch=8)


class Faulty(EmulatedMachine):
    """Flips a bit of what the command with a key's ``victim`` of its kind leaves in the scratchpad."""

    def __init__(self, victim: int, opcode: Opcode):
        super().__init__(CHIP, MEMORY, RING, check=False)
        self.keys: list[int] = []
        issue = self.emulator._issue

        def wrong(op, fields):
            outcome = issue(op, fields)
            if op == opcode and fields.get("key"):
                if fields["key"] not in self.keys:
                    self.keys.append(fields["key"])
                if self.keys.index(fields["key"]) == victim and fields.get("finish", 1):
                    base = fields["c_base" if op == Opcode.PRODUCT else "out_base"]
                    self.emulator.scratch[base, 0] ^= 1
                    self.last = fields
            return outcome

        self.emulator._issue = wrong


def step(backend):
    samples = load("digits")
    driver = Driver(CONFIG.graph(samples), backend)
    plans = [CONFIG.sgd.plan(formats, CONFIG.batch) for formats in driver.formats]
    program = driver.program(8, plans, CONFIG.rounding)
    backend.used = program.memory_bytes
    x = samples.words(samples.train_x[:8], CONFIG.inputs)
    driver.step(Tally(GoldenExecute()), x, samples.train_y[:8], plans, CONFIG.rounding, 0)
    return driver


@pytest.mark.parametrize(("victim", "opcode"), [(0, Opcode.PRODUCT), (3, Opcode.PRODUCT), (1, Opcode.VECTOR)])
def test_the_first_wrong_command_is_named(victim, opcode):
    suspect = Faulty(victim, opcode)
    with pytest.raises(WrongCommand, match=rf"^run \d+, command \d+: {opcode.name.lower()} ") as caught:
        step(Lockstep(suspect))
    assert caught.value.opcode == opcode
    assert f" key={suspect.keys[victim]} " in str(caught.value)
    assert "scratchpad brick" in str(caught.value)


def test_a_machine_without_faults_takes_the_whole_step():
    driver = step(Lockstep(EmulatedMachine(CHIP, MEMORY, RING)))
    assert len(driver.trace()) > 100


def test_a_trace_of_a_faulty_machine_names_the_command(monkeypatch):
    suspect = Faulty(2, Opcode.PRODUCT)
    monkeypatch.setattr(gradloom.tracing, "opened", lambda *_, **__: nullcontext(suspect))
    result = CliRunner().invoke(main, ["trace", "--net", "cnn", "--batch", "8", "--chip", "tiny"])
    assert result.exit_code == 1
    assert "differing words: 0 of" not in result.stdout
    assert result.stderr.startswith("first: step 0, ")
    assert f" key={suspect.keys[2]} " in result.stderr.replace("\n", " ")


def test_what_goes_wrong_only_in_company_is_no_command(monkeypatch):
    suspect = EmulatedMachine(CHIP, MEMORY, RING)
    run = suspect.run

    def racing(descriptors):
        run(descriptors)
        if (
            descriptors[0] == Opcode.LOAD
            and golden.emulator.decode(descriptors[:128])[1]["bricks"] < CHIP.scratch_bricks
        ):
            suspect.memory[0] ^= 1

    suspect.run = racing
    with pytest.raises(EmulatorError, match=r"^run 0 differs only when its commands overlap"):
        step(Lockstep(suspect))
    assert np.any(suspect.memory)
