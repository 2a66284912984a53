"""Localized learning: early layers update in the forward pass, by a Hebbian rule.

Krithivasan, Sen, Venkataramani and Raghunathan 2022, "Accelerating DNN Training Through Selective Localized Learning" (LoCal+SGD;
Frontiers in Neuroscience 15:759807): D is the weight-gradient product of X with the layer's own output before its activation in place of
dY, and ``W += eta * D / |D|``. Layers before the transition layer learn so, the others by SGD.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from math import floor, isqrt, sqrt
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from golden import vector
from golden.layers import Formats, Role
from golden.operators import Operator, Pass, ProductOperator
from golden.optimizer import LARGEST, Affine, SgdPlan, affine
from golden.policy import Policy
from golden.techniques.layers import product_layers, refused
from spec.number import Fixed, Rounding
from spec.product import MAX_SHIFT

if TYPE_CHECKING:
    from golden.graph import Graph


EPOCHS = 16  # whose norms are remembered


class Schedule(Protocol):
    """How many layers learn locally. watches : whether it looks at norms."""

    watches: ClassVar[bool]

    def layers(self, epoch: int, before: int, norms: list[float]) -> int:
        """In ``epoch``, after ``before`` in the one before it; ``norms`` : mean norm of the transition layer's gradient in each epoch since
        it is the transition layer."""


@dataclass(frozen=True)
class Static:
    """``max(0, floor(cap - slope / epoch))``, epochs counted from 1; cap and slope are parameters (the paper's could not be read)."""

    watches: ClassVar[bool] = False
    cap: float
    slope: float

    def layers(self, epoch: int, before: int, norms: list[float]) -> int:
        return max(0, floor(self.cap - self.slope / (epoch + 1)))


@dataclass(frozen=True)
class Table:
    """So many in each epoch; the last number holds for those that follow."""

    watches: ClassVar[bool] = False
    counts: tuple[int, ...]

    def layers(self, epoch: int, before: int, norms: list[float]) -> int:
        return self.counts[min(epoch, len(self.counts) - 1)]


@dataclass(frozen=True)
class Dynamic:
    """``step`` more when the transition layer's mean norm in the last epoch is at most ``alpha`` times its mean over the ``past`` epochs
    before; never back, at most ``cap``. All are parameters (the paper's could not be read)."""

    watches: ClassVar[bool] = True
    cap: int
    step: int = 1
    alpha: float = 0.9
    past: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.past < EPOCHS:
            raise ValueError(f"past must be 1 to {EPOCHS - 1}, not {self.past}")

    def layers(self, epoch: int, before: int, norms: list[float]) -> int:
        if len(norms) <= self.past:
            return before
        mean = sum(norms[-1 - self.past : -1]) / self.past
        return min(before + self.step, self.cap) if norms[-1] <= self.alpha * mean else before


UNIT_FRAC = 15  # of D / |D|, whose words are at most one


def direction(words: np.ndarray, width: int) -> np.ndarray:
    """``D / |D|`` in words with UNIT_FRAC fraction bits (or as many as ``width`` has), the Euclidean norm of all words; zeros where D is.

    One multiplier for all: the reciprocal root of the exact sum of squares, rounded down to 17 bits.
    """
    factor, shift = reciprocal_root(int((words.astype(np.int64) ** 2).sum()), width)
    done = vector.affine(words, None, factor, shift=shift, rounding=Rounding.NEAREST, width=width)
    return done.words.astype(np.int64)


def unit_format(width: int) -> Fixed:
    """Of ``D / |D|``."""
    return Fixed(width, min(UNIT_FRAC, width - 1))


def reciprocal_root(total: int, width: int) -> tuple[int, int]:
    """The multiplier of :func:`direction` for a sum of squares, and the bits to drop; 0 for a sum of zero."""
    if not total:
        return 0, 0
    for shift in range(MAX_SHIFT, -1, -1):
        factor = isqrt((1 << 2 * (unit_format(width).frac + shift)) // total)
        if factor <= LARGEST:
            break
    return factor, shift


class LocalizedLearning(Policy):
    """``schedule`` says how many of the layers learn locally, at ``rate``; at most all but the last.

    With ``learns`` false they do not learn at all: the null control, which freezes them. supervised : the sign of the rate turns when the
    loss of the batch before was above its running mean (one reading of the paper's weak supervision, which could not be read).
    Batch norms below the transition layer keep their gamma and beta. A layer's momentum is dropped when its rule changes;
    weight decay is not applied locally (ours).
    """

    def __init__(self, schedule: Schedule, rate: float = 0.01, *, learns: bool = True, supervised: bool = False):
        if not 0 < rate <= 16:
            raise ValueError(f"rate must be more than 0 and at most 16, not {rate}")
        self.schedule, self.rate, self.learns, self.supervised = schedule, rate, learns, supervised
        self.order: list[int] = []
        self.epoch_steps = 1
        self.count = 0  # layers that learn locally
        self.epoch = -1
        self.norms: list[float] = []
        self.sum, self.steps = 0.0, 0
        self.loss, self.mean_loss = 0.0, 0.0

    def bind(self, graph: "Graph", epoch_steps: int) -> None:
        layers = product_layers(graph)
        if len(layers) < 2:
            raise refused("localized learning", graph, "it has one layer only")
        self.order = [op.number for op in layers]
        self.epoch_steps = epoch_steps

    def begins(self, p: Pass) -> None:
        epoch = p.step // self.epoch_steps
        self.changed: list[int] = []
        if epoch == self.epoch:
            return
        if self.steps:
            self.norms = [*self.norms, self.sum / self.steps][-EPOCHS:]
        self.sum, self.steps, self.epoch = 0.0, 0, epoch
        count = min(self.schedule.layers(epoch, self.count, self.norms), len(self.order) - 1)
        if count != self.count:
            low, high = sorted((count, self.count))
            self.changed = self.order[low:high]
            self.norms, self.count = [], count

    @property
    def lowest_node(self) -> int:
        """The transition layer, in this step."""
        return self.order[self.count] if self.count else 0

    def lowest(self, p: Pass) -> int:
        return self.lowest_node

    def local(self, op: Operator) -> bool:
        """Whether the layer learns locally in this step, or not at all in the null control."""
        return op.number in self.order[: self.count]

    def early(self, p: Pass, op: Operator, x: np.ndarray, out: np.ndarray) -> np.ndarray | None:
        if not self.local(op) or not self.learns:
            return None
        assert isinstance(op, ProductOperator)
        return hebbian(p, op, x, out)

    def update(
        self, p: Pass, op: Operator, plan: SgdPlan, weights: np.ndarray, velocity: np.ndarray, gradient: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, int]:
        if op.number in self.changed:
            velocity = np.zeros_like(velocity)
        if not self.local(op):
            if self.watched(op.number):
                self.saw(int((gradient.astype(np.int64) ** 2).sum()))
            return p.sgd(op, plan, weights, velocity, gradient)
        form = op.formats.weights
        unit = direction(gradient, form.width)
        words, saturations = self.step(form)(weights, unit, form.width, p.rounding, p.key(Role.WEIGHT))
        return words, velocity, saturations

    def step(self, form: Fixed) -> Affine:
        """Of weights in ``form`` and a direction, in this step."""
        sign = -1 if self.supervised and self.loss > self.mean_loss else 1
        return affine("localized rate", form, form, 1.0, unit_format(form.width), sign * self.rate)

    def watched(self, number: int) -> bool:
        """Whether the norm of this layer's gradient is wanted."""
        return self.schedule.watches and number == self.order[self.count]

    def saw(self, squares: int) -> None:
        """The sum of squares of the transition layer's gradient."""
        self.sum += sqrt(squares)
        self.steps += 1

    def variant(self) -> Hashable:
        return self.count, tuple(self.changed)

    def ends(self, p: Pass, loss: float) -> None:
        self.loss = loss
        self.mean_loss = loss if not self.mean_loss else self.mean_loss + (loss - self.mean_loss) / 16

    def state(self) -> dict[str, np.ndarray]:
        numbers = [self.count, self.epoch, self.sum, self.steps, self.loss, self.mean_loss, len(self.norms)]
        norms = self.norms + [0.0] * (EPOCHS - len(self.norms))
        return {"numbers": np.array(numbers, np.float64), "norms": np.array(norms, np.float64)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        count, epoch, self.sum, steps, self.loss, self.mean_loss, norms = state["numbers"].tolist()
        self.count, self.epoch, self.steps = int(count), int(epoch), int(steps)
        self.norms = state["norms"].tolist()[: int(norms)]


def hebbian(p: Pass, op: ProductOperator, x: np.ndarray, out: np.ndarray) -> np.ndarray:
    """D: the weight gradient with ``out`` as operand, a mean over batch and positions as far as the format allows, as only its direction counts."""
    unit = replace(op.unit, formats=hebbian_formats(op.unit.formats, out.size // out.shape[-1]))
    return unit.weight_gradient(p.execute, x, out, p.rounding, p.key(Role.GRADIENT))


def hebbian_formats(forms: Formats, products: int) -> Formats:
    """Of a weight gradient of so many products with the layer's output as operand."""
    frac = max(0, forms.gradients.frac - products.bit_length() + 1)
    return replace(forms, deltas=forms.activations, gradients=Fixed(forms.weights.width, frac))
