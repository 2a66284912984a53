"""`gradloom study`: rows of a technique, its control and the baseline; refusals; results that are kept."""

import json
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import pytest
from click.testing import CliRunner

import gradloom.studying
from golden.presets import preset
from golden.techniques.catalog import BASELINE, PAPER_ROWS, STUDIES, variants
from golden.techniques.similarity import InputSimilarity
from gradloom.cli import main
from gradloom.studying import Job, kept, planned, rows
from host.compiler.techniques.policies import LOWERINGS
from host.datasets import load
from host.driver import MEMORY, RING
from host.energy import energy, prices
from host.machines import EmulatedMachine
from spec.chip import CHIPS

CONFIG = replace(preset("cnn"), epochs=1, batch=256)
FIELDS = (
    "technique variant role data net seeds accuracy_mean accuracy_std cycles cycles_bound bytes energy_relative paper_row paper_row_read"
).split()


def test_every_study_has_a_technique_and_a_null_control():
    for name, found in STUDIES.items():
        assert {variant.technique for variant in found} == {name}
        assert {variant.role for variant in found} == {"technique", "control"}
        assert len({variant.name for variant in found}) == len(found)
    assert all(variant.paper in PAPER_ROWS for variant in variants("all") if variant.paper)
    assert variants("all")[0] is BASELINE
    with pytest.raises(ValueError, match=r"study must be all or one of rounding, .*, not .everything."):
        variants("everything")


def test_a_result_is_kept_and_a_broken_write_leaves_nothing(tmp_path, monkeypatch):
    job = Job("train", "tracking", 2, CONFIG, "digits")
    first = kept(job, tmp_path)
    assert 0 < first["accuracy"] <= 1
    monkeypatch.setattr(Job, "run", lambda self: pytest.fail("done again"))
    assert kept(job, tmp_path) == first
    assert [file.suffix for file in tmp_path.iterdir()] == [".json"]
    other = replace(job, config=replace(CONFIG, seed=1))
    assert other.name != job.name
    # The exact baseline is one job, whatever the study.
    assert Job("train", "tracking", 0, CONFIG, "digits").name == Job("train", "all", 0, CONFIG, "digits").name


def test_rows_are_means_over_seeds_and_ratios_to_the_baseline():
    jobs = planned("local", CONFIG, "digits", 2, CHIPS["tiny"])
    assert len(jobs) == 3 * (2 + 1)
    cycles = {"FP": 10, "BP": 20, "WG": 10, "update": 0, "predict": 0}

    def result(job):
        if job.kind == "train":
            return {"accuracy": 0.9 + 0.02 * job.config.seed}
        scale = (4, 2, 1)[job.place]
        return {"cycles": {phase: n * scale for phase, n in cycles.items()}, "energy": 5.0 * scale, "bytes": 8, "cycles_bound": 7}

    told = rows("local", {job: result(job) for job in jobs}, CONFIG, "digits")
    assert [row["speedup"] for row in told] == [1.0, 2.0, 4.0]
    assert [row["energy_relative"] for row in told] == [1.0, 0.5, 0.25]
    assert [(row["accuracy_mean"], row["accuracy_std"], row["seeds"]) for row in told] == [(0.91, 0.0141, 2)] * 3
    assert all(field in row for row in told for field in FIELDS)
    assert (told[1]["paper_row_read"], told[0]["paper_row"]) == (False, None)


def test_what_was_not_trained_yet_has_no_row_of_the_baselines():
    """An interrupted study says nothing of a variant that it did not come to; one that trains as the baseline has its accuracy."""
    jobs = planned("all", CONFIG, "digits", 1, CHIPS["tiny"])
    done = {job: {"accuracy": 0.9} for job in jobs if job.kind == "train" and job.place == 0}
    told = rows("all", done, CONFIG, "digits")
    assert [row["variant"] for row in told if row["accuracy_mean"] is not None] == [
        "exact",
        *(variant.name for variant in STUDIES["sparsity"]),
    ]


def test_ways_to_run_a_predictor_are_trained_once_and_timed_by_where_its_weights_lie():
    jobs = planned("prediction", CONFIG, "digits", 2, CHIPS["tiny"])
    found = variants("prediction")
    assert [(found[job.place].name, job.kind) for job in jobs if found[job.place].role == "technique"] == [
        ("predicted", "train"),
        ("predicted", "train"),
        ("predicted", "time"),
        ("predicted, predictor's weights stay on chip", "time"),
    ]

    def result(job):
        shared = {"FP": 10, "BP": 20, "WG": 10, "update": 0, "predict": 20 if job.place == 1 else 10 if job.place else 0}
        told = {"cycles": shared, "exposed": 5, "steps": 8, "predicted": 6 * bool(job.place)}
        return {"accuracy": 0.5 + job.place / 10} if job.kind == "train" else told

    told = rows("prediction", {job: result(job) for job in jobs}, CONFIG, "digits")
    assert [row["accuracy_mean"] for row in told] == [0.5, 0.6, 0.6, 0.6, 0.9, 1.0]
    assert [sum(row["cycles"].values()) for row in told] == [40, 60, 50, 45, 50, 50]
    assert [row["speedup_bound"] for row in told] == [None, 2.0, 2.0, 2.0, 2.0, 2.0]


