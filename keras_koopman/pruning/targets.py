"""Targets: what is pruned, and in groups of what.

A target is one tensor, or the tensors that a group of units shares. It has a mask that the optimizer keeps,
and says how scores of weights become scores of groups, and groups that stay become a mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

Shape = tuple[int, ...]


class Target:
    """Single weights of one tensor.

    Args:
        name: of the tensor, or of the layers, for the report.
        member: index of the variable among those of the optimizer.
        shape: of the variable.
    """

    #: Whether a layer must keep some of its groups.
    floored = True
    #: Along with their layer's name, for messages.
    unit = "weights"

    def __init__(self, name: str, member: int, shape: Shape) -> None:
        self.name = name
        self.members: tuple[int, ...] = (member,)
        self.scored: tuple[int, ...] = (member,)
        self.shape = shape
        self.mask_shape: Shape = shape

    @property
    def size(self) -> int:
        """How many groups there are."""
        return int(np.prod(self.shape))

    def grouped(self, scores: list[Any]) -> Any:
        """Scores of the groups, from those of each scored tensor."""
        return scores[0]

    def alive(self, mask: Any) -> Any:
        """Which groups have not been pruned, bool, of the shape of `grouped`."""
        return mask

    def mask(self, kept: Any, scores: list[Any], mask: Any) -> Any:
        """The new mask.

        Args:
            kept: which groups stay, bool.
            scores: of each scored tensor.
            mask: the old one.
        """
        return kept

    def on_members(self, mask: Any) -> list[Any]:
        """The mask as each member takes it: bool, of a shape that broadcasts."""
        return [mask]


class PatternTarget(Target):
    """`n` of each `m` weights in a row along the inputs stay: what hardware for `2:4` multiplies fast.

    Args:
        n: how many stay.
        m: of how many.
    """

    floored = False

    def __init__(self, name: str, member: int, shape: Shape, n: int, m: int) -> None:
        super().__init__(name, member, shape)
        self.n, self.m = n, m
        *self._front, inputs, self._outputs = shape
        self._rows = inputs // m

    @property
    def size(self) -> int:
        """How many groups there are."""
        return int(np.prod(self.shape)) // self.m

    def _split(self, tensor: Any) -> Any:
        return ops.reshape(tensor, (*self._front, self._rows, self.m, self._outputs))

    def _stays(self, scores: Any) -> Any:
        """Where the n highest of each group stand; of equal ones the first."""
        split = self._split(scores)
        parts = [split[..., i, :] for i in range(self.m)]
        ranks = []
        for i, own in enumerate(parts):
            higher = [
                ops.cast(other >= own if j < i else other > own, "int32")
                for j, other in enumerate(parts)
                if j != i
            ]
            ranks.append(sum(higher[1:], higher[0]))
        return ops.stack([rank < self.n for rank in ranks], axis=-2)

    def grouped(self, scores: list[Any]) -> Any:
        """What each group would lose."""
        lost = ops.where(self._stays(scores[0]), 0.0, self._split(scores[0]))
        return ops.sum(lost, axis=-2)

    def alive(self, mask: Any) -> Any:
        """Groups in which all weights are left."""
        return ops.all(self._split(mask), axis=-2)

    def mask(self, kept: Any, scores: list[Any], mask: Any) -> Any:
        """All of the groups that stay; n of each that has gone now; the others as they were."""
        old = self._split(mask)
        now = ops.where(ops.all(old, axis=-2, keepdims=True), self._stays(scores[0]), old)
        stays = ops.logical_or(ops.expand_dims(kept, -2), now)
        return ops.reshape(stays, self.shape)


class BlockTarget(Target):
    """Blocks of the kernel as a matrix (inputs, outputs); those at the edge may be smaller.

    Args:
        rows: height of a block.
        columns: width of a block.
    """

    unit = "blocks"

    def __init__(self, name: str, member: int, shape: Shape, rows: int, columns: int) -> None:
        super().__init__(name, member, shape)
        self._height, self._width = int(np.prod(shape[:-1])), shape[-1]
        self._rows, self._columns = min(rows, self._height), min(columns, self._width)
        self._down, self._across = -(-self._height // self._rows), -(-self._width // self._columns)
        rows_of = np.add.reduceat(np.ones(self._height), np.arange(0, self._height, self._rows))
        columns_of = np.add.reduceat(np.ones(self._width), np.arange(0, self._width, self._columns))
        self._areas = np.outer(rows_of, columns_of).astype("float32")

    @property
    def size(self) -> int:
        """How many blocks there are."""
        return self._down * self._across

    def _blocks(self, tensor: Any) -> Any:
        matrix = ops.reshape(tensor, (self._height, self._width))
        below = self._down * self._rows - self._height
        right = self._across * self._columns - self._width
        matrix = ops.pad(matrix, ((0, below), (0, right)))
        return ops.reshape(matrix, (self._down, self._rows, self._across, self._columns))

    def grouped(self, scores: list[Any]) -> Any:
        """Mean score of each block."""
        return ops.sum(self._blocks(scores[0]), axis=(1, 3)) / ops.convert_to_tensor(self._areas)

    def alive(self, mask: Any) -> Any:
        """Blocks that have weights."""
        return ops.any(self._blocks(ops.cast(mask, "int32")) > 0, axis=(1, 3))

    def mask(self, kept: Any, scores: list[Any], mask: Any) -> Any:
        """The blocks that stay."""
        long = ops.repeat(ops.repeat(kept, self._rows, axis=0), self._columns, axis=1)
        return ops.reshape(long[: self._height, : self._width], self.shape)


class UnitTarget(Target):
    """Whole units: neurons of dense layers, filters of convolutions, with all that is theirs.

    Args:
        name: of the layers that make them.
        count: how many units.
        kernels: `(index, shape, axis)` of each kernel, with the axis of its units.
        vectors: indices of the biases, scales and offsets.
    """

    unit = "units"

    def __init__(
        self, name: str, count: int, kernels: list[tuple[int, Shape, int]], vectors: list[int]
    ) -> None:
        super().__init__(name, kernels[0][0], kernels[0][1])
        self.scored = tuple(index for index, _, _ in kernels)
        self.members = (*self.scored, *vectors)
        self.mask_shape = (count,)
        self._axes = [axis % len(shape) for _, shape, axis in kernels]
        self._ranks = [len(shape) for _, shape, _ in kernels]

    @property
    def size(self) -> int:
        """How many units there are."""
        return self.mask_shape[0]

    def grouped(self, scores: list[Any]) -> Any:
        """Mean score of the weights of each unit, and of the layers that make it."""
        means = [
            ops.mean(score, axis=tuple(a for a in range(rank) if a != axis))
            for score, axis, rank in zip(scores, self._axes, self._ranks, strict=True)
        ]
        return sum(means[1:], means[0]) / len(means)

    def on_members(self, mask: Any) -> list[Any]:
        """Along the units of each kernel, and as it is for each vector."""
        on_kernels = [
            ops.reshape(mask, tuple(-1 if a == axis else 1 for a in range(rank)))
            for axis, rank in zip(self._axes, self._ranks, strict=True)
        ]
        return on_kernels + [mask] * (len(self.members) - len(on_kernels))
