"""The bench kit catches what it is there to catch."""

from dataclasses import dataclass

import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.emit import emit
from tb import toolchain
from tb.run import run

WORD = data.StructLayout({"acc": signed(12), "index": 32})


@dataclass(frozen=True)
class Stage:
    """A register between two streams, with one fault or none."""

    fault: str = "none"


class StageCircuit(wiring.Component):
    i: In(stream.Signature(WORD))
    o: Out(stream.Signature(WORD))

    def __init__(self, spec: Stage):
        self.spec = spec
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        fault = self.spec.fault
        taken = Signal(range(150))
        full = Signal()
        m.d.comb += self.o.valid.eq(full)
        with m.If(self.o.ready | ~full):
            m.d.comb += self.i.ready.eq(1)
            m.d.sync += [full.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
            with m.If(self.i.valid & (taken != 149)):
                m.d.sync += taken.eq(taken + 1)
            if fault == "loses":
                with m.If(taken == 100):
                    m.d.sync += full.eq(0)
            if fault == "repeats":
                done = Signal()
                with m.If((taken == 149) & full & ~self.i.valid & ~done):
                    m.d.sync += [full.eq(1), self.o.payload.eq(self.o.payload), done.eq(1)]
        with m.Else():
            if fault == "changes":
                m.d.sync += self.o.p.index.eq(self.o.p.index ^ 1)
            if fault == "withdraws":
                m.d.sync += full.eq(0)
        return m


def simulate(tmp_path, seed, fault="none", latency=1, **options):
    spec = Stage(fault=fault)
    netlist = emit(StageCircuit(spec), "stage", spec=spec, folder=tmp_path)
    return run("bench_kit", netlist, seed, env={"LATENCY": str(latency)}, **options)


@pytest.mark.rtl
def test_a_correct_stage_passes(tmp_path, seed):
    assert simulate(tmp_path, seed) == (4, 0)


@pytest.mark.rtl
@pytest.mark.parametrize(
    ("fault", "failed"),
    [("changes", 1), ("withdraws", 1), ("loses", 2), ("repeats", 2)],
)
def test_a_faulty_stage_fails(tmp_path, seed, fault, failed):
    ran, count = simulate(tmp_path, seed, fault)
    assert ran == 4
    assert count >= failed


@pytest.mark.rtl
def test_a_wrong_latency_fails(tmp_path, seed):
    assert simulate(tmp_path, seed, latency=2) == (4, 1)


@pytest.mark.rtl
def test_waves_are_recorded_on_request(tmp_path, seed):
    assert simulate(tmp_path, seed, waves=True) == (4, 0)
    assert (tmp_path / "sim" / f"tb.bench_kit-{seed}" / "dump.fst").stat().st_size > 0


@pytest.mark.rtl
def test_verilators_own_library_is_compiled_once_for_all_designs(tmp_path, seed, monkeypatch):
    root, shared = tmp_path / "build", toolchain.build_root() / "runtime"
    shared.mkdir(parents=True, exist_ok=True)
    root.mkdir()
    (root / "runtime").symlink_to(shared.resolve())
    monkeypatch.setattr(toolchain, "build_root", lambda: root)
    first, second = tmp_path / "first", tmp_path / "second"
    simulate(first, seed)  # builds the library, unless an earlier run has
    earlier = set((root / "sim").glob("stage-*/build.log"))
    simulate(second, seed, "changes", verbose=False)
    (log,) = set((root / "sim").glob("stage-*/build.log")) - earlier
    assert "stage" in log.read_text()
    assert "-o verilated" not in log.read_text()
