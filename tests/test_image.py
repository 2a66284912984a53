"""Program images: what lies where in them, and what is refused."""

import re
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from golden.checkpoint import Checkpoint
from golden.config import Samples
from golden.layers import Role, tensor_id, tensor_key
from golden.presets import preset
from golden.trainer import batches, train
from gradloom.cli import main
from gradloom.program import as_c
from gradloom.soc.driver import image_header
from host.compiler import compile_predict, compile_step
from host.image import ImageError, build_image
from host.image_layout import (
    ALIGNMENT,
    BLOCK,
    HEADER,
    KEY,
    MAGIC,
    NORM,
    OP,
    PROGRAM,
    RECORDS,
    SHIFT,
    TENSOR,
    NormPart,
    Op,
    Purpose,
)
from host.program import Context, Run
from spec.chip import CHIPS
from spec.isa import DESCRIPTOR_BYTES, Opcode, decode

CHIP = CHIPS["tiny"]
BATCH = 4
ROOT = Path(__file__).parents[1]


def read(image, layout, at=0, count=1):
    words = np.frombuffer(image, "<u4", count * len(layout), at).reshape(count, len(layout))
    return [dict(zip(layout, row.tolist(), strict=True)) for row in words]


@pytest.fixture
def samples():
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 255, (10, 36)).astype(np.uint8)
    return Samples("blobs", (6, 6, 1), 3, 8, pixels, np.arange(10) % 3, pixels, np.arange(10) % 3)


@pytest.fixture(params=["mlp", "cnn"])
def case(request, samples):
    """Configuration, graph, plans, batches, image and its header."""
    config = replace(preset(request.param), batch=BATCH, hidden=(8,), seed=77)
    graph = config.graph(samples)
    plans = [config.sgd.plan(formats, BATCH) for formats in graph.formats]
    given = [(samples.words(samples.train_x[i], config.inputs), samples.train_y[i]) for i in list(batches(samples, config, 0))[:2]]
    image = build_image(graph, CHIP, BATCH, plans, config.rounding, given, step=5)
    (header,) = read(image, HEADER)
    return config, graph, plans, given, image, header


def test_header_tables_and_text_lie_in_the_image(case):
    config, graph, _, _, image, header = case
    assert (header["magic"], header["bytes"]) == (MAGIC, len(image))
    assert image[:4] == b"GLpr"
    assert (header["seed"], header["step"], header["batch"], header["classes"]) == (77, 5, BATCH, 3)
    assert header["ring_address"] % ALIGNMENT == 0
    assert header["state_address"] == header["memory_bytes"] <= header["ring_address"]
    step, predict = read(image, PROGRAM, header["programs_at"], header["programs"])
    assert [step["purpose"], predict["purpose"]] == [Purpose.STEP, Purpose.PREDICT]
    assert (step["x_address"], step["x_bytes"]) == (predict["x_address"], predict["x_bytes"])
    for program in (step, predict):
        tensors = read(image, TENSOR, program["tensors_at"], program["tensors"])
        names = [image[t["name_at"] : image.index(b"\0", t["name_at"])].decode() for t in tensors]
        of = compile_step if program is step else compile_predict
        rest = (case[2], config.rounding) if program is step else ()
        compiled = of(graph, CHIP, BATCH, *rest)
        assert names == list(compiled.tensors)
        assert [(t["address"], t["rows"], t["channels"]) for t in tensors] == [
            (t.address, t.rows, t.channels) for t in compiled.tensors.values()
        ]
        assert program["descriptors"] * DESCRIPTOR_BYTES <= header["ring_bytes"]
        assert {op["code"] for op in read(image, OP, program["ops_at"], program["ops"])} <= set(Op)


