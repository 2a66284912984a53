"""What each way to train reaches and costs: one job trains one variant with one seed, another times its steps on a machine."""

import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from golden.checkpoint import Checkpoint
from golden.config import Config, Samples
from golden.graph import Graph
from golden.layers import GoldenExecute
from golden.tally import Tally
from golden.techniques.catalog import PAPER_ROWS, Variant, variants
from golden.techniques.prediction import bound
from golden.techniques.rescaling import Stage
from golden.trainer import batches, described, evaluate, steps_per_epoch, train
from host.compiler import Unsupported
from host.datasets import load
from host.driver import Driver, without_masks
from host.energy import energy
from host.overlap import exposed
from host.profile import totalled
from spec.chip import Chip
from spec.version import VERSION

TIMED = 8  # steps that a machine takes of a variant's run, of each kind of step one at least
COUNTED = ("FP", "BP", "WG", "update", "predict")


@dataclass(frozen=True)
class Job:
    """One piece of work; equal jobs have equal results. kind : "train" or "time"."""

    kind: str
    study: str
    place: int  # of the variant among those of the study
    config: Config
    data: str
    chip: Chip | None = None

    @property
    def variant(self) -> Variant:
        return variants(self.study)[self.place]

    @property
    def name(self) -> str:
        """Of its result's file."""
        variant = self.variant
        told = asdict(self) | {"place": 0, "study": "", "variant": [variant.technique, variant.name], "version": VERSION}
        digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]
        return f"{self.kind}-{variant.technique}-{digest}.json"

    def run(self) -> dict[str, Any]:
        with threadpool_limits(1):
            return _train(self) if self.kind == "train" else _time(self)


def kept(job: Job, folder: Path) -> dict[str, Any]:
    """Its result: the one on file, or a new one, which is then put there."""
    file = folder / job.name
    if file.exists():
        return dict(json.loads(file.read_text()))
    result = job.run()
    folder.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{hashlib.sha256(repr(job).encode()).hexdigest()[:8]}")
    part.write_text(json.dumps(result))
    part.replace(file)  # whole or not at all
    return result


def _stages(job: Job, samples: Samples) -> tuple[Config, list[Stage]]:
    """What is trained one after the other; of most variants one network all along."""
    config = job.config if job.variant.settings is None else job.variant.settings(job.config)
    if job.variant.stages is not None:
        return config, job.variant.stages(config, samples)
    graph = config.graph(samples)
    if job.variant.policy is not None:
        graph.follow(job.variant.policy(job.config), steps_per_epoch(config, samples))
    return config, [Stage(graph, samples, 0, config.epochs)]


def _train(job: Job) -> dict[str, Any]:
    """Accuracy after the last epoch."""
    samples = load(job.data)
    try:
        config, stages = _stages(job, samples)
    except ValueError as refused:
        return {"refused": str(refused)}
    per_epoch = steps_per_epoch(config, samples)
    history: tuple[dict[str, Any], ...] = ()
    for stage in stages:
        stage.begin()
        point = Checkpoint(described(config, stage.samples), stage.graph.state(), stage.first * per_epoch, history=history)
        resume = point if stage.first else None
        done = train(config, stage.samples, network=stage.graph, resume=resume, steps=stage.last * per_epoch)
        history = tuple(asdict(log) for log in done.history)
    graph = stages[-1].graph
    if job.variant.finish is not None:
        job.variant.finish(graph)
    return {"accuracy": evaluate(graph, samples, Tally(GoldenExecute()))}


def _time(job: Job) -> dict[str, Any]:
    """Cycles, bytes and energy of the whole run: of each kind of step those of the steps that the machine took, times their number."""
    from gradloom.backend import opened

    assert job.chip is not None
    samples = load(job.data)
    try:
        config, stages = _stages(job, samples)
        timing = Timing(Tally(GoldenExecute(job.chip.width, job.chip.acc_width)))
        with opened("rtl", job.chip, exact=True) as machine:
            for stage in stages:
                stage.begin()
                graph = stage.graph if job.variant.masks else without_masks(stage.graph)
                driver = Driver(graph, machine, check=True, skip=job.variant.skip)
                if job.variant.policy is not None:
                    driver.follow(job.variant.policy(job.config), steps_per_epoch(config, samples), job.variant.resident)
                timing.add(driver, config, stage)
        return timing.told(job.chip)
    except Unsupported as reason:
        return {"unsupported": str(reason)}
    except ValueError as refused:
        return {"refused": str(refused)}


