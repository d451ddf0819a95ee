"""Weights that a callback changes while `fit` runs: exact copies, masks kept, no engine left behind.

On JAX a step takes the values that the variables held when its epoch began, unless a callback has asked for
`self.model` since: so a callback does that once in each hook, and only then reads or assigns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops

from ..backend import read
from ..pruning.masks import zeroed


def copies(variables: Sequence[Any]) -> list[Any]:
    """What the variables hold now, bit for bit, in memory of its own: a JAX step gives its arguments away."""
    return [ops.stop_gradient(ops.copy(read(variable))) for variable in variables]


def put(variables: Sequence[Any], values: Sequence[Any]) -> None:
    """Assign values to variables."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def admissible(model: keras.Model, values: Sequence[Any]) -> list[Any]:
    """New values of the trainable variables as a step would leave them: constrained, zero where pruned."""
    masks = dict(_masks(model.optimizer))
    found = []
    for variable, value in zip(model.trainable_variables, values, strict=True):
        if variable.constraint is not None:
            value = variable.constraint(value)
        found.append(zeroed(masks[variable.path], value) if variable.path in masks else value)
    return found


def moving(model: keras.Model) -> list[keras.Variable]:
    """Trainable variables that an optimizer moves along a gradient, as numbers to reckon with."""
    return [v for v in model.trainable_variables if not getattr(v, "overwrite_with_gradient", False)]


def wrapped(optimizer: Any) -> Iterator[Any]:
    """An optimizer and those that it wraps, from outside in."""
    while optimizer is not None:
        yield optimizer
        optimizer = getattr(optimizer, "inner_optimizer", None)


def first_moments(optimizer: Any) -> list[keras.Variable]:
    """Variables in which an optimizer keeps the direction of its last steps: its momenta."""
    innermost = list(wrapped(optimizer))[-1]
    slots = [getattr(innermost, name, None) for name in ("momentums", "_momentums", "adam_momentums")]
    return [
        variable
        for slot in slots
        for variable in (slot.values() if isinstance(slot, dict) else slot or ())
        if variable is not None
    ]


def check_trained(owner: str, model: keras.Model) -> None:
    """Refuse a model that cannot be trained, or has nothing to train.

    Args:
        owner: name of the callback.
        model: about to be trained.

    Raises:
        ValueError: If it has no optimizer or no trainable weights.
    """
    if getattr(model, "optimizer", None) is None:
        raise ValueError(
            f"{owner} needs a compiled model, but {model.name!r} has no optimizer. Call "
            "model.compile(optimizer, loss) first."
        )
    if model.built and not model.trainable_variables:
        raise ValueError(
            f"{owner} has nothing to look at: {model.name!r} has no trainable weights. Set trainable=True."
        )


def _masks(optimizer: Any) -> Iterator[tuple[str, Any]]:
    """Path of each pruned variable, and its mask."""
    for found in wrapped(optimizer):
        state = getattr(found, "pruned", None)
        if state is not None:
            for index, mask in state.masked():
                yield found._trainable_variables[index].path, mask
