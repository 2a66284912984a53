"""``gradloom demo``: a convolutional network trained on the generated machine, beside NumPy and float64."""

import time
from dataclasses import replace
from pathlib import Path

import click
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from golden.config import Config
from golden.float_reference import train_float
from golden.layers import PHASES
from golden.trainer import Samples
from gradloom.console import bars, err, talk, write_folder, write_json
from gradloom.options import INTERRUPTED, chip_option, json_option, seed_option
from gradloom.training import Keeping, run_golden, run_machine, utilisation
from host.machines import Backend
from spec.chip import Chip
from spec.number import Rounding

COARSE_FRAC = 5  # stochastic rounding still learns with so few fraction bits, nearest does not


@click.command()
@click.option("--epochs", type=int, help="Stop after so many epochs.  [default: the network's, 5]")
@chip_option("ecp5-64")
@seed_option
@click.option(
    "-o", "--out", "folder", type=Path, default=Path("build/demo"), show_default=True, help="Picture and JSON."
)
@json_option
def demo(epochs: int | None, chip: Chip, seed: int, folder: Path, json_to: str | None) -> None:
    """Train a convolutional network on the generated machine, and compare every word.

    The machine is Verilog, compiled by Verilator: images and commands lie in memory behind its AXI bus, and from there to the
    updated weights it computes everything but the few numbers of each channel that batch norm and the loss need. The golden
    model trains on its own from the same seed; every tensor of every step is compared word for word.

    Ctrl-C ends the run after the last whole epoch and keeps what there is.
    """
    from golden.presets import preset
    from gradloom.backend import opened
    from host.datasets import load
    from report.learning_curve import learning_curve
    from report.tables import accuracy_table, phase_table

    config = replace(preset("cnn"), seed=seed)
    if epochs is not None:
        config = replace(config, epochs=epochs)
    write_folder(folder)
    samples = load("digits")
    console = talk(json_to)
    with opened("rtl", chip) as machine, bars() as shown:
        result = run_demo(config, samples, machine, shown)
    write_json(result, str(folder / "result.json"))
    picture = learning_curve(result, folder / "learning_curve.png")
    console.print(accuracy_table(result))
    console.print(phase_table(result))
    console.print(
        f"differing words: [bold]{result['differing_words']}[/bold] of {result['words_compared']:,} compared "
        f"(activations, gradients, weights, momentum of every step)"
        + (f"; first: {result['first_difference']}" if result["differing_words"] else "")
    )
    console.print(f"wall time: {result['seconds']:.0f} s, of it {result['seconds_rtl']:.0f} s on the simulated machine")
    console.print(f"kept: {picture}, {folder / 'result.json'}")
    console.print(
        "next: gradloom trace --net cnn --chip ecp5-64 --picture build/trace.png\n"
        "      gradloom train --net mlp --backend rtl --steps 3 --check\n"
        "      gradloom generate --unit machine -o build/rtl"
    )
    write_json(result, json_to)
    if result["differing_words"] or result["differing_epoch_digests"]:
        raise SystemExit(1)
    if result["interrupted"]:
        err.print(f"interrupted after {result['epochs']} of {config.epochs} epochs")
        raise SystemExit(INTERRUPTED)


def run_demo(config: Config, samples: Samples, machine: Backend, shown: Progress) -> dict:
    """The tour: float64, golden, the machine beside golden, and nearest rounding in a coarse format.

    KeyboardInterrupt ends the machine's run; what was measured until then is returned.
    """
    start = time.perf_counter()
    lanes = machine.chip.total_lanes
    with threadpool_limits(1):
        floats = train_float(config, samples)
    golden = run_golden(config, samples, shown, "golden", network=config.graph(samples))
    coarse = config.with_frac(COARSE_FRAC)
    coarse_runs = {
        f"{COARSE_FRAC} fraction bits, {mode.name.lower()}": run_golden(
            replace(coarse, rounding=mode), samples, shown, f"{COARSE_FRAC} fraction bits, {mode.name.lower()}"
        )
        for mode in (Rounding.STOCHASTIC, Rounding.NEAREST)
    }
    if golden.interrupted or any(run.interrupted for run in coarse_runs.values()):
        raise KeyboardInterrupt  # the machine has done nothing yet

    began = time.perf_counter()
    rtl, _ = run_machine(config, samples, shown, f"RTL, {machine.chip.name}", machine, True, Keeping())
    digests = [ours.digest != theirs.digest for ours, theirs in zip(rtl.history, golden.history, strict=False)]
    cycles = {phase: sum(log.cycles.get(phase, 0) for log in rtl.history) for phase in (*PHASES, "update")}

    def last(of: dict[str, float]) -> dict[str, float]:
        return {phase: round(of[phase], 4) for phase in PHASES}

    log = rtl.history[-1] if rtl.history else None
    stochastic, nearest = coarse_runs.values()
    return {
        "chip": machine.chip.name,
        "lanes": lanes,
        "data": samples.name,
        "net": config.net,
        "accuracy_float": floats[-1].accuracy,
        "accuracy_golden": golden.accuracy,
        "accuracy_rtl": rtl.accuracy,
        "accuracy_coarse_stochastic": stochastic.accuracy,
        "accuracy_coarse_nearest": nearest.accuracy,
        "differing_words": rtl.differing_words,
        "words_compared": rtl.words_compared,
        "differing_epoch_digests": sum(digests),
        "first_difference": rtl.first_difference,
        "cycles": cycles,
        "density": last(log.density) if log else {},
        "mask_density": round(log.mask_density, 4) if log else 0.0,
        "utilisation": utilisation(log, lanes) if log else {},
        "macs_dense": {phase: sum(log.macs_dense[phase] for log in rtl.history) for phase in PHASES},
        "macs_done": {phase: sum(log.macs_done[phase] for log in rtl.history) for phase in PHASES},
        "saturations": sum(sum(log.saturations.values()) for log in rtl.history),
        "epochs": len(rtl.history),
        "interrupted": rtl.interrupted,
        "seconds_rtl": round(time.perf_counter() - began, 1),
        "seconds": round(time.perf_counter() - start, 1),
        "history": {
            "float": [log.accuracy for log in floats],
            "golden": [log.accuracy for log in golden.history],
            "rtl": [log.accuracy for log in rtl.history],
            **{name: [log.accuracy for log in run.history] for name, run in coarse_runs.items()},
        },
        "loss": {"float": [log.loss for log in floats], "rtl": [log.loss for log in rtl.history]},
    }
