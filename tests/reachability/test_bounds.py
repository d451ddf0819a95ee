"""`bounds`: closed forms, soundness, agreement of methods, saving, and what it refuses."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from keras_koopman.reachability import Ball, Box, bounds
from tests.reachability.networks import around, exact, mlp

contract = pytest.mark.contract


def linear(matrix, shift):
    model = keras.Sequential([keras.Input((len(matrix),)), layers.Dense(len(shift))])
    model.set_weights([np.array(matrix, "float32"), np.array(shift, "float32")])
    return model


@contract
@pytest.mark.parametrize("method", ["interval", "crown", "auto"])
def test_a_linear_map_on_a_box(method):
    model = linear([[1, -2], [3, 0.5]], [1, 0])
    low, high = bounds(model, Box([-1, 0], [1, 2]), method)
    np.testing.assert_allclose([low, high], [[0, -2], [8, 3]], atol=1e-12)
    assert (low <= [0, -2]).all()
    assert (high >= [8, 3]).all()
    assert low.dtype == np.float64


@contract
@pytest.mark.parametrize(("norm", "reach"), [(1, 4.0), (2, 5.0), (np.inf, 7.0)])
def test_a_linear_map_on_balls(norm, reach):
    low, high = bounds(linear([[3], [4]], [1]), Ball([1, 1], 0.5, norm))
    np.testing.assert_allclose([low[0], high[0]], [8 - 0.5 * reach, 8 + 0.5 * reach], rtol=1e-9)
    assert low[0] <= 8 - 0.5 * reach


@contract
def test_one_relu():
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, "relu", kernel_initializer="ones")])
    for low, high in ((-2, 3), (1, 3), (-3, -1), (0, 0), (-1, 0)):
        found = np.ravel(bounds(model, Box([low], [high])))
        np.testing.assert_allclose(found, [max(low, 0), max(high, 0)], atol=1e-12)


@contract
def test_the_triangle_of_crown():
    """relu(x) / 2 on [-1, 3], in two parts: below it the line x / 2, above it the chord to (3, 3 / 2)."""
    x = keras.Input((1,))
    y = layers.ReLU()(x)
    low, high = bounds(
        keras.Model(x, layers.Subtract()([y, layers.Rescaling(0.5)(y)])), Box([-1], [3]), "crown"
    )
    np.testing.assert_allclose([low[0], high[0]], [-0.5, 1.5], atol=1e-9)


def test_crown_knows_what_cancels():
    x = keras.Input((3,))
    model = keras.Model(x, layers.Subtract()([x, x]))
    assert np.abs(bounds(model, Box(-1, 1), "crown")).max() < 1e-12
    assert np.abs(bounds(model, Box(-1, 1), "interval")).max() == pytest.approx(2)


def test_crown_is_tighter_and_both_hold():
    model = mlp(4, [30, 20], "relu", 3)
    ball, outputs = around(model, 0.1)
    wide, near = bounds(model, ball, "interval"), bounds(model, ball, "crown")
    assert (near[1] - near[0] < 0.5 * (wide[1] - wide[0])).all()
    assert (outputs >= near[0] - 1e-5).all()
    assert (outputs <= near[1] + 1e-5).all()


@contract
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 2), st.sampled_from([0.01, 1.0, 1e3]))
def test_no_point_is_outside(seed, radius, scale):
    """Against long double: bounds hold for exact arithmetic, to the last digit."""
    model = mlp(3, [8, 8], "relu", 2, seed=seed % 20, scale=scale)
    rng = np.random.default_rng(seed)
    center = rng.normal(size=3)
    low, high = bounds(model, Ball(center, radius))
    steps = rng.uniform(-1, 1, (300, 3))
    steps[::2] = np.sign(steps[::2])
    outputs = exact(model.get_weights(), np.longdouble(center) + np.longdouble(radius) * steps)
    assert (outputs >= low).all()
    assert (outputs <= high).all()


@contract
def test_a_point_is_known_to_the_last_digits():
    model = mlp(3, [50, 50], "relu", 2)
    low, high = bounds(model, Box([0.1, 0.2, 0.3], [0.1, 0.2, 0.3]))
    value = exact(model.get_weights(), np.array([0.1, 0.2, 0.3], np.longdouble))
    assert (low <= value).all()
    assert (value <= high).all()
    assert (high - low).max() < 1e-11


def test_few_inputs_vary():
    model, base = mlp(6, [10]), np.arange(6.0) / 6
    mask = np.array([0, 1, 0, 0, 1, 0], bool)
    expected = bounds(model, Box(np.where(mask, 0, base), np.where(mask, 1, base)))
    for free in (mask, [1, 4], [(1,), (4,)]):
        np.testing.assert_allclose(bounds(model, Box(0.0, 1.0, free=free, base=base)), expected, rtol=1e-9)
    ball = bounds(model, Ball(base, 0.1, free=[1]))
    assert ball[1] - ball[0] < expected[1] - expected[0]


def test_one_number_for_each_input_that_varies():
    """In the order in which they are named."""
    model, base = linear(np.eye(3), np.zeros(3)), [5.0, 6.0, 7.0]
    by_index = bounds(model, Box([0.0, 1.0], [2.0, 3.0], free=[2, 0], base=base))
    np.testing.assert_allclose(by_index, [[1.0, 6.0, 0.0], [3.0, 6.0, 2.0]], atol=1e-9)
    by_mask = bounds(model, Box([0.0, 1.0], [2.0, 3.0], free=[True, False, True], base=base))
    np.testing.assert_allclose(by_mask, [[0.0, 6.0, 1.0], [2.0, 6.0, 3.0]], atol=1e-9)
    with pytest.raises(ValueError, match=r"must have the shape \(3,\) of one input, got \(2,\)"):
        bounds(model, Box([0.0, 1.0], 3.0, free=[2], base=base))


@contract
def test_several_inputs_take_a_dict():
    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    model = keras.Model([a, b], layers.Concatenate()([a, b]))
    low, high = bounds(model, {"a": Box([0, 1], [2, 3]), "b": Ball([5], 1)})
    np.testing.assert_allclose([low, high], [[0, 1, 4], [2, 3, 6]], atol=1e-9)
    with pytest.raises(ValueError, match="for each input"):
        bounds(model, {"a": Box([0, 1], [2, 3])})
    with pytest.raises(ValueError, match="2 inputs"):
        bounds(model, Box(0, 1))


def test_saved_and_loaded(tmp_path):
    model = mlp(3, [5], "leaky_relu")
    model.save(tmp_path / "model.keras")
    box = Box(-1, 1)
    np.testing.assert_array_equal(
        bounds(keras.models.load_model(tmp_path / "model.keras"), box), bounds(model, box)
    )


def test_huge_logits_and_tiny_variance():
    x = keras.Input((3,))
    model = keras.Model(x, layers.Softmax()(layers.Rescaling(1e6)(x)))
    low, high = bounds(model, Ball([0.0, 1.0, 0.5], 0.1))
    np.testing.assert_allclose([low, high], [[0, 1, 0]] * 2, atol=1e-9)
    assert np.isfinite(bounds(model, Ball([0.0, 0.0, 0.0], 1.0))).all()
    norm = layers.BatchNormalization()
    model = keras.Sequential([keras.Input((1,)), norm])
    norm.set_weights([np.array([v], "float32") for v in (1, 0, 5, 0)])  # variance 0, epsilon .001
    low, high = bounds(model, Box([5.0], [5.5]))
    np.testing.assert_allclose([low[0], high[0]], [0, 0.5 / np.sqrt(1e-3)], atol=1e-6)


def test_regions_that_make_no_sense():
    with pytest.raises(ValueError, match="low must not be above high"):
        Box([0, 2], [1, 1])
    with pytest.raises(ValueError, match="NaN"):
        Box([0, np.nan], [1, 1])
    with pytest.raises(ValueError, match="infinite"):
        Box([0, 0], [1, np.inf])
    with pytest.raises(ValueError, match="empty"):
        Box([], [])
    with pytest.raises(ValueError, match="one shape"):
        Box([0, 0], [1, 1, 1])
    with pytest.raises(TypeError, match="low must be numbers"):
        Box("a", 1)
    with pytest.raises(ValueError, match="radius"):
        Ball([0], -1)
    with pytest.raises(ValueError, match="norm must be"):
        Ball([0], 1, 3)
    with pytest.raises(ValueError, match="base"):
        Box(0, 1, free=[0])
    model = mlp(2, [3])
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        bounds(model, Box([0, 0, 0], [1, 1, 1]))
    with pytest.raises(ValueError, match="chooses no input"):
        bounds(model, Ball([0, 0], 1, free=np.zeros(2, bool)))
    with pytest.raises(ValueError, match="indices"):
        bounds(model, Ball([0, 0], 1, free=[7]))
    with pytest.raises(TypeError, match="Box or a Ball"):
        bounds(model, [0, 1])
    with pytest.raises(TypeError, match="Keras model"):
        bounds(lambda x: x, Box(0, 1))
    with pytest.raises(ValueError, match="method"):
        bounds(model, Box(0, 1), "magic")


def test_a_layer_in_training_mode_is_refused():
    x = keras.Input((2,))
    with pytest.raises(ValueError, match="training=True"):
        bounds(keras.Model(x, layers.Dropout(0.5)(x, training=True)), Box(0, 1))


def test_what_is_not_lipschitz_is_refused():
    x = keras.Input((2,))
    with pytest.raises(ValueError, match="Lipschitz only between"):
        bounds(keras.Model(x, keras.ops.sqrt(x)), Box(-1, 1))
    with pytest.raises(ValueError, match="not continuous"):
        bounds(keras.Model(x, layers.ReLU(threshold=1.0)(x)), Box(-1, 1))
    with pytest.raises(ValueError, match="overflow"):
        bounds(keras.Model(x, layers.Activation("exponential")(layers.Rescaling(1e4)(x))), Box(-1, 1))