class Timing:
    """Cycles, multiplications and bytes of a run, stage by stage, from the steps of it that a machine takes."""

    def __init__(self, tally: Tally):
        self.tally = tally
        self.whole: dict[str, float] = dict.fromkeys((*COUNTED, "exposed", "macs", "bytes"), 0.0)
        self.steps = self.timed = self.predicted = 0
        self.by_host = False

    def add(self, driver: Driver, config: Config, stage: Stage) -> None:
        """Golden takes every step, the machine the first of each kind and some others, from golden's state."""
        graph, samples = stage.graph, stage.samples
        begun, total = (epoch * steps_per_epoch(config, samples) for epoch in (stage.first, stage.last - stage.first))
        some = {begun + round((i + 0.5) * total / TIMED) for i in range(TIMED)}
        costs: dict[Hashable, list[Counter[str]]] = {}
        kinds: Counter[Hashable] = Counter()
        formats = config.formats
        for step, (epoch, chosen) in enumerate(_steps(config, stage), begun):
            if config.formats_at(epoch) != formats:
                formats = config.formats_at(epoch)
                graph.reformat(formats)
                driver.reformat(formats)
            before = graph.state()
            plans = [config.sgd_at(epoch).plan(own, config.batch) for own in graph.formats]
            batch = samples.words(samples.train_x[chosen], config.inputs), samples.train_y[chosen], plans, config.rounding, step
            graph.step(GoldenExecute(), *batch)
            kind: Hashable = (graph.policy.variant(), len(chosen), formats)
            kinds[kind] += 1
            self.predicted += _predicting(graph)
            if step in some or kind not in costs:
                driver.restore(before)
                driver.step(self.tally, *batch)
                trace = driver.trace()
                cycles, moved = totalled(trace)
                moved["exposed"] = exposed(trace, awaited=_predicting(graph))
                costs.setdefault(kind, []).append(cycles + moved)
        for kind, taken in costs.items():
            for cost in taken:
                for name, n in cost.items():
                    self.whole[name] += n * kinds[kind] / len(taken)
        self.steps += total
        self.timed += sum(map(len, costs.values()))
        self.by_host |= driver.lowering.by_host

    def told(self, chip: Chip) -> dict[str, Any]:
        """Of the whole run."""
        return {
            "cycles": {phase: round(self.whole[phase]) for phase in COUNTED},
            "exposed": round(self.whole["exposed"]),
            "cycles_bound": round(self.whole["macs"] / chip.total_lanes),
            "bytes": round(self.whole["bytes"]),
            "energy": energy(chip, self.whole),
            "by_host": self.by_host,
            "steps": self.steps,
            "predicted": self.predicted,
            "timed": self.timed,
            "words_compared": self.tally.words_compared,
            "differing_words": self.tally.differing_words,
            "first_difference": self.tally.first_difference,
        }


def _predicting(graph: Graph) -> bool:
    """Whether the step that was taken last had no backward pass."""
    return bool(getattr(graph.policy, "predicting", False))


def _steps(config: Config, stage: Stage) -> Iterator[tuple[int, np.ndarray]]:
    for epoch in range(stage.first, stage.last):
        for chosen in batches(stage.samples, config, epoch):
            yield epoch, chosen


def planned(study: str, config: Config, data: str, seeds: int, chip: Chip) -> list[Job]:
    """All work of a study: a training for each variant and seed, a timing for each variant, but nothing that would be an earlier one's again."""
    jobs = []
    found = variants(study)
    for place in range(len(found)):
        if _trained_at(found, place) == place:
            jobs += [Job("train", study, place, replace(config, seed=config.seed + n), data) for n in range(seeds)]
        if _timed_at(found, place) == place:
            jobs.append(Job("time", study, place, config, data, chip))
    return jobs


def _trained_at(found: Sequence[Variant], place: int) -> int:
    """The first of the variants that trains as the one at ``place``."""
    return [variant.training for variant in found].index(found[place].training)


def _timed_at(found: Sequence[Variant], place: int) -> int:
    return [variant.running for variant in found].index(found[place].running)


def rows(study: str, jobs: Mapping[Job, dict[str, Any]], config: Config, data: str) -> list[dict[str, Any]]:
    """What the jobs found, a row for each variant; None where a variant was refused or no machine carries it out."""
    found = variants(study)
    trained: dict[int, list[dict[str, Any]]] = {place: [] for place in range(len(found))}
    timed: dict[int, dict[str, Any]] = {}
    for job, result in jobs.items():
        if job.kind == "train":
            trained[job.place].append(result)
        else:
            timed[job.place] = result
    base = timed.get(0, {})
    return [
        _row(
            variant,
            trained[_trained_at(found, place)],
            timed.get(_timed_at(found, place), {}),
            base,
            config,
            data,
        )
        for place, variant in enumerate(found)
    ]


def _row(
    variant: Variant, trained: list[dict[str, Any]], timed: dict[str, Any], base: dict[str, Any], config: Config, data: str
) -> dict[str, Any]:
    reached = [result["accuracy"] for result in trained if "accuracy" in result]
    paper = PAPER_ROWS.get(variant.paper)
    reasons = [result[why] for result in [*trained, timed] for why in ("refused", "unsupported") if why in result]
    if timed.get("by_host"):
        reasons.append("the host chooses, in time that is not counted")
    cycles = timed.get("cycles")
    if cycles and variant.apart:
        cycles = cycles | {"predict": timed["exposed"]}
    before = sum(base["cycles"].values()) if cycles and "cycles" in base else None
    return {
        "technique": variant.technique,
        "variant": variant.name,
        "role": variant.role,
        "data": data,
        "net": config.net,
        "epochs": config.epochs,
        "seeds": len(reached),
        "accuracy_mean": round(mean(reached), 4) if reached else None,
        "accuracy_std": round(stdev(reached), 4) if len(reached) > 1 else None,
        "cycles": cycles,
        "cycles_bound": timed.get("cycles_bound"),
        "speedup": round(before / sum(cycles.values()), 3) if cycles and before else None,
        "speedup_bound": round(bound(timed["predicted"] / timed["steps"]), 3) if timed.get("predicted") else None,
        "bytes": timed.get("bytes"),
        "energy_relative": round(timed["energy"] / base["energy"], 3) if "energy" in timed and "energy" in base else None,
        "words_compared": timed.get("words_compared", 0),
        "differing_words": timed.get("differing_words", 0),
        "reason": reasons[0] if reasons else None,
        "paper_row": paper.text if paper else None,
        "paper_row_read": paper.read if paper else None,
    }
