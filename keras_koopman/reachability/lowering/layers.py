"""Layers with weights, merging layers, and those that only move numbers about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from ..program import Real
from .activation import activate
from .builder import Builder, Value
from .registry import LAYERS, register


def array(weight: Any) -> Real:
    """A weight as float64: float32 numbers are float64 numbers, so nothing is lost."""
    return np.asarray(keras.ops.convert_to_numpy(weight), np.float64)


def bias_of(layer: Any) -> Real | None:
    """The bias of a layer, if it has one."""
    return array(layer.bias) if getattr(layer, "bias", None) is not None else None


def channels_last(build: Builder, layer: Any, x: Value) -> Value:
    """X with the channels at the end."""
    first = getattr(layer, "data_format", None) == "channels_first"
    return build.gather(x, lambda g: np.moveaxis(g, 0, -1)) if first else x


def as_given(build: Builder, layer: Any, x: Value) -> Value:
    """X with the channels where the layer has them."""
    first = getattr(layer, "data_format", None) == "channels_first"
    return build.gather(x, lambda g: np.moveaxis(g, -1, 0)) if first else x


@register(layers.Dense)
def dense(build: Builder, layer: Any, x: Value) -> Value:
    """Dense in primitives."""
    return activate(build, layer.activation, build.matmul(x, array(layer.kernel), bias_of(layer)))


def patches(
    build: Builder,
    x: Value,
    kernel: Sequence[int],
    strides: Sequence[int],
    padding: str,
    dilation: Sequence[int] | None = None,
    repeat: bool = False,
) -> tuple[Value, Real]:
    """Windows of x: `(*positions, channels, window)`, and how many entries of each are real, `(*positions,)`.

    Padding is 0, or with `repeat` an entry of the same window, which does not change its maximum.
    """
    rank = len(kernel)
    dilation = dilation or (1,) * rank
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    pads = [(0, 0)] * rank
    if padding == "causal":
        pads = [(reach[0] - 1, 0)]
    elif padding == "same":
        pads = []
        for size, k, s in zip(x.shape, reach, strides, strict=False):
            total = max((math.ceil(size / s) - 1) * s + k - size, 0)
            pads.append((total // 2, total - total // 2))

    def move(grid: Any) -> Any:
        grid = np.pad(grid, [*pads, (0, 0)], constant_values=-1)
        windows = np.lib.stride_tricks.sliding_window_view(grid, reach, tuple(range(rank)))
        windows = windows[tuple(slice(None, None, s) for s in strides)]
        apart: Any = (Ellipsis, *(slice(None, None, d) for d in dilation))
        windows = windows[apart]
        return windows.reshape(*windows.shape[: rank + 1], -1)

    index = move(np.arange(x.size).reshape(x.shape))
    counts = (index[..., 0, :] >= 0).sum(-1)
    if repeat:
        index = np.where(index >= 0, index, index.max(-1, keepdims=True))
    return build.gather(x, lambda _: index), counts


def _convolution(build: Builder, layer: Any, x: Value) -> Value:
    x = channels_last(build, layer, x)
    kernel: Any = array(layer.kernel)
    window, fan_in, filters = kernel.shape[:-2], kernel.shape[-2], kernel.shape[-1]
    seen, _ = patches(build, x, window, layer.strides, layer.padding, layer.dilation_rate)
    # Patches hold channels before positions: (channels, window).
    kernel = kernel.reshape(-1, fan_in, filters).transpose(1, 0, 2)
    groups = layer.groups
    split = kernel.reshape(fan_in, -1, groups, filters // groups).transpose(2, 0, 1, 3)
    split = split.reshape(groups, -1, filters // groups)
    flat = Value(seen.number, (*seen.shape[:-2], seen.shape[-2] * seen.shape[-1]))
    y = build.matmul(flat, split, bias_of(layer))
    return activate(build, layer.activation, as_given(build, layer, y))


def _depthwise(build: Builder, layer: Any, x: Value, kernel: Real, bias: Real | None) -> Value:
    """Each channel by itself. `kernel` is `(*window, channels, multiplier)`."""
    seen, _ = patches(build, x, kernel.shape[:-2], layer.strides, layer.padding, layer.dilation_rate)
    split = kernel.reshape(-1, *kernel.shape[-2:]).transpose(1, 0, 2)
    flat = Value(seen.number, (*seen.shape[:-2], seen.shape[-2] * seen.shape[-1]))
    return build.matmul(flat, split, bias)


def _depthwise_layer(build: Builder, layer: Any, x: Value) -> Value:
    x = channels_last(build, layer, x)
    y = _depthwise(build, layer, x, array(layer.kernel), bias_of(layer))
    return activate(build, layer.activation, as_given(build, layer, y))


def _separable_layer(build: Builder, layer: Any, x: Value) -> Value:
    x = channels_last(build, layer, x)
    y = _depthwise(build, layer, x, array(layer.depthwise_kernel), None)
    pointwise = array(layer.pointwise_kernel)
    y = build.matmul(y, pointwise.reshape(pointwise.shape[-2:]), bias_of(layer))
    return activate(build, layer.activation, as_given(build, layer, y))


def _largest_pool(build: Builder, layer: Any, x: Value) -> Value:
    x = channels_last(build, layer, x)
    seen, _ = patches(build, x, layer.pool_size, layer.strides, layer.padding, repeat=True)
    return as_given(build, layer, build.largest(seen))


def _average_pool(build: Builder, layer: Any, x: Value) -> Value:
    x = channels_last(build, layer, x)
    seen, counts = patches(build, x, layer.pool_size, layer.strides, layer.padding)
    # Padding does not count.
    y = build.scale(build.total(seen), 1.0 / counts[..., None])
    return as_given(build, layer, y)


def _global_pool(build: Builder, layer: Any, x: Value, largest: bool) -> Value:
    x = channels_last(build, layer, x)
    rank = len(x.shape) - 1
    flat = build.last(x, range(rank))
    y = build.largest(flat) if largest else build.mean(flat)
    if not layer.keepdims:
        return y
    return as_given(build, layer, Value(y.number, (*(1,) * rank, y.size)))


def _global_largest(build: Builder, layer: Any, x: Value) -> Value:
    return _global_pool(build, layer, x, largest=True)


def _global_average(build: Builder, layer: Any, x: Value, mask: Any = None) -> Value:
    return _global_pool(build, layer, x, largest=False)


def _pad(build: Builder, layer: Any, x: Value) -> Value:
    x = channels_last(build, layer, x)
    sides = layer.padding
    sides = [sides] if np.ndim(sides) == 1 else list(sides)
    y = build.gather(x, lambda g: np.pad(g, [*sides, (0, 0)], constant_values=-1))
    return as_given(build, layer, y)


def _crop(build: Builder, layer: Any, x: Value) -> Value:
    x = channels_last(build, layer, x)
    sides = layer.cropping
    sides = [sides] if np.ndim(sides) == 1 else list(sides)
    kept = tuple(slice(a, n - b) for (a, b), n in zip(sides, x.shape, strict=False))
    return as_given(build, layer, build.gather(x, lambda g: g[kept]))


def _upsample(build: Builder, layer: Any, x: Value) -> Value:
    if getattr(layer, "interpolation", "nearest") != "nearest":
        raise NotImplementedError(f"interpolation={layer.interpolation!r}")
    x = channels_last(build, layer, x)

    def move(grid: Any) -> Any:
        for axis, times in enumerate(np.atleast_1d(layer.size)):
            grid = np.repeat(grid, int(times), axis)
        return grid

    return as_given(build, layer, build.gather(x, move))


for n in "123":
    LAYERS[getattr(layers, f"Conv{n}D")] = _convolution
    LAYERS[getattr(layers, f"MaxPooling{n}D")] = _largest_pool
    LAYERS[getattr(layers, f"AveragePooling{n}D")] = _average_pool
    LAYERS[getattr(layers, f"GlobalMaxPooling{n}D")] = _global_largest
    LAYERS[getattr(layers, f"GlobalAveragePooling{n}D")] = _global_average
    LAYERS[getattr(layers, f"ZeroPadding{n}D")] = _pad
    LAYERS[getattr(layers, f"Cropping{n}D")] = _crop
    LAYERS[getattr(layers, f"UpSampling{n}D")] = _upsample
for n in "12":
    LAYERS[getattr(layers, f"DepthwiseConv{n}D")] = _depthwise_layer
    LAYERS[getattr(layers, f"SeparableConv{n}D")] = _separable_layer
