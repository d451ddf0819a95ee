"""The rate of a block as its user gave it, and copies of it, one for each node."""

from __future__ import annotations

from typing import Any

import keras


class Prototype:
    """A layer or small model that is copied, never called: what holds it does not track its weights.

    Args:
        rate: to copy.

    Raises:
        TypeError: If it is no Keras layer, or is a class.
    """

    def __init__(self, rate: Any) -> None:
        if isinstance(rate, type) or not isinstance(rate, keras.layers.Layer):
            raise TypeError(
                f"rate must be a Keras layer or model, got {rate!r} of type {type(rate).__name__}. Pass an "
                "object, like keras.layers.Dense(8) or a keras.Sequential; a function can be wrapped in a "
                "layer class of your own."
            )
        self.rate = rate

    def copy(self) -> keras.layers.Layer:
        """A new layer with weights of its own, drawn by its initializers.

        Raises:
            TypeError: If the rate does not know its arguments.
        """
        try:
            return type(self.rate).from_config(_unshared(self.rate.get_config()))
        except (NotImplementedError, TypeError) as error:
            raise TypeError(
                f"rate {self.rate.name!r} cannot be copied, and each node needs a copy: its class "
                f"{type(self.rate).__name__} must have a get_config that gives the arguments of its "
                f"constructor. ({error})"
            ) from error


def _unshared(config: Any) -> Any:
    """A configuration without the marks by which, while a model is loaded, Keras makes equal layers one."""
    if isinstance(config, dict):
        return {name: _unshared(value) for name, value in config.items() if name != "shared_object_id"}
    if isinstance(config, list | tuple):
        return type(config)(_unshared(value) for value in config)
    return config


def built_copy(prototype: Prototype, number: int, shape: Any, dtype: str, of: str) -> keras.layers.Layer:
    """The copy for node `number`, built for states of a shape.

    Args:
        prototype: of the rate.
        number: of the node, which is told by the paths of its weights.
        shape: of the states, with the batch.
        dtype: of the states.
        of: name of the block, for errors.

    Raises:
        ValueError: If the rate changes the shape or has no weights.
    """
    with keras.name_scope(f"node_{number}"):
        rate = prototype.copy()
        found = rate(keras.KerasTensor(shape, dtype))
    if not isinstance(found, keras.KerasTensor):
        raise ValueError(
            f"rate {rate.name!r} of {of!r} must give one tensor, got {type(found).__name__}: it is the "
            "derivative of the state."
        )
    if not _fits(found.shape, shape):
        raise ValueError(
            f"rate {rate.name!r} of {of!r} changes the shape of the state from {tuple(shape)} to "
            f"{tuple(found.shape)}: a derivative has the shape of the state. Give its last layer as many "
            "units as the state has, convolutions padding='same' and strides=1; change the shape outside the "
            "block."
        )
    if not rate.weights:
        raise ValueError(
            f"rate {rate.name!r} of {of!r} has no weights, so there is nothing to put at the nodes. Give it "
            "a layer with weights."
        )
    return rate


def _fits(found: Any, wanted: Any) -> bool:
    pairs = zip(found, wanted, strict=False)
    return len(found) == len(wanted) and all(a == b or a is None or b is None for a, b in pairs)


def learned(rate: keras.layers.Layer) -> list[bool]:
    """Of each variable, whether it is made to be learned, frozen or not; statistics and seeds are not."""
    made = {id(v) for layer in rate._flatten_layers() for v in layer._trainable_variables}
    return [id(v) in made for v in rate.variables]


def moving(rate: keras.layers.Layer) -> list[bool]:
    """Of each variable, whether it is a moving statistic: a real number that is not made to be learned."""
    return [
        not weight and "float" in keras.backend.standardize_dtype(v.dtype)
        for v, weight in zip(rate.variables, learned(rate), strict=True)
    ]
