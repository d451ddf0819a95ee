"""`is_safe`, `robust_radius`, `lipschitz` and `certify_difference`."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_koopman.reachability import (
    Ball,
    Box,
    Classifies,
    Inequalities,
    Status,
    bounds,
    certify_difference,
    is_safe,
    lipschitz,
    robust_radius,
)
from tests.reachability.networks import mlp, shake


def two_classes():
    """The first class where x0 > x1."""
    return keras.Sequential([keras.Input((2,)), layers.Dense(2, kernel_initializer="identity")])


def test_safe_and_unsafe():
    model = two_classes()
    assert is_safe(model, Ball([0.8, 0.2], 0.2), Classifies(0)).status is Status.SAFE
    found = is_safe(model, Ball([0.8, 0.2], 0.4), Classifies(0))
    assert found.status is Status.UNSAFE
    x = found.counterexample
    assert x.dtype == np.float32
    assert np.abs(x - [0.8, 0.2]).max() <= 0.4
    assert np.argmax(keras.ops.convert_to_numpy(model(x[None]))[0]) == 1


def test_what_crown_cannot_tell_the_search_can():
    model = mlp(2, [20, 20], "relu", 2, seed=3)
    box = Box(-1, 1)
    outputs = keras.ops.convert_to_numpy(
        model(np.random.default_rng(0).uniform(-1, 1, (4000, 2)).astype("float32"))
    )
    top = float((outputs[:, 0] - outputs[:, 1]).max())
    crown = bounds(model, box)[1][0] - bounds(model, box)[0][1]
    assert crown > top + 0.2
    safe = is_safe(model, box, Inequalities([[1, -1]], top + 0.1), time_limit=60)
    assert safe.status is Status.SAFE
    assert 0 < safe.margin <= 0.1
    unsafe = is_safe(model, box, Inequalities([[1, -1]], top - 0.1), time_limit=60)
    assert unsafe.status is Status.UNSAFE
    y = keras.ops.convert_to_numpy(model(unsafe.counterexample[None]))[0]
    assert y[0] - y[1] > top - 0.1
    with pytest.raises(TypeError, match="truth value"):
        bool(unsafe)


def test_the_edge_is_unknown_and_the_clock_counts():
    model = keras.Sequential([keras.Input((1,)), layers.Identity()])
    found = is_safe(model, Box(0, 1), Inequalities([[1]], 1.0), time_limit=2)
    assert found.status is Status.UNKNOWN
    found = is_safe(mlp(2, [60, 60], scale=2.0), Box(-3, 3), Inequalities([[1]], 1e3), time_limit=1e-6)
    assert found.status is not Status.UNSAFE
    assert found.gap >= 0


def test_a_box_of_allowed_outputs():
    model = two_classes()
    assert is_safe(model, Box(0, 1), Box(-0.1, 1.1)).status is Status.SAFE
    assert is_safe(model, Box(0, 1), Box(0.1, 2)).status is Status.UNSAFE


def test_specifications_that_do_not_fit():
    model = two_classes()
    with pytest.raises(ValueError, match="no class"):
        is_safe(model, Box(0, 1), Classifies(2))
    with pytest.raises(ValueError, match="outputs"):
        is_safe(model, Box(0, 1), Inequalities([[1, 2, 3]]))
    with pytest.raises(TypeError, match="specification must be"):
        is_safe(model, Box(0, 1), 0)
    with pytest.raises(ValueError, match="NaN"):
        Inequalities([[np.nan]])
    with pytest.raises(ValueError, match="rows"):
        Inequalities([1.0])
    with pytest.raises(TypeError, match="label"):
        Classifies(1.5)


@pytest.mark.parametrize(("norm", "radius"), [(np.inf, 0.3), (2, 0.6 / np.sqrt(2)), (1, 0.6)])
def test_the_radius_at_which_two_classes_meet(norm, radius):
    found = robust_radius(two_classes(), [0.8, 0.2], norm, tol=0.01, time_limit=120)
    assert found.certified < radius <= found.broken
    assert found.broken - found.certified <= 0.01
    assert np.linalg.norm(found.counterexample - [0.8, 0.2], norm) <= found.broken


def test_the_radius_is_zero_where_the_input_itself_fails():
    found = robust_radius(two_classes(), [0.8, 0.2], specification=Classifies(1), tol=0.05, time_limit=60)
    assert found.certified == 0
    assert found.broken <= 0.05
    assert robust_radius(two_classes(), [0.8, 0.2], largest=0.1).certified == 0.1


@pytest.mark.parametrize(
    ("norm", "constant"), [(1, 4.0), (2, np.linalg.norm([[1, 2], [-3, 1]], 2)), (np.inf, 4.0)]
)
def test_the_constant_of_a_linear_map(norm, constant):
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    model.set_weights([np.array([[1, 2], [-3, 1]], "float32"), np.zeros(2, "float32")])
    assert lipschitz(model, norm=norm) == pytest.approx(constant, rel=1e-9)
    assert lipschitz(model, Box(0, 1), norm=norm) >= constant * (1 - 1e-15)


def test_the_constant_holds_and_is_sharper_on_a_region():
    x = keras.Input((6, 6, 1))
    y = layers.MaxPooling2D(2)(layers.Conv2D(3, 3, activation="tanh")(x))
    model = shake(keras.Model(x, layers.Dense(4, "softmax")(layers.Flatten()(y))))
    ball = Ball(np.full((6, 6, 1), 0.5), 0.05)
    rng = np.random.default_rng(0)
    points = (0.5 + rng.uniform(-0.05, 0.05, (300, 6, 6, 1))).astype("float32")
    outputs = keras.ops.convert_to_numpy(model(points))
    for norm in (1, 2, np.inf):
        everywhere, there = lipschitz(model, norm=norm), lipschitz(model, ball, norm=norm)
        change = np.linalg.norm(outputs[1:] - outputs[:-1], norm, axis=1)
        way = np.linalg.norm((points[1:] - points[:-1]).reshape(299, -1), norm, axis=1)
        assert (change <= there * way + 1e-6).all()
        assert there <= everywhere


def test_products_have_no_constant_without_a_region():
    x = keras.Input((2,))
    model = keras.Model(x, layers.Multiply()([x, layers.Rescaling(2.0)(x)]))
    assert lipschitz(model) == np.inf
    assert lipschitz(model, Box(0, 1)) == pytest.approx(4)
    with pytest.raises(ValueError, match="norm must be"):
        lipschitz(model, norm=3)


def twin(model, seed=0, size=0.01):
    """The same model with slightly other weights."""
    other = keras.models.clone_model(model)
    rng = np.random.default_rng(seed)
    other.set_weights([w + size * rng.normal(size=w.shape).astype("float32") for w in model.get_weights()])
    return other


def assert_difference(a, b, ball, points):
    found = certify_difference(a, b, ball)
    gap = keras.ops.convert_to_numpy(b(points)) - keras.ops.convert_to_numpy(a(points))
    slack = 1e-5 * (1 + np.abs(gap).max())
    assert (gap >= found.lower - slack).all()
    assert (gap <= found.upper + slack).all()
    (low_a, high_a), (low_b, high_b) = bounds(a, ball), bounds(b, ball)
    return found, np.maximum(high_b - low_a, high_a - low_b).max()


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_difference_is_tighter_than_two_ranges(activation):
    a = mlp(5, [20, 20] if activation == "relu" else [12], activation, 3)
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (500, 5)).astype("float32")
    found, apart = assert_difference(a, twin(a), Ball(np.zeros(5), 0.5), points)
    assert found.paired
    assert found.bound < apart / 3


def test_the_difference_of_convolutional_models():
    x = keras.Input((5, 5, 1))
    y = layers.BatchNormalization()(layers.Conv2D(2, 2, activation="relu")(x))
    y = layers.Concatenate()(
        [layers.Flatten()(layers.MaxPooling2D(2)(y)), layers.GlobalAveragePooling2D()(y)]
    )
    y = layers.Multiply()([layers.Dense(3, "relu")(y), layers.Dense(3)(y)])
    a = shake(keras.Model(x, layers.Dense(2, "softmax")(y)))
    points = np.random.default_rng(0).uniform(0.4, 0.6, (300, 5, 5, 1)).astype("float32")
    found, apart = assert_difference(a, twin(a, size=1e-3), Ball(np.full((5, 5, 1), 0.5), 0.1), points)
    assert found.paired
    assert found.bound < apart / 3


def test_models_of_different_form():
    a, b = mlp(3, [8], outputs=2), mlp(3, [5, 5], outputs=2, seed=1)
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (200, 3)).astype("float32")
    found, _ = assert_difference(a, b, Ball(np.zeros(3), 0.1), points)
    assert not found.paired
    with pytest.raises(ValueError, match="different shapes"):
        certify_difference(a, mlp(3, [8], outputs=1), Box(0, 1))


def test_results_that_carry_a_model():
    class Result:
        model = two_classes()

    assert certify_difference(two_classes(), Result(), Box(0, 1)).bound < 1e-9
