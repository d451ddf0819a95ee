"""Small models with blocks, and what the tests ask of them."""

import keras
import numpy as np
from keras import ops

from keras_koopman.layers import ContinuousBlock, DenseRate

ROTATION = np.array([[0.0, 1.0], [-1.0, 0.0]], "float32")
X = np.random.default_rng(0).normal(size=(16, 3)).astype("float32")
Y = (X[:, :1] * X[:, 1:2]).astype("float32")


def array(value):
    return np.asarray(ops.convert_to_numpy(value))


def linear_rate(matrix, **options):
    """`dh/dt = h A`."""
    kernel = keras.initializers.Constant(np.asarray(matrix))
    return keras.layers.Dense(len(matrix), use_bias=False, kernel_initializer=kernel, **options)


def normed_rate():
    """A model with statistics, random numbers, a penalty and a loss of its own."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Dense(5, "tanh", kernel_regularizer="l2"),
            layers.BatchNormalization(momentum=0.5),
            # On torch Keras draws from the engine's own generator, whatever the seed.
            layers.Dropout(0.0 if keras.backend.backend() == "torch" else 0.1),
            layers.ActivityRegularization(l2=0.01),
            layers.Dense(3),
        ]
    )


def model_of(rate=None, compiled="sgd", mode="eager", **options):
    """A block between an input and a dense layer, and the model.

    Which is trained eagerly, as tracing takes far longer than a few steps; else `mode` is `"graph"` or
    `"xla"`. JAX always compiles.
    """
    keras.utils.set_random_seed(0)
    options = {"steps": 2, "scheme": "euler", "name": "block", **options}
    block = ContinuousBlock(DenseRate(5) if rate is None else rate, **options)
    model = keras.Sequential([keras.Input((3,)), block, keras.layers.Dense(1, name="out")])
    if compiled:
        on_jax = keras.backend.backend() == "jax"
        model.compile(
            compiled, "mse", jit_compile=on_jax or mode == "xla", run_eagerly=not on_jax and mode == "eager"
        )
    return model, block


def randomise(model, seed=0):
    """Put other values into all real variables, positive ones into variances."""
    rng = np.random.default_rng(seed)
    for v in model.variables:
        if "float" in v.dtype:
            value = 0.5 * rng.normal(size=tuple(v.shape))
            v.assign(abs(value) + 0.5 if "variance" in v.path else value)
