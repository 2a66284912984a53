"""Accuracy of the demo network by format, rounding and seed: prints the tables of docs/training.md.

usage: python bench/training_formats.py [SEEDS]     (default 4; each run takes seconds)
"""

import sys
from collections.abc import Callable
from dataclasses import replace

from golden.float_reference import train_float
from golden.trainer import DEMO, Config, Samples, train
from host.datasets import load
from spec.number import Rounding

FRACS = (10, 8, 6, 5, 4, 3)


def row(label: str, seeds: int, accuracy: Callable[[int], float]) -> str:
    """One line of a Markdown table: the worst, the mean and the best of the seeds."""
    values = [accuracy(seed) for seed in range(seeds)]
    return f"| {label} | {min(values):.4f} | {sum(values) / seeds:.4f} | {max(values):.4f} |"


def words(config: Config, samples: Samples, rounding: Rounding) -> Callable[[int], float]:
    """Accuracy of a run on integer words, by seed."""
    return lambda seed: train(replace(config, rounding=rounding, seed=seed), samples).accuracy


def main(seeds: int) -> None:
    samples = load("digits")
    print("| run | worst | mean | best |\n|---|---|---|---|")
    print(row("float64", seeds, lambda seed: train_float(replace(DEMO, seed=seed), samples)[-1].accuracy))
    for label, config in [("demo formats", DEMO)] + [(f"frac {frac}", DEMO.with_frac(frac)) for frac in FRACS]:
        for rounding in (Rounding.STOCHASTIC, Rounding.NEAREST):
            print(row(f"{label}, {rounding.name.lower()}", seeds, words(config, samples, rounding)), flush=True)


if __name__ == "__main__":
    main(*(int(seeds) for seeds in sys.argv[1:2] or ["4"]))
