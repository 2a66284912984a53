"""Measure everything that README.md shows and write its table.

usage: python bench/measured.py [FILE ...]     (default all; names as in report/measured.py)

JSON goes to build/measured/. A quarter of an hour on two idle cores.
"""

import subprocess
import sys
from pathlib import Path

from report.measured import commands, update

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "measured"


def main(chosen: list[str]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, command in commands().items():
        if not chosen or file in chosen:
            _, *arguments = command.split()
            print(f"$ {command}", flush=True)
            program = [sys.executable, "-m", "gradloom.cli", *arguments, "--json", str(FOLDER / f"{file}.json")]
            subprocess.run(program, cwd=ROOT, check=True)
    update(ROOT / "README.md", FOLDER)


if __name__ == "__main__":
    main(sys.argv[1:])
