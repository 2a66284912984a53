"""Input similarity: vectors with equal signatures share one result.

Janfaza, Weston, Razavi, Mandal, Mahmud, Hilty and Muzahid 2023, "MERCURY: Accelerating DNN Training By Exploiting Input Similarity"
(HPCA; arXiv:2110.14904): the signature of a vector x is the signs of ``x @ R``, R fixed and random. The cache has room for every signature
of a batch, and a new batch begins with an empty one (ours).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from golden.conv import patches
from golden.keyed import random_bits
from golden.layers import Role, tensor_key
from golden.operators import SLOTS, ConvOperator, Operator, Pass
from golden.policy import CHOICE_SLOT, Policy
from golden.techniques.layers import product_layers, refused

if TYPE_CHECKING:
    from golden.graph import Graph

MAX_BITS = 32


def signatures(rows: np.ndarray, bits: int, key: int) -> np.ndarray:
    """Of every row of ``rows`` (count, length): bit j is set where ``rows @ R[:, j]`` is not negative; int64.

    R (length, bits) holds 1 and -1: bit j of the random bits of index i says the sign of R[i, j].
    """
    signs = random_bits(key, np.arange(rows.shape[1]))[:, None] >> np.arange(bits, dtype=np.uint32) & np.uint32(1)
    # Sums of 16-bit words are exact in float64, and its product is the quicker one.
    sums = rows.astype(np.float64) @ (1.0 - 2.0 * signs)
    return (sums >= 0) @ (1 << np.arange(bits, dtype=np.int64))


def leaders(signature: np.ndarray) -> np.ndarray:
    """For each row the first that has its signature."""
    _, first, group = np.unique(signature, return_index=True, return_inverse=True)
    return first[group]


class InputSimilarity(Policy):
    """Forward products of every layer but the first reuse the result of an earlier vector of the batch with the same signature.

    Where fewer than ``bits / filters`` of a layer's vectors found one in the batch before, signatures cost more than they save: the layer is
    computed whole for ``rest`` batches. reuse : without it such a vector's result is zero, the null control. ``hits`` : by node, the share of the last batch, 0 for a layer that is resting.
    """

    def __init__(self, bits: int = 20, rest: int = 50, *, reuse: bool = True):
        if not 1 <= bits <= MAX_BITS:
            raise ValueError(f"bits must be 1 to {MAX_BITS}, not {bits}")
        self.bits, self.rest, self.reuse = bits, rest, reuse
        self.hits: dict[int, float] = {}
        self.resting: dict[int, int] = {}
        self.seed = 0

    def bind(self, graph: "Graph", epoch_steps: int) -> None:
        chosen = product_layers(graph)[1:]
        if not chosen:
            raise refused("input similarity", graph, "it has no second layer")
        self.seed = graph.seed
        self.resting = {op.number: 0 for op in chosen}
        self.hits = {op.number: 0.0 for op in chosen}

    def gives(self, p: Pass, op: Operator, x: np.ndarray, out: np.ndarray) -> np.ndarray:
        if op.number not in self.resting:
            return out
        if self.resting[op.number]:
            self.resting[op.number] -= 1
            self.hits[op.number] = 0.0
            return out
        first = leaders(signatures(_rows(op, x), self.bits, tensor_key(self.seed, 0, SLOTS * op.number + CHOICE_SLOT, Role.INIT)))
        hits = np.count_nonzero(first != np.arange(len(first))) / len(first)
        filters = out.shape[-1]
        if hits * filters <= self.bits:
            self.resting[op.number] = self.rest
        self.hits[op.number] = hits
        if not self.reuse:
            found = first.reshape(out.shape[:-1]) != np.arange(len(first)).reshape(out.shape[:-1])
            return np.where(found[..., None], 0, out)
        return out.reshape(-1, filters)[first].reshape(out.shape)

    def state(self) -> dict[str, np.ndarray]:
        return {"resting": np.array(list(self.resting.values()), np.int64)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self.resting = dict(zip(self.resting, state["resting"].tolist(), strict=True))


def _rows(op: Operator, x: np.ndarray) -> np.ndarray:
    """The vectors of a layer's forward product, the bias apart."""
    if not isinstance(op, ConvOperator):
        return x
    unit = op.unit
    return patches(x, unit.kernel, unit.stride, unit.padding, bits=unit.inputs.width)
