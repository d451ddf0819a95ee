"""Which variables it prunes, and gradients that are missing or do not fit."""

import keras
import numpy as np
import pytest

import keras_koopman as kk
from tests.optimizers.tiny import (
    L,
    Look,
    X,
    compiled,
    exact,
    fit,
    host,
    kernels,
    masks,
    network,
    pruning,
    ramp,
    weights,
    zeros,
)

pytestmark = pytest.mark.usefixtures("no_own_compile")


# --- gradients, variables ---


def test_variables_without_gradients():
    model = network()
    optimizer = pruning(keras.optimizers.SGD(0.1), kk.schedules.OneShot(0.5, 1), "movement", "uniform")
    variables = model.trainable_variables
    before = weights(model)
    some = [keras.ops.ones(v.shape) if v.path.startswith("out") else None for v in variables]
    optimizer.apply(some, variables)
    after = weights(model)
    assert exact(optimizer)
    assert [np.sum(w == 0) for w in after] == [32, 0, 16, 0]
    np.testing.assert_array_equal(after[0], np.where(after[0] == 0, 0, before[0]))
    np.testing.assert_allclose(after[3], before[3] - 0.1, rtol=1e-5)
    assert np.all(host(optimizer.pruned.slots[0]["moved"]) == 0)
    assert np.all(host(optimizer.pruned.slots[1]["moved"]) != 0)
    optimizer.apply([])
    assert int(host(optimizer._iterations)) == 1


def test_apply_without_variables_before_it_is_built():
    with pytest.raises(ValueError, match=r"not built.*Call optimizer.build\(model.trainable_variables\)"):
        pruning().apply([keras.ops.ones((8, 8))])


def test_gradients_that_do_not_fit():
    optimizer = pruning()
    optimizer.build_for(network())
    with pytest.raises(ValueError, match="grads must be one for each of 4 variables, got 1"):
        optimizer.apply([keras.ops.ones((8, 8))])
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply([keras.ops.ones((2,))], [keras.Variable(np.ones(2, "float32"))])


def test_variables_that_gradients_overwrite_are_left_alone():
    class Scaled(L.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(8, 4), name="kernel")
            self.amax = self.add_weight(shape=(2, 2), name="amax", overwrite_with_gradient=True)

    layer = Scaled()
    layer.build((None, 8))
    optimizer = pruning(keras.optimizers.SGD(0.1), kk.schedules.OneShot(0.5, 1))
    optimizer.apply([keras.ops.ones((8, 4)), keras.ops.full((2, 2), 7.0)], layer.trainable_variables)
    assert np.all(host(layer.amax) == 7)
    assert np.mean(host(layer.kernel) == 0) == 0.5
    assert [v for k, v in optimizer.pruned.skipped.items() if k.endswith("amax")] == [
        "it is a state of quantized training"
    ]


