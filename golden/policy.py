"""What a training shortcut may change in a step; the defaults are the exact step.

A policy is consulted by :class:`golden.graph.Graph` at every layer of products (convolution or dense): which operands its products
get, which of them run, which update applies. Formats, exact sums and keyed rounding stay as they are.
"""

from collections.abc import Hashable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from golden.optimizer import SgdPlan

if TYPE_CHECKING:
    from golden.graph import Graph
    from golden.operators import Operator, Pass

CHOICE_SLOT = 3  # of a node's layer numbers: the keys of what a policy draws


class Policy:
    """The exact step. Techniques override what they change; words are int64 in the formats of the layer.

    Hooks that get ``op`` are for one layer of products; operands come as the layer reads them and must
    keep their shape.
    """

    def bind(self, graph: "Graph", epoch_steps: int) -> None:
        """Before the first step. Raises ValueError with the reason when the technique cannot work on this network."""

    def begins(self, p: "Pass") -> None:
        """Before each training step."""

    def variant(self) -> Hashable:
        """Of the step that began: what a machine's commands depend on. Equal answers, equal commands."""
        return ()

    def reads(self, p: "Pass", op: "Operator", x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The operand of the forward product, and of the weight gradient."""
        return x

    def gives(self, p: "Pass", op: "Operator", x: np.ndarray, out: np.ndarray) -> np.ndarray:
        """What the forward product gives to its readers."""
        return out

    def early(self, p: "Pass", op: "Operator", x: np.ndarray, out: np.ndarray) -> np.ndarray | None:
        """The layer's gradient, where it is known in the forward pass."""
        return None

    def lowest(self, p: "Pass") -> int:
        """The first node that gets a gradient of its output: none below is computed."""
        return 0

    def weight_delta(self, p: "Pass", op: "Operator", x: np.ndarray, delta: np.ndarray) -> np.ndarray | None:
        """The gradient of the output as operand of the weight gradient; None computes none and gives zeros."""
        return delta

    def input_delta(self, p: "Pass", op: "Operator", delta: np.ndarray) -> np.ndarray:
        """The same as operand of the input gradient."""
        return delta

    def mask(self, p: "Pass", op: "Operator", shape: tuple[int, ...], mask: np.ndarray | None) -> np.ndarray | None:
        """Which words of the input gradient, of ``shape``, are computed; None is all."""
        return mask

    def passes_on(self, p: "Pass", op: "Operator", dx: np.ndarray) -> np.ndarray:
        """The input gradient that the node below gets."""
        return dx

    def gradient(self, p: "Pass", op: "Operator", gradient: np.ndarray) -> np.ndarray:
        """The weight gradient that the update gets."""
        return gradient

    def update(
        self, p: "Pass", op: "Operator", plan: SgdPlan, weights: np.ndarray, velocity: np.ndarray, gradient: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """New weights, new velocity, saturations; ``op`` may be a batch norm here."""
        return p.sgd(op, plan, weights, velocity, gradient)

    def ends(self, p: "Pass", loss: float) -> None:
        """After each training step; ``loss`` : mean over the batch."""

    def state(self) -> dict[str, np.ndarray]:
        """What a later step depends on, by name; as :meth:`golden.graph.Graph.state`."""
        return {}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Take over what :meth:`state` gave."""


def part_of(state: Mapping[str, np.ndarray], own: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin with ``own``, by the rest of their names."""
    return {name.removeprefix(own): words for name, words in state.items() if name.startswith(own)}


class Composed(Policy):
    """Several techniques at once, the first one's changes first. One of them at most may know gradients early or update by a rule of its own."""

    def __init__(self, parts: Sequence[Policy]):
        for hook in ("early", "update"):
            owners = [type(part).__name__ for part in parts if getattr(type(part), hook) is not getattr(Policy, hook)]
            if len(owners) > 1:
                raise ValueError(f"{' and '.join(owners)} cannot be combined: each has an {hook} rule of its own")
        self.parts = tuple(parts)

    def bind(self, graph: "Graph", epoch_steps: int) -> None:
        for part in self.parts:
            part.bind(graph, epoch_steps)

    def begins(self, p: "Pass") -> None:
        for part in self.parts:
            part.begins(p)

    def variant(self) -> Hashable:
        return tuple(part.variant() for part in self.parts)

    def reads(self, p: "Pass", op: "Operator", x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return reduce(lambda given, part: part.reads(p, op, given, weights), self.parts, x)

    def gives(self, p: "Pass", op: "Operator", x: np.ndarray, out: np.ndarray) -> np.ndarray:
        return reduce(lambda given, part: part.gives(p, op, x, given), self.parts, out)

    def early(self, p: "Pass", op: "Operator", x: np.ndarray, out: np.ndarray) -> np.ndarray | None:
        known = (part.early(p, op, x, out) for part in self.parts)
        return next((gradient for gradient in known if gradient is not None), None)

    def lowest(self, p: "Pass") -> int:
        return max((part.lowest(p) for part in self.parts), default=0)

    def weight_delta(self, p: "Pass", op: "Operator", x: np.ndarray, delta: np.ndarray) -> np.ndarray | None:
        given: np.ndarray | None = delta
        for part in self.parts:
            if given is not None:
                given = part.weight_delta(p, op, x, given)
        return given

    def input_delta(self, p: "Pass", op: "Operator", delta: np.ndarray) -> np.ndarray:
        return reduce(lambda given, part: part.input_delta(p, op, given), self.parts, delta)

    def mask(self, p: "Pass", op: "Operator", shape: tuple[int, ...], mask: np.ndarray | None) -> np.ndarray | None:
        return reduce(lambda given, part: part.mask(p, op, shape, given), self.parts, mask)

    def passes_on(self, p: "Pass", op: "Operator", dx: np.ndarray) -> np.ndarray:
        return reduce(lambda given, part: part.passes_on(p, op, given), self.parts, dx)

    def gradient(self, p: "Pass", op: "Operator", gradient: np.ndarray) -> np.ndarray:
        return reduce(lambda given, part: part.gradient(p, op, given), self.parts, gradient)

    def update(
        self, p: "Pass", op: "Operator", plan: SgdPlan, weights: np.ndarray, velocity: np.ndarray, gradient: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, int]:
        rule = next((part for part in self.parts if type(part).update is not Policy.update), Policy())
        return rule.update(p, op, plan, weights, velocity, gradient)

    def ends(self, p: "Pass", loss: float) -> None:
        for part in self.parts:
            part.ends(p, loss)

    def state(self) -> dict[str, np.ndarray]:
        return {f"{n}.{name}": words for n, part in enumerate(self.parts) for name, words in part.state().items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        for n, part in enumerate(self.parts):
            part.restore(part_of(state, f"{n}."))


EXACT = Policy()
