"""What a training shortcut changes in the commands of a step: the hooks of :mod:`golden.policy`, on tensors in memory."""

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from golden.operators import Operator
from golden.optimizer import SgdPlan
from golden.policy import Policy
from host.compiler.update import emit_update
from host.tensor import Tensor

if TYPE_CHECKING:
    from host.compiler.network import Network

Read = Callable[[str], np.ndarray]
Write = Callable[[str, np.ndarray], None]


class Lowering:
    """The exact step; a technique's overrides what it changes. What a hook is asked for it adds to ``net``'s commands.

    ``policy`` is the driver's own: host steps ask it while the step runs, and what a step leaves to the next is in its state. Commands may depend on
    :meth:`golden.policy.Policy.variant` of it, and on nothing else that changes.
    """

    by_host = False  # the host decides what the machine has no commands for, in time of its own

    def __init__(self, policy: Policy):
        self.policy = policy

    def keeps(self, net: "Network") -> None:
        """Room for tensors that outlive a step, in every program of the graph alike."""

    def saves(self, read: Read) -> None:
        """Those tensors into the policy's state."""

    def loads(self, write: Write) -> None:
        """The reverse."""

    def reads(self, net: "Network", op: Operator, x: Tensor) -> Tensor:
        """What the forward product and the weight gradient read."""
        return x

    def gives(self, net: "Network", op: Operator, x: Tensor, out: Tensor) -> None:
        """What the forward product of ``x`` gives to its readers, in place of ``out``."""

    def early(self, net: "Network", op: Operator, x: Tensor, out: Tensor) -> Tensor | None:
        """The layer's gradient, where it is known in the forward pass."""
        return None

    def lowest(self, net: "Network") -> int:
        """The first node that gets a gradient of its output."""
        return 0

    def weight_gradient(
        self, net: "Network", op: Operator, delta: Tensor, gradient: Tensor, exact: Callable[[Tensor], None]
    ) -> None:
        """The layer's gradient to ``gradient``; ``exact`` emits the product with the operand it gets."""
        exact(delta)

    def learns(self, net: "Network", op: Operator, gradient: Tensor) -> None:
        """After the weight gradient of a layer of products."""

    def input_delta(self, net: "Network", op: Operator, delta: Tensor) -> Tensor:
        """The operand of the input gradient."""
        return delta

    def mask(self, net: "Network", op: Operator, mask: Tensor | None) -> Tensor | None:
        """Under whose positive words the input gradient is computed; None is all."""
        return mask

    def passes_on(self, net: "Network", op: Operator, dx: Tensor) -> Tensor:
        """The input gradient that the node below gets."""
        return dx

    def update(self, net: "Network", op: Operator, plan: SgdPlan, gradient: Tensor) -> None:
        """Weights and velocity of a node that has a gradient, in place."""
        weights, velocity = net.weights[op.number], net.velocity[op.number]
        emit_update(net.e, net.memory, plan, op.number, weights, velocity, gradient, net.rounding)


class Together(Lowering):
    """Several at once, as :class:`golden.policy.Composed`."""

    def __init__(self, policy: Policy, parts: tuple[Lowering, ...]):
        super().__init__(policy)
        self.parts = parts
        self.by_host = any(part.by_host for part in parts)

    def keeps(self, net: "Network") -> None:
        for part in self.parts:
            part.keeps(net)

    def saves(self, read: Read) -> None:
        for part in self.parts:
            part.saves(read)

    def loads(self, write: Write) -> None:
        for part in self.parts:
            part.loads(write)

    def reads(self, net: "Network", op: Operator, x: Tensor) -> Tensor:
        return reduce(lambda given, part: part.reads(net, op, given), self.parts, x)

    def gives(self, net: "Network", op: Operator, x: Tensor, out: Tensor) -> None:
        for part in self.parts:
            part.gives(net, op, x, out)

    def early(self, net: "Network", op: Operator, x: Tensor, out: Tensor) -> Tensor | None:
        known = (part.early(net, op, x, out) for part in self.parts)
        return next((gradient for gradient in known if gradient is not None), None)

    def lowest(self, net: "Network") -> int:
        return max((part.lowest(net) for part in self.parts), default=0)

    def weight_gradient(
        self, net: "Network", op: Operator, delta: Tensor, gradient: Tensor, exact: Callable[[Tensor], None]
    ) -> None:
        def after(behind: Callable[[Tensor], None], part: Lowering) -> Callable[[Tensor], None]:
            return lambda given: part.weight_gradient(net, op, given, gradient, behind)

        reduce(after, reversed(self.parts), exact)(delta)

    def learns(self, net: "Network", op: Operator, gradient: Tensor) -> None:
        for part in self.parts:
            part.learns(net, op, gradient)

    def input_delta(self, net: "Network", op: Operator, delta: Tensor) -> Tensor:
        return reduce(lambda given, part: part.input_delta(net, op, given), self.parts, delta)

    def mask(self, net: "Network", op: Operator, mask: Tensor | None) -> Tensor | None:
        return reduce(lambda given, part: part.mask(net, op, given), self.parts, mask)

    def passes_on(self, net: "Network", op: Operator, dx: Tensor) -> Tensor:
        return reduce(lambda given, part: part.passes_on(net, op, given), self.parts, dx)

    def update(self, net: "Network", op: Operator, plan: SgdPlan, gradient: Tensor) -> None:
        own = [part for part in self.parts if type(part.policy).update is not Policy.update]
        (own[0] if own else Lowering(self.policy)).update(net, op, plan, gradient)

