"""Weights put in place by a callback: what is refused, what is copied, what is recomputed."""

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.callbacks.batch_norm import batch_normalizations, recompute_statistics
from keras_koopman.callbacks.learning_rate import rate_of, schedule_of, set_rate
from keras_koopman.callbacks.weights import copies, first_moments, put
from tests.callbacks.tiny import X, Y, fit, flat, model_of, weights

pytestmark = pytest.mark.contract

L = keras.layers


def test_copies_are_exact_and_stay():
    """Negative zero, the smallest numbers, and what a later step does not reach."""
    values = np.array([-0.0, 1e-45, 3.3e38, 1 / 3], "float32")
    variable = keras.Variable(values)
    kept = copies([variable])
    variable.assign(np.zeros(4, "float32"))
    put([variable], kept)
    assert flat(variable.value).astype("float32").tobytes() == values.tobytes()


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: keras.optimizers.SGD(0.1), 0),
        (lambda: keras.optimizers.SGD(0.1, momentum=0.9), 4),
        (keras.optimizers.Adam, 4),
        (keras.optimizers.AdamW, 4),
        (keras.optimizers.RMSprop, 0),
        (lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Lion(1e-3)), 4),
        (lambda: kk.optimizers.PruningOptimizer("nadam", kk.schedules.OneShot(0.5, 99)), 4),
    ],
)
def test_first_moments(make, count):
    model = model_of(optimizer=make())
    model.optimizer.build(model.trainable_variables)
    found = first_moments(model.optimizer)
    assert len(found) == count
    assert all("momentum" in v.path for v in found)


def test_statistics_are_those_of_all_inputs():
    """Of batches that differ in size, weighed by it; a layer that is frozen keeps its own."""
    model = model_of(
        lambda: keras.Input((3,)), lambda: L.BatchNormalization(name="a"), lambda: L.Dropout(0.5),
        lambda: L.BatchNormalization(name="b", trainable=False), lambda: L.Dense(1),
    )  # fmt: skip
    x = np.random.default_rng(0).normal(2.0, 3.0, (300, 3)).astype("float32")
    before = {v.path: flat(v.value) for v in model.variables}
    recompute_statistics(model, x)
    layer = model.get_layer("a")
    np.testing.assert_allclose(flat(layer.moving_mean), x.mean(axis=0), rtol=1e-4)
    parts = np.array([x[:256].var(axis=0), x[256:].var(axis=0)])
    np.testing.assert_allclose(flat(layer.moving_variance), [256 / 300, 44 / 300] @ parts, rtol=1e-4)
    changed = [path for path, value in before.items() if not np.array_equal(value, flat(_of(model, path)))]
    assert changed == [layer.moving_mean.path, layer.moving_variance.path]


def _of(model, path):
    return next(v for v in model.variables if v.path == path).value


def test_model_without_batch_normalisation():
    model = model_of()
    before = weights(model)
    recompute_statistics(model, X)
    assert batch_normalizations(model) == []
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(model), strict=True))


def test_learning_rate_of_wrapped_optimizers():
    inner = keras.optimizers.SGD(0.25)
    outer = keras.optimizers.LossScaleOptimizer(inner)
    assert schedule_of(outer) is None
    assert rate_of(outer) == 0.25
    set_rate(outer, 0.5)
    assert rate_of(inner) == 0.5


def test_learning_rate_that_is_set_is_that_of_the_next_step():
    model = model_of(optimizer=keras.optimizers.SGD(0.1))
    fit(model, epochs=1)
    set_rate(model.optimizer, 0.0)
    before = weights(model)
    fit(model, x=X, y=Y, epochs=1)
    assert all(np.array_equal(a, b) for a, b in zip(before, weights(model), strict=True))
