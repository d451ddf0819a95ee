"""`output_range`: known minima, brute-force grids, agreement of methods, and what it refuses."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_koopman.reachability import Ball, Box, bounds, output_range
from tests.reachability.networks import exact, mlp

identity = keras.Sequential([keras.Input((1,)), layers.Identity()])


def wave(x):
    return ops.sin(x) + ops.sin(10 * x / 3)


def grid(low, high, count=201):
    axes = np.linspace(low, high, count)
    return np.stack(np.meshgrid(axes, axes), -1).reshape(-1, 2)


def assert_range(found, values, tol):
    """Values on a grid lie inside, and the bounds are near values that are reached."""
    assert found.sound
    assert found.finished
    assert found.lower <= values.min()
    assert found.upper >= values.max()
    assert found.value_low - found.lower <= tol * (1 + 1e-9)
    assert found.upper - found.value_high <= tol * (1 + 1e-9)
    assert found.value_low <= values.min() + tol


@pytest.mark.contract
@pytest.mark.parametrize("method", ["branch", "nested"])
def test_the_known_minimum_of_two_sines(method):
    found = output_range(identity, Box([2.7], [7.5]), wave, tol=1e-3, method=method)
    minimum = -1.899599349
    assert minimum - 1e-3 <= found.lower <= minimum
    assert minimum - 1e-9 <= found.value_low <= minimum + 1e-3
    assert found.witness_low == pytest.approx([5.1457], abs=0.02)


def test_nested_stops_where_the_published_algorithm_does():
    found = output_range(identity, Box([2.7], [7.5]), wave, tol=1e-3, method="nested")
    assert found.lower == pytest.approx(-1.900590, abs=1e-5)
    assert found.value_low == pytest.approx(-1.899599, abs=1e-6)


@pytest.mark.parametrize(
    ("units", "activation"),
    [([30], "relu"), ([8, 8], "relu"), pytest.param([6, 6], "tanh", marks=pytest.mark.contract)],
)
def test_against_a_grid(units, activation):
    model = mlp(2, units, activation)
    found = output_range(model, Box([-1, -1], [1, 1]), tol=1e-2)
    functions = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh}
    assert_range(found, exact(model.get_weights(), grid(-1, 1), functions[activation])[:, 0], 1e-2)
    at_low = exact(model.get_weights(), found.witness_low, functions[activation])[0]
    assert at_low == pytest.approx(found.value_low, abs=1e-9)


def test_branch_and_nested_agree():
    model, box = mlp(2, [10], "relu"), Box([-1, -1], [1, 1])
    one, other = (output_range(model, box, tol=0.05, method=m) for m in ("branch", "nested"))
    assert abs(one.lower - other.lower) <= 0.05
    assert abs(one.upper - other.upper) <= 0.05
    assert other.sound


def test_functions_of_the_output():
    model = keras.Sequential([keras.Input((2,)), layers.Rescaling(1.0)])
    box = Box([0, 0], [1, 2])
    assert output_range(model, box, 1).upper == pytest.approx(2)
    assert output_range(model, box, -1).upper == pytest.approx(2)
    assert output_range(model, box, [2, -1]).lower == pytest.approx(-2)
    found = output_range(model, box, lambda y: ops.max(y, axis=-1))
    assert (found.lower, found.upper) == (pytest.approx(0, abs=1e-2), pytest.approx(2, abs=1e-2))


def test_the_range_on_a_disc():
    model = keras.Sequential([keras.Input((2,)), layers.Rescaling(1.0)])
    found = output_range(model, Ball([0, 0], 1, 2), [3, 4], tol=0.05)
    assert 5 <= found.upper <= 5.05
    assert found.value_high <= 5
    assert np.linalg.norm(found.witness_high) <= 1


def test_a_probability_stays_one():
    """Also where the search ends before the bounds of single boxes are tight."""
    rng = np.random.default_rng(6)
    hidden = [layers.Dense(16, "relu"), layers.Dense(3, "softmax")]
    model = keras.Sequential([keras.Input((2,)), *hidden])
    model.set_weights([0.5 * rng.normal(size=weight.shape) for weight in model.weights])
    found = output_range(model, Box([-10, -10], [10, 10]), 0, tol=0.2)
    assert 0 <= found.lower < 0.2
    assert 0.8 < found.upper <= 1


def test_the_clock_stops_it_and_the_bounds_hold():
    model = mlp(2, [60, 60], "relu", scale=1.5)
    for method in ("branch", "nested"):
        found = output_range(model, Box(-3, 3), tol=1e-6, time_limit=1e-6, method=method)
        values = exact(model.get_weights(), grid(-3, 3, 51))[:, 0]
        assert not found.finished
        assert found.sound
        assert found.lower <= values.min()
        assert found.upper >= values.max()
        assert found.gap > 1e-6


def test_many_inputs_vary():
    model = mlp(80, [10], "relu")
    ball = Ball(np.zeros(80), 1e-3)
    found = output_range(model, ball, tol=1e-2)
    low, high = bounds(model, ball)
    assert found.finished
    assert found.lower == pytest.approx(low[0], abs=1e-2)
    assert found.upper == pytest.approx(high[0], abs=1e-2)


def test_a_constant_of_the_users_own_is_labelled():
    for constant, sound in ((1.0, False), (5.0, True)):
        found = output_range(identity, Box([2.7], [7.5]), wave, tol=0.1, method="nested", lipschitz=constant)
        assert found.sound is sound


def test_what_it_refuses():
    model, box = mlp(2, [3], outputs=2), Box(0, 1)
    with pytest.raises(ValueError, match="pass function"):
        output_range(model, box)
    with pytest.raises(ValueError, match="no index"):
        output_range(model, box, 2)
    with pytest.raises(ValueError, match="coefficients"):
        output_range(model, box, [1, 2, 3])
    with pytest.raises(ValueError, match="one number"):
        output_range(model, box, lambda y: 2 * y)
    with pytest.raises(ValueError, match="not known to be Lipschitz"):
        output_range(model, box, lambda y: ops.sign(y[:, :1]))
    with pytest.raises(ValueError, match="Lipschitz only between"):
        output_range(keras.Sequential([keras.Input((1,)), layers.Identity()]), box, lambda y: ops.log(y))
    with pytest.raises(ValueError, match="below what float64 can hold"):
        output_range(model, box, 0, tol=1e-17)
    with pytest.raises(ValueError, match="tol must be"):
        output_range(model, box, 0, tol=0)
    with pytest.raises(ValueError, match="method must be"):
        output_range(model, box, 0, method="guess")
    with pytest.raises(ValueError, match="on boxes"):
        output_range(model, Ball([0, 0], 1, 2), 0, method="nested")
    with pytest.raises(ValueError, match="branch needs no constant"):
        output_range(model, box, 0, lipschitz=1.0)
