"""A layer on its way to be compressed: its kernel, what it has seen, and the halves of its neurons."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from .capture import check_finite
from .patches import as_matrices
from .sensitivity import sensitivities, split_signs

Real = NDArray[np.float64]


@dataclasses.dataclass(eq=False)
class Target:
    """A layer that is compressed. Kernels are matrices `(entries per unit, units)`, one a group of channels.

    Args:
        layer: dense or convolutional.
        kernels: its weights.
        sensitivities: of each weight to what was seen so far.
        sums: of each input of a unit over what was seen so far, for each group.
        squares: the same of squares.
        seen: rows so far.
        signed: whether there was an activation below zero.
    """

    layer: Any
    kernels: list[Real]
    sensitivities: list[Real]
    sums: list[Real]
    squares: list[Real]
    seen: int = 0
    signed: bool = False

    @classmethod
    def of(cls, layer: Any) -> Target:
        """A layer that has seen nothing yet.

        Raises:
            ValueError: If a weight is not finite.
        """
        kernel = np.asarray(ops.convert_to_numpy(layer.kernel)).astype(np.float64)
        check_finite(f"weight {layer.kernel.path!r}", kernel)
        kernels = as_matrices(layer, kernel)
        sums, squares = ([np.zeros(len(matrix)) for matrix in kernels] for _ in range(2))
        return cls(layer, kernels, [np.zeros(matrix.shape) for matrix in kernels], sums, squares)

    @property
    def size(self) -> int:
        """Entries of the kernel."""
        return sum(matrix.size for matrix in self.kernels)

    @property
    def silent(self) -> bool:
        """Whether all that was seen is zero."""
        return not any(square.any() for square in self.squares)

    def learn(self, group: int, seen: Real, moments_only: bool = False) -> None:
        """Take in rows of activations of a group of channels."""
        if not moments_only:
            new = sensitivities(split_signs(seen), self.kernels[group])
            np.maximum(self.sensitivities[group], new, out=self.sensitivities[group])
        self.sums[group] += seen.sum(axis=0)
        self.squares[group] += (seen**2).sum(axis=0)
        self.signed |= bool(seen.min(initial=0.0) < 0.0)
        self.seen += len(seen) if group == 0 else 0

    def mean(self, group: int) -> Real:
        """Mean of each input of a unit."""
        return self.sums[group] / max(self.seen, 1)

    def spread(self, group: int) -> Real:
        """Root mean square of each input of a unit; about its mean, if a bias can make up for that."""
        square = self.squares[group] / max(self.seen, 1)
        return np.sqrt(square if self.layer.bias is None else np.maximum(square - self.mean(group) ** 2, 0.0))


@dataclasses.dataclass(frozen=True, eq=False)
class Half:
    """The weights of one sign of one neuron, the most sensitive first.

    Args:
        target: number of the layer.
        group: of channels.
        unit: within the group.
        entries: rows of the matrix, those with a sensitivity above zero.
        ranked: their sensitivities.
        idle: rows of the other weights, the largest first.
        idle_sizes: their sizes.
    """

    target: int
    group: int
    unit: int
    entries: NDArray[np.int64]
    ranked: Real
    idle: NDArray[np.int64]
    idle_sizes: Real

    @property
    def size(self) -> int:
        """How many weights there are."""
        return len(self.entries) + len(self.idle)


def halves_of(targets: list[Target]) -> list[Half]:
    """All halves that have a weight."""
    found = []
    for number, target in enumerate(targets):
        for group, (kernel, values) in enumerate(zip(target.kernels, target.sensitivities, strict=True)):
            order = np.argsort(-values, axis=0, kind="stable")
            for unit in range(kernel.shape[1]):
                column, rank = kernel[:, unit], order[:, unit]
                for there in (column > 0, column < 0):
                    own = rank[there[rank]]
                    known = int((values[own, unit] > 0).sum())
                    idle = own[known:]
                    idle = idle[np.argsort(-np.abs(column[idle]), kind="stable")]
                    ranked, sizes = values[own[:known], unit], np.abs(column[idle])
                    if len(own):
                        found.append(Half(number, group, unit, own[:known], ranked, idle, sizes))
    return found
