"""What the neurons of a layer see, as rows: inputs of a dense layer, patches of a convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import layers
from numpy.typing import NDArray

Real = NDArray[np.float64]


def groups_of(layer: Any) -> int:
    """How many groups of channels a layer keeps apart."""
    return int(getattr(layer, "groups", 1))


def rows(layer: Any, inputs: Real, limit: int, rng: np.random.Generator) -> list[Real]:
    """Rows `(n, entries of the kernel per unit)` for each group of channels; a layer without groups has one.

    Args:
        layer: dense or convolutional.
        inputs: of the layer, a batch.
        limit: how many rows at most; chosen by chance if there are more.
        rng: that chooses.
    """
    if type(layer) is layers.Dense:
        flat = inputs.reshape(-1, inputs.shape[-1])
        return [flat[_chosen(len(flat), limit, rng)]]
    if layer.data_format == "channels_first":
        inputs = np.moveaxis(inputs, 1, -1)
    windows = _windows(layer, inputs)
    dimensions = len(layer.kernel_size)
    places = windows.shape[: 1 + dimensions]
    chosen = np.unravel_index(_chosen(int(np.prod(places)), limit, rng), places)
    # (n, channels, *kernel) as the kernel's (*kernel, channels).
    found = np.moveaxis(windows[chosen], 1, -1)
    parts = np.split(found, groups_of(layer), axis=-1)
    return [part.reshape(len(part), -1) for part in parts]


def _chosen(count: int, limit: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.arange(count) if count <= limit else np.sort(rng.choice(count, limit, replace=False))


def _windows(layer: Any, inputs: Real) -> Real:
    """A view `(batch, *positions, channels, *kernel)` of all patches; nothing is copied but the padding."""
    sizes, strides, dilations = layer.kernel_size, layer.strides, layer.dilation_rate
    padding = [(0, 0)]
    for length, size, stride, dilation in zip(inputs.shape[1:-1], sizes, strides, dilations, strict=True):
        reach = dilation * (size - 1)
        missing = max((-(-length // stride) - 1) * stride + reach + 1 - length, 0)
        around = {"valid": (0, 0), "causal": (reach, 0), "same": (missing // 2, missing - missing // 2)}
        padding.append(around[layer.padding])
    padded = np.pad(inputs, [*padding, (0, 0)])
    axes = tuple(range(1, 1 + len(sizes)))
    spans = tuple(d * (k - 1) + 1 for k, d in zip(sizes, dilations, strict=True))
    seen = np.lib.stride_tricks.sliding_window_view(padded, spans, axis=axes)
    every = (slice(None, None, stride) for stride in strides)
    apart = (slice(None, None, dilation) for dilation in dilations)
    return seen[(slice(None), *every, slice(None), *apart)]


def as_matrices(layer: Any, kernel: Real) -> list[Real]:
    """A kernel as matrices `(entries per unit, units)`, one for each group; views where possible."""
    return np.split(kernel.reshape(-1, kernel.shape[-1]), groups_of(layer), axis=1)


def from_matrices(matrices: list[Real], shape: tuple[int, ...]) -> Real:
    """The kernel of these matrices."""
    return np.concatenate(matrices, axis=1).reshape(shape)
