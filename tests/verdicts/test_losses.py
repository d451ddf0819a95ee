import keras
import numpy as np
import pytest
from keras import ops

from keras_koopman.verdicts.losses import loss_figures


def test_figures():
    found = loss_figures([2.0, 1.0, 0.5, 0.8], baseline=4)
    assert (found.count, found.first, found.last, found.lowest) == (4, 2.0, 0.8, 0.5)
    assert found.left == pytest.approx(0.2)
    assert found.broken is None
    assert not found.rising
    assert loss_figures([2.0, 1.0]).left == pytest.approx(0.5)
    assert loss_figures(None) is None


def history():
    found = keras.callbacks.History()
    found.history = {"accuracy": [0.1, 0.2], "loss": [2.0, 1.0]}
    return found


@pytest.mark.parametrize(
    "losses",
    [[2.0, 1.0], (2, 1), np.array([2.0, 1.0], "float32"), {"loss": [2.0, 1.0]}, history()],
)
def test_forms(losses):
    assert loss_figures(losses).first == 2.0
    assert loss_figures(losses).last == 1.0


def test_tensors():
    assert loss_figures(ops.convert_to_tensor([2.0, 1.0])).last == 1.0
    assert loss_figures([ops.convert_to_tensor(2.0), ops.convert_to_tensor(1.0)]).last == 1.0


@pytest.mark.parametrize(
    ("losses", "rising"),
    [([1, 2, 3, 4], True), ([9, 1, 2, 3, 4], True), ([1, 2, 3], False), ([1, 3, 2, 4], False)],
)
def test_rising_takes_three_steps(losses, rising):
    assert loss_figures(losses).rising is rising


@pytest.mark.parametrize(
    ("losses", "broken"), [([1.0, np.nan, 2.0], 2), ([np.inf], 1), ([np.nan, np.nan], 1), ([1.0, 2.0], None)]
)
def test_first_loss_that_is_not_finite(losses, broken):
    assert loss_figures(losses).broken == broken


@pytest.mark.parametrize("losses", [[-1.0, -3.0], [0.0, 1.0], [1.0, -0.1]])
def test_no_share_of_losses_that_are_not_positive(losses):
    assert loss_figures(losses).left is None


@pytest.mark.parametrize(
    ("losses", "baseline", "error", "message"),
    [
        ([], None, ValueError, r"losses must be a list of one number or more, got shape \(0,\)"),
        (np.ones((2, 2)), None, ValueError, r"got shape \(2, 2\)"),
        ({"accuracy": [1]}, None, ValueError, "losses has no 'loss', only 'accuracy'"),
        ({}, None, ValueError, "only nothing"),
        ("loss", None, TypeError, "losses must be a list of numbers.*got 'loss' of type str"),
        (0.5, None, TypeError, "losses must be a list of numbers.*of type float"),
        (["a"], None, TypeError, r"losses must be numbers, got \['a'\]"),
        ([1.0], "x", TypeError, "baseline must be a real number"),
        ([1.0], np.inf, ValueError, "baseline must be"),
        (None, 2.3, ValueError, "baseline without losses says nothing"),
    ],
)
def test_bad_arguments(losses, baseline, error, message):
    with pytest.raises(error, match=message):
        loss_figures(losses, baseline)
