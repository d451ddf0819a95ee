"""The right-hand side of a block: the rate with the weights of a time."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from ..backend import precision, read
from .prototype import learned, moving
from .stages import Stage


class Values(NamedTuple):
    """What the variables of a block hold.

    Attributes:
        nodes: node -> values in the order of `Layer.variables`; those of statistics are not looked at.
        moving: stage, by its number in the grid -> its moving statistics, in the same order.
    """

    nodes: dict[int, list[Any]]
    moving: dict[int, list[Any]]


class Field:
    """`R(theta(t), h)` for one call of a block. Touches no variable: new values are handed back.

    Args:
        rates: the copies of the rate, one for each node.
        statistics: variables that hold the moving statistics of each stage.
        training: as given to the block.
        mask: as given to the block.
    """

    def __init__(
        self,
        rates: Sequence[keras.layers.Layer],
        statistics: Sequence[Sequence[Any]],
        training: Any,
        mask: Any,
    ) -> None:
        self.rates = rates
        self.statistics = statistics
        self.learned = learned(rates[0])
        self.moving = [i for i, found in enumerate(moving(rates[0])) if found]
        self.arguments: dict[str, Any] = {"training": training}
        if mask is not None and "mask" in inspect.signature(rates[0].call).parameters:
            self.arguments["mask"] = mask

    def values(self) -> Values:
        """What the variables hold now."""
        return Values(
            {node: [read(v) for v in rate.variables] for node, rate in enumerate(self.rates)},
            {stage: [read(v) for v in variables] for stage, variables in enumerate(self.statistics)},
        )

    def changed(self, before: Values, after: Values) -> Iterator[tuple[Any, Any]]:
        """Each variable whose value is another, with that value."""
        for node, rate in enumerate(self.rates):
            yield from _others(rate.variables, before.nodes[node], after.nodes[node])
        for stage, variables in enumerate(self.statistics):
            yield from _others(variables, before.moving[stage], after.moving[stage])

    def at(self, values: Values, stage: Stage) -> list[Any]:
        """Values of the variables of a rate where a stage looks, in the order of `Layer.variables`."""
        weights = stage.weights
        found = list(values.nodes[most(weights)])
        for i, weight in enumerate(self.learned):
            if weight:
                found[i] = combined(weights, {node: values.nodes[node][i] for node in weights})
        for k, i in enumerate(self.moving):
            found[i] = combined(stage.moving, {s: values.moving[s][k] for s in stage.moving})
        return found

    def __call__(self, values: Values, stage: Stage, state: Any) -> tuple[Any, Values, Any]:
        """The derivative; the values with statistics brought up to date; the losses that the rate added.

        Args:
            values: of the variables.
            stage: where to look.
            state: `h`.
        """
        nearest = most(stage.weights)
        rate = self.rates[nearest]
        before = self.at(values, stage)
        scope = keras.StatelessScope(list(zip(rate.variables, before, strict=True)), collect_losses=True)
        with scope:
            slope = rate(state, **self.arguments)
        losses = list(scope.losses)
        loss = sum(losses[1:], losses[0]) if losses else None
        if losses:
            rate._clear_losses()  # which are told by their ids, and those may be given to others
        after = {i: scope.get_current_value(v) for i, v in enumerate(rate.variables) if not self.learned[i]}
        found = {i: value for i, value in after.items() if value is not before[i]}
        return ops.cast(slope, state.dtype), self._updated(values, stage, nearest, found), loss

    def _updated(self, values: Values, stage: Stage, nearest: int, found: Mapping[int, Any]) -> Values:
        """Values with those, by the numbers of their variables, that a call has changed."""
        if not found:
            return values
        place = most(stage.moving)
        own, statistics = list(values.nodes[nearest]), list(values.moving[place])
        for i, value in found.items():
            if i in self.moving:
                k = self.moving.index(i)
                statistics[k] = ops.cast(value, statistics[k].dtype)
            else:
                own[i] = value
        return Values({**values.nodes, nearest: own}, {**values.moving, place: statistics})


def most(weights: Mapping[int, float]) -> int:
    """What has the greatest coefficient."""
    return max(weights, key=lambda node: abs(weights[node]))


def combined(weights: Mapping[int, float], values: Mapping[int, Any], within: bool = False) -> Any:
    """A sum of values of one variable; of what is no float, the one of the greatest coefficient.

    Args:
        weights: node or stage -> coefficient.
        values: node or stage -> tensor.
        within: Whether the result must stay in the range of the values, as a variance must. Defaults to
            False.
    """
    nearest = most(weights)
    if len(weights) == 1 and weights[nearest] == 1:
        return values[nearest]
    if not is_float(values[nearest]):
        return values[nearest]
    parts = [values[node] * coefficient for node, coefficient in weights.items()]
    total = sum(parts[1:], parts[0])
    if within and any(coefficient < 0 for coefficient in weights.values()):
        least = greatest = values[nearest]
        for node in weights:
            least, greatest = ops.minimum(least, values[node]), ops.maximum(greatest, values[node])
        total = ops.clip(total, least, greatest)
    return total


def is_float(value: Any) -> bool:
    """Whether a tensor holds real numbers."""
    return "float" in precision(value)


def _others(
    variables: Sequence[Any], before: Sequence[Any], after: Sequence[Any]
) -> Iterator[tuple[Any, Any]]:
    for variable, old, new in zip(variables, before, after, strict=True):
        if new is not old:
            yield variable, new
