"""Writes the table of docs/registers.md anew: ``python bench/registers_page.py``."""

from pathlib import Path

from gradloom.soc.register_map import table
from spec.chip import CHIPS

PAGE = Path(__file__).parents[1] / "docs/registers.md"
BEGIN, END = "<!-- map -->\n", "<!-- end of map -->"


def main() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(before + BEGIN + table(CHIPS["ecp5-64"]) + END + rest.partition(END)[2])


if __name__ == "__main__":
    main()
