import itertools

import keras
import numpy as np
import pytest
from keras import layers

import keras_koopman as kk
from keras_koopman.coresets.patches import as_matrices, from_matrices, rows
from tests.coresets.networks import nonzero, randomize

contract = pytest.mark.contract

SETTINGS = [
    {},
    {"padding": "same"},
    {"padding": "same", "strides": 2},
    {"strides": 3},
    {"padding": "same", "dilation_rate": 2},
    {"groups": 2},
]
CASES = [
    *((layers.Conv1D, (9, 4), 3, s) for s in (*SETTINGS, {"padding": "causal", "dilation_rate": 2})),
    *((layers.Conv2D, (7, 8, 4), (3, 2), s) for s in SETTINGS),
    *((layers.Conv3D, (4, 5, 6, 2), 2, s) for s in SETTINGS[:3]),
    (layers.Dense, (5, 4), None, {}),
]


def layer_of(kind, size, settings):
    return kind(6, **settings) if size is None else kind(6, size, **settings)


@contract
@pytest.mark.parametrize(("kind", "shape", "size", "settings"), CASES)
def test_rows_times_kernel_is_the_layer(kind, shape, size, settings):
    layer = layer_of(kind, size, settings)
    model = randomize(keras.Sequential([keras.Input(shape), layer]))
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype("float32")
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype(float)
    seen = rows(layer, x.astype(float), 10**6, np.random.default_rng(0))
    matrices = as_matrices(layer, kernel)
    found = np.concatenate([part @ matrix for part, matrix in zip(seen, matrices, strict=True)], axis=1)
    wanted = model.predict_on_batch(x) - keras.ops.convert_to_numpy(layer.bias)
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, atol=1e-4)
    np.testing.assert_array_equal(from_matrices(matrices, kernel.shape), kernel)


def test_limit_chooses_rows():
    layer = layers.Conv2D(1, 2)
    layer.build((None, 6, 6, 1))
    x = np.random.default_rng(0).random((5, 6, 6, 1))
    (every,) = rows(layer, x, 10**6, np.random.default_rng(0))
    (some,) = rows(layer, x, 7, np.random.default_rng(0))
    assert (len(every), len(some)) == (125, 7)
    assert all((every == row).all(axis=1).any() for row in some)


@pytest.mark.parametrize("method", ["fitted", "hybrid", "sipp"])
def test_convolutions_are_compressed(method):
    inputs = keras.Input((10, 4))
    x = layers.Conv1D(8, 3, activation="relu", name="first")(inputs)
    x = layers.Conv1D(6, 3, groups=2, activation="tanh", name="grouped")(x)
    model = randomize(keras.Model(inputs, layers.Dense(3, name="last")(layers.GlobalAveragePooling1D()(x))))
    sample = np.random.default_rng(0).normal(size=(20, 10, 4))
    found = kk.coresets.compress(model, sample, keep=0.5, method=method, max_rows=50)
    assert nonzero(found.model) == round(0.5 * (96 + 72 + 18))
    rows_of = itertools.groupby(found.report.rows, key=lambda row: row.layer)
    assert [(name, len(list(own))) for name, own in rows_of] == [("first", 8), ("grouped", 6), ("last", 3)]
