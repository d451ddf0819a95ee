"""Layers that do nothing in inference, reshape, merge, or normalise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from keras import layers

from .builder import Builder, Value
from .layers import array
from .registry import LAYERS, register

_IDLE = (
    "Identity Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianNoise GaussianDropout "
    "AlphaDropout ActivityRegularization"
)


def _idle(build: Builder, layer: Any, x: Value, training: Any = None) -> Value:
    return x


for _name in _IDLE.split():
    LAYERS[getattr(layers, _name)] = _idle


@register(layers.Flatten)
def flatten(build: Builder, layer: Any, x: Value) -> Value:
    """Flatten in primitives."""
    if layer.data_format == "channels_first" and len(x.shape) > 1:
        x = build.gather(x, lambda g: np.moveaxis(g, 0, -1))
    return Value(x.number, (x.size,))


@register(layers.Reshape)
def reshape(build: Builder, layer: Any, x: Value) -> Value:
    """Reshape in primitives."""
    return build.gather(x, lambda g: g.reshape(layer.target_shape))


@register(layers.Permute)
def permute(build: Builder, layer: Any, x: Value) -> Value:
    """Permute in primitives."""
    return build.gather(x, lambda g: np.transpose(g, [d - 1 for d in layer.dims]))


@register(layers.RepeatVector)
def repeat(build: Builder, layer: Any, x: Value) -> Value:
    """Repeat in primitives."""
    return build.gather(x, lambda g: np.repeat(g[None], layer.n, 0))


@register(layers.Rescaling)
def rescale(build: Builder, layer: Any, x: Value) -> Value:
    """Rescale in primitives."""
    return build.scale(x, np.asarray(layer.scale, np.float64), np.asarray(layer.offset, np.float64))


@register(layers.Normalization)
def normalise(build: Builder, layer: Any, x: Value) -> Value:
    """Normalise in primitives."""
    mean, variance = array(layer.mean), array(layer.variance)
    mean, variance = mean.reshape(mean.shape[1:]), variance.reshape(variance.shape[1:])
    deviation = np.maximum(np.sqrt(variance), np.float64(np.float32(1e-7)))
    if layer.invert:
        return build.scale(x, deviation, mean)
    return build.scale(build.scale(x, 1.0, -mean), 1.0 / deviation)


@register(layers.Concatenate)
def concatenate(build: Builder, layer: Any, xs: list[Value]) -> Value:
    """Concatenate in primitives."""
    return build.concatenate(xs, layer.axis if layer.axis < 0 else layer.axis - 1)


@register(layers.Add)
def add(build: Builder, layer: Any, xs: list[Value]) -> Value:
    """Add in primitives."""
    return build.combine(xs, [1.0] * len(xs))


@register(layers.Subtract)
def subtract(build: Builder, layer: Any, xs: list[Value]) -> Value:
    """Subtract in primitives."""
    return build.combine(xs, [1.0, -1.0])


@register(layers.Average)
def average(build: Builder, layer: Any, xs: list[Value]) -> Value:
    """Average in primitives."""
    return build.combine(xs, [1.0 / len(xs)] * len(xs))


@register(layers.Multiply)
def multiply(build: Builder, layer: Any, xs: list[Value]) -> Value:
    """Multiply in primitives."""
    total = xs[0]
    for x in xs[1:]:
        total = build.product(total, x)
    return total


def _stacked(build: Builder, xs: list[Value]) -> Value:
    shape = np.broadcast_shapes(*(x.shape for x in xs))
    flat = [Value(build.broadcast(x, shape).number, (*shape, 1)) for x in xs]
    return build.concatenate(flat, -1)


@register(layers.Maximum)
def maximum(build: Builder, layer: Any, xs: list[Value]) -> Value:
    """Maximum in primitives."""
    return build.largest(_stacked(build, xs))


@register(layers.Minimum)
def minimum(build: Builder, layer: Any, xs: list[Value]) -> Value:
    """Minimum in primitives."""
    return build.scale(build.largest(build.scale(_stacked(build, xs), -1.0)), -1.0)


@register(layers.BatchNormalization)
def batch_norm(build: Builder, layer: Any, x: Value, mask: Any = None) -> Value:
    """Batch norm in primitives."""
    axis = layer.axis % (len(x.shape) + 1) - 1
    shape = [1] * len(x.shape)
    shape[axis] = x.shape[axis]
    # The mean comes off first: gamma * mean / sigma may be huge beside what is left.
    x = build.scale(x, 1.0, -array(layer.moving_mean).reshape(shape))
    factor = 1.0 / np.sqrt(array(layer.moving_variance) + layer.epsilon)
    if layer.gamma is not None:
        factor = factor * array(layer.gamma)
    shift = array(layer.beta).reshape(shape) if layer.beta is not None else 0.0
    return build.scale(x, factor.reshape(shape), shift)


def _standardise(build: Builder, x: Value, epsilon: float, centred: bool) -> Value:
    """Along the last axis, by mean and variance, or by the root of the mean square."""
    count = x.shape[-1]
    if centred:
        x = build.matmul(x, np.eye(count) - np.full((count, count), 1.0 / count))
    spread = build.scale(build.mean(build.curve(x, "square")), 1.0, epsilon)
    spread = build.within(spread, epsilon, math.inf)
    inverse = build.curve(spread, "rsqrt")
    y = build.product(x, Value(inverse.number, (*inverse.shape, 1)))
    # No entry of a standardised vector exceeds this, whatever the vector.
    most = math.sqrt(max(count - 1, 0) if centred else count) * (1 + 1e-12)
    return build.within(y, -most, most)


@register(layers.LayerNormalization)
def layer_norm(build: Builder, layer: Any, x: Value) -> Value:
    """Layer norm in primitives."""
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    rank = len(x.shape)
    axes = sorted(a % (rank + 1) - 1 for a in axes)
    rest = [a for a in range(rank) if a not in axes]
    order = (*rest, *axes)
    moved = [x.shape[a] for a in order]
    y = _standardise(build, build.last(x, axes), layer.epsilon, not getattr(layer, "rms_scaling", False))
    y = build.gather(y, lambda g: np.transpose(g.reshape(moved), np.argsort(order)))
    shape = [x.shape[a] if a in axes else 1 for a in range(rank)]
    if layer.gamma is not None:
        y = build.scale(y, array(layer.gamma).reshape(shape))
    return build.scale(y, 1.0, array(layer.beta).reshape(shape)) if layer.beta is not None else y


@register(layers.GroupNormalization)
def group_norm(build: Builder, layer: Any, x: Value) -> Value:
    """Group norm in primitives."""
    axis = layer.axis % (len(x.shape) + 1) - 1
    groups = x.shape[axis] if layer.groups == -1 else layer.groups
    front = build.gather(x, lambda g: np.moveaxis(g, axis, 0))
    flat = Value(front.number, (groups, x.size // groups))
    y = Value(_standardise(build, flat, layer.epsilon, True).number, front.shape)
    y = build.gather(y, lambda g: np.moveaxis(g, 0, axis))
    shape = [1] * len(x.shape)
    shape[axis] = x.shape[axis]
    if layer.gamma is not None:
        y = build.scale(y, array(layer.gamma).reshape(shape))
    return build.scale(y, 1.0, array(layer.beta).reshape(shape)) if layer.beta is not None else y
