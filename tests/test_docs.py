"""Pages: every one is listed, every link leads somewhere, every source that is named exists."""

import re
from pathlib import Path

import pytest

from gradloom.cli import main
from report.measured import BEGIN, END, commands, update

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
LINK = re.compile(r"\]\(([^)#:]+)\)")
SOURCE = re.compile(r"`((?:spec|golden|hw|prove|tb|synth|host|report|gradloom|tests|bench)/[\w/]+\.\w+)`")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=name)
def test_links_and_sources_exist(page):
    text = page.read_text()
    assert [link for link in LINK.findall(text) if not (page.parent / link).exists()] == []
    assert [source for source in SOURCE.findall(text) if not (ROOT / source).is_file()] == []


def test_every_page_is_listed():
    listed = {(ROOT / "docs" / link).resolve() for link in LINK.findall((ROOT / "docs/index.md").read_text())}
    assert [name(page) for page in PAGES if page.name != "index.md" and page.resolve() not in listed] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name == "units"], ids=name)
def test_a_units_page_opens_with_its_source(page):
    first = "\n".join(page.read_text().splitlines()[:6])
    assert SOURCE.search(first)


def test_the_table_of_measurements_is_made_from_json(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nstale\n{END}\nafter\n")
    (tmp_path / "speed.json").write_text('{"native_hz": 600000, "native_over_cocotb": 9.25, "golden_over_int64": 55.4}')
    update(page, tmp_path)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| native simulation, cycles a second | 600,000 | `gradloom measure speed` |" in text
    assert "| accuracy, RTL | not measured | `gradloom demo` |" in text
    assert "stale" not in text
    with pytest.raises(ValueError, match="has no <!-- measured -->"):
        update(tmp_path / "speed.json", tmp_path)


@pytest.mark.parametrize("command", sorted(set(commands().values())))
def test_commands_of_the_table_exist(command):
    _, *words = command.split()
    assert main.get_command(None, words[0]) is not None
