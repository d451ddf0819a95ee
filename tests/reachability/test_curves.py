"""Every activation: the lines lie below and above it, and the ranges hold, also at the edges of float64."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_koopman.backend import float64_allowed, to_host
from keras_koopman.reachability.activations import CURVES, celu, elu, leaky_relu, rectifier, selu, squareplus

contract = pytest.mark.contract

ALL = {
    **CURVES,
    "elu": elu(1.0),
    "celu": celu(0.5),
    "selu": selu(),
    "leaky": leaky_relu(0.2),
    "turned": leaky_relu(-0.7),
    "steep": leaky_relu(2.0),
    "bounded": rectifier(0.1, 0.0, 4.0),
    "squareplus": squareplus(4.0),
}
# Intervals about corners, far out, of no width, and of great width.
LOW = np.array([-1.0, -0.3, -8.0, -3.5, 0.0, -1e-9, 5.9, -40.0, 2.0, -700.0, -1.4, -3.0, 1e-6])
HIGH = np.array([1.0, 0.4, 8.0, -2.5, 0.0, 1e-9, 6.1, 0.5, 2.0, -600.0, -1.3, 3.0, 300.0])
INSIDE = np.linspace(0.0, 1.0, 1001)


def intervals(curve):
    positive = curve.domain[0] == 0
    return (np.abs(LOW) + 1e-3, np.abs(LOW) + 1e-3 + HIGH - LOW) if positive else (LOW, HIGH)


# One of each kind of curve: with corners, with one bend and with several, periodic, with a pole, and with a
# parameter.
ON_EVERY_ENGINE = {"relu", "bounded", "softplus", "tanh", "gelu", "sin", "rsqrt", "celu", "squareplus"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[contract] * (name in ON_EVERY_ENGINE)) for name in ALL]
)
def test_lines_and_ranges_hold(name):
    curve = ALL[name]
    low, high = intervals(curve)
    if name == "exponential":
        low, high = np.clip(low, -700, 300), np.clip(high, -700, 300)
    points = low[:, None] + (high - low)[:, None] * INSIDE
    with float64_allowed():
        values = to_host(curve.value(ops.convert_to_tensor(points)))
        a, b = ops.convert_to_tensor(low), ops.convert_to_tensor(high)
        least, most = map(to_host, curve.interval(a, b))
        flat, steep = map(to_host, curve.slopes(a, b))
        found = [[to_host(v) for v in curve.lines(a, b, tight)] for tight in (True, False)]
        slope, below, above = map(to_host, curve.band(a, b))
    assert (least[:, None] <= values).all()
    assert (values <= most[:, None]).all()
    rise = np.diff(values, axis=1) - 1e-9 * (1 + np.abs(values[:, 1:]))
    step = np.diff(points, axis=1)
    assert (rise <= steep[:, None] * step).all()
    assert (rise >= flat[:, None] * step - 2e-9 * (1 + np.abs(values[:, 1:]))).all()
    for k, c, m, d in [*found, [slope, below, slope, above]]:
        slack = 1e-13 * (1 + np.abs(k)[:, None] * np.abs(points))
        assert (k[:, None] * points + c[:, None] <= values + slack).all()
        assert (values <= m[:, None] * points + d[:, None] + slack).all()


@pytest.mark.parametrize("name", [pytest.param("tanh", marks=contract), "sigmoid", "gelu", "silu"])
def test_lines_close_in_with_the_square_of_the_width(name):
    curve, gaps = ALL[name], []
    for width in (0.1, 0.01):
        with float64_allowed():
            low, high = (ops.convert_to_tensor(np.array([0.8 + s * width])) for s in (-1, 1))
            k, c, m, d = map(to_host, curve.lines(low, high, False))
        gaps.append(float((m * 0.8 + d - k * 0.8 - c)[0]))
    assert gaps[1] < gaps[0] / 50


@contract
@settings(max_examples=16, deadline=None)
@given(st.sampled_from(sorted(ALL)), st.floats(-30, 30), st.floats(0, 20), st.floats(0, 1))
def test_lines_hold_anywhere(name, start, width, share):
    curve = ALL[name]
    start = abs(start) + 1e-2 if curve.domain[0] == 0 else start
    x = start + share * width
    with float64_allowed():
        low, high = (ops.convert_to_tensor(np.array([v])) for v in (start, start + width))
        k, c, m, d = (to_host(v)[0] for v in curve.lines(low, high))
        y = to_host(curve.value(ops.convert_to_tensor(np.array([x]))))[0]
    slack = 1e-12 * (1 + abs(y) + abs(k * x) + abs(m * x))
    assert k * x + c - slack <= y <= m * x + d + slack


@contract
def test_our_activations_are_those_of_keras():
    x = np.linspace(-6, 6, 97)
    skipped = {"gelu_tanh", "absolute", "square", "reciprocal", "rsqrt", "sqrt", "log", "sin"}
    for name in set(CURVES) - skipped:
        with float64_allowed():
            ours = to_host(CURVES[name].value(ops.convert_to_tensor(x)))
        theirs = to_host(getattr(keras.activations, name)(ops.convert_to_tensor(x.astype("float32"))))
        np.testing.assert_allclose(ours, theirs, atol=2e-6, rtol=2e-6, err_msg=name)
