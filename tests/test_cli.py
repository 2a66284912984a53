"""The command line: what it refuses and how, what it writes."""

import json
import re
from dataclasses import asdict

import pytest
from click.testing import CliRunner

from gradloom.cli import main
from gradloom.generate import files
from gradloom.header import header
from gradloom.synthesis import known_units
from report.learning_curve import learning_curve
from report.tables import accuracy_table, phase_table, value_table
from spec.chip import CHIPS
from spec.engine import COUNTERS, Widths
from spec.version import VERSION
from tb import toolchain
from tb.benches import benches


def run(*arguments: str):
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def toml(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return str(path)

    return write


def refused(result, text: str):
    assert result.exit_code == 2
    assert result.stderr == f"Error: {text}\n"
    assert result.stdout == ""


CHIP_COMMANDS = (
    ("demo",),
    ("generate",),
    ("export", "--tool", "vivado"),
    ("program", "-o", "x.bin"),
    ("train", "--backend", "rtl"),
    ("trace",),
    ("measure", "product", "8x8x8"),
    ("measure", "speed"),
    ("synth",),
    ("sim", "lanes"),
)


@pytest.mark.parametrize("command", CHIP_COMMANDS, ids=" ".join)
def test_unknown_chip_is_refused(command):
    refused(
        run(*command, "--chip", "sim65"),
        f"unknown chip 'sim65'; named chips: {', '.join(CHIPS)}; or give a .toml file",
    )


def test_unknown_key_is_refused(toml):
    refused(
        run("generate", "--chip", toml("lanez = 8\n")),
        "unknown chip key 'lanez'; known keys: name, groups, lanes, width, acc_width, bank_depth, list_depth, slots, "
        "psum_depth, queue_depth, finish_groups, scratch_banks, scratch_depth, vector_words",
    )


def test_chip_value_out_of_range_is_refused(toml):
    refused(run("generate", "--chip", toml("lanes = 128\n")), "chip 'mine': lanes must be 2 to 64, not 128")


def test_unknown_data_set_is_refused():
    refused(
        run("train", "--data", "letters"),
        "unknown data set 'letters'; known data sets: digits, mnist, fashion-mnist, cifar10",
    )


@pytest.mark.parametrize("frac", [-1, 17])
def test_format_out_of_range_is_refused(frac):
    refused(run("train", "--frac", str(frac)), f"frac must be 0 to 16 at width 16, not {frac}")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("twelve", "--frac-from must be EPOCH:FRAC, two numbers, not 'twelve'"),
        ("2:40", "frac must be 0 to 16 at width 16, not 40"),
        ("0:12", "schedule must have rising epochs from 1 on, not [0]"),
    ],
)
def test_a_schedule_of_formats_that_cannot_be_is_refused(given, reason):
    refused(run("train", "--frac-from", given), reason)


def test_epochs_and_seed_out_of_range_are_refused():
    refused(
        run("train", "--net", "alexnet"),
        "unknown network 'alexnet'; known networks: mlp, cnn, lenet5, gupta-cnn, gupta-cifar, resnet20, vgg11",
    )
    refused(run("train", "--epochs", "0"), "epochs must be at least 1, not 0")
    refused(run("train", "--seed", "-1"), "seed must be 0 to 4294967295, not -1")


@pytest.mark.parametrize("count", ["0", "361"])
def test_test_samples_out_of_range_are_refused(count):
    refused(run("train", "--test-samples", count), f"test samples of digits must be 1 to 360, not {count}")


def test_train_tests_on_as_many_samples_as_asked_for():
    options = ("--net", "cnn", "--steps", "1", "--batch", "16", "--json", "-")
    (some,) = json.loads(run("train", *options, "--test-samples", "7").stdout)
    (whole,) = json.loads(run("train", *options).stdout)
    assert (some["test_samples"], whole["test_samples"]) == (7, 360)
    assert some["accuracy"] == round(some["accuracy"] * 7) / 7
    assert some["digest"] == whole["digest"]


def test_product_too_large_for_memory_is_refused():
    refused(
        run("measure", "product", "4096x4096x4096"),
        "product 4096x4096x4096 needs 6291456 bricks, but the scratchpad of chip sim64 holds 131072",
    )


@pytest.mark.parametrize("value", ["-0.25", "1.5"])
def test_density_out_of_range_is_refused(value):
    refused(run("measure", "product", "8x8x8", "--density", value), f"density must be 0 to 1, not {value}")
    refused(run("measure", "product", "8x8x8", "--mask-density", value), f"mask density must be 0 to 1, not {value}")


@pytest.mark.parametrize("shape", ["512", "8x8", "8x0x8", "8x8x8x8", "axbxc"])
def test_malformed_product_is_refused(shape):
    refused(
        run("measure", "product", shape),
        f"product must be MxKxN with numbers of at least 1, such as 512x512x512, not '{shape}'",
    )


