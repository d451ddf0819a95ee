import json

import keras
import numpy as np
import pytest
from keras import layers

from keras_koopman.verdicts import profile_activations, profile_initialization
from keras_koopman.verdicts.blocks import chain_of_blocks

X = np.random.default_rng(0).normal(size=(600, 8)).astype("float32")


def linear(matrix, bias=0.0):
    """A dense layer that multiplies by a matrix."""
    layer = layers.Dense(len(matrix))
    layer.build((None, len(matrix)))
    layer.set_weights([np.asarray(matrix, "float32"), np.full(len(matrix), bias, "float32")])
    return layer


def turn(angle, size=1.0):
    return size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def names(model):
    return [block.name for block in chain_of_blocks(model)]


def test_a_linear_block_gives_its_eigenvalues():
    """With white inputs the whitening does nothing."""
    white = np.linalg.qr(X.astype(float) - X.mean(axis=0))[0] * np.sqrt(len(X))
    radii = [1.0, 0.95, 1.04, 1.2, 0.5, 3.0, 0.0, 0.89]
    block = profile_activations([white, white @ np.diag(radii)]).blocks[0]
    assert block.near_unit == pytest.approx(3 / 8)
    assert block.growing == pytest.approx(2 / 8)
    assert block.kept == 1
    assert block.radius == pytest.approx(3.0, rel=1e-3)
    assert block.nonlinearity == pytest.approx(0, abs=1e-5)
    assert block.gain == pytest.approx(np.sqrt(np.mean(np.square(radii))), rel=1e-9)
    assert block.rank == 8


def test_eigenvalues_do_not_depend_on_the_covariance_of_inputs():
    """They belong to the map, whatever it is seen through."""
    matrix = np.block([[turn(0.7, 1.02), np.zeros((2, 2))], [np.zeros((2, 2)), turn(0.2, 1.5)]])
    skew = np.random.default_rng(1).normal(size=(4, 4))
    before = X[:, :4] @ skew + 5.0
    block = profile_activations([before, before @ matrix + 2.0]).blocks[0]
    assert (block.near_unit, block.growing) == (0.5, 0.5)
    assert block.radius == pytest.approx(1.5, rel=1e-3)


def test_what_is_not_linear_is_dropped():
    block = profile_activations([X, np.abs(X)]).blocks[0]
    assert block.kept == 0
    assert (block.near_unit, block.growing, block.radius) == (0, 0, 0)
    assert 0.5 < block.nonlinearity < 1
    half = profile_activations([X, np.concatenate([X[:, :4], np.abs(X[:, 4:])], axis=1)]).blocks[0]
    assert half.near_unit == half.kept == pytest.approx(0.5)


def test_a_block_that_does_nothing():
    profile = profile_activations([X, X, X])
    assert (profile.near_unit, profile.growing, profile.nonlinearity, profile.gain) == (1, 0, 0, 1)
    assert "most directions pass" in profile.sentence


def test_the_rank_takes_the_leading_directions():
    sizes = np.array([8.0, 7, 6, 5, 0.1, 0.1, 0.1, 0.1])
    after = X * sizes * np.array([1, 1, 1, 1, 9, 9, 9, 9])
    assert profile_activations([X * sizes, after], rank=4).growing == 0
    assert profile_activations([X * sizes, after]).growing == 0.5
    assert profile_activations([X[:6], X[:6]]).blocks[0].rank == 3  # half the samples


def residual(depth=3, scale=1.0, normalise=None, width=8):
    inputs = x = keras.Input((width,))
    for i in range(depth):
        y = layers.LayerNormalization(name=f"norm{i}")(x) if normalise == "before" else x
        y = layers.Dense(width, "relu", kernel_initializer=_init(scale, i), name=f"in{i}")(y)
        x = layers.Add()([x, layers.Dense(width, kernel_initializer=_init(scale, 50 + i), name=f"out{i}")(y)])
        x = layers.LayerNormalization(name=f"norm{i}")(x) if normalise == "after" else x
    x = layers.LayerNormalization(name="last")(x) if normalise == "before" else x
    return keras.Model(inputs, layers.Dense(3, name="head")(x))


def _init(scale, seed):
    return keras.initializers.VarianceScaling(scale, seed=seed)


def test_a_residual_network():
    small, large = (profile_initialization(residual(scale=s), X) for s in (1e-4, 30.0))
    assert len(small.blocks) == 3
    assert small.near_unit > 0.95
    assert small.gain == pytest.approx(1, abs=0.05)
    assert large.near_unit < 0.1
    assert large.gain > 100
    assert "signals grow from block to block" in large.sentence
    assert small.samples == 600


def test_at_most_2048_samples_the_same_each_time():
    x = np.random.default_rng(2).normal(size=(3000, 8))
    first, again = (profile_initialization(residual(scale=0.01), x) for _ in range(2))
    assert first.samples == 2048
    assert first.near_unit == again.near_unit


def test_positions_are_samples():
    inputs = x = keras.Input((5, 8))
    for _ in range(2):
        x = x + layers.MultiHeadAttention(2, 4)(x, x)
    profile = profile_initialization(keras.Model(inputs, x), X.reshape(-1, 5, 8))
    assert (profile.samples, len(profile.blocks)) == (600, 2)


