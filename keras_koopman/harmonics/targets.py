"""Targets and predictions made ready for a transform: shapes checked, weights of single points combined."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src.backend import get_keras_mask


def is_complex(values: Any) -> bool:
    """Whether an array or a tensor holds complex numbers."""
    return "complex" in str(getattr(values, "dtype", ""))


def real_and_imaginary(values: Any) -> tuple[Any, Any]:
    """Both parts of a tensor that may be real."""
    return (ops.real(values), ops.imag(values)) if is_complex(values) else (values, ops.zeros_like(values))


def refuse_nan(name: str, values: Any) -> None:
    """Look for what is not finite in an array on the host; within a compiled step nobody can look.

    Raises:
        ValueError: If there is NaN or infinity.
    """
    if not isinstance(values, np.ndarray | list | tuple):
        return
    values = np.asarray(values)
    wrong = np.argwhere(~np.isfinite(values)) if values.dtype.kind in "fc" else np.empty((0, 0))
    if len(wrong):
        first = tuple(wrong[0].tolist())
        raise ValueError(
            f"{name} must be finite, got {len(wrong)} values that are not, the first {values[first]} at "
            f"{first}. A transform would spread it over the whole sample: put a number there, and a "
            "sample_weight of 0."
        )


def same_shape(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Both tensors with the same rank: one that lacks a last axis of size 1 gets it.

    Raises:
        ValueError: If their shapes differ.
    """
    given = tuple(y_true.shape), tuple(y_pred.shape)
    if len(y_true.shape) + 1 == len(y_pred.shape) and y_pred.shape[-1] == 1:
        y_true = ops.expand_dims(y_true, -1)
    elif len(y_pred.shape) + 1 == len(y_true.shape) and y_true.shape[-1] == 1:
        y_pred = ops.expand_dims(y_pred, -1)
    sizes = zip(y_true.shape, y_pred.shape, strict=False)
    if len(y_true.shape) != len(y_pred.shape) or any(a != b for a, b in sizes if None not in (a, b)):
        raise ValueError(
            f"y_true and y_pred must have the same shape, got {given[0]} and {given[1]}. They are not "
            "broadcast: reshape the targets, or the last layer."
        )
    return y_true, y_pred


def point_weights(weight: Any, shape: tuple[int | None, ...], channels_first: bool) -> Any:
    """A weight of samples or of single points, with as many axes as what it weights.

    Raises:
        ValueError: If it does not fit the shape.
    """
    given = tuple(weight.shape)
    if channels_first and 1 < len(given) < len(shape):
        weight = ops.expand_dims(weight, 1)
    weight = ops.reshape(weight, (*ops.shape(weight), *[1] * (len(shape) - len(weight.shape))))
    sizes = zip(weight.shape, shape, strict=False)
    if len(weight.shape) > len(shape) or any(a not in (1, b) for a, b in sizes if None not in (a, b)):
        raise ValueError(
            f"A sample_weight or mask of shape {given} does not fit predictions of shape {shape}. Pass one "
            "number a sample, (batch,), or one a point, (batch, points)."
        )
    return weight


def combined_weight(
    sample_weight: Any, mask: Any, shape: tuple[int | None, ...], reduction: str | None, channels_first: bool
) -> Any:
    """Sample weight and mask as one weight of the squared error, as Keras's reduction would have it.

    The mean is over what the mask lets through, and with `"mean_with_sample_weight"` over the weights.
    """
    weight = None
    if mask is not None:
        weight = ops.cast(point_weights(mask, shape, channels_first), "float32")
        if reduction in ("mean", "sum_over_batch_size"):
            weight = ops.divide_no_nan(weight, ops.mean(weight))
    if sample_weight is not None:
        own = ops.cast(point_weights(sample_weight, shape, channels_first), "float32")
        weight = own if weight is None else own * weight
    if weight is not None and reduction == "mean_with_sample_weight":
        # A weight of size 1 along an axis counts as often as that axis is long, in the mean too.
        weight = ops.divide_no_nan(weight, ops.mean(weight))
    return weight


def keras_mask(values: Any) -> Any:
    """The mask that a layer has hung on its output."""
    # No public name does it on JAX, whose tensors bear no attributes.
    return get_keras_mask(values)


def working_dtype(dtype: str) -> str:
    """A precision in which a transform may be computed: float32 at least."""
    return "float32" if dtype in ("float16", "bfloat16") else keras.backend.standardize_dtype(dtype)
