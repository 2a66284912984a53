"""Price units on every target and write README's table of them, and a picture of each.

usage: python bench/targets.py [FILE ...]     (default all; names as `unit-chip-target`, see report/synthesis.py)
       python bench/targets.py --table        only the table, from what is in build/synth/

JSON and pictures go to build/synth/. An hour and more on two idle cores; needs the extra synth-all.
"""

import subprocess
import sys
from pathlib import Path

from report.synthesis import commands, update

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "synth"


def main(chosen: list[str]) -> None:
    runs = {} if chosen == ["--table"] else {file: commands()[file] for file in chosen or commands()}
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, command in runs.items():
        _, *arguments = command.split()
        print(f"$ {command}", flush=True)
        program = [sys.executable, "-m", "gradloom.cli", *arguments, "--picture", str(FOLDER / f"{file}.png")]
        subprocess.run(program, cwd=ROOT, check=True)
    update(ROOT / "README.md", FOLDER)


if __name__ == "__main__":
    main(sys.argv[1:])
