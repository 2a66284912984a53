"""Planted faults are caught, and the list of them fits the sources."""

import json
from dataclasses import replace

import faults
import numpy as np
import pytest
from fault_list import FAULTS
from faults import FaultError, Outcome, main, mutated, try_fault


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_fits_its_file_exactly_once(fault):
    original = (faults.ROOT / fault.file).read_text()
    assert mutated(fault) != original
    assert len(mutated(fault)) == len(original) + len(fault.new) - len(fault.old)


def test_names_tell_the_faults_apart():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 50
    assert all(fault.name.startswith(f"{fault.unit}: ") for fault in FAULTS)


def test_a_fault_that_no_longer_fits_is_refused():
    stale = replace(FAULTS[0], name="drain: stale", old="no such text")
    with pytest.raises(FaultError) as error:
        mutated(stale)
    assert str(error.value) == "fault 'drain: stale': its text occurs 0 times in hw/drain.py, not once"


@pytest.mark.rtl
@pytest.mark.parametrize("by_a_bench", [False, True], ids=["by engine cases", "by a bench"])
def test_a_fault_is_caught(by_a_bench, seed):
    """Another by every seed; ``python tests/faults.py`` tries all."""
    fault = np.random.default_rng(seed).choice([fault for fault in FAULTS if bool(fault.bench) == by_a_bench])
    assert try_fault(fault).caught, fault


@pytest.mark.rtl
def test_a_machine_that_does_not_build_is_no_fault_caught():
    broken = replace(FAULTS[0], name="drain: broken", new="no such name")
    with pytest.raises(FaultError, match=r"^fault 'drain: broken': no machine to test:\n(.*\n)*.*SyntaxError"):
        try_fault(broken)


@pytest.mark.rtl
@pytest.mark.slow
def test_all_faults_are_caught(tmp_path, capsys):
    assert main(["--json", str(tmp_path / "faults.json")]) == 0, capsys.readouterr().out
    outcomes = json.loads((tmp_path / "faults.json").read_text())
    assert [outcome["fault"] for outcome in outcomes] == [fault.name for fault in FAULTS]


@pytest.mark.parametrize(("caught", "status", "line"), [(True, 0, "5 words differ"), (False, 1, "SURVIVED")])
def test_a_survivor_is_named_and_ends_in_status_1(caught, status, line, monkeypatch, tmp_path, capsys):
    def tried(fault, seed):
        return Outcome(fault.name, fault.unit, fault.chip, caught, "5 words differ" if caught else "", 1.0)

    monkeypatch.setattr(faults, "try_fault", tried)
    assert main(["lanes swapped", "--json", str(tmp_path / "new" / "faults.json")]) == status
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("drain: lanes swapped")
    assert first.endswith(line)
    assert last == f"{int(caught)} of 1 faults caught"
    assert json.loads((tmp_path / "new" / "faults.json").read_text())[0]["caught"] is caught
