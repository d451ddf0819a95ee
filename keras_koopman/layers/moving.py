"""Moving statistics of a block: a set for each stage of each step, as each sees states of its own.

Weights are functions of time, statistics describe states on the way. The stages of a step, and the steps that
share a node, meet different states, so one average of them all would fit none.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ..backend import read
from .basis import Basis
from .tableau import Tableau

# Decimals to which times are told apart.
DECIMALS = 12
# What is smaller in an interpolation is rounding.
ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Grid:
    """The stages of all steps, in the order in which they are met.

    Args:
        c: times of the stages in a step, from 0 to 1.
        steps: number of them.
        basis: of the weights when the statistics were gathered. Where these jumped, so do the statistics.
    """

    c: tuple[float, ...]
    steps: int
    basis: Basis

    @classmethod
    def of(cls, tableau: Tableau, steps: int, basis: Basis) -> Grid:
        """That of a method."""
        return cls(tableau.c, steps, basis)

    def to_config(self) -> dict[str, Any]:
        """What `from_config` needs, as JSON can hold it."""
        return {
            "c": list(self.c),
            "steps": self.steps,
            "basis": self.basis.name,
            "nodes": self.basis.nodes,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Grid:
        """The grid that `to_config` described."""
        return cls(tuple(config["c"]), config["steps"], Basis(config["basis"], config["nodes"]))

    @functools.cached_property
    def times(self) -> list[tuple[float, bool]]:
        """Time of each stage, from 0 to 1, and whether it counts for the later cell if on a boundary.

        One in the second half of its step lies just before a boundary, so that a step within a cell never
        sees the next one.
        """
        return [((n + c) / self.steps, c <= 0.5) for n in range(self.steps) for c in self.c]

    def homes(self, basis: Basis) -> list[tuple[int, bool]]:
        """Of each stage, the node that counts most there, and whether it is the first one at that node.

        The statistics of the first one are held by the node's own copy of the rate.

        Args:
            basis: of the weights as they are now.
        """
        found: list[tuple[int, bool]] = []
        taken: set[int] = set()
        for time, late in self.times:
            weights = basis.at(time, late)
            node = max(weights, key=lambda n: abs(weights[n]))
            found.append((node, node not in taken))
            taken.add(node)
        return found

    def knots(self, time: float, late: bool = True) -> dict[float, list[int]]:
        """Times between which statistics are interpolated, in order, with the stages met then.

        Args:
            time: from 0 to 1: where weights jump, only stages in its cell count.
            late: as for `Basis.locate`. Defaults to True.
        """
        stages = range(len(self.times))
        cell = self.basis.locate(time, late)[0]
        near = [i for i in stages if self.basis.name == "fem" or self._cell(i) == cell] or stages
        found: dict[float, list[int]] = {}
        for i in sorted(near, key=lambda i: self.times[i][0]):
            found.setdefault(round(self.times[i][0], DECIMALS), []).append(i)
        return found

    def at(self, time: float, late: bool = True) -> dict[int, float]:
        """Stage -> coefficient at a time from 0 to 1: linear between the nearest two, no negative ones.

        Args:
            time: from 0 to 1.
            late: as for `Basis.at`. Defaults to True.
        """
        knots = self.knots(time, late)
        hats = [float(np.interp(time, [*knots], row)) for row in np.eye(len(knots))]
        pairs = zip(hats, knots.values(), strict=True)
        return {i: hat / len(stages) for hat, stages in pairs for i in stages if hat > ROUNDING}

    def seen_from(self, other: Grid) -> list[dict[int, float]]:
        """For each stage of another grid, the stages of this one that stand for it."""
        if (self.c, self.steps) == (other.c, other.steps):
            return [{i: 1.0} for i in range(len(self.times))]
        return [self.at(time, late) for time, late in other.times]

    def _cell(self, stage: int) -> int:
        return self.basis.locate(*self.times[stage])[0]


class Statistics(keras.layers.Layer):
    """Holds the statistics of a stage whose node holds those of another one; computes nothing.

    Args:
        like: variables of a rate, which give shapes and first values.
        **kwargs: of `keras.layers.Layer`.
    """

    def __init__(self, like: Sequence[Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for number, variable in enumerate(like):
            self.add_weight(
                shape=tuple(variable.shape),
                dtype=variable.dtype,
                initializer=functools.partial(_copied, variable),
                trainable=False,
                autocast=False,
                aggregation=variable.aggregation,
                name=f"{variable.name}_{number}",
            )
        self.built = True


def _copied(variable: Any, shape: Any, dtype: Any = None) -> Any:
    return ops.copy(read(variable))
