"""Which commands a policy of :mod:`golden.techniques` has."""

from collections.abc import Callable
from typing import Any

from golden.policy import Composed, Policy
from golden.techniques.approximation import GradientApproximation
from golden.techniques.local import LocalizedLearning
from golden.techniques.prediction import GradientPrediction
from golden.techniques.pruning import StructuredPruning, ThresholdPruning
from golden.techniques.sampling import ColumnRowSampling
from golden.techniques.similarity import InputSimilarity
from golden.techniques.tracking import WeightTracking
from host.compiler.errors import Unsupported
from host.compiler.lowering import Lowering, Together
from host.compiler.techniques.approximation import Approximation
from host.compiler.techniques.local import Local
from host.compiler.techniques.on_host import OnHost
from host.compiler.techniques.prediction import Prediction
from host.compiler.techniques.sampling import Sampling

LOWERINGS: dict[type[Policy], Callable[[Any], Lowering]] = {
    Policy: Lowering,
    GradientApproximation: Approximation,
    ColumnRowSampling: Sampling,
    LocalizedLearning: Local,
    StructuredPruning: OnHost,
    ThresholdPruning: OnHost,
    WeightTracking: OnHost,
    InputSimilarity: OnHost,
}


def lowered(policy: Policy, resident: bool = False) -> Lowering:
    """The commands of ``policy``, which is the driver's own from then on; resident : see :class:`host.compiler.techniques.prediction.Prediction`.

    Raises :class:`Unsupported` for one that no machine carries out yet.
    """
    if isinstance(policy, Composed):
        return Together(policy, tuple(lowered(part, resident) for part in policy.parts))
    if isinstance(policy, GradientPrediction):
        return Prediction(policy, resident)
    make = LOWERINGS.get(type(policy))
    if make is None:
        raise Unsupported(f"no machine carries out {type(policy).__name__} yet: golden does")
    return make(policy)
