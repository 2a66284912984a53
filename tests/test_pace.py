"""What a run on a machine says of itself where no bar moves: on a clock that the test turns."""

import pytest

from gradloom import pace
from gradloom.pace import INTERVAL, Pace


class Said:
    """Standard error that is no terminal, and a clock."""

    def __init__(self):
        self.is_terminal, self.lines, self.now = False, [], 100.0

    def print(self, text, **_):
        self.lines.append(text)

    def clock(self):
        return self.now


@pytest.fixture
def said(monkeypatch):
    said = Said()
    monkeypatch.setattr(pace, "err", said)
    return said


def test_lines_come_now_and_then_with_the_pace_and_the_time_left(said):
    told = Pace("rtl, chip tiny", said.clock)
    for done in range(11, 101):  # resumed after ten steps
        said.now += 12.0 if done == 11 else 10.0
        told.step(done, 100, 1_234_567, f"loss {done / 100}")
    assert said.lines[:2] == [
        "rtl, chip tiny: step 11 of 100, loss 0.11, 1.23 M cycles a step, 17:48 of steps left",
        "rtl, chip tiny: step 14 of 100, loss 0.14, 1.23 M cycles a step, 14:20 of steps left",
    ]
    assert said.lines[-1] == "rtl, chip tiny: step 100 of 100, loss 1.0, 1.23 M cycles a step"
    assert len(said.lines) == 1 + 29 + 1


def test_a_long_step_is_told_of_while_it_goes_on(said):
    told = Pace("rtl", said.clock)
    told.step(1, 3, 2_000_000, "loss 1")
    notes = []
    for cycles in (400_000, 800_000, 100_000, 700_000):  # two runs of commands
        said.now += INTERVAL / 2
        notes.append(told.under_way(cycles))
    assert notes[-1] == "loss 1, 2.00 M cycles a step, 1.50 M cycles under way"
    assert said.lines[1:] == ["rtl: 0.80 M cycles under way", "rtl: 1.50 M cycles under way"]
    told.step(2, 3, 0, "loss 2")
    assert told.under_way(5_000) == "loss 2, 0.01 M cycles under way"


def test_hours_are_told_apart_and_a_terminal_has_no_lines(said):
    told = Pace("rtl", said.clock)
    said.now += 100
    told.step(1, 101, 0, "loss 1")
    assert said.lines == ["rtl: step 1 of 101, loss 1, 2:46:40 of steps left"]
    said.is_terminal = True
    assert Pace("rtl", said.clock).step(1, 2, 10_000, "loss 1") == "loss 1, 0.01 M cycles a step"
    assert len(said.lines) == 1
