"""Where tensors lie in memory."""

from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from host.compiler.scalars import pack_scalars
from host.tensor import Tensor, word_bytes
from spec.axi import ADDRESS_BITS
from spec.chip import BRICK, Chip
from spec.isa import entry_bricks

ALIGNMENT = 128  # bytes: a burst of sixteen beats of eight


@dataclass
class Memory:
    """Places tensors behind one another from byte ``base`` on.

    constants : words of tensors that never change, by name.
    """

    chip: Chip
    base: int = 0
    tensors: dict[str, Tensor] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.end = self.base

    def add(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A new tensor, or the one there is of that name. Raises ValueError when addresses have no bits left, or that one has another shape."""
        if name in self.tensors:
            if self.tensors[name].shape != shape:
                raise ValueError(f"{name} has shape {self.tensors[name].shape} already, not {shape}")
            return self.tensors[name]
        start = -(-self.end // ALIGNMENT) * ALIGNMENT
        tensor = Tensor(name, start, shape, word_bytes(self.chip))
        if tensor.end > 1 << ADDRESS_BITS:
            raise ValueError(f"{name} ends at byte {tensor.end}, addresses have {ADDRESS_BITS} bits")
        self.tensors[name] = tensor
        self.end = tensor.end
        return tensor

    def constant(self, name: str, words: np.ndarray) -> Tensor:
        """A tensor of these words; the one there is, if it has that name."""
        self.constants.setdefault(name, words)
        return self.add(name, words.shape)

    def ones(self, word: int) -> Tensor:
        """A brick of equal words."""
        return self.constant(f"ones.{word}", np.full((1, BRICK), word, np.int64))

    def scalars(self, s0: int, s1: int = 0, s2: int = 0) -> Tensor:
        """A table of one entry."""
        name = f"scalars.{s0}.{s1}" + (f".{s2}" if s2 else "")
        return self.constant(name, pack_scalars(self.chip, [(s0, s1, s2)], 1))

    def alias(self, name: str, tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The first bricks of a tensor under a name and shape of their own."""
        self.tensors[name] = replace(tensor, name=name, shape=shape)
        return self.tensors[name]

    def table(self, name: str, channels: int) -> Tensor:
        """Room for a table of scalars."""
        return self.add(name, (channels * entry_bricks(self.chip), BRICK))


def view(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The same bricks under another shape; ValueError where words would lie elsewhere."""
    other = replace(tensor, shape=shape)
    if prod(shape) != prod(tensor.shape) or other.bricks != tensor.bricks or not _agree(tensor, other):
        raise ValueError(f"{tensor.name}: bricks of {tensor.shape} are not those of {shape}")
    return other


def _agree(one: Tensor, other: Tensor) -> bool:
    return (
        one.channels == other.channels or not (one.channels % BRICK or other.channels % BRICK) or one.rows == other.rows
    )
