"""`refine`: more nodes, the same function."""

from __future__ import annotations

from typing import Literal

import keras

from .. import _checks
from .basis import interpolation
from .change import blocks_of, change_block, forget_functions
from .slots import renew_optimizer


def refine(
    model: keras.Model,
    factor: int = 2,
    steps: int | Literal["scale"] | None = None,
    slots: Literal["carry", "reset"] = "carry",
) -> keras.Model:
    """Give the blocks of a model more nodes that make up the same function of time; in place.

    K nodes become `factor * K`, of the continuous `"fem"` basis `factor * (K - 1) + 1`. With the same steps
    the outputs are equal to rounding; with more of them they are another, finer discretisation.

    Batch normalisation, pruning masks and the slots of the optimizer go along. Steps made, learning rate
    and its schedule stay. Works for models of any kind, compiled or not.

    Args:
        model: With one `ContinuousBlock` or more.
        factor: At least 1. Defaults to 2.
        steps: New number of steps of each block; `"scale"` multiplies them by `factor`. Defaults to None: as
            before. A warning names nodes that no step meets.
        slots: `"carry"`, or `"reset"` the optimizer's slots of all weights. Defaults to `"carry"`.

    Returns:
        The model itself.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or the model has no blocks.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> block = kk.layers.ContinuousBlock(kk.layers.DenseRate(), steps=4, nodes=2)
    >>> model = keras.Sequential([keras.Input((3,)), block])
    >>> before = model.predict(np.eye(3), verbose=0)
    >>> after = kk.layers.refine(model).predict(np.eye(3), verbose=0)
    >>> block.nodes, bool(np.allclose(before, after))
    (4, True)
    """
    blocks = blocks_of(model)
    factor = _checks.whole_number("factor", factor, least=1)
    _checks.one_of("slots", slots, ("carry", "reset"))
    if isinstance(steps, str):
        _checks.one_of("steps", steps, ("scale",))
    elif steps is not None:
        steps = _checks.whole_number("steps", steps, least=1)
    changes = []
    for block in blocks:
        target = block._basis.refined(factor)
        count = block.steps * factor if steps == "scale" else block.steps if steps is None else int(steps)
        matrix = interpolation(block._basis, target)
        changes.append(change_block(model, block, block.tableau, target, count, matrix))
        block._warn_of_unused()
    renew_optimizer(model, [change for change in changes if change is not None], carry=slots == "carry")
    forget_functions(model)
    return model
