"""Data, networks and optimizers of the runs that `stopping.py` stops."""

import functools
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import keras
import numpy as np
from _fashion_mnist import load

EPOCHS, BATCH = 60, 64
layers = keras.layers


@functools.cache
def fashion():
    """Fashion-MNIST: 4,000 to train on, 1,000 to validate, 5,000 to judge by."""
    (x, y), (x_test, y_test) = load()
    return (x[:4000], y[:4000]), (x[4000:5000], y[4000:5000]), (x_test[:5000], y_test[:5000])


@functools.cache
def digits():
    """The 8 x 8 digits of scikit-learn: 900 to train on, 250 to validate, 647 to judge by."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype("float32"), y[order].astype("int32")
    return (x[:900], y[:900]), (x[900:1150], y[900:1150]), (x[1150:], y[1150:])


def mlp(*widths, normalised=False):
    """Dense layers, each followed by batch normalisation if asked."""
    body = []
    for width in widths:
        body += [layers.Dense(width), *([layers.BatchNormalization()] if normalised else []), layers.ReLU()]
    return keras.Sequential([*body, layers.Dense(10)])


def convnet():
    """Two convolutions on 28 x 28 pixels."""
    return keras.Sequential(
        [
            layers.Reshape((28, 28, 1)),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def cosine(rate, samples):
    """From `rate` down to nothing over the whole budget."""
    return keras.optimizers.schedules.CosineDecay(rate, EPOCHS * -(-samples // BATCH))


SGD, Adam, AdamW = keras.optimizers.SGD, keras.optimizers.Adam, keras.optimizers.AdamW

# name -> data, network, optimizer
CONFIGURATIONS = {
    "fashion-mlp-sgd": (fashion, lambda: mlp(128), lambda: SGD(0.05)),
    "fashion-mlp-sgd-slow": (fashion, lambda: mlp(128), lambda: SGD(0.005)),
    "fashion-mlp-sgd-fast": (fashion, lambda: mlp(128), lambda: SGD(0.5)),
    "fashion-mlp-momentum": (fashion, lambda: mlp(128), lambda: SGD(0.02, momentum=0.9)),
    "fashion-mlp-cosine": (fashion, lambda: mlp(128), lambda: SGD(cosine(0.1, 4000))),
    "fashion-mlp-adam": (fashion, lambda: mlp(128), lambda: Adam(1e-3)),
    "fashion-mlp-adam-fast": (fashion, lambda: mlp(128), lambda: Adam(1e-2)),
    "fashion-mlp-adamw": (fashion, lambda: mlp(128, 64), lambda: AdamW(1e-3, weight_decay=0.05)),
    "fashion-batchnorm-adam": (fashion, lambda: mlp(128, 64, normalised=True), lambda: Adam(1e-3)),
    "fashion-convnet-adam": (fashion, convnet, lambda: Adam(1e-3)),
    "fashion-convnet-momentum": (fashion, convnet, lambda: SGD(0.01, momentum=0.9)),
    "digits-mlp-sgd": (digits, lambda: mlp(64, 32), lambda: SGD(0.1)),
    "digits-mlp-adam": (digits, lambda: mlp(64, 32), lambda: Adam(1e-3)),
    "digits-batchnorm-cosine": (
        digits,
        lambda: mlp(64, normalised=True),
        lambda: SGD(cosine(0.1, 900), momentum=0.9),
    ),
}
