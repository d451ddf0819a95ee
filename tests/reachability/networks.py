"""Small networks and points for the tests."""

import keras
import numpy as np
from keras import layers

from keras_koopman.reachability import Ball

RELU_LIKE = ["relu", "leaky_relu", "relu6", "hard_sigmoid", "hard_tanh", "soft_shrink", "sparse_sigmoid"]
SMOOTH = [
    "sigmoid",
    "tanh",
    "softplus",
    "gelu",
    "silu",
    "mish",
    "elu",
    "selu",
    "celu",
    "softsign",
    "hard_silu",
]
RARE = ["exponential", "log_sigmoid", "squareplus", "sparse_plus", "tanh_shrink"]
ACTIVATIONS = [*RELU_LIKE, *SMOOTH, *RARE]


def mlp(inputs, units, activation="relu", outputs=1, seed=0, scale=1.0):
    """A dense network with random weights and biases."""
    keras.utils.set_random_seed(seed)
    normal = keras.initializers.RandomNormal(stddev=0.5)
    model = keras.Sequential(
        [keras.Input((inputs,)), *(layers.Dense(u, activation, bias_initializer=normal) for u in units)]
    )
    model.add(layers.Dense(outputs, bias_initializer=normal))
    for weight in model.weights:
        weight.assign(weight * scale)
    return model


def exact(weights, x, activation=lambda z: np.maximum(z, 0)):
    """The dense network of these weights in long double."""
    kernels, biases = weights[::2], weights[1::2]
    for number, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        x = x @ kernel.astype(np.longdouble) + bias.astype(np.longdouble)
        x = activation(x) if number + 1 < len(kernels) else x
    return x


def around(model, radius, count=200, seed=0, shape=None):
    """A ball, and the outputs of the model at points of it, many of them corners."""
    rng = np.random.default_rng(seed)
    shape = shape or model.input_shape[1:]
    center = rng.uniform(-1, 1, shape)
    steps = rng.uniform(-1, 1, (count, *shape))
    steps[::2] = np.sign(steps[::2])
    outputs = keras.ops.convert_to_numpy(model((center + radius * steps).astype("float32"), training=False))
    return Ball(center, radius), outputs


def shake(model, seed=0, size=0.3):
    """Give every weight a random part, so that no bias or mean is 0."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = keras.ops.convert_to_numpy(weight)
        if values.dtype.kind != "f":
            continue
        noise = rng.normal(size=values.shape) * size
        weight.assign(np.abs(values + noise) + 0.1 if "variance" in weight.path else values + noise)
    return model