@pytest.mark.parametrize("command", ["generate", "demo"])
def test_unwritable_folder_is_refused(command, tmp_path):
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "inside"
    refused(run(command, "-o", str(folder)), f"cannot write to {folder}: Not a directory")


def test_unwritable_json_is_refused(tmp_path):
    result = run("train", "--epochs", "1", "--json", str(tmp_path))
    assert result.exit_code == 2
    assert f"Error: cannot write to {tmp_path}: Is a directory" in result.stderr


def test_unknown_bench_and_target_are_refused():
    refused(run("sim", "lain"), f"unknown bench 'lain'; benches: {', '.join(benches())}")
    refused(
        run("synth", "--target", "ecp5-86k"),
        "unknown target 'ecp5-86k'; known targets: ecp5-25k, ecp5-45k, ecp5-85k, gw2a-18, ice40-up5k, lifcl-40, xc7a100t, xczu3eg",
    )
    refused(run("synth", "--unit", "lain"), f"unknown unit 'lain'; known units: {', '.join(known_units())}")


def test_sim_lists_the_benches():
    result = run("sim")
    assert result.exit_code == 0
    for line in result.stdout.splitlines():
        assert (toolchain.build_root().parent / line.split()[1]).is_file()


@pytest.mark.rtl
def test_sim_runs_a_bench():
    result = run("sim", "chain", "--seed", "3")
    assert result.exit_code == 0, result.output
    assert re.search(r"^chain: [1-9]\d* tests, 0 failed$", result.stdout, re.MULTILINE)


COMMANDS = (
    (),
    ("demo",),
    ("generate",),
    ("export",),
    ("program",),
    ("train",),
    ("trace",),
    ("sim",),
    ("measure",),
    ("measure", "product"),
    ("measure", "speed"),
    ("synth",),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "gradloom")
