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


class Clipped(keras.constraints.Constraint):
    """Another thing that XLA cannot compile."""

    def __call__(self, weights):
        import tensorflow as tf

        clipped = tf.numpy_function(lambda w: np.clip(w, -0.1, 0.1), [weights], tf.float32)
        return tf.ensure_shape(clipped, weights.shape)


def test_constraint_of_the_user():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, kernel_constraint=Clipped())])
    model.compile(kk.optimizers.PruningOptimizer("adam", kk.schedules.OneShot(0.5, 2)), "mse")
    model.fit(X, Y, batch_size=8, verbose=0)
    kernel = np.asarray(model.layers[0].kernel)
    assert np.abs(kernel).max() <= np.float32(0.1)
    assert np.sum(kernel == 0) == 9


def test_rate_that_is_a_function():
    Noted.asked = 0
    rate = Noted()
    for a, b in zip(trained(lambda: rate(0)), by_single_operations(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert Noted.asked == 8


@pytest.mark.parametrize("eager", [False, True])
def test_gradients_of_an_embedding_stay_sparse(eager):
    """Keras squares the rows of a sparse gradient one by one: made dense they would train otherwise."""

    def embedded(optimizer):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [keras.Input((5,), dtype="int32"), keras.layers.Embedding(9, 4), keras.layers.Flatten()]
        )
        model.add(keras.layers.Dense(3))
        model.compile(optimizer, "mse", run_eagerly=eager, jit_compile=False)
        tokens = np.random.default_rng(0).integers(0, 4, (32, 5))
        model.fit(tokens, Y, batch_size=8, verbose=0, shuffle=False)
        return model.get_weights()

    never = kk.schedules.OneShot(0.5, 10**6)
    bare = embedded(keras.optimizers.Adam(0.01))
    with pytest.warns(UserWarning, match="end_step"):
        wrapped = embedded(kk.optimizers.PruningOptimizer(keras.optimizers.Adam(0.01), never))
    for a, b in zip(bare, wrapped, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_random_scores_are_the_same_by_single_operations():
    a, b = (trained(criterion="random", eager=eager)[0] == 0 for eager in (False, True))
    np.testing.assert_array_equal(a, b)


def test_gradient_that_is_a_variable():
    import tensorflow as tf

    layer = keras.layers.Dense(2)
    layer.build((None, 3))
    optimizer = kk.optimizers.PruningOptimizer("sgd", kk.schedules.OneShot(0.5, 2))
    optimizer.build(layer.trainable_variables)
    optimizer.apply([tf.Variable(tf.ones((3, 2))), tf.Variable([1.0, 1.0])], layer.trainable_variables)
    np.testing.assert_allclose(layer.bias, [-0.01, -0.01])


def test_what_xla_cannot_compile_is_left_alone():
    Noted.asked = 0
    for a, b in zip(trained(Noted()), by_single_operations(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert Noted.asked == 8
