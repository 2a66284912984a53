"""Writes the tables of docs/registers.md and docs/program-image.md anew: ``python bench/soc_pages.py``."""

from pathlib import Path

from gradloom.soc.register_map import table
from host.image_layout import RECORDS, Layout
from spec.chip import CHIPS

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- generated -->\n", "<!-- end of generated -->"


def records() -> str:
    """A table for each record of a program image."""
    return "\n".join(f"### {name}\n{_words(layout)}" for name, layout in RECORDS.items())


def _words(layout: Layout) -> str:
    rows = [f"| {number} | `{name}` | {doc} |" for number, (name, doc) in enumerate(layout.items())]
    return "\n".join(["| word | name | |", "|---|---|---|", *rows, ""])


PAGES = {"registers.md": lambda: table(CHIPS["ecp5-64"]), "program-image.md": records}


def page(name: str) -> str:
    """The page with its generated part as it should be."""
    before, _, rest = (DOCS / name).read_text().partition(BEGIN)
    return before + BEGIN + PAGES[name]() + END + rest.partition(END)[2]


if __name__ == "__main__":
    for name in PAGES:
        (DOCS / name).write_text(page(name))
