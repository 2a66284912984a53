"""Runs that stop and go on: the same words, logs and samples as runs that never stopped; files that are never half."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
from blobs import draw_blobs
from machine_cases import MACHINE_CHIPS

from golden.checkpoint import Checkpoint
from golden.config import Config
from golden.layers import GoldenExecute
from golden.presets import preset
from golden.trainer import train
from host.datasets import load

CHIP = MACHINE_CHIPS["tiny"]
MLP = Config(hidden=(12,), epochs=3, batch=16, rate_drops=((1, 0.5),))
CNN = replace(preset("cnn"), epochs=2, batch=16)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def blobs():
    """Small images of three classes."""
    return draw_blobs(np.random.default_rng(8), 60, 15)


def logs(result):
    return [asdict(log) | {"seconds": 0} for log in result.history]


def interrupted_after(stop):
    def progress(done, total, loss):
        if done == stop:
            raise KeyboardInterrupt

    return progress


def note(seen, done, *_):
    seen.append(done)


@pytest.mark.parametrize("config", [MLP, CNN], ids=["mlp", "cnn"])
def test_a_run_that_stops_anywhere_goes_on_to_the_same_words(config, blobs, seed, tmp_path):
    whole = train(config, blobs)
    rng = np.random.default_rng(seed)
    total = config.epochs * 4
    for stop in {int(rng.integers(1, total)), 4, total - 1}:  # 4: between the last step of an epoch and its evaluation
        print("stopped after step", stop)
        file = tmp_path / "run.npz"
        first = train(config, blobs, progress=interrupted_after(stop), keep=partial(Checkpoint.save, path=file))
        assert first.interrupted
        kept = Checkpoint.load(file)
        assert kept.steps == stop
        seen = []
        again = train(config, blobs, resume=kept, progress=partial(note, seen))
        assert seen == list(range(stop + 1, total + 1))
        assert again.network.digest() == whole.network.digest()
        assert logs(again) == logs(whole)


def test_an_interruption_inside_a_step_keeps_the_step_before(blobs, tmp_path):
    class Interrupted(GoldenExecute):
        calls = 0

        def __call__(self, a, b, **options):
            self.calls += 1
            if self.calls == 3:  # in the second step
                raise KeyboardInterrupt
            return super().__call__(a, b, **options)

    kept = []
    train(MLP, blobs, execute=Interrupted(), keep=kept.append)
    (checkpoint,) = kept
    assert (checkpoint.steps, checkpoint.sums["epoch"]["samples"]) == (0, 0)
    assert train(MLP, blobs, resume=checkpoint).network.digest() == train(MLP, blobs).network.digest()


def test_checkpoints_come_every_so_often_and_at_the_end(blobs):
    kept = []
    train(MLP, blobs, keep=kept.append, every=5)
    assert [checkpoint.steps for checkpoint in kept] == [5, 10, 12]
    assert len(kept[-1].history) == 3
    # Another run may be longer: what is done does not depend on it.
    longer = replace(MLP, epochs=4)
    assert train(longer, blobs, resume=kept[-1]).network.digest() == train(longer, blobs).network.digest()


def test_so_many_steps_and_later_the_others(blobs):
    kept = []
    cut = train(MLP, blobs, steps=6, keep=kept.append)
    assert not cut.interrupted
    assert [log.epoch for log in cut.history] == [0, 1]
    assert kept[-1].steps == 6
    whole = train(MLP, blobs)
    again = train(MLP, blobs, resume=kept[-1])
    assert again.network.digest() == whole.network.digest()
    assert logs(again) == logs(whole)
    assert len(train(MLP, blobs, steps=4).history) == 1


def test_a_checkpoint_of_another_run_or_no_checkpoint_is_refused(blobs, tmp_path):
    file = tmp_path / "run.npz"
    train(MLP, blobs, steps=1, keep=lambda c: c.save(file))
    text = "the checkpoint is of a run with batch 16, not 8; seed 0, not 3"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        train(replace(MLP, batch=8, seed=3), blobs, resume=Checkpoint.load(file))
    with pytest.raises(ValueError, match=rf"^cannot read checkpoint {tmp_path}/none: No such file or directory$"):
        Checkpoint.load(tmp_path / "none")
    cut = file.read_bytes()
    for content in (b"", b"words", cut[: len(cut) // 2]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"^{re.escape(str(file))} is not a checkpoint$"):
            Checkpoint.load(file)
    np.savez(file, a=np.zeros(3))
    with pytest.raises(ValueError, match=r"is not a checkpoint$"):
        Checkpoint.load(file)


def test_a_write_that_fails_leaves_the_file_before(blobs, tmp_path, monkeypatch):
    file = tmp_path / "run.npz"
    kept = []
    train(MLP, blobs, keep=kept.append, every=5)
    kept[0].save(file)

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        kept[1].save(file)
    assert Checkpoint.load(file).steps == 5
    assert [path.name for path in tmp_path.iterdir()] == ["run.npz"]


@pytest.mark.parametrize(
    ("backend", "end", "batch"),
    [
        ("golden", signal.SIGKILL, 64),
        ("golden", signal.SIGINT, 64),
        ("emulator", signal.SIGKILL, 64),
        ("emulator", signal.SIGINT, 64),
        pytest.param("rtl", signal.SIGKILL, 8, marks=pytest.mark.rtl),
    ],
)
def test_a_run_ended_in_mid_epoch_goes_on_to_the_same_weights(backend, end, batch, tmp_path):
    """The process itself; killed, it has no chance to say anything and loses at most an interval."""
    file, answer = tmp_path / "run.npz", tmp_path / "answer.json"
    chip = tmp_path / "tiny.toml"  # one that other tests have compiled too
    chip.write_text("".join(f"{name} = {value}\n" for name, value in asdict(CHIP).items() if name != "name"))
    options = ["train", "--net", "cnn", "--batch", str(batch), "--backend", backend, "--chip", str(chip), "--every", "3"]
    command = [sys.executable, "-c", "from gradloom.cli import main; main()", *options, "--test-samples", "8"]
    # A shell's background job, such as this run may be in, ignores SIGINT, and so would what it starts.
    heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    running = subprocess.Popen([*command, "--checkpoint", str(file)], stderr=subprocess.DEVNULL, preexec_fn=heeds)
    while not file.exists():
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(end)
    assert running.wait() == (-signal.SIGKILL if end == signal.SIGKILL else 130)
    steps = Checkpoint.load(file).steps
    print(f"{steps} steps are kept")
    assert 0 < steps < 1437 // batch
    assert steps % 3 == 0 or end == signal.SIGINT
    last = ["--steps", str(steps + 2)]
    again = [*command, *last, "--resume", str(file), "--json", str(answer)]
    said = subprocess.run(again, check=True, capture_output=True, text=True).stderr
    if backend != "golden":
        number = f"{steps + 1} of {steps + 2}"
        assert re.search(rf"^{backend}, chip tiny: step {number}, loss .*, \d:\d\d of steps left$", said, re.MULTILINE)
    samples = load("digits").tested_on(8)
    whole = train(replace(preset("cnn"), batch=batch), samples, steps=steps + 2)
    (log,) = json.loads(answer.read_text())
    assert (log["digest"], log["accuracy"]) == (whole.network.digest(), whole.accuracy)