def test_descriptors_are_the_compilers_once_keys_and_shifts_are_in(case):
    config, graph, plans, _, image, header = case
    (step, _) = read(image, PROGRAM, header["programs_at"], 2)
    size = step["descriptors"] * DESCRIPTOR_BYTES
    words = np.frombuffer(image, "<u4", size // 4, step["descriptors_at"]).copy()
    program = compile_step(graph, CHIP, BATCH, plans, config.rounding)
    values = program.bind(graph.seed, 9)
    for key in read(image, KEY, step["keys_at"], step["keys"]):
        assert words[key["word"]] == 0
        words[key["word"]] = tensor_key(77, 9, key["id"] // 8, Role(key["id"] % 8))
    norms = sorted({int(m[1]) for name in program.tensors if (m := re.match(r"norm\.(\d+)\.", name))})
    shifts = {2 * n + m: f"norm.{node}.{part}.shift" for n, node in enumerate(norms) for m, part in enumerate(("forward", "backward"))}
    for shift in read(image, SHIFT, step["shifts_at"], step["shifts"]):
        values[shifts[shift["symbol"]]] = shift["symbol"] + 3
        words[shift["word"]] |= shift["symbol"] + 3 << shift["lsb"]
    for number, plan in zip(graph.weights, plans, strict=True):
        for name in ("decay", "velocity", "weights"):
            if getattr(plan, name) is not None:
                values[f"optimizer.{4 * number}.{name}.shift"] = getattr(plan, name).shift
    runs = [part for part in program.parts if isinstance(part, Run)]
    assert words.tobytes() == b"".join(run.descriptors(values) for run in runs)
    begins = [op["a"] for op in read(image, OP, step["ops_at"], step["ops"]) if op["code"] == Op.RUN]
    assert begins == [sum(len(run.commands) for run in runs[:n]) for n in range(len(runs))]
    for first in begins[1:]:
        assert decode(words.tobytes()[DESCRIPTOR_BYTES * (first - 1) :][:DESCRIPTOR_BYTES])[0] == Opcode.END


def test_parameters_and_batches_are_those_given(case):
    config, graph, plans, given, image, header = case
    program = compile_step(graph, CHIP, BATCH, plans, config.rounding)
    firsts = {b["address"]: image[b["at"] : b["at"] + b["bytes"]] for b in read(image, BLOCK, header["first_at"], header["firsts"])}
    for names, words in ((program.parameters, graph.weights), (program.velocity, graph.velocity)):
        for number, name in names.items():
            tensor = program.tensors[name]
            assert firsts.pop(tensor.address) == tensor.pack(words[number].reshape(tensor.shape))
    assert list(firsts.values()) == [words.astype("<i8").tobytes() for words in graph.running.values()]
    x, written = program.tensors["x"], {}
    for number, (words, labels) in enumerate(given):
        at = header["batches_at"] + number * header["batch_bytes"]
        inputs = {"x": words, "plans": plans}
        program.parts[0].function(Context(lambda name: None, written.__setitem__, 0, 0, inputs, {}))
        assert image[at : at + x.size] == x.pack(written["x"])
        assert np.frombuffer(image, "<u2", BATCH, at + x.size).tolist() == labels.tolist()


def test_batch_norms_have_a_record_for_each_program(case):
    _, graph, _, _, image, header = case
    norms = read(image, NORM, header["norms_at"], header["norms"])
    assert len(norms) == 2 * len(graph.running)
    for program, parts in zip(read(image, PROGRAM, header["programs_at"], 2), ({0, 2, 3}, {1}), strict=True):
        ops = [op for op in read(image, OP, program["ops_at"], program["ops"]) if op["code"] == Op.NORM]
        assert {NormPart(op["b"]) for op in ops} == ({NormPart(p) for p in parts} if graph.running else set())
        assert all(norms[op["a"]]["number"] < len(graph.running) for op in ops)


def test_a_batch_of_another_size_is_refused(case):
    config, graph, plans, given, _, _ = case
    short = [(given[0][0][:3], given[0][1][:3])]
    with pytest.raises(ImageError, match=r"^a batch of the image must have 4 samples, not 3$"):
        build_image(graph, CHIP, BATCH, plans, config.rounding, short)


def test_keys_are_goldens():
    assert tensor_id(13, Role.VELOCITY) == 8 * 13 + 5


def test_c_structures_have_every_word():
    text = image_header()
    for record, layout in RECORDS.items():
        (body,) = re.findall(rf"struct gradloom_image_{record} \{{\n(.*?)\n\}};", text, re.DOTALL)
        assert re.findall(r"uint32_t (\w+);", body) == list(layout)


@pytest.mark.parametrize("name", ["program-image.md", "registers.md"])
def test_pages_have_the_tables_of_today(name):
    page = runpy.run_path(str(ROOT / "bench/soc_pages.py"))["page"]
    assert (ROOT / "docs" / name).read_text() == page(name), "write it anew: python bench/soc_pages.py"


def test_program_writes_bytes_and_c(tmp_path):
    asked = ["program", "--net", "mlp", "--chip", "tiny", "--batch", "8", "--batches", "1"]
    assert CliRunner().invoke(main, [*asked, "-o", str(tmp_path / "net.bin")]).exit_code == 0
    assert CliRunner().invoke(main, [*asked, "-o", str(tmp_path / "new" / "net.c")]).exit_code == 0
    image = (tmp_path / "net.bin").read_bytes()
    (header,) = read(image, HEADER)
    assert (header["bytes"], header["batches"], header["step"]) == (len(image), 1, 0)
    text = (tmp_path / "new" / "net.c").read_text()
    assert text == as_c(image, "net")
    assert b"".join(int(w, 16).to_bytes(4, "little") for w in re.findall(r"0x[0-9a-f]{8}", text)) == image


def test_program_goes_on_from_a_checkpoint(tmp_path):
    """Steps, and the batches that are next."""
    config = replace(preset("mlp"), batch=600)
    asked = ["program", "--net", "mlp", "--chip", "ecp5-64", "--batch", "600", "--batches", "2"]
    from host.datasets import load

    digits = load("digits")
    kept: list[Checkpoint] = []
    train(config, digits, network=config.graph(digits), steps=1, keep=kept.append)
    kept[-1].save(tmp_path / "run")
    result = CliRunner().invoke(main, [*asked, "--checkpoint", str(tmp_path / "run"), "-o", str(tmp_path / "net.bin")])
    assert result.exit_code == 0, result.stderr
    image = (tmp_path / "net.bin").read_bytes()
    (header,) = read(image, HEADER)
    chosen = list(batches(digits, config, 0))
    assert (header["step"], header["batches"]) == (1, len([c for c in chosen[1:3] if len(c) == 600]))
    labels = np.frombuffer(image, "<u2", 600, header["batches_at"] + header["batch_bytes"] - 1200)
    assert labels.tolist() == digits.train_y[chosen[1]].tolist()
    result = CliRunner().invoke(main, [*asked, "--seed", "1", "--checkpoint", str(tmp_path / "run"), "-o", str(tmp_path / "net.bin")])
    assert result.exit_code == 2
    assert "the checkpoint is of a run with seed 0, not 1" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--net", "alexnet", "-o", "x.bin"), "unknown network 'alexnet'; known networks:"),
        (("--net", "mlp", "--batch", "8", "--chip", "tiny", "-o", "my-net.c"), "my-net.c: the file's name is the array's, and 'my-net' cannot be a name in C"),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_a_line(arguments, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["program", *arguments])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {text}")
    assert list(tmp_path.iterdir()) == []
