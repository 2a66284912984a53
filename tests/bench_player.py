"""One unit's bench on one chip, by hand: ``python tests/bench_player.py --unit vector --chip 2x4w16 --seed 1``."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from engine_cases import CASE_CHIPS
from engine_player import FAILED

from gradloom.units import build_unit
from spec.chip import CHIPS
from tb.benches import UNITS
from tb.run import run

FIRST_FAILURE_ENDS = {"COCOTB_MAX_FAILURES": "1"}  # where nothing moves, every test would wait for its own limit


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unit", choices=UNITS, required=True)
    parser.add_argument("--chip", choices=[*CASE_CHIPS, *CHIPS], required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    with TemporaryDirectory() as folder:
        bench = build_unit(options.unit, (CASE_CHIPS | CHIPS)[options.chip], Path(folder))
        ran, failed = run(bench.module, bench.netlist, options.seed, env=bench.env | FIRST_FAILURE_ENDS, verbose=False)
    print(f"{failed} of {ran} tests of {bench.module} fail")
    return FAILED if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
