"""The memory of the native machine: a master in Python, an expectation for every byte, beat and count."""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from spec.axi import INCR, Axi, bursts
from tb import toolchain
from tb.native import memory as native_memory
from tb.native.memory import VIOLATIONS, Counts, Memory, Settings

SOURCE = Path(__file__).with_name("native_memory.cpp")
ORIGIN, SIZE = 0x4000_0000, 3 * 4096
LIMIT = 200_000  # cycles
BYTE, WORD = ctypes.c_uint8, ctypes.c_uint32


class MasterPins(ctypes.Structure):
    _fields_ = [
        *((name, WORD) for name in ("ar_addr", "aw_addr", "w_strb")),
        *((name, BYTE) for name in ("ar_valid", "ar_len", "ar_size", "ar_burst")),
        *((name, BYTE) for name in ("aw_valid", "aw_len", "aw_size", "aw_burst")),
        *((name, BYTE) for name in ("w_valid", "w_last", "r_ready", "b_ready")),
        ("w_data", BYTE * 16),
    ]


class SlavePins(ctypes.Structure):
    _fields_ = [
        *((name, BYTE) for name in ("ar_ready", "aw_ready", "w_ready")),
        *((name, BYTE) for name in ("r_valid", "r_last", "r_resp", "b_valid", "b_resp")),
        ("r_data", BYTE * 16),
    ]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("memory")
    output, include = folder / "memory.so", Path(native_memory.__file__).parent
    flags = ["-std=gnu++20", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", f"-I{include}"]
    toolchain.run_tool(["g++", *flags, str(SOURCE), "-o", str(output)], folder / "log")
    native = ctypes.CDLL(str(output))
    native.memory_new.restype = ctypes.c_void_p
    native.memory_new.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64, WORD, ctypes.c_void_p]
    native.memory_free.argtypes = [ctypes.c_void_p]
    native.memory_fail.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint64, ctypes.c_uint64, BYTE]
    native.memory_step.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    native.memory_counts.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    return native


class Master:
    """Plays bursts on one memory: ``play`` takes reads and writes, all overlapping."""

    def __init__(self, library, memory: Memory, beat: int = 8, seed: int = 0, stall: float = 0.0):
        self.rng, self.stall, self.beat = np.random.default_rng(seed), stall, beat
        self.bytes = self.rng.integers(0, 256, SIZE, dtype=np.uint8)
        self.library, settings = library, Settings.of(memory)
        self.handle = library.memory_new(self.bytes.ctypes.data, ORIGIN, SIZE, beat, ctypes.byref(settings))
        self.out, self.back, self.now = MasterPins(), SlavePins(), 0
        self.read_times: list[int] = []

    def step(self) -> SlavePins:
        """Pins as they stood at the edge."""
        seen = SlavePins.from_buffer_copy(self.back)
        self.library.memory_step(self.handle, ctypes.byref(self.out), ctypes.byref(self.back))
        self.now += 1
        return seen

    def counts(self) -> Counts:
        counts = Counts()
        self.library.memory_counts(self.handle, ctypes.byref(counts))
        return counts

    def fail(self, writes: bool, first: int, end: int, resp: int) -> None:
        self.library.memory_fail(self.handle, writes, first, end, resp)

    def close(self) -> None:
        self.library.memory_free(self.handle)

    def _runs(self) -> bool:
        return self.rng.random() >= self.stall

    def play(self, reads=(), writes=()):
        """``reads``: (address, beats); ``writes``: (address, bytes). Beats (data, resp, last), and responses of writes."""
        reads, writes, got, answers = list(reads), list(writes), [], []
        lines = [
            (data[n : n + self.beat], n + self.beat >= len(data))
            for _, data in writes
            for n in range(0, len(data), self.beat)
        ]
        asked = announced = sent = 0
        wanted = sum(beats for _, beats in reads)
        out, size = self.out, self.beat.bit_length() - 1
        for _ in range(LIMIT):
            if not out.ar_valid and asked < len(reads) and self._runs():
                address, beats = reads[asked]
                out.ar_valid, out.ar_addr, out.ar_len, out.ar_size, out.ar_burst = 1, address, beats - 1, size, INCR
            if not out.aw_valid and announced < len(writes) and self._runs():
                address, data = writes[announced]
                out.aw_valid, out.aw_addr, out.aw_size, out.aw_burst = 1, address, size, INCR
                out.aw_len = len(data) // self.beat - 1
            if not out.w_valid and sent < len(lines) and self._runs():
                data, last = lines[sent]
                out.w_valid, out.w_last, out.w_strb = 1, last, (1 << self.beat) - 1
                ctypes.memmove(out.w_data, data, self.beat)
            out.r_ready, out.b_ready = self._runs(), self._runs()
            pins = self.step()
            if out.ar_valid and pins.ar_ready:
                out.ar_valid, asked = 0, asked + 1
            if out.aw_valid and pins.aw_ready:
                out.aw_valid, announced = 0, announced + 1
            if out.w_valid and pins.w_ready:
                out.w_valid, sent = 0, sent + 1
            if pins.r_valid and out.r_ready:
                self.read_times.append(self.now)
                got.append((bytes(pins.r_data)[: self.beat], pins.r_resp, pins.r_last))
            if pins.b_valid and out.b_ready:
                answers.append(pins.b_resp)
            if len(got) == wanted and len(answers) == len(writes) and sent == len(lines):
                return got, answers
        raise AssertionError(f"{len(got)} of {wanted} beats, {len(answers)} of {len(writes)} answers")


