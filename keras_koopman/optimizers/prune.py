"""`prune`: the short road to a model that is pruned while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from ..pruning.criteria import Criterion
from ..pruning.plan import Structure
from ..schedules import Schedule
from .pruning import PruningOptimizer
from .running import innermost


def prune(
    model: keras.Model,
    schedule: Schedule,
    criterion: str | Criterion | Any = "magnitude",
    share: str | Criterion = "global",
    include: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    structure: Structure = None,
    update_freq: int | None = None,
) -> keras.Model:
    """Put a `PruningOptimizer` around the optimizer of a compiled model; its state is kept.

    The model is compiled again with the loss, the metrics and all else as they were. Steps of the schedule
    count from here.

    Args:
        model: compiled; built if `structure="unit"`.
        schedule: As in `PruningOptimizer`.
        criterion: As in `PruningOptimizer`. Defaults to `"magnitude"`.
        share: As in `PruningOptimizer`. Defaults to `"global"`.
        include: As in `PruningOptimizer`.
        exclude: As in `PruningOptimizer`.
        structure: As in `PruningOptimizer`.
        update_freq: As in `PruningOptimizer`.

    Returns:
        The model itself.

    Raises:
        TypeError: As `PruningOptimizer`.
        ValueError: If the model is not compiled, or is pruned already; as `PruningOptimizer`.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> model.compile("adam", "mse")
    >>> x, y = np.ones((8, 8)), np.ones((8, 4))
    >>> history = model.fit(x, y, epochs=2, verbose=0)
    >>> history = kk.prune(model, kk.schedules.OneShot(0.5, step=1)).fit(x, y, verbose=0)
    >>> int((keras.ops.convert_to_numpy(model.layers[0].kernel) == 0).sum())
    16
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"model must be a keras.Model, got {model!r} of type {type(model).__name__}.")
    if not model.compiled or model.optimizer is None:
        raise ValueError(
            f"model {model.name!r} is not compiled: there is no optimizer to wrap. Call model.compile first, "
            "or pass a kk.optimizers.PruningOptimizer to it."
        )
    wrapped = innermost(model.optimizer)
    if any(isinstance(optimizer, PruningOptimizer) for optimizer in wrapped):
        raise ValueError(
            f"model {model.name!r} is pruned already. To prune on with another schedule, compile it with a "
            "new PruningOptimizer around model.optimizer.inner_optimizer."
        )
    inner = wrapped[-1]
    optimizer: Any = PruningOptimizer(
        inner, schedule, criterion, share, include, exclude, structure, update_freq
    )
    if model.built:
        optimizer.build_for(model)
    if len(wrapped) > 1:
        optimizer = _around(wrapped[0], optimizer)
    # The arguments as they were given, not as a saved model would describe them.
    arguments = {**model._compile_config.config, "optimizer": optimizer}
    keras.Model.compile(model, **arguments)
    return model


def _around(scaling: Any, optimizer: PruningOptimizer) -> Any:
    """A loss scale like `scaling`, with its present scale, around the pruning optimizer."""
    config = scaling.get_config()
    config.pop("inner_optimizer")
    found = keras.optimizers.LossScaleOptimizer(optimizer, **config)
    if scaling.built and optimizer.built:
        found.build(optimizer._trainable_variables)
        found.dynamic_scale.assign(scaling.dynamic_scale)
        found.step_counter.assign(scaling.step_counter)
    return found
