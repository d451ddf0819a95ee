"""How each layer and operation of Keras is written in primitives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

Lowering = Callable[..., Any]

LAYERS: dict[type, Lowering] = {}
OPERATIONS: dict[str, Lowering] = {}


def register(layer: type) -> Callable[[Lowering], Lowering]:
    """Teach `kk.reachability` a layer.

    Most layers of your own need no teaching: if their `call` is made of Keras layers and `keras.ops`, they
    are
    taken apart. Register one whose `call` is not, or for which tighter primitives are known.

    The function gets a builder, the layer, and what the layer is called with, tensors replaced by symbolic
    values with a `shape` without the batch. It returns such a value, made with the builder's methods:
    `matmul`,
    `gather`, `scale`, `combine`, `concatenate`, `curve`, `product`, `largest`, `log_sum_exp`, `mean`,
    `total`.

    Args:
        layer: the class. Subclasses that do not override `call` are taught along.

    Returns:
        A decorator of the function.

    Raises:
        TypeError: If `layer` is no class of layers.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import keras_koopman as kk
    >>> class Twice(keras.layers.Layer):
    ...     def call(self, x):
    ...         return 2 * x
    >>> @kk.reachability.register(Twice)
    ... def twice(build, layer, x):
    ...     return build.scale(x, 2.0)
    >>> model = keras.Sequential([keras.Input((1,)), Twice()])
    >>> low, high = kk.reachability.bounds(model, kk.reachability.Box([-1], [3]))
    >>> np.round([low, high], 6).ravel()
    array([-2.,  6.])
    """
    if not (isinstance(layer, type) and issubclass(layer, keras.Layer)):
        raise TypeError(f"layer must be a class of layers, got {layer!r} of type {type(layer).__name__}.")

    def enter(lowering: Lowering) -> Lowering:
        LAYERS[layer] = lowering
        return lowering

    return enter


def operation(*names: str) -> Callable[[Lowering], Lowering]:
    """Enter the lowering of operations of `keras.ops`, by the names of their classes."""

    def enter(lowering: Lowering) -> Lowering:
        OPERATIONS.update(dict.fromkeys(names, lowering))
        return lowering

    return enter


def lowering_of(target: Any) -> Lowering | None:
    """What is known about a layer or an operation; None if nothing is."""
    if not isinstance(target, keras.Layer):
        return OPERATIONS.get(type(target).__name__)
    for cls in type(target).__mro__:
        if cls in LAYERS:
            return LAYERS[cls]
        if "call" in vars(cls):
            return None
    return None
