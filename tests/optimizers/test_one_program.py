"""On TensorFlow a step is one XLA program where that is possible, and the same step where it is not."""

import functools

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.optimizers import pruning

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="JAX compiles the whole step")

X = np.random.default_rng(0).normal(size=(32, 6)).astype("float32")
Y = X @ np.random.default_rng(1).normal(size=(6, 3)).astype("float32")


@keras.saving.register_keras_serializable("test")
class Noted(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that Python is asked for, which XLA cannot compile."""

    asked = 0

    def __call__(self, step):
        import tensorflow as tf

        def rate(step):
            Noted.asked += 1
            return np.float32(0.01)

        return tf.ensure_shape(tf.numpy_function(rate, [step], tf.float32), ())

    def get_config(self):
        return {}


def sizes_by_numpy(weights, state):
    """Scores that Python is asked for, which XLA cannot compile."""
    import tensorflow as tf

    return tf.ensure_shape(tf.numpy_function(np.abs, [weights], tf.float32), weights.shape)


def trained(rate=0.01, eager=False, **arguments):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3)])
    optimizer = kk.optimizers.PruningOptimizer(
        keras.optimizers.Adam(rate), kk.schedules.ConstantSparsity(0.5, begin_step=2, end_step=4), **arguments
    )
    model.compile(optimizer, "mse", run_eagerly=eager)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0, shuffle=False)
    return model.get_weights()


@functools.cache
def by_single_operations():
    return trained(eager=True)


def test_program_and_single_operations_agree(monkeypatch):
    used = []
    whole = pruning.run_as_one

    def run(function, tensors, **options):
        used.append(options)
        whole(function, tensors, **options)

    monkeypatch.setattr(pruning, "run_as_one", run)
    together, apart = trained(), by_single_operations()
    assert used[0] == {"only_if": True}
    for a, b in zip(together, apart, strict=True):
        np.testing.assert_array_equal(a == 0, b == 0)
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("argument", ["criterion", "share"])
def test_function_of_the_user_may_be_what_xla_cannot_compile(argument):
    for a, b in zip(trained(**{argument: sizes_by_numpy}), by_single_operations(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_what_xla_cannot_compile_is_left_alone():
    Noted.asked = 0
    for a, b in zip(trained(Noted()), by_single_operations(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert Noted.asked == 8
