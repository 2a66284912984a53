"""The estimate of a step's cycles beside simulated hardware, and the fit of its coefficients.

    python bench/formula.py [NAME ...]      residuals of FITTED and UNSEEN, in per cent
    python bench/formula.py --fit           finds :class:`host.costs.Coefficients` from FITTED alone, and prints them

Machines are compiled first, minutes each. Networks on MNIST and CIFAR-10 are left out where GRADLOOM_DATA has no such files.
"""

import argparse
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import numpy as np

from golden.emulator_product import ProductOutcome
from golden.presets import preset
from golden.tally import Tally
from gradloom.backend import opened
from gradloom.tracing import Step, step_of
from host.costs import Coefficients, Visits, product_cycles, visits
from host.datasets import DataError, load
from host.driver import MEMORY, RING
from host.estimate import EstimatedMachine
from host.machines import Backend, Ran
from spec.chip import CHIPS, Chip
from spec.isa import DESCRIPTOR_BYTES, Opcode, decode
from tb.native.memory import Memory


@dataclass(frozen=True)
class Workload:
    """One step of a network in one format (None: its own), behind ``after`` steps of golden."""

    net: str
    data: str
    chip: str
    batch: int
    frac: int | None = None
    width: int = 16
    after: int = 20

    @property
    def name(self) -> str:
        return f"{self.net} {self.data} {self.chip} batch {self.batch} width {self.width} frac {'own' if self.frac is None else self.frac}"


FITTED = (
    Workload("cnn", "digits", "sim64", 32, 4),
    Workload("cnn", "digits", "sim64", 32, 8),
    Workload("cnn", "digits", "ecp5-16", 32),
    Workload("cnn", "digits", "ecp5-64", 32),
    Workload("cnn", "digits", "ecp5-1x64", 32, 8),
    Workload("mlp", "digits", "ecp5-16", 32),
    Workload("lenet5", "mnist", "sim64", 8),
)
UNSEEN = (
    Workload("cnn", "digits", "sim64", 32, 12),
    Workload("cnn", "digits", "sim64", 32, 8, width=12),
    Workload("cnn", "digits", "sim64", 32, 10, width=18),
    Workload("mlp", "digits", "sim64", 32),
    Workload("resnet20", "digits", "sim64", 4, after=5),
    Workload("lenet5", "mnist", "ecp5-16", 8),
    Workload("gupta-cifar", "cifar10", "sim64", 4, after=5),
)


@dataclass(frozen=True)
class Product:
    """One product of a step, and its cycles in simulation."""

    chip: Chip
    visits: Visits
    cycles: int


class Noted(EstimatedMachine):
    """Keeps the descriptors of every run."""

    def __init__(self, chip: Chip):
        super().__init__(chip, MEMORY, RING, Memory())
        self.descriptors: list[bytes] = []

    def run(self, descriptors: bytes) -> None:
        self.descriptors.append(descriptors)
        super().run(descriptors)


def measured(work: Workload) -> tuple[int, int, list[Product]]:
    """Cycles of the step, estimated and simulated, and its products."""
    chip = replace(CHIPS[work.chip], width=work.width)
    chip = replace(chip, acc_width=max(chip.acc_width, 2 * work.width + 4))
    config = replace(preset(work.net), batch=work.batch)
    if work.frac is not None:
        config = config.with_frac(work.frac, work.width)
    step = step_of(config, load(work.data), work.after)
    emulated = Noted(chip)
    estimated, _ = _runs(step, emulated)
    with opened("rtl", chip, exact=True) as machine:
        simulated, tally = _runs(step, machine)
    assert not tally.differing_words, tally.first_difference
    products = [
        Product(chip, visits(chip, values, told.outcome), seen.done - seen.issued)
        for descriptors, a, b in zip(emulated.descriptors[-len(estimated) :], estimated, simulated, strict=True)
        for told, seen in zip(a.commands, b.commands, strict=True)
        for opcode, values in (decode(descriptors[told.index * DESCRIPTOR_BYTES :][:DESCRIPTOR_BYTES]),)
        if opcode == Opcode.PRODUCT and isinstance(told.outcome, ProductOutcome)
    ]
    return _total(estimated), _total(simulated), products


def _runs(step: Step, backend: Backend) -> tuple[list[Ran], Tally]:
    driver, tally = step.driven(step.graph, backend)
    assert driver.stepped is not None
    return driver.stepped[1], tally


def _total(runs: Iterable[Ran]) -> int:
    return sum(ran.cycles for ran in runs)


def fitted(products: list[Product]) -> Coefficients:
    """Least squares of logarithms, each product weighing as the root of its cycles."""
    from scipy.optimize import least_squares

    names = [field.name for field in fields(Coefficients)]
    start = np.array([getattr(Coefficients(), name) for name in names])

    def residuals(values: np.ndarray) -> list[float]:
        costs = Coefficients(**dict(zip(names, values.tolist(), strict=True)))
        return [
            math.log(product_cycles(p.chip, p.visits, costs) / p.cycles) * math.sqrt(p.cycles) / 100 for p in products
        ]

    found = least_squares(residuals, start, bounds=(0, 10 * start + 1), diff_step=0.02)
    return Coefficients(**{name: round(value, 2) for name, value in zip(names, found.x.tolist(), strict=True)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", help="workloads whose name holds one of these; all without")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--json", type=Path, default=Path("build/formula.json"))
    options = parser.parse_args()
    rows, products = [], []
    for work in FITTED if options.fit else (*FITTED, *UNSEEN):
        if options.name and not any(text in work.name for text in options.name):
            continue
        try:
            estimated, simulated, own = measured(work)
        except DataError as missing:
            print(f"{work.name}: left out: {missing}", flush=True)
            continue
        products += own
        rows.append(asdict(work) | {"unseen": work in UNSEEN, "estimated": estimated, "simulated": simulated})
        off = 100 * (estimated / simulated - 1)
        print(f"{'unseen' if work in UNSEEN else 'fitted'}  {work.name:58} {estimated:>10,} {simulated:>10,} {off:+6.1f} %", flush=True)
    if options.fit:
        print(fitted(products))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