def language_model(*between):
    """Of 12 words in fives."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5,), dtype="int32")
    found = L.LayerNormalization(name="norm")(L.Embedding(12, 6, name="embed")(inputs))
    for layer in (*between, L.Flatten(), L.Dense(4, name="out")):
        found = layer(found)
    return keras.Model(inputs, found)


def test_what_is_left_alone_and_what_is_pruned():
    optimizer = pruning()
    layers = L.GRU(4, name="gru"), L.BatchNormalization(name="batch_norm"), L.PReLU(name="slope")
    optimizer.build_for(language_model(*layers))
    assert [target.name for target in optimizer.pruned.targets] == [
        "gru/gru_cell/kernel", "gru/gru_cell/recurrent_kernel", "out/kernel",
    ]  # fmt: skip
    kinds = {path: reason.split(":")[0] for path, reason in optimizer.pruned.skipped.items()}
    assert kinds == {
        "embed/embeddings": "an embedding",
        "norm/gamma": "a scale",
        "norm/beta": "an offset",
        "gru/gru_cell/bias": "a bias",
        "batch_norm/gamma": "a scale",
        "batch_norm/beta": "an offset",
        "slope/alpha": "a slope",
        "out/bias": "a bias",
    }


def test_embeddings_are_pruned_when_asked():
    """Their gradients are sparse on TensorFlow."""
    optimizer = pruning("adam", ramp(0.5, 1, 6), include=["embed/*", "norm/gamma"])
    model, look = compiled(optimizer, language_model()), Look()
    fit(model, look, x=np.random.default_rng(0).integers(0, 12, (40, 5)))
    assert look.faults == []
    found = {row.path for row in kk.pruning.report(model).rows if row.asked}
    assert found == {"embed/embeddings", "norm/gamma"}
    assert sum(np.sum(~mask) for mask in masks(optimizer)) == (72 + 6) / 2
    assert zeros(model) == 0


def test_layer_that_is_called_twice():
    inputs = keras.Input((8,))
    shared = L.Dense(8, "relu", name="shared")
    model = keras.Model(inputs, L.Dense(4, name="out")(shared(shared(inputs))))
    optimizer, look = pruning("sgd", ramp(0.5, 1, 6)), Look()
    fit(compiled(optimizer, model), look)
    assert look.faults == []
    assert [target.name for target in optimizer.pruned.targets] == ["shared/kernel", "out/kernel"]
    assert zeros(model) == 0.5
    with pytest.raises(ValueError, match=r"structure='unit' fits no weight: 'shared/kernel': .*'out/kernel'"):
        pruning(structure="unit").build_for(model)


def test_one_variable_in_two_layers_is_pruned_once():
    class Tied(L.Layer):
        def __init__(self, other):
            super().__init__()
            self.kernel = other.kernel

        def call(self, x):
            return keras.ops.matmul(x, keras.ops.transpose(self.kernel))

    first = L.Dense(4, use_bias=False, name="first")
    first.build((None, 8))
    inputs = keras.Input((8,))
    model = keras.Model(inputs, L.Dense(4, use_bias=False, name="out")(Tied(first)(first(inputs))))
    optimizer, look = pruning("sgd", ramp(0.5, 1, 6)), Look()
    fit(compiled(optimizer, model), look)
    assert look.faults == []
    assert [target.name for target in optimizer.pruned.targets] == ["first/kernel", "out/kernel"]
    assert np.mean(host(first.kernel) == 0) + np.mean(host(model.layers[-1].kernel) == 0) > 0.9


def test_units_whose_bias_is_excluded():
    """It stays: the unit becomes a constant, which `shrink` moves into the next layer."""
    model = compiled(pruning("adam", ramp(0.5, 1, 6), structure="unit", exclude="*bias"))
    look = Look()
    fit(model, look)
    assert look.faults == []
    hidden, bias, out, _ = weights(model)
    assert np.sum(np.all(hidden == 0, axis=0)) == 4
    assert np.all(bias != 0)
    assert np.all(out != 0)
    row = {row.path: row for row in kk.pruning.report(model).rows}["hidden/bias"]
    assert (row.asked, row.reached, row.reason) == (None, 0, "excluded")
    smaller = kk.pruning.shrink(model)
    assert smaller.get_layer("hidden").units == 4
    np.testing.assert_allclose(host(smaller(X)), host(model(X)), rtol=1e-5, atol=1e-6)


# --- layers that are frozen ---


@pytest.mark.contract
def test_frozen_layer_is_not_pruned():
    model = network()
    model.get_layer("out").trainable = False
    compiled(pruning("sgd"), model)
    fit(model)
    kernel = kernels(model)
    assert [np.mean(k == 0) for k in kernel] == [0.5]
    assert np.all(host(model.get_layer("out").kernel) != 0)


def test_layer_that_is_frozen_later_keeps_its_weights_and_zeros():
    model = compiled(pruning("sgd", ramp(0.5, 1, 8)))
    fit(model)
    model.get_layer("hidden").trainable = False
    before = [host(v.value) for v in model.get_layer("hidden").weights]
    compiled(model.optimizer, model)
    fit(model)
    assert exact(model.optimizer)
    for new, old in zip(model.get_layer("hidden").weights, before, strict=True):
        np.testing.assert_array_equal(host(new.value), old)
    assert np.mean(host(model.get_layer("out").kernel) == 0) > 0.4


def test_layer_that_is_frozen_on_the_ramp_loses_nothing_more():
    model = compiled(pruning("sgd", ramp(0.9, 1, 20)))
    fit(model)
    model.get_layer("hidden").trainable = False
    before = host(model.get_layer("hidden").kernel)
    compiled(model.optimizer, model)
    fit(model, epochs=4)
    np.testing.assert_array_equal(host(model.get_layer("hidden").kernel), before)
    assert np.mean(host(model.get_layer("out").kernel) == 0) > 0.4


def test_inner_optimizer_that_was_built_before_a_layer_was_frozen():
    model = network()
    inner = keras.optimizers.SGD(0.1, use_ema=True)
    inner.build(model.trainable_variables)
    model.get_layer("hidden").trainable = False
    optimizer = pruning(inner, kk.schedules.OneShot(0.5, 1))
    optimizer.build_for(model)
    optimizer.apply([keras.ops.ones(v.shape) for v in model.trainable_variables])
    hidden, _, out, _ = (host(v.value) for v in inner._model_variables_moving_average)
    assert np.all(hidden != 0)
    np.testing.assert_array_equal(out == 0, host(model.get_layer("out").kernel) == 0)
    assert np.mean(out == 0) == 0.5
