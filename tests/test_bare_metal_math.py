"""What the C driver computes between two runs, on words of every width: golden's numbers, extremes included."""

import ctypes
import random
import shutil
from math import isqrt

import numpy as np
import pytest
from bare_metal_kit import STRICT, gcc, write_driver
from machine_cases import MACHINE_CHIPS

from golden.batchnorm import BatchNorm
from golden.convert import convert_linear
from golden.keyed import random_bits
from golden.layers import Formats
from golden.loss import cross_entropy
from host.compiler.scalars import pack_scalars, unpack_sums
from host.image_layout import NORM, NormPart
from host.tensor import Tensor, word_bytes
from spec.chip import BRICK
from spec.isa import entry_bricks, record_bricks
from spec.number import Fixed, Rounding

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine")
CHIPS = [MACHINE_CHIPS["tiny"], MACHINE_CHIPS["3x8w18"], MACHINE_CHIPS["1x2w8"]]


@pytest.fixture(scope="module", params=CHIPS, ids=lambda chip: chip.name)
def built(request, tmp_path_factory):
    """A chip and the driver's computations as a library."""
    folder = tmp_path_factory.mktemp("math")
    sources = [s for s in write_driver(request.param, folder) if s.stem in ("gradloom_loss", "gradloom_norm", "gradloom_wide")]
    # Undefined behaviour ends the test run.
    undefined = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
    gcc(folder, "-O1", *STRICT, *undefined, "-fPIC", "-shared", *sources, "-o", folder / "math.so")
    library = ctypes.CDLL(str(folder / "math.so"))
    library.gradloom_hash.restype = ctypes.c_uint32
    library.gradloom_convert.argtypes = [ctypes.c_int64, *4 * [ctypes.c_uint32]]
    return request.param, library


def test_hash_and_convert(built, seed):
    chip, library = built
    rng = np.random.default_rng(seed)
    for _ in range(200):
        key, index = (int(n) for n in rng.integers(0, 1 << 32, 2))
        assert library.gradloom_hash(key, index) == random_bits(key, np.array([index]))[0]
        bits = int(rng.integers(1, chip.acc_width))
        total, shift = int(rng.integers(-1 << bits - 1, 1 << bits - 1)), int(rng.integers(0, 33))
        for rounding in Rounding:
            want, _ = convert_linear(np.array([total]), shift, rounding, key, index, chip.width, chip.acc_width)
            assert library.gradloom_convert(total, shift, rounding, key, index) == want[0], (total, shift, rounding)


class Loss(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint32) for n in ("batch", "classes", "logits_frac", "delta_frac", "rounding", "key")] + [
        ("loss", ctypes.c_int64), ("correct", ctypes.c_uint32),
    ]  # fmt: skip


def test_cross_entropy(built, seed):
    chip, library = built
    rng = np.random.default_rng(seed)
    for case in range(40):
        batch, classes = int(rng.integers(1, 9)), int(rng.integers(2, 30))
        fracs = rng.integers(0, chip.width + 1, 2)
        logits, deltas = Fixed(chip.width, int(fracs[0])), Fixed(chip.width, int(fracs[1]))
        z = rng.integers(logits.lo >> case % 8, (logits.hi >> case % 8) + 1, (batch, classes))
        if case % 5 == 0:
            z[:] = rng.choice([logits.lo, logits.hi], z.shape)
        labels, key = rng.integers(0, classes, batch), int(rng.integers(0, 1 << 32))
        rounding = Rounding(case % 3)
        want = cross_entropy(z, labels, logits, deltas, rounding, key)
        tensor = Tensor("z", 0, z.shape, word_bytes(chip))
        loss = Loss(batch, classes, logits.frac, deltas.frac, rounding, key)
        out = ctypes.create_string_buffer(b"\x55" * tensor.size, tensor.size)
        numbers = (ctypes.c_uint16 * batch)(*labels.tolist())
        assert library.gradloom_cross_entropy(ctypes.byref(loss), tensor.pack(z), numbers, out) == 0
        assert out.raw == tensor.pack(want.delta)
        assert (loss.loss, loss.correct) == (want.loss, want.correct)
    numbers[0] = classes
    assert library.gradloom_cross_entropy(ctypes.byref(loss), tensor.pack(z), numbers, out) != 0


