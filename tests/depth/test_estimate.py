"""`estimate_depth`: the rule on errors that are made up, and a task whose depth is known."""

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.depth.probe import Probe, error_of_guessing, share_of_error, split

RNG = np.random.default_rng(0)
X = RNG.normal(size=(160, 3)).astype("float32")
Y = X @ np.array([[1.0], [-2.0], [0.5]], "float32")


def build(depth):
    hidden = [keras.layers.Dense(6, "relu") for _ in range(depth - 1)]
    model = keras.Sequential([keras.Input((3,)), *hidden, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    return model


class Scripted:
    """Stands for training: the error of each depth, and how many more epochs it needs to come there."""

    def __init__(self, monkeypatch, errors, state="converged", late=()):
        self.trained = {}

        def train(probe, epochs):
            probe.epochs += epochs
            self.trained[probe.depth] = probe.epochs
            slow = probe.depth in late and probe.epochs < 10
            probe.error = 1.0 if slow else errors[probe.depth - 1]

        monkeypatch.setattr(Probe, "train", train)
        monkeypatch.setattr(Probe, "path", lambda probe: (state, 0.9, 0.8))


@pytest.mark.parametrize(
    ("errors", "depth", "probes"),
    [
        ([0.5, 0.3, 0.2, 0.19, 0.185, 0.01], 3, 5),  # a tenth
        ([0.05, 0.042, 0.041, 0.03], 1, 3),  # a hundredth
        ([0.5, 0.49, 0.3, 0.29, 0.29], 3, 5),  # one miss is forgiven
        ([0.5, 0.4, 0.3, 0.2], 4, 4),  # the end
        ([0.5, np.inf, 0.2, 0.2, 0.2], 3, 5),  # a run that diverged
        ([np.inf, 0.9, 0.9, 0.9], 2, 4),
    ],
)
def test_rule(monkeypatch, errors, depth, probes):
    Scripted(monkeypatch, errors)
    estimate = kk.estimate_depth(build, X, Y, depths=range(1, len(errors) + 1), epochs=40)
    assert estimate.depth == depth
    assert len(estimate.table) == probes
    assert estimate.cost == pytest.approx(probes * 8 / (40 * len(errors)))
    assert estimate.reason.startswith(f"Depth {depth}: ")


def test_a_depth_that_still_drifts_goes_on(monkeypatch):
    errors = [0.5, 0.3, 0.3, 0.3]
    script = Scripted(monkeypatch, errors, "still drifting", late=[2])
    estimate = kk.estimate_depth(build, X, Y, depths=range(1, 5), epochs=40, budget=0.2)
    assert estimate.depth == 2
    assert script.trained == {1: 12, 2: 12, 3: 12, 4: 12}
    assert estimate.cost == pytest.approx(48 / 160)
    assert kk.estimate_depth(build, X, Y, depths=range(1, 5), epochs=40, prolong=0.0).depth == 3


def test_a_converged_depth_does_not_go_on(monkeypatch):
    script = Scripted(monkeypatch, [0.5, 0.5, 0.5], late=[2])
    kk.estimate_depth(build, X, Y, depths=[1, 2, 3], epochs=40)
    assert set(script.trained.values()) == {8}


@pytest.mark.contract
def test_linear_task_needs_one_layer(capsys):
    estimate = kk.estimate_depth(build, X, Y, depths=[1, 2], epochs=40, budget=0.4, patience=1, verbose=1)
    assert estimate.depth == 1
    assert estimate.error < 0.05
    assert "The trivial answer, 2 layers, had an error of" in estimate.reason
    assert capsys.readouterr().out.count("estimate_depth: depth") == 2
    assert [probe.parameters for probe in estimate.table] == [4, 31]
    assert all(probe.rho is not None for probe in estimate.table)
    text = str(estimate)
    assert "1 *" in text
    assert "of a full sweep" in text
    assert estimate.to_dict()["depth"] == 1


def test_reasons(monkeypatch):
    Scripted(monkeypatch, [0.5, 0.3, 0.1])
    assert "try deeper ones" in kk.estimate_depth(build, X, Y, depths=[1, 2, 3]).reason
    Scripted(monkeypatch, [0.5, 0.3, 0.3])
    assert "before it is certain" in kk.estimate_depth(build, X, Y, depths=[1, 2, 3]).reason
    assert "was not tried" in kk.estimate_depth(build, X, Y, depths=[1, 3]).reason
    assert "is the same" in kk.estimate_depth(build, X, Y, depths=[1, 2, 3]).reason


@pytest.mark.parametrize(
    ("errors", "depth", "tried"),
    [
        ([1.0, 1.0, 0.96, 0.5, 0.5, 0.5, 0.1], 4, 6),
        ([0.7, 0.7, 0.7, 0.1], 1, 3),  # the first one learned something, so the others count
        ([1.0, 1.0, 1.0, 1.0], 1, 4),
    ],
)
def test_depths_do_not_count_before_something_was_learned(monkeypatch, errors, depth, tried):
    Scripted(monkeypatch, errors)
    estimate = kk.estimate_depth(build, X, Y, depths=range(1, len(errors) + 1))
    assert (estimate.depth, len(estimate.table)) == (depth, tried)


@pytest.mark.parametrize(("error", "says"), [(0.95, True), (0.5, False)])
def test_says_when_nothing_was_learned(monkeypatch, error, says):
    Scripted(monkeypatch, [error, error, error])
    reason = kk.estimate_depth(build, X, Y, depths=[1, 2, 3]).reason
    assert ("guessing has an error of 1" in reason) == says
    # What guessing would be by another measure is not known.
    own = kk.estimate_depth(build, X, Y, depths=[1, 2, 3], score=lambda model, x, y: 0.0)
    assert "guessing" not in own.reason


@pytest.mark.parametrize(
    ("targets", "error"),
    [
        ([1, 1, 0, 2], 0.5),
        ([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]], 0.25),
        ([[1.0], [3.0]], 1.0),
        ([[2.0], [2.0]], 0.0),  # nothing to explain
    ],
)
def test_error_of_guessing(targets, error):
    assert error_of_guessing(targets) == pytest.approx(error)


class Fixed:
    """Stands for a model with known outputs."""

    def __init__(self, outputs):
        self.outputs = np.asarray(outputs, "float32")

    def predict(self, x, verbose):
        return self.outputs


@pytest.mark.parametrize(
    ("outputs", "targets", "error"),
    [
        ([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 1, 1], 1 / 3),
        ([[0.9, 0.1], [0.2, 0.8]], [[1.0, 0.0], [1.0, 0.0]], 0.5),
        ([[0.9], [0.2]], [1, 1], 0.5),
        ([[-3.0], [0.2]], [0, 1], 0.0),  # logits
        ([[1.0], [2.0], [4.0]], [1.0, 2.0, 3.0], 0.5),
        ([[1.0], [np.nan], [4.0]], [1.0, 2.0, 3.0], np.inf),
    ],
)
def test_error(outputs, targets, error):
    assert share_of_error(Fixed(outputs), None, np.asarray(targets)) == pytest.approx(error)


def test_split_keeps_pairs_together():
    data = split({"a": np.arange(20), "b": np.arange(20) * 2}, np.arange(20) * 3, 0.25, seed=1)
    assert len(data.y) == 15
    assert len(data.y_held) == 5
    assert np.array_equal(data.x["a"] * 3, data.y)
    assert np.array_equal(data.x_held["b"] * 3, data.y_held * 2)


@pytest.mark.parametrize(
    ("arguments", "error", "part"),
    [
        ({"build": build(1)}, TypeError, "build must be a function"),
        ({"build": lambda depth: None}, TypeError, r"build must give a keras\.Model"),
        ({"build": lambda depth: keras.Sequential()}, ValueError, "not compiled"),
        ({"depths": []}, ValueError, "numbers? or more that rise"),
        ({"depths": [2, 1]}, ValueError, "that rise"),
        ({"depths": 3}, TypeError, "list of whole numbers"),
        ({"depths": [0, 1]}, ValueError, "at least 1"),
        ({"budget": 0.0}, ValueError, "budget must be above 0"),
        ({"budget": 1.5}, ValueError, "budget"),
        ({"epochs": 0}, ValueError, "epochs"),
        ({"patience": 0}, ValueError, "patience"),
        ({"y": Y[:5]}, ValueError, "same number of samples"),
        ({"x": "data"}, TypeError, "x must be an array"),
        ({"y": np.where(np.isin(Y, Y[3]), np.nan, Y)}, ValueError, "must be finite, got 1 numbers"),
        ({"validation_data": (X[:0], Y[:0])}, ValueError, "one or more"),
        ({"validation_data": (X, "data")}, TypeError, "y of validation_data must be an array"),
        ({"validation_split": 0.001}, ValueError, "leaves nothing"),
        ({"validation_data": X}, TypeError, r"validation_data must be \(x, y\)"),
        ({"fit_kwargs": {"epochs": 3}}, ValueError, "must not have epochs"),
        ({"fit_kwargs": [1]}, TypeError, "fit_kwargs must be a dict"),
    ],
)
def test_bad_arguments(arguments, error, part):
    with pytest.raises(error, match=part):
        kk.estimate_depth(**{"build": build, "x": X, "y": Y, **arguments})
