"""The studies: every technique beside the exact baseline and its null control, for runs of any length."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from golden.config import Config, Samples
from golden.graph import Graph
from golden.layers import Formats
from golden.policy import Policy
from golden.techniques.approximation import Batches, Gradient, GradientApproximation
from golden.techniques.layers import product_layers
from golden.techniques.local import LocalizedLearning, Table
from golden.techniques.prediction import GradientPrediction, Groups, Guess
from golden.techniques.pruning import Keep, StructuredPruning, ThresholdPruning
from golden.techniques.rescaling import Stage, stages
from golden.techniques.sampling import Choice, ColumnRowSampling
from golden.techniques.similarity import InputSimilarity
from golden.techniques.tracking import WeightTracking
from spec.number import Rounding

TRACKED = 0.25  # share of the weights


@dataclass(frozen=True)
class Variant:
    """One way to train, ``role`` "baseline", "technique" or "control".

    policy : for a run's settings; None trains exactly. settings : what changes in them. stages : what is trained one after the other, if
    not the same network all along. finish : done to the trained network before
    it is tested. skip, masks : whether the machine skips zeros and masks outputs. resident : whether a predictor's weights stay in its
    scratchpad. apart : whether the predictor has lanes of its own. paper : a published row beside which it stands.
    """

    technique: str
    name: str
    role: str
    policy: Callable[[Config], Policy] | None = None
    settings: Callable[[Config], Config] | None = None
    stages: Callable[[Config, Samples], list[Stage]] | None = None
    finish: Callable[[Graph], None] | None = None
    skip: bool = True
    masks: bool = True
    resident: bool = False
    apart: bool = False
    paper: str = ""

    @property
    def steps(self) -> tuple[object, ...]:
        """Equal for variants whose steps give the same words."""
        return self.policy, self.settings, self.stages

    @property
    def training(self) -> tuple[object, ...]:
        """Equal for variants that end with the same network."""
        return *self.steps, self.finish

    @property
    def running(self) -> tuple[object, ...]:
        """Equal for variants that a machine carries out alike."""
        return *self.steps, self.skip, self.masks, self.resident


def groups(config: Config) -> Groups:
    """ADA-GP's schedule in as many epochs as there are: half of them as warm-up, then 4 : 1, then 1 : 1 in the last."""
    warm_up = max(1, config.epochs // 2)
    return Groups(warm_up, ((4, 1, max(1, config.epochs - warm_up - 1)), (1, 1, 1)))


def local(config: Config) -> Table:
    """No layer in the first third of the epochs, then one, in the last third two."""
    third = max(1, config.epochs // 3)
    return Table((0,) * third + (1,) * third + (2,))


def low_first(config: Config) -> Config:
    """Eight fraction bits in the first half of the epochs, twelve from then on."""
    return replace(config.with_frac(8), schedule=((max(1, config.epochs // 2), Formats.uniform(12)),))


def magnitudes(graph: Graph) -> None:
    """Keeps the largest TRACKED of each layer's weights but the last's: what weight tracking is to beat."""
    for op in product_layers(graph)[:-1]:
        weights = graph.weights[op.number]
        size = np.abs(weights)
        least = np.sort(size, axis=None)[-max(1, round(weights.size * TRACKED))]
        graph.weights[op.number] = np.where(size >= least, weights, 0)


def _approximation(how: Gradient) -> Callable[[Config], Policy]:
    return lambda config: GradientApproximation(how, Batches.SIGN)


def _prediction(guess: Guess) -> Callable[[Config], Policy]:
    return lambda config: GradientPrediction(groups(config), guess)


BASELINE = Variant("exact", "exact", "baseline")
PREDICTED = _prediction(Guess.PREDICTED)

STUDIES: dict[str, tuple[Variant, ...]] = {
    "rounding": (
        Variant("rounding", "stochastic, 12 fraction bits", "technique", settings=lambda c: c.with_frac(12), paper="gupta-2015"),
        Variant(
            "rounding",
            "nearest, 12 fraction bits",
            "control",
            settings=lambda c: replace(c.with_frac(12), rounding=Rounding.NEAREST),
            paper="gupta-2015-nearest",
        ),
        Variant("rounding", "stochastic, 8 bits first, then 12", "technique", settings=low_first),
        Variant("rounding", "stochastic, 8 fraction bits", "control", settings=lambda c: c.with_frac(8)),
    ),
    "sparsity": (
        Variant("sparsity", "zeros skipped, outputs masked", "technique"),
        Variant("sparsity", "zeros skipped", "technique", masks=False),
        Variant("sparsity", "outputs masked", "technique", skip=False),
        Variant("sparsity", "dense", "control", skip=False, masks=False),
    ),
    "approximation": (
        Variant(
            "approximation", "approximated", "technique", _approximation(Gradient.APPROXIMATED), paper="wang-2019-resnet20"
        ),
        Variant("approximation", "zero", "control", _approximation(Gradient.ZERO)),
        Variant("approximation", "random", "control", _approximation(Gradient.RANDOM)),
    ),
    "sampling": (
        Variant("sampling", "largest half", "technique", lambda c: ColumnRowSampling(0.5), paper="adelman-2018-wrn"),
        Variant("sampling", "random half", "control", lambda c: ColumnRowSampling(0.5, Choice.UNIFORM)),
    ),
    "local": (
        Variant("local", "Hebbian", "technique", lambda c: LocalizedLearning(local(c)), paper="krithivasan-2022"),
        Variant("local", "frozen", "control", lambda c: LocalizedLearning(local(c), learns=False)),
    ),
    "prediction": (
        Variant("prediction", "predicted", "technique", PREDICTED, paper="janfaza-2023-adagp"),
        Variant("prediction", "predicted, predictor's weights stay on chip", "technique", PREDICTED, resident=True),
        Variant("prediction", "predicted, on lanes of its own", "technique", PREDICTED, resident=True, apart=True),
        Variant("prediction", "zero", "control", _prediction(Guess.ZERO)),
        Variant("prediction", "last", "control", _prediction(Guess.LAST)),
    ),
    "pruning": (
        Variant("pruning", "2 of 4, largest", "technique", lambda c: StructuredPruning(2, 4), paper="mcdanel-2022"),
        Variant("pruning", "2 of 4, random", "control", lambda c: StructuredPruning(2, 4, Keep.RANDOM), paper="mcdanel-2022-random"),
        Variant("pruning", "random threshold, rate 0.9", "technique", lambda c: ThresholdPruning(0.9)),
    ),
    "tracking": (
        Variant("tracking", "a quarter tracked", "technique", lambda c: WeightTracking(TRACKED), paper="yang-2020"),
        Variant("tracking", "pruned at the end", "control", finish=magnitudes),
    ),
    "similarity": (
        Variant("similarity", "shared", "technique", lambda c: InputSimilarity(20), paper="janfaza-2023-mercury"),
        Variant("similarity", "skipped", "control", lambda c: InputSimilarity(20, reuse=False)),
    ),
    "rescaling": (
        Variant("rescaling", "kernels grown", "technique", stages=stages, paper="de-gusmao-2016"),
        Variant("rescaling", "begun anew", "control", stages=partial(stages, carries=False)),
    ),
}


@dataclass(frozen=True)
class PaperRow:
    """What a paper says; ``read`` : in the paper itself or its authors' code, not in an abstract alone."""

    text: str
    read: bool


PAPER_ROWS = {
    "gupta-2015": PaperRow("Gupta et al. 2015, convolutions on MNIST, 12 fraction bits: 99.10 % against 99.23 %", True),
    "gupta-2015-nearest": PaperRow("Gupta et al. 2015, convolutions on MNIST, 12 or 14 fraction bits: diverges after 60 to 80 epochs", True),
    "wang-2019-resnet20": PaperRow("Wang et al. 2019, ResNet-20 and VGG-19: upwards of 7 % less wall clock", False),
    "adelman-2018-wrn": PaperRow("Adelman, Silberstein 2018, WRN-28-10 on CIFAR-100, half of the compute: 77.1 % against 78 %", True),
    "krithivasan-2022": PaperRow("Krithivasan et al. 2022: up to 1.5 times faster, about 0.5 % loss", False),
    "janfaza-2023-adagp": PaperRow("Janfaza et al. 2023 (ADA-GP): 1.47 times faster, mean of 15 networks", False),
    "mcdanel-2022": PaperRow("McDanel et al. 2022, ResNet-18 on CIFAR-10: 95.2 % against 95.3 %", True),
    "mcdanel-2022-random": PaperRow("McDanel et al. 2022, ResNet-18 on CIFAR-10: 94.5 % against 95.3 %", True),
    "yang-2020": PaperRow("Yang et al. 2020 (Procrustes): up to 4 times faster", False),
    "de-gusmao-2016": PaperRow("de Gusmao et al. 2016, ResNet-34 on ImageNet: 145.60 hours instead of 179.33, 72.91 % against 72.61 %", True),
    "janfaza-2023-mercury": PaperRow("Janfaza et al. 2023 (MERCURY): 1.97 times faster, mean of 12 networks", False),
}


def variants(name: str) -> tuple[Variant, ...]:
    """Those of a study, or of all; the baseline is first. Raises ValueError for an unknown name."""
    if name != "all" and name not in STUDIES:
        raise ValueError(f"study must be all or one of {', '.join(STUDIES)}, not {name!r}")
    chosen = STUDIES.values() if name == "all" else (STUDIES[name],)
    return (BASELINE, *(variant for some in chosen for variant in some))