class Norm:
    """One batch norm in a small memory."""

    def __init__(self, chip, rng, case):
        self.chip, self.rng = chip, rng
        self.channels, self.count = int(rng.integers(1, 20)), int(rng.choice([1, 2, 7, 100, 50_000, 1 << 20]))
        width = chip.width

        def fixed():
            return Fixed(width, int(rng.integers(width // 2 if case % 2 else 0, width + 1)))

        self.formats = Formats(weights=Fixed(width, width - 2 - int(rng.integers(0, 4))), activations=fixed(), deltas=fixed(),
                               gradients=fixed(), velocity=fixed())  # fmt: skip
        self.below = fixed()
        self.unit = BatchNorm(3, fixed(), self.formats, chip.acc_width)
        self.rounding, self.key = Rounding(case % 3), int(rng.integers(0, 1 << 32))
        entries = -(-self.channels // BRICK) * BRICK
        self.tensors, at = {}, 0
        for name, shape in (
            ("parameters", (2, self.channels)), ("gradient", (2, self.channels)),
            ("sums", (entries * record_bricks(chip), BRICK)), ("products", (entries * record_bricks(chip), BRICK)),
            ("forward", (entries * entry_bricks(chip), BRICK)), ("backward", (entries * entry_bricks(chip), BRICK)),
        ):  # fmt: skip
            self.tensors[name] = Tensor(name, at, shape, word_bytes(chip))
            at += self.tensors[name].size
        self.entries, self.running_at = entries, at
        self.memory = (ctypes.c_uint8 * (at + 16 * self.channels))(*(b"\x33" * (at + 16 * self.channels)))
        record = {
            "number": 0, "channels": self.channels, "count": self.count, "x_frac": self.unit.inputs.frac,
            "below_frac": self.below.frac, "running_address": at,
        }  # fmt: skip
        record |= {f"{n}_frac": getattr(self.formats, n).frac for n in ("weights", "activations", "deltas", "gradients")}
        record |= {f"{n}_address": t.address for n, t in self.tensors.items()}
        self.record = (ctypes.c_uint32 * len(NORM))(*(record.get(name, 0) for name in NORM))

    def write(self, name, words):
        tensor = self.tensors[name]
        self.memory[tensor.address : tensor.end] = tensor.pack(words)

    def read(self, name):
        tensor = self.tensors[name]
        return tensor.unpack(bytes(self.memory[tensor.address : tensor.end]))

    def sums(self, name, first, second):
        """As the vector unit leaves them: two sums a channel in a record."""
        words = np.zeros((self.entries, record_bricks(self.chip) * BRICK), np.int64)
        for row, pair in zip(words, zip(first, second, strict=True), strict=False):
            together = sum((s & (1 << self.chip.acc_width) - 1) << n * self.chip.acc_width for n, s in enumerate(pair))
            for n in range(len(row)):
                word = together >> n * self.chip.width & (1 << self.chip.width) - 1
                row[n] = word - (word >> self.chip.width - 1 << self.chip.width)
        self.write(name, words.reshape(-1, BRICK))
        assert unpack_sums(self.chip, self.read(name), self.channels) == (list(first), list(second))

    def draw(self):
        """Words of x and of the gradient as a few values and how often each is there: exact sums of any count."""
        lo, hi = self.unit.inputs.lo, self.unit.inputs.hi
        results = []
        for _ in range(self.channels):
            kind = self.rng.integers(0, 4)
            x = self.rng.integers(lo, hi + 1, 4) if kind else np.full(4, self.rng.integers(lo, hi + 1))
            delta = self.rng.integers(lo, hi + 1, 4) if kind > 1 else self.rng.integers(-3, 4, 4)
            times = self.rng.multinomial(self.count, [0.25] * 4)
            if kind == 3:
                x, delta = self.rng.choice([lo, hi], 4), self.rng.choice([lo, hi], 4)
            results.append([
                sum(int(t) * int(a) * int(b) for t, a, b in zip(times, *pair, strict=True))
                for pair in ((x, [1] * 4), (x, x), (delta, [1] * 4), (delta, x))
            ])
        return zip(*results, strict=True)

    def call(self, library, part):
        shift = ctypes.c_int(99)
        result = library.gradloom_norm(self.memory, self.record, int(part), int(self.rounding), ctypes.c_uint32(self.key), ctypes.byref(shift))
        return result, shift.value

    def same(self, name, result, scalars):
        """The table and the shift, or neither where a scalar has no room in it."""
        try:
            want = pack_scalars(self.chip, scalars.channels, self.entries)
        except ValueError:
            assert result[0] != 0
            return 0
        assert result == (0, scalars.shift)
        np.testing.assert_array_equal(self.read(name), want)
        return 1


def test_batch_norm(built, seed):
    chip, library = built
    rng = np.random.default_rng(seed)
    written, shifts = 0, set()
    for number in range(60):
        case = Norm(chip, rng, number)
        n, unit, weights = case.count, case.unit, case.formats.weights
        parameters = rng.integers(weights.lo, weights.hi + 1, (2, case.channels))
        x, xx, delta, dx = (list(sums) for sums in case.draw())
        if max(abs(s) for s in (*x, *xx, *delta, *dx)) >= 1 << chip.acc_width - 1:
            continue  # the compiler refuses such a count
        case.write("parameters", parameters)
        case.sums("sums", x, xx)
        case.sums("products", delta, dx)
        statistics, spread = unit.statistics_of(x, xx, n)

        scalars = unit.forward_scalars(parameters, statistics)
        written += case.same("forward", case.call(library, NormPart.FORWARD), scalars)
        shifts.add(scalars.shift)
        joint = unit.joint(delta, dx, statistics)
        scalars = unit.backward_scalars(delta, joint, parameters, statistics, case.below)
        written += case.same("backward", case.call(library, NormPart.BACKWARD), scalars)
        shifts.add(scalars.shift)
        want, _ = unit.parameter_gradient(delta, joint, statistics, case.rounding, case.key)
        np.testing.assert_array_equal(case.read("gradient"), want)

        running = unit.first_running(case.channels) + rng.integers(-5, 6, (2, case.channels)) * (np.arange(2) == 0)[:, None]
        for _ in range(2):
            case.memory[case.running_at :] = running.astype("<i8").tobytes()
            frozen = unit.forward_scalars(parameters, unit.running_statistics(running))
            written += case.same("forward", case.call(library, NormPart.FROZEN), frozen)
            assert case.call(library, NormPart.RUNNING) == (0, -1)
            running = unit.run(running, statistics, spread)
            assert bytes(case.memory[case.running_at :]) == running.astype("<i8").tobytes()
    print(f"{chip.name}: {written} tables, shifts {sorted(shifts)}")
    assert written > 60
    assert len(shifts) > 3


def test_wide_division_and_root(built, seed):
    _, library = built
    rng = random.Random(seed)

    class Wide(ctypes.Structure):
        _fields_ = [("limb", ctypes.c_uint32 * 12)]

        @classmethod
        def of(cls, value):
            return cls((ctypes.c_uint32 * 12)(*((value >> 32 * n) & 0xFFFFFFFF for n in range(12))))

        def value(self):
            whole = sum(limb << 32 * n for n, limb in enumerate(self.limb))
            return whole - (whole >> 383 << 384)

    library.gradloom_over.restype, library.gradloom_over.argtypes = Wide, [Wide, Wide]
    library.gradloom_root.restype, library.gradloom_root.argtypes = ctypes.c_int64, [Wide]
    for _ in range(300):
        a, b = rng.randrange(-1 << rng.randrange(1, 340), 1 << rng.randrange(1, 340)), rng.randrange(1, 1 << rng.randrange(1, 300))
        assert library.gradloom_over(Wide.of(a), Wide.of(b)).value() == a // b
        root = rng.randrange(1 << rng.randrange(1, 62))
        for square in (root * root, root * root + 2 * root, max(root * root - 1, 0)):
            assert library.gradloom_root(Wide.of(square)) == isqrt(square)