def test_what_no_machine_carries_out_has_a_reason_and_no_cycles(monkeypatch):
    job = next(job for job in planned("similarity", CONFIG, "digits", 1, CHIPS["tiny"]) if job.kind == "time" and job.place == 1)
    monkeypatch.delitem(LOWERINGS, InputSimilarity)
    monkeypatch.setattr("gradloom.backend.opened", lambda *_, **__: nullcontext(_Nothing()))
    assert job.run() == {"unsupported": "no machine carries out InputSimilarity yet: golden does"}


class _Nothing:
    chip = CHIPS["tiny"]


def test_a_network_on_which_a_technique_cannot_work_is_refused():
    config = replace(CONFIG, net="mlp", hidden=(16,))
    assert Job("train", "approximation", 1, config, "digits").run() == {
        "refused": "gradient approximation cannot train mlp: it has no second convolution larger than 1x1"
    }


def test_prices_of_the_published_table():
    chip = replace(CHIPS["tiny"], width=8, acc_width=32)
    assert prices(chip)["macs"] == pytest.approx(0.2 + 0.1 + 10 / 8)
    assert energy(chip, {"bytes": 16}) == pytest.approx(2600)


def command_line(tmp_path, monkeypatch, chip, batch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gradloom.studying, "TIMED", 1)
    command = f"study local --epochs 1 --batch {batch} --seeds 1 --chip {chip} --workers 0 --json rows.json --out kept"
    done = CliRunner().invoke(main, command.split())
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "rows.json").read_text())
    assert [row["role"] for row in told] == ["baseline", "technique", "control"]
    assert all(row["differing_words"] == 0 and row["words_compared"] for row in told)
    assert all(set(row["cycles"]) == {"FP", "BP", "WG", "update", "predict"} for row in told)
    assert all(set(FIELDS) <= set(row) for row in told)
    return told


def on_the_emulator(monkeypatch, samples):
    """Machines have no clock, and few samples to train on."""

    @contextmanager
    def opened(*_, **__):
        yield EmulatedMachine(CHIPS["tiny"], MEMORY, RING)

    monkeypatch.setattr("gradloom.backend.opened", opened)
    digits = load("digits")
    few = replace(digits, train_x=digits.train_x[:samples], train_y=digits.train_y[:samples])
    monkeypatch.setattr(gradloom.studying, "load", lambda name: few)


def test_a_study_from_the_command_line(tmp_path, monkeypatch):
    """Two steps."""
    on_the_emulator(monkeypatch, 24)
    told = command_line(tmp_path, monkeypatch, "tiny", 16)
    assert all(row["speedup"] is None for row in told)


def test_stages_are_trained_and_timed_one_after_the_other(monkeypatch):
    """Of kernel rescaling, two networks, each an epoch long."""
    on_the_emulator(monkeypatch, 40)
    jobs = planned("rescaling", replace(CONFIG, epochs=2, batch=16), "digits", 1, CHIPS["tiny"])
    done = {job: job.run() for job in jobs if job.place}
    timed = [result for job, result in done.items() if job.kind == "time"]
    assert [result["steps"] for result in timed] == [6, 6]
    assert all(result["differing_words"] == 0 and result["words_compared"] > 10_000 for result in timed)
    trained = [result["accuracy"] for job, result in done.items() if job.kind == "train"]
    assert len(trained) == 2
    assert trained[0] != trained[1]
    told = rows("rescaling", done, replace(CONFIG, epochs=1), "digits")
    assert [row["role"] for row in told] == ["baseline", "technique", "control"]
    job = next(job for job in jobs if job.place)
    assert replace(job, config=replace(CONFIG, epochs=1)).run() == {
        "refused": "kernel rescaling cannot train cnn: two epochs at least are needed, not 1"
    }


@pytest.mark.rtl
@pytest.mark.slow
def test_a_study_on_generated_hardware(tmp_path, monkeypatch):
    told = command_line(tmp_path, monkeypatch, "sim64", 64)
    # Frozen layers have neither BP nor WG, those that learn locally have WG in the forward pass.
    assert told[2]["speedup"] > told[1]["speedup"] > 1.0
    assert (tmp_path / "kept" / "digits-cnn" / "local.png").exists()


def test_an_unknown_study_is_refused():
    done = CliRunner().invoke(main, ["study", "everything"])
    assert done.exit_code == 2
    assert "study must be all or one of" in done.output
    assert "Traceback" not in done.output
