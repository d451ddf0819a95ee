"""A check of tensors that stops a run where they cease to be finite."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from ..backend import engine


def checked(value: Any, message: str) -> Any:
    """`value`, if all of it is finite; works in compiled steps too, but for XLA on TensorFlow.

    Raises:
        FloatingPointError: If it is not; a compiled step raises the engine's own error, with `message`.
    """
    if engine() == "tensorflow":
        import tensorflow as tf

        if not tf.executing_eagerly():
            return tf.debugging.check_numerics(value, message)
    if engine() == "jax":
        import jax

        if isinstance(value, jax.core.Tracer):
            jax.debug.callback(_stop, ops.all(ops.isfinite(value)), message=message)
            return value
    _stop(ops.convert_to_numpy(ops.all(ops.isfinite(value))), message)
    return value


def _stop(finite: Any, message: str) -> None:
    if not np.all(finite):
        raise FloatingPointError(message)
