"""The right-hand side of a block: the rate with the weights of a time."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from ..backend import precision, read
from .prototype import learned

# Node -> the values of its variables, in the order of `Layer.variables`.
Values = dict[int, list[Any]]


class Field:
    """`R(theta(t), h)` for one call of a block. Touches no variable: new values are handed back.

    Args:
        rates: the copies of the rate, one for each node.
        training: as given to the block.
        mask: as given to the block.
    """

    def __init__(self, rates: Sequence[keras.layers.Layer], training: Any, mask: Any) -> None:
        self.rates = rates
        self.learned = learned(rates[0])
        self.arguments: dict[str, Any] = {"training": training}
        if mask is not None and "mask" in inspect.signature(rates[0].call).parameters:
            self.arguments["mask"] = mask

    def values(self) -> Values:
        """What the variables hold now."""
        return {node: [read(v) for v in rate.variables] for node, rate in enumerate(self.rates)}

    def __call__(self, values: Values, weights: Mapping[int, float], state: Any) -> tuple[Any, Values, Any]:
        """The derivative; the values with statistics brought up to date; the losses that the rate added.

        Args:
            values: of the nodes.
            weights: node -> coefficient.
            state: `h`.
        """
        nearest = max(weights, key=lambda node: abs(weights[node]))
        rate = self.rates[nearest]
        before = [
            combined(weights, {node: values[node][i] for node in weights}, nearest, within=not weight)
            for i, weight in enumerate(self.learned)
        ]
        scope = keras.StatelessScope(list(zip(rate.variables, before, strict=True)), collect_losses=True)
        with scope:
            slope = rate(state, **self.arguments)
        losses = list(scope.losses)
        loss = sum(losses[1:], losses[0]) if losses else None
        if losses:
            rate._clear_losses()  # which are told by their ids, and those may be given to others
        after = [
            old if weight else scope.get_current_value(v)
            for v, old, weight in zip(rate.variables, before, self.learned, strict=True)
        ]
        return ops.cast(slope, state.dtype), _updated(values, weights, nearest, before, after), loss


def combined(weights: Mapping[int, float], values: Mapping[int, Any], nearest: int, within: bool) -> Any:
    """A sum of the nodes' values of one variable; of what is no float, that of the nearest node.

    Args:
        weights: node -> coefficient.
        values: node -> tensor.
        nearest: node of the greatest coefficient.
        within: whether the result must stay in the range of the nodes, as a variance must.
    """
    if len(weights) == 1 and weights.get(nearest) == 1:
        return values[nearest]
    if not is_float(values[nearest]):
        return values[nearest]
    parts = [values[node] * coefficient for node, coefficient in weights.items()]
    total = sum(parts[1:], parts[0])
    if within and any(coefficient < 0 for coefficient in weights.values()):
        least = most = values[nearest]
        for node in weights:
            least, most = ops.minimum(least, values[node]), ops.maximum(most, values[node])
        total = ops.clip(total, least, most)
    return total


def is_float(value: Any) -> bool:
    """Whether a tensor holds real numbers."""
    return "float" in precision(value)


def _updated(
    values: Values, weights: Mapping[int, float], nearest: int, before: list[Any], after: list[Any]
) -> Values:
    """Values after a call that changed some of them at its time.

    The least change of the nodes is made that gives the new value at that time. With one node it is the
    change itself.
    """
    changed = [i for i, (old, new) in enumerate(zip(before, after, strict=True)) if new is not old]
    if not changed:
        return values
    squares = sum(coefficient**2 for coefficient in weights.values())
    found = {**values, **{node: list(values[node]) for node in weights}}
    for i in changed:
        new = ops.cast(after[i], before[i].dtype)
        if not is_float(before[i]) or len(weights) == 1:
            found[nearest][i] = new
            continue
        for node, coefficient in weights.items():
            found[node][i] = values[node][i] + (new - before[i]) * (coefficient / squares)
    return found
