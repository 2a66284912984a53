"""Rows of Gupta et al. 2015 (arXiv 1502.02551, figure 2) with golden's words: MNIST, the convolutional network.

    python bench/gupta.py [ROW ...] [--epochs N]     all rows without names; needs MNIST (GRADLOOM_DATA, or `train --download` before)

Outputs are <6,10>; weights, errors and updates have 14 or 12 fraction bits of 16. A row's epochs are kept in ``--out`` as they end, and a row
that is asked for again goes on from its checkpoint. The rate falls by 5 % an epoch whatever their number, so that rows of different
length are compared at the same epoch.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from golden.checkpoint import Checkpoint
from golden.config import Config
from golden.float_reference import train_float
from golden.layers import Formats
from golden.presets import preset
from golden.trainer import train
from host.datasets import load
from spec.number import Fixed, Rounding

PAPER = {"stochastic 14": 0.83, "stochastic 12": 0.90, "float": 0.77, "nearest 14": "diverges", "nearest 12": "diverges"}


def coarser(config: Config, bits: int) -> Config:
    """Weights, errors and updates with so many fraction bits fewer."""
    assert isinstance(config.formats, Formats)
    told = {name: getattr(config.formats, name) for name in ("weights", "deltas", "gradients", "velocity")}
    return replace(config, formats=replace(config.formats, **{name: Fixed(f.width, f.frac - bits) for name, f in told.items()}))


def run(row: str, config: Config, out: Path) -> None:
    """One row; its epochs' test errors in per cent go to a file and the screen."""
    samples, name = load("mnist"), row.replace(" ", "-")
    errors: list[float] = []

    def tell(accuracy: float) -> None:
        errors.append(round(100 * (1 - accuracy), 2))
        (out / f"{name}.json").write_text(json.dumps({"row": row, "paper": PAPER[row], "error_by_epoch": errors}) + "\n")
        print(f"{row}: epoch {len(errors)}: {errors[-1]:.2f} %", flush=True)

    if row == "float":
        train_float(config, samples, on_epoch=lambda log: tell(log.accuracy))
        return
    rounding, frac = row.split()
    config = replace(coarser(config, 14 - int(frac)), rounding=Rounding[rounding.upper()])
    kept = out / f"{name}.npz"
    resume = Checkpoint.load(kept) if kept.exists() else None
    errors += [round(100 * (1 - log["accuracy"]), 2) for log in (resume.history if resume else ())]
    train(
        config, samples, resume=resume, keep=lambda point: point.save(kept), every=100,
        on_epoch=lambda log, _: tell(log.accuracy),
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row", nargs="*", help=", ".join(PAPER))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build/gupta"))
    options = parser.parse_args()
    unknown = [row for row in options.row if row not in PAPER]
    if unknown:
        parser.error(f"row must be one of {', '.join(PAPER)}, not {unknown[0]!r}")
    options.out.mkdir(parents=True, exist_ok=True)
    for row in options.row or PAPER:
        run(row, replace(preset("gupta-cnn"), epochs=options.epochs, seed=options.seed), options.out)


if __name__ == "__main__":
    main()
