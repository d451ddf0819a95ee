import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_koopman as kk
from tests.coresets.networks import mlp, randomize, rows

contract = pytest.mark.contract
prune_neurons = kk.coresets.prune_neurons


def gap(found, sample):
    return np.abs(found.model.predict_on_batch(sample) - found.original.predict_on_batch(sample)).mean()


def by_hand():
    """Three units that are 6, 3 and 1 on a row of ones, read with 1, 1, 1 and with 1, 2, -1."""
    model = keras.Sequential(
        [keras.Input((1,)), layers.Dense(3, "relu", name="a"), layers.Dense(2, name="b")]
    )
    model.set_weights(
        [np.array([[6.0, 3.0, 1.0]]), np.zeros(3), np.array([[1.0, 1], [1, 2], [1, -1]]), np.zeros(2)]
    )
    return model


@contract
def test_lowest_share_downstream_goes():
    """Shares are .6, .3, .1 and .5, .5, 1 (of the negative half): means .55, .4, .55. The second goes."""
    found = prune_neurons(by_hand(), np.ones((1, 1)), keep=2 / 3, refit=False)
    np.testing.assert_array_equal(found.model.layers[0].get_weights()[0], [[6.0, 1.0]])
    (row,) = found.rows
    assert (row.name, row.before, row.after) == ("a", 3, 2)
    assert (row.mean_bound, row.greatest_bound) == pytest.approx((0.4, 0.5))
    # 3 of 10, 6 of 13.
    assert (row.mean_error, row.greatest_error) == pytest.approx(((3 / 10 + 6 / 13) / 2, 6 / 13))


@contract
def test_smaller_model_and_untouched_original():
    model = mlp()
    model.compile("adam", "mse")
    before = model.get_weights()
    found = prune_neurons(model, rows(), keep=0.5)
    assert [layer.units for layer in found.model.layers] == [6, 4, 3]
    assert found.model.compiled
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    found.model.fit(rows(), rows(inputs=3), verbose=0)


def test_refit_comes_closer():
    model, sample = mlp(inputs=10, widths=(40,)), rows(300, 10)
    found = [prune_neurons(model, sample, keep=0.5, refit=refit) for refit in (True, False)]
    assert gap(found[0], sample) < 0.5 * gap(found[1], sample)
    assert found[0].rows[0].mean_bound == found[1].rows[0].mean_bound


def test_bound_holds_without_refit():
    model, sample = mlp(), rows()
    found = prune_neurons(model, sample, keep=0.7, refit=False)
    assert all(row.mean_error <= row.mean_bound for row in found.rows[:1])


def test_optimal_shares_over_layers():
    model = mlp(widths=(12, 12), activation="sigmoid")
    kernel = model.layers[1].get_weights()[0]
    kernel[6:] *= 1e-4
    model.layers[1].set_weights([kernel, np.zeros(12)])
    found = prune_neurons(model, rows(), keep=0.75, allocate="optimal", refit=False)
    assert [row.after for row in found.rows] == [6, 12]
    even = prune_neurons(model, rows(), keep=0.75, refit=False)
    assert [row.after for row in even.rows] == [9, 9]


@pytest.mark.parametrize("allocate", ["uniform", "optimal"])
def test_one_unit_of_each_layer_stays(allocate):
    found = prune_neurons(mlp(), rows(), keep=0.01, allocate=allocate)
    assert [row.after for row in found.rows] == [1, 1]


def test_filters_behind_pooling_and_flatten():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(6, 3, activation="relu", name="conv"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Conv2D(4, 2, activation="relu", name="second"),
            layers.Flatten(),
            layers.Dense(3, name="out"),
        ]
    )
    randomize(model)
    sample = np.random.default_rng(0).normal(size=(60, 8, 8, 2)).astype("float32")
    found = prune_neurons(model, sample, keep=0.5)
    assert [layer.filters for layer in found.model.layers if hasattr(layer, "filters")] == [3, 2]
    assert found.model.predict_on_batch(sample).shape == (60, 3)
    assert gap(found, sample) < 3 * np.abs(model.predict_on_batch(sample)).mean()


def test_dead_units_go_first_and_cost_nothing():
    model = mlp(widths=(10,))
    model.layers[0].bias.assign(np.where(np.arange(10) < 5, -1e3, 0))
    found = prune_neurons(model, rows(), keep=0.5, refit=False)
    assert gap(found, rows()) < 1e-5
    assert found.rows[0].greatest_bound == found.rows[0].greatest_error == 0


def test_certifies_and_prints():
    found = prune_neurons(mlp(), rows(), keep=0.75)
    bound = found.certify(kk.reachability.Box(0.0, 1.0)).bound
    inputs = rows(100, seed=3)
    gaps = ops.convert_to_numpy(found.model(inputs)) - ops.convert_to_numpy(found.original(inputs))
    assert abs(gaps).max() <= bound + 1e-4
    assert "hidden_0" in str(found)
    assert "out: 'out' is an output" in str(found)
    assert found.to_dict()["units"][0]["after"] == 9


def test_nothing_to_remove_is_an_error():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="only")])
    with pytest.raises(ValueError, match="only: 'only' is an output of the model"):
        prune_neurons(model, np.ones((3, 4)), keep=0.5)


def test_silent_sample_warns():
    with pytest.warns(UserWarning, match="every activation is zero"):
        prune_neurons(by_hand(), np.zeros((4, 1)), keep=0.5)