def test_help_says_what_every_option_does(command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    for line in result.stdout.partition("Options:")[2].partition("Commands:")[0].splitlines():
        if line.startswith(r"  -") and "--net" not in line and "--backend" not in line and "--rounding" not in line:
            assert re.search(r"\S {2,}\S|\]$", line.strip()) or len(line) > 20


def test_train_writes_json(tmp_path):
    file = tmp_path / "new" / "train.json"
    result = run("train", "--epochs", "1", "--json", str(file))
    assert result.exit_code == 0
    (answer,) = json.loads(file.read_text())
    assert answer["backend"] == "golden"
    assert answer["data"] == "digits"
    assert answer["accuracy"] > 0.8
    (on_output,) = json.loads(run("train", "--epochs", "1", "--json", "-").stdout)
    assert on_output["digest"] == answer["digest"]


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated") / "rtl"
    result = run("generate", "--chip", "tiny", "-o", str(folder))
    assert result.exit_code == 0
    return folder


def test_generate_writes_verilog_spec_and_header(generated):
    assert sorted(path.name for path in generated.iterdir()) == sorted(files("engine"))
    assert "module engine(" in (generated / "engine.v").read_text()
    assert json.loads((generated / "spec.json").read_text()) == asdict(CHIPS["tiny"])
    assert (generated / "engine.h").read_text() == header(CHIPS["tiny"])
    ports = json.loads((generated / "ports.json").read_text())
    for name, width in Widths(CHIPS["tiny"]).command_fields():
        assert ports[f"command__payload__{name}"]["width"] == width


def test_generate_spares_a_folder_with_other_files(generated, tmp_path):
    again = run("generate", "--chip", "tiny", "-o", str(generated))
    assert again.exit_code == 0
    (tmp_path / "thesis.tex").write_text("years of work")
    refused(
        run("generate", "--chip", "tiny", "-o", str(tmp_path)),
        f"{tmp_path} holds files that generate did not write: thesis.tex",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_header_compiles_and_agrees_with_the_spec(tmp_path):
    chip = CHIPS["ecp5-64"]
    (tmp_path / "engine.h").write_text(header(chip))
    fields = Widths(chip).command_fields()
    offset, checks = 0, []
    for name, width in fields:
        checks.append(f'_Static_assert(GRADLOOM_COMMAND_{name.upper()}_LSB == {offset}, "");')
        checks.append(f'_Static_assert(GRADLOOM_COMMAND_{name.upper()}_BITS == {width}, "");')
        offset += width
    checks += [f'_Static_assert(GRADLOOM_COUNTER_{name.upper()} == {n}, "");' for n, name in enumerate(COUNTERS)]
    checks.append(f'_Static_assert(GRADLOOM_COMMAND_BITS == {offset}, "");')
    checks.append(f'_Static_assert(GRADLOOM_LANES == {chip.lanes} && GRADLOOM_ROUNDING_STOCHASTIC == 2, "");')
    source = tmp_path / "check.c"
    source.write_text('#include "engine.h"\n#include "engine.h"\n' + "\n".join(checks) + "\n")
    compiler = ["gcc", "-x", "c", "-std=c11", "-Wall", "-Werror", "-c", str(source), "-o", str(tmp_path / "check.o")]
    toolchain.run_tool(compiler, tmp_path / "log")


def test_version():
    assert run("--version").stdout == f"gradloom, version {VERSION}\n"


RESULT = {
    "data": "digits",
    "chip": "sim64",
    "lanes": 64,
    "epochs": 2,
    "accuracy_float": 0.97,
    "accuracy_golden": 0.96,
    "accuracy_rtl": 0.96,
    "accuracy_coarse_stochastic": 0.9,
    "accuracy_coarse_nearest": 0.1,
    "history": {"float": [0.9, 0.97], "rtl": [0.8, 0.96]},
    **{
        key: {"FP": 4, "BP": 3, "WG": 2}
        for key in ("cycles", "density", "macs_dense", "macs_done", "utilisation")
    },
}


def test_report_draws_a_curve_and_tables(tmp_path):
    picture = learning_curve(RESULT, tmp_path / "curve.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert accuracy_table(RESULT).row_count == 5
    assert phase_table(RESULT).row_count == 5
    assert value_table("x", {"a": 1, "b": 0.5, "c": "d", "e": {"f": 1}}).row_count == 3


def test_train_takes_a_convolutional_network():
    (answer,) = json.loads(run("train", "--net", "cnn", "--epochs", "1", "--json", "-").stdout)
    assert answer["net"] == answer["config"]["net"] == "cnn"
    assert answer["accuracy"] > 0.8


def test_train_and_trace_on_the_emulator():
    options = ("--net", "cnn", "--batch", "64")
    (golden,) = json.loads(run("train", *options, "--steps", "2", "--json", "-").stdout)
    result = run("train", *options, "--steps", "2", "--backend", "emulator", "--check", "--trace", "--json", "-")
    assert result.exit_code == 0
    (answer,) = json.loads(result.stdout)
    assert answer["digest"] == golden["digest"]
    assert answer["differing_words"] == 0
    assert answer["words_compared"] > 1_000_000
    assert {"loss", "accuracy", "saturations", "density", "macs_done", "chip", "lanes"} <= set(answer)
    assert "4 batchnorm" in result.stderr
    assert "differing words: 0 of" in result.stderr

    result = run("trace", *options, "--backend", "emulator", "--json", "-")
    assert result.exit_code == 0
    rows = json.loads(result.stdout)
    assert [(row["layer"], row["kind"], row["phase"]) for row in rows[:3]] == [
        (0, "conv", "FP"),
        (1, "batchnorm", "FP"),
        (3, "conv", "FP"),
    ]
    conv = next(row for row in rows if (row["layer"], row["phase"]) == (3, "BP"))
    assert (conv["channels_in"], conv["channels_out"], conv["kernel"]) == (16, 16, 3)
    assert 0 < conv["density"] < 1
    assert 0 < conv["masked_share"] < 1
    assert conv["bytes_read"] > 64 * 8 * 8 * 16 * 2
    assert conv["ideal_cycles"] > 0


def test_trace_takes_the_step_behind_a_checkpoint(tmp_path):
    """Whose run may have had larger batches."""
    kept = tmp_path / "run.npz"
    trained = ("--net", "cnn", "--batch", "64", "--steps", "3", "--checkpoint", str(kept))
    assert run("train", *trained).exit_code == 0

    def traced(*options):
        result = run("trace", "--net", "cnn", *options, "--backend", "emulator", "--json", "-")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    behind = traced("--batch", "64", "--after", "3")
    assert traced("--batch", "64", "--checkpoint", str(kept)) == behind
    few, before = traced("--batch", "16", "--checkpoint", str(kept)), traced("--batch", "16")
    densities = [[row["density"] for row in rows if row["kind"] == "conv" and row["phase"] == "FP"] for rows in (few, behind, before)]
    assert densities[0] != densities[2]
    assert max(abs(a - b) for a, b in zip(*densities[:2], strict=True)) < 0.1
    for options, says in (
        (("--net", "mlp"), "net 'cnn', not 'mlp'"),
        (("--net", "cnn", "--after", "1"), "after is 1"),
        (("--net", "cnn", "--batch", "65"), "batch must be at most the checkpoint's, 64, not 65"),
    ):
        result = run("trace", *options, "--checkpoint", str(kept), "--backend", "emulator")
        assert result.exit_code == 2
        assert says in result.stderr
