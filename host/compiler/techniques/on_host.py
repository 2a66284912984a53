"""Shortcuts that have no commands of their own: the host asks golden's policy between runs, products are the machine's.

What the host takes is no cycle of the machine's; what it makes of an operand, such as zeros, is.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from golden.layers import GoldenExecute
from golden.nodes import SAMPLES
from golden.operators import Operator, Pass, open_words
from golden.optimizer import SgdPlan
from golden.policy import Policy
from host.compiler.errors import Unsupported
from host.compiler.lowering import Lowering
from host.program import Context, Label
from host.tensor import Tensor

if TYPE_CHECKING:
    from host.compiler.network import Network

HOOKS = ("gives", "weight_delta", "input_delta", "mask", "update")


class OnHost(Lowering):
    """Policies that change results, operands of WG and BP, masks or updates, each by a step of the host for every layer of products."""

    by_host = True

    def __init__(self, policy: Policy):
        super().__init__(policy)
        changed = [name for name, own in vars(Policy).items() if callable(own) and getattr(type(policy), name) is not own]
        known = {*HOOKS, "__init__", "bind", "begins", "ends", "state", "restore", "variant"}
        if not known.issuperset(changed):
            raise Unsupported(f"no machine carries out {type(policy).__name__} yet: golden does")
        self.changes = frozenset(changed)

    def _ask(
        self,
        net: "Network",
        op: Operator,
        phase: str,
        hook: str,
        reads: dict[str, Tensor],
        out: dict[str, Tensor],
        ask: Callable[[Pass, Context, dict[str, np.ndarray]], tuple[np.ndarray, ...]],
    ) -> None:
        """A step of the host: words of ``reads`` to ``ask``, its answers to ``out``, in that order.

        "x" and "out" are what a layer reads and gives, or gradients of them, and get golden's shapes; samples may lie otherwise in memory,
        and are those that the driver was given.
        """
        shapes = {"x": (net.batch, *op.shapes[0]), "out": (net.batch, *op.shape)}

        def host(context: Context) -> None:
            p = Pass(GoldenExecute(), net.rounding, context.seed, context.step, training=True, policy=self.policy, node=op.number)
            words = {name: context.read(tensor.name) for name, tensor in reads.items()}
            if op.node.reads[0] == SAMPLES and "x" in words:
                words["x"] = np.asarray(context.inputs["x"])
            words |= {name: words[name].reshape(shape) for name, shape in shapes.items() if name in words}
            for tensor, answer in zip(out.values(), ask(p, context, words), strict=True):
                context.write(tensor.name, answer.reshape(tensor.shape))

        names = (tuple(tensor.name for tensor in some.values()) for some in (reads, out))
        net.e.host(Label(op.number, phase, hook), host, *names)

    def gives(self, net: "Network", op: Operator, x: Tensor, out: Tensor) -> None:
        if "gives" not in self.changes:
            return

        def ask(p: Pass, context: Context, words: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
            return (self.policy.gives(p, op, words["x"], words["out"]),)

        self._ask(net, op, "FP", "gives", {"x": x, "out": out}, {"out": out}, ask)

    def weight_gradient(
        self, net: "Network", op: Operator, delta: Tensor, gradient: Tensor, exact: Callable[[Tensor], None]
    ) -> None:
        if "weight_delta" not in self.changes:
            return exact(delta)
        x, out = net.seen[op.number], net.memory.add(f"chosen.{op.number}", delta.shape)

        def ask(p: Pass, context: Context, words: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
            chosen = self.policy.weight_delta(p, op, words["x"], words["out"])
            assert chosen is not None, f"{type(self.policy).__name__} leaves a weight gradient out: that has to be a command"
            return (chosen,)

        self._ask(net, op, "WG", "operand", {"x": x, "out": delta}, {"out": out}, ask)
        return exact(out)

    def input_delta(self, net: "Network", op: Operator, delta: Tensor) -> Tensor:
        if "input_delta" not in self.changes:
            return delta
        out = net.memory.add(f"operand.{op.number}", delta.shape)

        def ask(p: Pass, context: Context, words: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
            return (self.policy.input_delta(p, op, words["out"]),)

        self._ask(net, op, "BP", "operand", {"out": delta}, {"out": out}, ask)
        return out

    def mask(self, net: "Network", op: Operator, mask: Tensor | None) -> Tensor | None:
        if "mask" not in self.changes:
            return mask
        x = net.values[op.node.reads[0]]
        out = net.memory.add(f"wanted.{op.number}", x.shape)

        def ask(p: Pass, context: Context, words: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
            seen = words["x"]
            wanted = self.policy.mask(p, op, seen.shape, open_words(seen, op.cap) if op.positive else None)
            return (np.ones(seen.shape, np.int64) if wanted is None else wanted.astype(np.int64),)

        self._ask(net, op, "BP", "mask", {"x": x}, {"out": out}, ask)
        return out

    def update(self, net: "Network", op: Operator, plan: SgdPlan, gradient: Tensor) -> None:
        if "update" not in self.changes:
            return super().update(net, op, plan, gradient)
        number, place = op.number, list(net.weights).index(op.number)
        own = {"weights": net.weights[number], "velocity": net.velocity[number]}

        def ask(p: Pass, context: Context, words: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
            now = context.inputs["plans"][place]
            return self.policy.update(p, op, now, words["weights"], words["velocity"], words["gradient"])[:2]

        self._ask(net, op, "update", "update", own | {"gradient": gradient}, own, ask)
        return None
