"""Weight gradients under every cut the compiler considers, not only the cheapest, on an emulated machine against plain sums."""

import random
from collections import Counter
from itertools import product as pairs

import numpy as np
import pytest
from compiler_cases import chip_named
from threadpoolctl import threadpool_limits

from golden.conv import out_size
from golden.convert import convert
from host.compiler.emit import Emitter
from host.compiler.gradient import Gradient, buffers, emit_gradient
from host.compiler.gradient_conv import Kernel
from host.compiler.gradient_plan import _rows_choices, emit_conv_gradient
from host.compiler.memory import Memory
from host.compiler.phases import Lines, sides
from host.driver import MEMORY, RING
from host.machines import EmulatedMachine
from host.program import Label
from spec.chip import Chip
from spec.number import Rounding

KEY, SHIFT = 0x1234ABCD, 6
CASES = 120


class Case:
    """A convolution's operands, the gradient they should give, and a machine whose memories hold rubbish."""

    def __init__(self, r: random.Random, chip: Chip):
        self.chip, self.rng = chip, np.random.default_rng(r.randrange(1 << 32))
        kernel, stride = r.randint(1, 5), r.choice([1, 1, 2, 3])
        padding = r.randint(0, kernel - 1)
        height, width = (r.randint(max(1, kernel - 2 * padding), 11) for _ in "yx")
        batch, channels, outputs = r.randint(1, 7), r.choice([1, 3, 8, 9]), r.choice([1, 5, 8, 16])
        self.kernel = Kernel(kernel, kernel, stride, padding, padding)
        out = [out_size(size, kernel, stride, padding) for size in (height, width)]
        self.x = self.rng.integers(-60, 60, (batch, height, width, channels))
        self.x[self.rng.random(self.x.shape) < 0.5] = 0
        self.delta = self.rng.integers(-60, 60, (batch, *out, outputs))
        self.emitter, self.memory = Emitter(chip), Memory(chip)
        x, delta = (self.memory.add(name, words.shape) for name, words in (("x", self.x), ("delta", self.delta)))
        dw = self.memory.add("dw", (kernel * kernel * channels, outputs))
        self.g = Gradient(Label(0, "WG", ""), x, delta, dw, KEY, SHIFT, Rounding.STOCHASTIC)

    def want(self) -> np.ndarray:
        k, (_, height, width, _), (out_y, out_x) = self.kernel, self.x.shape, self.delta.shape[1:3]
        sums = np.zeros((k.y, k.x, self.x.shape[3], self.delta.shape[3]), np.int64)
        for (ky, kx), oy, ox in pairs(pairs(range(k.y), range(k.x)), range(out_y), range(out_x)):
            y, x = oy * k.stride + ky - k.padding, ox * k.stride + kx - k.padding
            if 0 <= y < height and 0 <= x < width:
                sums[ky, kx] += self.x[:, y, x].T @ self.delta[:, oy, ox]
        flat = sums.reshape(-1, self.delta.shape[3])
        index = np.arange(flat.size).reshape(flat.shape)
        return convert(flat, SHIFT, Rounding.STOCHASTIC, KEY, index, self.chip.width, self.chip.acc_width)[0]

    def run(self) -> np.ndarray:
        machine = EmulatedMachine(self.chip, MEMORY, RING)
        scratch = machine.emulator.scratch
        scratch[...] = self.rng.integers(-(1 << 15), 1 << 15, scratch.shape)
        for tensor, words in ((self.g.x, self.x), (self.g.delta, self.delta)):
            machine.write(tensor.address, tensor.pack(words))
        self.emitter.end()
        for part in self.emitter.parts:
            machine.run(part.descriptors({}))
        return self.g.dw.unpack(machine.read(self.g.dw.address, self.g.dw.size))


def chains(case: Case, rows: bool):
    """Choices for each chain that together are the whole gradient."""
    g, k = case.g, case.kernel
    size, out = g.x.shape[1], g.delta.shape[1]
    if rows:
        yield _rows_choices(case.chip, g, k, Lines.as_rows(size, out, k.y, k.stride, k.padding))
        return
    for y in sides(size, out, k.y, k.stride, k.padding):
        yield _rows_choices(case.chip, g, k, Lines.as_segments(y)) if y.size else []


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize("chip", ["tiny", "odd", "sim64"])
def test_any_cut_with_taps_as_rows_gives_the_gradient(chip, rows, seed):
    r = random.Random(f"{seed} {chip} {rows}")
    seen = Counter()
    for _ in range(CASES // 6):
        case = Case(r, chip_named(chip))
        chosen = []
        for choices in chains(case, rows):
            fits = [c for c in choices if sum(buffers(*c).values()) <= case.chip.scratch_bricks]
            chosen.append(r.choice(fits) if fits else None)
        if None in chosen:
            continue
        for parts, cut in chosen:
            emit_gradient(case.emitter, case.g, parts, cut)
            several = parts.count() > 1
            seen.update(strips=parts.strips > 1, parts=several, tiles=parts.slabs > 1, whole=not several)
        np.testing.assert_array_equal(case.run(), case.want(), err_msg=str((case.kernel, case.g, chosen)))
    needed = {"parts", "tiles", "whole"} | ({"strips"} if rows else set())
    assert all(seen[name] for name in needed), seen


@pytest.mark.parametrize("chip", ["tiny", "odd", "ecp5-64"])
def test_what_is_chosen_gives_the_gradient(chip, seed):
    r = random.Random(f"{seed} {chip}")
    for _ in range(CASES // 6):
        case = Case(r, chip_named(chip))
        emit_conv_gradient(case.emitter, case.g, case.kernel)
        np.testing.assert_array_equal(case.run(), case.want(), err_msg=str((case.kernel, case.g)))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with threadpool_limits(1):
        yield
