"""Another basis, scheme or number of steps for the blocks of a model: one linear map for each block.

The map takes node weights to node weights. Optimizer slots and pruning masks go the same way, but may not
leave the range of the nodes that they come from: a mean of squares stays positive. Moving statistics are
taken over by the times at which they were gathered.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from ..backend import engine, precision, read
from .basis import Basis, Real
from .continuous_block import ContinuousBlock
from .field import combined, most
from .prototype import moving
from .tableau import Tableau


@dataclasses.dataclass(frozen=True)
class Change:
    """What became of the nodes of a block.

    Attributes:
        prefix: of the paths of its nodes.
        sources: of each new node, the old nodes that it is made of, with their coefficients.
    """

    prefix: str
    sources: tuple[dict[int, float], ...]


def blocks_of(model: Any) -> list[ContinuousBlock]:
    """Blocks of a model; those within the rates of others are left out.

    Raises:
        TypeError: If it is no model.
        ValueError: If it has no blocks.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {model!r} of type {type(model).__name__}.")
    found = [layer for layer in model._flatten_layers() if isinstance(layer, ContinuousBlock)]
    inner = {id(layer) for block in found for layer in block._flatten_layers(include_self=False)}
    found = [block for block in found if id(block) not in inner]
    if not found:
        raise ValueError(
            f"model {model.name!r} has no ContinuousBlock, so there is no depth to change. Build it with "
            "kk.layers.ContinuousBlock."
        )
    return found


def change_block(
    model: keras.Model, block: ContinuousBlock, tableau: Tableau, basis: Basis, steps: int, matrix: Real
) -> Change | None:
    """Give a block another method and basis, in place.

    Args:
        model: that the block belongs to.
        block: of it.
        tableau: the new method.
        basis: the new basis.
        steps: the new number of them.
        matrix: from old node weights to new ones; not looked at if the basis stays.

    Returns:
        What became of the nodes; None if they are the same as before, or do not exist yet.
    """
    same = basis == block._basis
    old, grid = block._grid, block._grid_of(tableau, basis, steps)
    before = block._moving() if block.built else []
    block._set_method(tableau, basis, steps)
    if not block.built:
        return None
    with scope_of(model):
        statistics = [[ops.copy(read(v)) for v in stage] for stage in before]  # torch writes in place
        sources = None if same else _change_rates(block, matrix)
        block._set_grid(grid)
        for stage, weights in zip(block._moving(), old.seen_from(block._grid), strict=True):
            for i, variable in enumerate(stage):
                variable.assign(ops.copy(combined(weights, {s: statistics[s][i] for s in weights})))
    return None if sources is None else Change(f"{block.path}/node_", sources)


def _change_rates(block: ContinuousBlock, matrix: Real) -> tuple[dict[int, float], ...]:
    """Make the nodes anew, from sums of the old ones; of what each is made."""
    old = [[read(v) for v in rate.variables] for rate in block.rates]
    rates = block._copies(len(matrix))
    sources = []
    for rate, row in zip(rates, matrix, strict=True):
        weights = {int(node): float(row[node]) for node in np.flatnonzero(row)}
        sources.append(weights)
        for i, (variable, apart) in enumerate(zip(rate.variables, moving(rate), strict=True)):
            if apart or variable.name == "seed_generator_state":
                continue  # statistics belong to stages, and each node draws its own dropout
            variable.assign(moved(weights, {node: old[node][i] for node in weights}))
    for rate, source in zip(rates, sources, strict=True):
        _keep_frozen(rate, block.rates[most(source)])
    block._set_rates(rates)
    return tuple(sources)


def moved(weights: Mapping[int, float], values: Mapping[int, Any], within: bool = False) -> Any:
    """A sum of values; of masks, what is set in any. Always a new tensor: JAX gives buffers away."""
    nearest = most(weights)
    if precision(values[nearest]) != "bool":
        return ops.copy(combined(weights, values, within))
    found = ops.copy(values[nearest])
    for value in values.values():
        found = ops.logical_or(found, value)
    return found


def scope_of(model: keras.Model) -> Any:
    """Where new variables of a model must be made: under its strategy, if TensorFlow has one."""
    strategy = getattr(model, "distribute_strategy", None) if engine() == "tensorflow" else None
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def forget_functions(model: keras.Model) -> None:
    """Make the model compile its steps anew: the old ones hold the old variables."""
    model.train_function = model.test_function = model.predict_function = None


def _keep_frozen(new: keras.layers.Layer, old: keras.layers.Layer) -> None:
    for layer, like in zip(new._flatten_layers(), old._flatten_layers(), strict=True):
        if layer.trainable != like.trainable:
            layer.trainable = like.trainable