def jobs_of(rng, beat: int, count: int, first: int, end: int) -> list[tuple[int, int]]:
    """Legal bursts within ``first`` to ``end``."""
    spec = Axi(data_bits=8 * beat, burst_beats=int(rng.choice([8, 16, 64])))
    result = []
    while len(result) < count:
        address = int(rng.integers(first, end)) // 16 * 16
        bricks = int(rng.integers(1, 40))
        if address + 16 * bricks <= end:
            result += bursts(spec, address, bricks)
    return result


@pytest.mark.rtl
@pytest.mark.parametrize("beat", [4, 8, 16])
@pytest.mark.parametrize("stall", [0.0, 0.25, 0.75])
def test_random_traffic_keeps_every_byte(library, beat, stall, seed):
    rng = np.random.default_rng([seed, beat, int(4 * stall)])
    how = Memory(read_latency=int(rng.integers(1, 60)), write_latency=int(rng.integers(1, 60)), stall=stall,
                 jitter=int(rng.choice([0, 30])), bandwidth=float(rng.choice([0, 3, beat])), seed=seed)  # fmt: skip
    master = Master(library, how, beat, seed, stall)
    half = ORIGIN + SIZE // 2
    reads = jobs_of(rng, beat, 60, ORIGIN, half)
    writes = [(address, rng.bytes(beats * beat)) for address, beats in jobs_of(rng, beat, 60, half, ORIGIN + SIZE)]
    expected = master.bytes.copy()
    for address, data in writes:
        expected[address - ORIGIN :][: len(data)] = np.frombuffer(data, np.uint8)
    got, answers = master.play(reads, writes)
    wanted = [
        (expected[address - ORIGIN + n * beat :][:beat].tobytes(), 0, n == beats - 1)
        for address, beats in reads
        for n in range(beats)
    ]
    assert got == wanted, how
    assert answers == [0] * len(writes)
    np.testing.assert_array_equal(master.bytes, expected)
    counts = master.counts()
    assert counts.broken() == {}
    assert (counts.read_beats, counts.read_bursts) == (len(wanted), len(reads))
    assert (counts.write_beats, counts.write_bursts) == (sum(len(d) for _, d in writes) // beat, len(writes))
    master.close()


@pytest.mark.rtl
@pytest.mark.parametrize(("latency", "bandwidth", "per_beat"), [(1, 0, 1), (7, 8, 1), (50, 4, 2), (50, 2, 4)])
def test_latency_and_bandwidth_are_as_set(library, latency, bandwidth, per_beat):
    master = Master(library, Memory(read_latency=latency, bandwidth=bandwidth))
    master.step()  # readies rise
    first = master.now + 1  # the edge that takes the address
    master.play([(ORIGIN + 128 * n, 16) for n in range(40)])
    times = master.read_times
    assert times[0] == first + latency
    assert (times[-1] - times[100]) / (len(times) - 101) == pytest.approx(per_beat, rel=0.01)
    master.close()


@pytest.mark.rtl
def test_reads_and_writes_share_the_bandwidth(library):
    master = Master(library, Memory(bandwidth=8, read_latency=1, write_latency=1))
    beats = 16 * 40
    master.play(
        [(ORIGIN + 128 * n, 16) for n in range(40)], [(ORIGIN + 8192 + 128 * (n % 8), bytes(128)) for n in range(40)]
    )
    assert 2 * beats <= master.now <= 2 * beats + 20
    master.close()


@pytest.mark.rtl
def test_a_write_is_there_when_it_is_answered_and_a_read_holds_what_was_there_when_asked(library):
    """So that whoever does not wait for an answer is found out."""
    master = Master(library, Memory(read_latency=10, write_latency=30))
    master.bytes[:] = 1
    got, _ = master.play([(ORIGIN, 1)] * 4, [(ORIGIN, bytes(8))])
    assert {beat for beat, _, _ in got} == {bytes([1] * 8)}
    assert master.play([(ORIGIN, 1)])[0][0][0] == bytes(8)
    master.close()


@pytest.mark.rtl
def test_ranges_fail_as_told(library):
    master = Master(library, Memory())
    before = master.bytes.copy()
    master.fail(False, ORIGIN + 16, ORIGIN + 17, 2)
    master.fail(True, ORIGIN + 4096, ORIGIN + 4100, 3)
    got, answers = master.play([(ORIGIN, 4)], [(ORIGIN + 4096 - 16, bytes(16)), (ORIGIN + 4096, bytes(16))])
    assert [resp for _, resp, _ in got] == [0, 0, 2, 0]
    assert answers == [0, 3]
    before[4096 - 16 : 4096] = 0
    np.testing.assert_array_equal(master.bytes, before)
    got, answers = master.play([(ORIGIN - 8, 1), (ORIGIN + SIZE, 1)], [(ORIGIN + SIZE, bytes(8))])
    assert [resp for _, resp, _ in got] == [3, 3]
    assert answers == [3]
    assert master.counts().broken() == {"outside": 3}
    master.close()


@pytest.mark.rtl
@pytest.mark.parametrize("rule", VIOLATIONS)
def test_each_broken_rule_is_counted(library, rule):
    master = Master(library, Memory(stall=0.9 if rule.startswith("unstable") else 0.0, write_latency=1))
    out = master.out
    out.r_ready = out.b_ready = 1
    out.ar_addr, out.ar_len, out.ar_size, out.ar_burst = ORIGIN + 4096 - 64, 7, 3, INCR
    out.aw_addr, out.aw_len, out.aw_size, out.aw_burst = ORIGIN, 0, 3, INCR
    out.w_strb, out.w_last = 0xFF, 1
    match rule:
        case "crosses_page":
            out.ar_len = 8
        case "burst_kind":
            out.ar_burst = 2
        case "beat_size":
            out.aw_size = 2
        case "unaligned":
            out.aw_addr += 4
        case "outside":
            out.ar_addr = ORIGIN + SIZE
        case "strobes":
            out.w_strb = 0x7F
        case "misplaced_last":
            out.aw_len = 1
    wanted = {"ar_addr": "unstable_ar", "aw_valid": "unstable_aw", "w_data": "unstable_w"}
    for _ in range(60):
        out.ar_valid = out.aw_valid = out.w_valid = 1
        pins = master.step()
        ready = {"unstable_ar": pins.ar_ready, "unstable_aw": pins.aw_ready, "unstable_w": pins.w_ready}
        if rule in wanted.values():
            if not ready[rule]:
                if rule == "unstable_ar":
                    out.ar_addr += 8
                elif rule == "unstable_aw":
                    out.aw_valid = 0
                else:
                    out.w_data[0] ^= 1
                for name in ready:
                    if name != rule:
                        setattr(out, name.removeprefix("unstable_") + "_valid", 0)
                master.step()
                break
        elif pins.ar_ready and pins.aw_ready and pins.w_ready:
            break
    out.ar_valid = out.aw_valid = out.w_valid = 0
    broken = set(master.counts().broken())
    assert rule in broken
    assert broken <= {rule} | {name for name in wanted.values() if rule in wanted.values()}
    master.close()


def test_settings_are_checked():
    with pytest.raises(ValueError, match=r"^memory stall must be 0 to 0\.99, not 1\.5$"):
        Memory(stall=1.5)
