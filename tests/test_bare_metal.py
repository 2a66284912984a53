"""The C driver on generated hardware in simulation: training steps leave golden's words, errors are told in words."""

import re
import shutil
import subprocess
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from bare_metal_kit import ROOT, STRICT, gcc, link, write_driver
from machine_cases import MACHINE_CHIPS
from machine_player import build_case_machine

from golden.config import Samples
from golden.layers import GoldenExecute
from golden.presets import preset
from golden.tally import Tally
from golden.trainer import batches
from gradloom.program import as_c
from host.compiler import compile_step
from host.image import build_image
from spec.number import Rounding

CHIP = MACHINE_CHIPS["tiny"]
BATCH = 8

pytestmark = [pytest.mark.rtl, pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine")]


@pytest.fixture
def blobs(seed):
    """Small images of three classes, two batches of eight."""
    rng = np.random.default_rng(seed)
    labels = np.arange(2 * BATCH) % 3
    pixels = rng.integers(0, 90, (2 * BATCH, 36)) * rng.integers(0, 2, (2 * BATCH, 36))
    pixels[np.arange(2 * BATCH), labels] += 120
    pixels = pixels.astype(np.uint8)
    return Samples("blobs", (6, 6, 1), 3, 8, pixels, labels, pixels, labels)


@pytest.fixture(scope="module")
def library():
    return build_case_machine(CHIP)


class Case:
    """A network, its image for CHIP, and golden beside it."""

    def __init__(self, net, samples, **settings):
        self.config = replace(preset(net), batch=BATCH, **settings)
        self.graph = self.config.graph(samples)
        self.plans = [self.config.sgd.plan(formats, BATCH) for formats in self.graph.formats]
        self.given = [
            (samples.words(samples.train_x[chosen], self.config.inputs), samples.train_y[chosen])
            for chosen in islice(batches(samples, self.config, 0), 2)
        ]
        self.image = build_image(self.graph, CHIP, BATCH, self.plans, self.config.rounding, self.given)
        self.tally = Tally(GoldenExecute(CHIP.width, CHIP.acc_width))

    def steps(self, count):
        """Golden's results and all tensors of the last step."""
        seen, results = {}, []
        self.graph.observe = seen.__setitem__
        for step in range(count):
            x, labels = self.given[step % 2]
            results.append(self.graph.step(self.tally, x, labels, self.plans, self.config.rounding, step))
        self.graph.observe = None
        return results, seen

    def run(self, program, folder):
        (folder / "net.bin").write_bytes(self.image)
        done = subprocess.run(
            [program, folder / "net.bin", folder / "memory.bin"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("net", "steps", "flags", "settings"),
    [
        ("mlp", 1, [], {"hidden": (24, 8)}),
        ("mlp", 3, ["-DINTERRUPTS=1"], {"hidden": (16,), "rounding": Rounding.NEAREST, "seed": 4_000_000_000}),
        ("cnn", 1, [], {}),
        ("cnn", 3, ["-DINTERRUPTS=1"], {"seed": 7}),
    ],
)
def test_c_driver_trains_to_goldens_words(net, steps, flags, settings, blobs, library, tmp_path):
    case = Case(net, blobs, **settings)
    program = link(CHIP, library, ROOT / "examples/bare_metal/main.c", tmp_path, f"-DSTEPS={steps}", *flags)
    lines = case.run(program, tmp_path)
    results, seen = case.steps(steps)
    told = [
        f"step {n + 1}: loss {result.loss} / 65536, {result.correct} of {BATCH} right" for n, result in enumerate(results)
    ]
    assert lines[:-1] == told

    memory = np.fromfile(tmp_path / "memory.bin", np.uint8)
    tensors = compile_step(case.graph, CHIP, BATCH, case.plans, case.config.rounding).tensors
    compared = differing = 0
    for name, want in seen.items():
        if name in tensors:
            tensor = tensors[name]
            got = tensor.unpack(memory[tensor.address : tensor.end].tobytes()).reshape(want.shape)
            compared, differing = compared + want.size, differing + int(np.count_nonzero(got != want))
            assert (got == want).all(), name
    print(f"{net}: {differing} of {compared} words differ after {steps} steps")
    weights = sum(words.size for words in case.graph.weights.values())
    assert differing == 0
    assert compared > 2 * weights


@pytest.mark.parametrize("net", ["mlp", "cnn"])
def test_c_driver_predicts_goldens_classes(net, blobs, library, tmp_path):
    case = Case(net, blobs, **({"hidden": (16,)} if net == "mlp" else {}))
    flags = ["-DSTEPS=2", "-DPREDICT"]
    lines = case.run(link(CHIP, library, ROOT / "examples/bare_metal/main.c", tmp_path, *flags), tmp_path)
    case.steps(2)
    x, labels = case.given[1]
    right = np.count_nonzero(case.graph.predict(case.tally, x).argmax(axis=1) == labels)
    assert lines[-1] == f"predicted: {right} of {BATCH} right"


@pytest.mark.parametrize("net", ["mlp", "cnn"])
def test_descriptors_by_hand_and_errors_in_words(net, blobs, library, tmp_path):
    case = Case(net, blobs, **({"hidden": (8,)} if net == "mlp" else {}))
    assert case.run(link(CHIP, library, ROOT / "tests/bare_metal/ring.c", tmp_path), tmp_path) == ["good"]


@pytest.mark.parametrize("chip", MACHINE_CHIPS.values(), ids=lambda chip: chip.name)
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_driver_compiles_without_a_warning_for_a_board(chip, level, tmp_path):
    for source in write_driver(chip, tmp_path):
        gcc(tmp_path, level, *STRICT, "-ffreestanding", "-c", source, "-o", source.with_suffix(".o"))


def test_programs_of_the_pages_compile(tmp_path):
    """The one in docs/integration.md, and the example for a board, with a network as C."""
    write_driver(CHIP, tmp_path)
    (snippet,) = re.findall(r"```c\n(.*?)```", (ROOT / "docs/integration.md").read_text(), re.DOTALL)
    (tmp_path / "snippet.c").write_text(snippet)
    gcc(tmp_path, *STRICT, "-c", tmp_path / "snippet.c", "-o", tmp_path / "snippet.o")
    board = {
        "REGISTERS": "((volatile uint32_t *)0x90000000)", "MEMORY": "board_memory", "MEMORY_ADDRESS": "0x40000000u",
        "MEMORY_BYTES": "(1u << 24)",
    }  # fmt: skip
    defined = [f"#define GRADLOOM_{name} {value}\n" for name, value in board.items()]
    (tmp_path / "board.h").write_text("".join(["#include <stdint.h>\nextern uint8_t board_memory[];\n", *defined]))
    for flags in ([], ["-DPREDICT", "-DINTERRUPTS=1"]):
        main = ROOT / "examples/bare_metal/main.c"
        gcc(tmp_path, *STRICT, '-DGRADLOOM_PORT="board.h"', *flags, "-c", main, "-o", tmp_path / "main.o")
    (tmp_path / "network.c").write_text(as_c(bytes(range(40)), "network"))
    gcc(tmp_path, *STRICT, "-c", tmp_path / "network.c", "-o", tmp_path / "network.o")
