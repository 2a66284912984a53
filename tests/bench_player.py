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
from tb import run as runner
from tb.benches import UNITS

QUICK = ["-CFLAGS", "-O0"]  # a run by hand is worth a short compilation, not a fast simulation


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--unit", choices=UNITS, required=True)
    parser.add_argument("--chip", choices=[*CASE_CHIPS, *CHIPS], required=True)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    runner.WAIVED = [*runner.WAIVED, *QUICK]
    with TemporaryDirectory() as folder:
        bench = build_unit(options.unit, (CASE_CHIPS | CHIPS)[options.chip], Path(folder))
        ran, failed = runner.run(bench.module, bench.netlist, options.seed, env=bench.env, verbose=False)
    print(f"{failed} of {ran} tests of {bench.module} fail")
    return FAILED if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
