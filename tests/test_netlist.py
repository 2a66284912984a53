"""The netlist player; the netlist itself, which takes minutes to synthesise and to compile, among the slow tests."""

import json

import netlist_player
import pytest
from engine_cases import CASE_CHIPS
from engine_player import CaseFailed, Tally
from netlist_player import _inverted, main, play


@pytest.mark.rtl
@pytest.mark.pnr
@pytest.mark.slow
def test_the_netlist_gives_goldens_words(seed):
    cells, tally = play(CASE_CHIPS["2x4w16"], 20, seed)
    assert cells["MULT18X18D"] > 0 < cells["DP16KD"]
    assert (tally.cases, tally.differing_words) == (20, 0)
    assert tally.words > 20 * CASE_CHIPS["2x4w16"].scratch_bricks


TWO = "  LUT4 #(\n    .INIT(16'h00ff)\n  ) a (\n  );\n  LUT4 #(\n    .INIT(16'hdffe)\n  ) b (\n  );\n"


def test_one_table_is_inverted():
    assert _inverted(TWO, 1) == TWO.replace("dffe", "2001")
    with pytest.raises(ValueError, match=r"^--wrong must be 0 to 1, not 2$"):
        _inverted(TWO, 2)


def test_the_outcome_is_printed_and_written(monkeypatch, tmp_path, capsys):
    cells = {"LUT4": 7, "MULT18X18D": 2}
    monkeypatch.setattr(netlist_player, "play", lambda *_: (cells, Tally(cases=20, commands=22, words=5)))
    assert main(["--json", str(tmp_path / "new" / "netlist.json")]) == 0
    assert capsys.readouterr().out.startswith(
        "netlist of 2x4w16 (7 LUT4, 2 MULT18X18D): 20 cases, 22 commands, 5 words compared, 0 differ, "
    )
    result = json.loads((tmp_path / "new" / "netlist.json").read_text())
    assert (result["differing_words"], result["cells"]) == (0, cells)


@pytest.mark.parametrize(("error", "status"), [(CaseFailed("3 words differ"), 1), (ValueError("no Yosys"), 2)])
def test_a_difference_ends_in_status_1_and_a_missing_tool_in_2(error, status, monkeypatch, capsys):
    def failing(*_):
        raise error

    monkeypatch.setattr(netlist_player, "play", failing)
    assert main([]) == status
    captured = capsys.readouterr()
    assert (captured.out if status == 1 else captured.err) == f"{error}\n"
