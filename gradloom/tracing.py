"""One step on a machine, and what it cost."""

from dataclasses import dataclass

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from golden.layers import GoldenExecute
from golden.tally import Tally
from golden.trainer import Config, Samples, batches, train
from gradloom.backend import opened
from host.driver import MEMORY, RING, Driver
from host.machines import EmulatedMachine
from host.profile import Share, convolutions, merged, profile
from spec.chip import Chip


@dataclass(frozen=True)
class Traced:
    """What :func:`traced` found."""

    shares: list[Share]
    convolutions: dict[str, dict[str, float]]
    spans: list[dict]  # of every command, for a picture
    cycles: int
    words_compared: int
    differing_words: int
    first_difference: str


def traced(
    config: Config,
    samples: Samples,
    chip: Chip,
    backend: str,
    after: int = 0,
    latency: int = 50,
    bandwidth: float = 8.0,
) -> Traced:
    """One step, with the weights that ``after`` steps of golden leave.

    It is taken twice, by the machine and by the emulator, which counts the multiplications that had to be done.
    """
    graph = config.graph(samples)
    golden = GoldenExecute(chip.width, chip.acc_width)
    epoch, first = divmod(after, -(-len(samples.train_x) // config.batch))
    with threadpool_limits(1), opened(backend, chip, latency, bandwidth) as machine:
        if after:
            train(config, samples, network=graph, steps=after)
        chosen = next(rows for number, rows in enumerate(batches(samples, config, epoch)) if number == first)
        x = samples.words(samples.train_x[chosen], config.inputs)
        labels = samples.train_y[chosen]
        tally, rows = Tally(golden), []
        for backend_ in (EmulatedMachine(chip, MEMORY, RING), *([machine] if backend != "emulator" else [])):
            driver = Driver(graph, backend_, check=True)
            plans = [config.sgd_at(epoch).plan(formats, config.batch) for formats in driver.formats]
            tally = Tally(golden)
            driver.step(tally, x, labels, plans, config.rounding, after)
            rows.append(driver.trace())
    timed = merged(rows[-1], rows[0])
    shares = profile(chip, graph, timed)
    spans = [
        {"unit": (row.unit.name or "").lower(), "phase": row.phase, "begin": row.issued, "end": row.done}
        for row in timed
    ]
    return Traced(
        shares=shares,
        convolutions=convolutions(shares) if backend != "emulator" else {},
        spans=spans,
        cycles=sum(row.advance for row in timed),
        words_compared=tally.words_compared,
        differing_words=tally.differing_words,
        first_difference=tally.first_difference,
    )
