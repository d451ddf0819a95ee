"""`convergence_test`: equations and things that are none."""

import keras
import numpy as np
import pytest

from keras_koopman.layers import ContinuousBlock, DenseRate, Represents, convergence_test
from tests.layers.models import ROTATION, X, linear_rate, model_of


def oscillator(steps, scheme="rk4", horizon=1.0):
    block = ContinuousBlock(linear_rate(ROTATION), steps, 1, scheme, horizon=horizon)
    return keras.Sequential([keras.Input((2,)), block])


START = np.array([[1.0, 0.0], [0.3, 0.7]], "float32")


@pytest.mark.contract
def test_orders():
    report = convergence_test(oscillator(4, horizon=3.0), START, steps=[2, 4, 8])
    orders = report.orders()
    assert orders["euler"] == pytest.approx(1, abs=0.45)
    assert orders["midpoint"] == pytest.approx(2, abs=0.3)
    assert orders["rk4"] == pytest.approx(4, abs=0.4)
    assert report.represents is Represents.ODE
    assert [row.steps for row in report.rows] == [2, 4, 8] * 3


def test_own_discretisation():
    """Three steps of Euler turn by a third of what they should, and grow."""
    report = convergence_test(oscillator(3, "euler", horizon=6.0), START, steps=[16, 32])
    assert report.represents is Represents.DISCRETISATION
    assert "their own discretisation: from 3 steps of euler" in report.reason
    assert report.trained.difference > 1


def test_undecided():
    report = convergence_test(oscillator(1, "euler", horizon=40.0), START, steps=[2, 3])
    assert report.represents is Represents.UNDECIDED
    assert "Try more steps" in report.reason


def test_states_that_blow_up_are_infinitely_far():
    block = ContinuousBlock(linear_rate(np.full((2, 2), -1e6)), 4, 1, "euler")
    model = keras.Sequential([keras.Input((2,)), block])
    report = convergence_test(model, 1e20 * START, steps=[4, 8], schemes=["euler"])
    assert report.rows[0].difference == np.inf
    assert report.represents is Represents.UNDECIDED


def test_model_is_left_as_it_was():
    model, block = model_of(DenseRate(4), steps=3)
    convergence_test(model, X, steps=[3, 6], schemes=["heun"])
    assert (block.steps, block.tableau.name, block.check_finite) == (3, "euler", False)


def test_scores():
    classes = keras.Sequential([oscillator(4), keras.layers.Activation("softmax")])
    classes.build((None, 2))
    report = convergence_test(classes, START, np.array([0, 0]), steps=[4, 8], schemes=["rk4"])
    assert report.metric == "accuracy"
    assert report.limit_score in (0, 0.5, 1)
    turned = START @ np.array([[np.cos(1), np.sin(1)], [-np.sin(1), np.cos(1)]])
    report = convergence_test(oscillator(4), START, turned, steps=[4, 8], schemes=["rk4"])
    assert report.metric == "mse"
    assert report.limit_score == pytest.approx(0, abs=1e-9)


def test_report():
    report = convergence_test(oscillator(4), START, steps=[4, 8], schemes=["euler"])
    text = str(report)
    assert "rk4 (trained)" in text
    assert text.splitlines()[-1] == report.reason
    assert report.to_dict()["represents"] == "ODE"
    ax = report.plot()
    assert ax.get_xlabel() == "steps"
    assert len(ax.get_lines()) == 3
