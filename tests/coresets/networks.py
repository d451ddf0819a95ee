"""Small networks with random weights."""

import keras
import numpy as np
from keras import layers


def mlp(inputs=6, widths=(12, 8), outputs=3, activation="relu", seed=0, **settings):
    """Dense layers."""
    hidden = [layers.Dense(width, activation, name=f"hidden_{i}") for i, width in enumerate(widths)]
    model = keras.Sequential([keras.Input((inputs,)), *hidden, layers.Dense(outputs, name="out")], name="mlp")
    return randomize(model, seed)


def randomize(model, seed=0):
    """Random weights; variances are positive."""
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        value = rng.normal(size=variable.shape)
        variable.assign(np.abs(value) + 0.5 if "variance" in variable.path else value)
    return model


def kernels(model):
    """All kernels, as arrays."""
    return [np.asarray(w) for w in model.get_weights() if w.ndim > 1]


def nonzero(model):
    """Entries of the kernels that are not zero."""
    return sum(int((kernel != 0).sum()) for kernel in kernels(model))


def rows(count=40, inputs=6, seed=1):
    """A sample."""
    return np.random.default_rng(seed).random((count, inputs)).astype("float32")
