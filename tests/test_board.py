"""A whole board in simulation: the driver talks through a pseudo-terminal to its serial line and trains."""

import os
import re
import time
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from golden.presets import preset
from golden.trainer import train
from gradloom.board import simulated
from gradloom.cli import main
from host.board import opened_board
from host.datasets import load
from host.session import Session
from spec.boards import BOARDS

BOARD = BOARDS["colorlight-i5"]
CHIP = BOARD.design().chip
CONFIG = replace(preset("mlp"), hidden=(16,), batch=16)


@pytest.fixture(scope="module")
def running():
    with simulated(BOARD) as board:
        yield board


@pytest.mark.rtl
def test_steps_over_the_line_leave_goldens_words(running):
    with opened_board(BOARD, CHIP, running.port) as board:
        session = Session(CONFIG, load("digits"), board, check=True)
        for _ in range(3):
            session.step()
        assert session.differing_words == 0
        assert session.words_compared > 10_000
        assert session.counters["run_cycles"] > 10_000
        assert session.counters["commands"] > 100
        assert board.clock_hz == BOARD.design().clock_hz
        # A driver that comes later finds the board as it must be.
    with opened_board(BOARD, CHIP, running.port) as board:
        data = np.random.default_rng(0).bytes(5000 // 8 * 8)
        board.write(0, data)
        assert board.read(0, len(data)) == data


@pytest.mark.rtl
def test_a_bad_line_changes_no_word(seed):
    """One bit in 20,000 is turned over, either way."""
    with simulated(BOARD, noise=5e-5, seed=seed) as noisy, opened_board(BOARD, CHIP, noisy.port) as board:
        session = Session(CONFIG, load("digits"), board, check=True)
        for _ in range(2):
            session.step()
        assert session.differing_words == 0
        assert board.link.repeated > 0


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.parametrize("name", BOARDS)
def test_trains_digits_through_a_pseudo_terminal(name):
    """The command line itself, against the same run of golden."""
    board, config = BOARDS[name], replace(preset("mlp"), hidden=(32,), epochs=2)
    samples = load("digits")
    golden = train(config, samples, network=config.graph(samples))
    with simulated(board) as running:
        words = ["--backend", "board", "--board", name, "--port", running.port, "--check", "--hidden", "32", "--epochs", "2"]
        result = CliRunner().invoke(main, ["train", *words])
    assert result.exit_code == 0, result.output
    assert re.search(r"^differing words: 0 of [\d,]+ compared$", result.stdout, re.MULTILINE)
    accuracies = [float(text) for text in re.findall(r"test accuracy ([\d.]+)", result.stdout)]
    digests = re.findall(r"^epoch .*  ([0-9a-f]{12})$", result.stdout, re.MULTILINE)
    assert accuracies[-1] >= 0.9
    assert digests == [log.digest[:12] for log in golden.history]


def refused(text, *words):
    result = CliRunner().invoke(main, ["train", "--backend", "board", *words])
    assert result.exit_code == 2
    assert re.fullmatch(text, result.stderr), result.stderr


def test_ports_that_are_none_are_refused(tmp_path):
    refused(r"Error: backend board needs --board, one of ulx3s-85f, colorlight-i5, and --port\n", "--port", "x")
    refused(r"Error: unknown board 'x'; known boards: ulx3s-85f, colorlight-i5\n", "--board", "x", "--port", "x")
    missing = tmp_path / "ttyUSB0"
    text = rf"Error: cannot open serial port {missing}: .*No such file or directory.*\n"
    refused(text, "--board", BOARD.name, "--port", str(missing))
    file = tmp_path / "file"
    file.touch()
    refused(rf"Error: cannot open serial port {file}: .*\n", "--board", BOARD.name, "--port", str(file))


def test_a_port_that_does_not_answer_is_refused(monkeypatch):
    monkeypatch.setattr("host.link.PATIENCE", 0.2)
    ours, theirs = os.openpty()
    try:
        port, begin = os.ttyname(theirs), time.monotonic()
        refused(
            rf"Error: {port} does not answer: read_register was sent 4 times\n",
            "--board", BOARD.name, "--port", port,
        )  # fmt: skip
        assert time.monotonic() - begin < 20
    finally:
        os.close(ours)
        os.close(theirs)


def test_hidden_layers_that_are_none_are_refused():
    for words, text in (
        (["--net", "cnn", "--hidden", "32"], "Error: --hidden is for mlp, not cnn\n"),
        (["--hidden", "32,x"], "Error: --hidden must be numbers of at least 1 with commas between them, not '32,x'\n"),
    ):
        result = CliRunner().invoke(main, ["train", *words])
        assert (result.exit_code, result.stderr) == (2, text)
