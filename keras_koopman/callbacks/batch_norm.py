"""Moving statistics of batch normalisation, computed anew for weights that no step has led to."""

from __future__ import annotations

from typing import Any

import keras

from ..backend import beside
from .weights import copies, put

BATCH = 256


def batch_normalizations(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Layers of a model that keep moving statistics."""
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization) and layer.built
    ]


def recompute_statistics(model: keras.Model, inputs: Any) -> None:
    """Set the moving mean and variance of each layer to the mean of those of batches of `inputs`.

    The model runs as in training, dropout included; all its other state stays as it is.

    Args:
        model: with the weights for which to compute them.
        inputs: as for `fit`, an array or a structure of arrays.
    """
    layers = [layer for layer in batch_normalizations(model) if layer.trainable]
    if not layers:
        return
    statistics = [v for layer in layers for v in (layer.moving_mean, layer.moving_variance)]
    theirs = {v.path for v in statistics}
    others = [v for v in model.variables if v.path not in theirs]
    kept, momenta = copies(others), [layer.momentum for layer in layers]
    samples = len(keras.tree.flatten(inputs)[0])
    sums: list[Any] = [0.0] * len(statistics)
    try:
        for layer in layers:
            layer.momentum = 0.0  # so that the statistics of each batch come to stand there
        for start in range(0, samples, BATCH):
            size = min(BATCH, samples - start)
            cut = keras.tree.map_structure(
                lambda leaf, start=start: beside(leaf[start : start + BATCH], statistics[0].value), inputs
            )
            model(cut, training=True)
            sums = [
                total + value * (size / samples)
                for total, value in zip(sums, copies(statistics), strict=True)
            ]
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    put(statistics, sums)
    put(others, kept)