@pytest.mark.parametrize(
    ("normalise", "wanted"),
    [
        (None, ["in0 … out0", "in1 … out1"]),
        ("before", ["norm0 … out0", "norm1 … out1"]),
        ("after", ["in0 … out0", "in1 … out1"]),
    ],
)
def test_blocks_of_a_residual_network(normalise, wanted):
    assert names(residual(2, normalise=normalise)) == wanted


def places(model):
    return [
        (b.before._keras_history.operation.name, b.after._keras_history.operation.name)
        for b in chain_of_blocks(model)
    ]


def test_a_normalisation_on_the_trunk_belongs_to_the_block_before_it():
    after = places(residual(2, normalise="after"))
    assert [end for _, end in after] == ["norm0", "norm1"]
    before = places(residual(2, normalise="before"))
    assert "last" not in {end for _, end in before}


def test_a_plain_stack():
    stack = [layers.Dense(6, name=f"d{i}") for i in range(3)]
    mixed = [layer for d in stack for layer in (d, layers.BatchNormalization(), layers.ReLU())]
    model = keras.Sequential([keras.Input((4,)), *mixed, layers.Dense(2)])
    found = chain_of_blocks(model)
    assert [block.name for block in found] == ["d1", "d2"]
    assert all("re_lu" in block.after._keras_history.operation.name for block in found)


def test_stages_of_a_convolutional_network():
    inputs = x = keras.Input((8, 8, 4))
    for i, width in enumerate((4, 4, 8, 8)):
        y = layers.Conv2D(width, 3, 2 if i == 2 else 1, "same", activation="relu", name=f"c{i}")(x)
        x = layers.Add()([x, y]) if i != 2 else y
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    assert names(model) == ["c0", "c1", "c3"]
    images = np.random.default_rng(0).normal(size=(40, 8, 8, 4))
    assert [b.rank for b in profile_initialization(model, images).blocks] == [4, 4, 8]


def test_a_mask_that_every_block_reads_does_not_hide_the_trunk():
    first, mask = keras.Input((8,)), keras.Input((8,))
    x = first
    for i in range(2):
        x = x + layers.Dense(8, name=f"d{i}")(layers.Multiply()([x, mask]))
    model = keras.Model([first, mask], x)
    assert names(model) == ["d0", "d1"]
    assert len(profile_initialization(model, [X, np.ones_like(X)]).blocks) == 2


def test_a_long_skip_makes_one_block():
    first = x = keras.Input((8,))
    for i in range(2):
        x = layers.Dense(8, name=f"d{i}")(x)
    model = keras.Model(first, layers.Dense(8, name="end")(layers.Add()([x, layers.Dense(8)(first)])))
    assert len(names(model)) == 2


def test_dict_and_text():
    profile = profile_initialization(residual(), X)
    found = json.loads(json.dumps(profile.to_dict()))
    assert len(found["blocks"]) == 3
    assert found["near_unit"] == pytest.approx(np.mean([b["near_unit"] for b in found["blocks"]]))
    assert "in1 … out1" in str(profile)
    assert profile.sentence in str(profile)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(8)

    def call(self, x):
        return self.dense(x)


@pytest.mark.parametrize(
    ("make", "x", "error", "message"),
    [
        (lambda: 3, X, TypeError, "model must be a Keras model, got int"),
        (Subclassed, X, ValueError, "without a graph.*profile_activations"),
        (lambda: keras.Sequential([layers.Dense(8)]), X, ValueError, r"not built. Give it a keras\.Input"),
        (
            lambda: keras.Sequential([keras.Input((8,)), layers.Dense(4), layers.Dense(2)]),
            X,
            ValueError,
            r"no block whose input and output have equal shape.*\(None, 8\), \(None, 4\), \(None, 2\)",
        ),
        (residual, X[:1], ValueError, r"x must hold two inputs or more.*got shapes \(1, 8\)"),
        (residual, [], ValueError, "got shapes none"),
        (residual, 2.0, ValueError, r"got shapes \(\)"),
        (residual, [X, X[:5]], ValueError, r"got shapes \(600, 8\), \(5, 8\)"),
        (residual, np.ones((50, 8)), ValueError, "the activations before 'in0 … out0' are the same for all"),
        (residual, np.full((50, 8), np.nan), ValueError, "are not finite: the network overflows"),
    ],
)
def test_where_it_cannot(make, x, error, message):
    with pytest.raises(error, match=message):
        profile_initialization(make(), x)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"rank": 0}, ValueError, "rank must be at least 1"),
        ({"batch_size": 1.5}, TypeError, "batch_size must be a whole number"),
        ({"seed": -1}, ValueError, "seed must be at least 0"),
    ],
)
def test_bad_options(arguments, error, message):
    with pytest.raises(error, match=message):
        profile_initialization(residual(), X, **arguments)


@pytest.mark.parametrize(
    ("activations", "error", "message"),
    [
        (X, TypeError, "a list of arrays, one for each place, got ndarray"),
        ([X], ValueError, r"two or more arrays.*got \(600, 8\)"),
        ([], ValueError, "got none"),
        ([X, X[:, :4]], ValueError, r"got \(600, 8\), \(600, 4\)"),
        ([X[:, 0], X[:, 0]], ValueError, "two or more arrays"),
        ([X.astype(complex), X], TypeError, "must be real numbers, got dtype complex128"),
    ],
)
def test_bad_activations(activations, error, message):
    with pytest.raises(error, match=message):
        profile_activations(activations)
