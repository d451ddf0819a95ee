"""Every diagnosis from figures alone."""

import dataclasses
import re

import pytest

from keras_koopman.verdicts import Diagnosis, Thresholds
from keras_koopman.verdicts.calibrated import SCORES, calibrated
from keras_koopman.verdicts.judge import judge
from keras_koopman.verdicts.losses import loss_figures
from keras_koopman.verdicts.path import PathFigures

MOVING = PathFigures(12, 8, rho=0.6, speed=0.9, displacement=0.2, layer_rho={"a": 0.5, "b": 0.7})
STEADY = dataclasses.replace(MOVING, rho=0.97, layer_rho={"a": 0.95, "b": 0.98})
NOISY = dataclasses.replace(MOVING, rho=0.2, layer_rho={"a": 0.1, "b": 0.2})
SLOWED = dataclasses.replace(MOVING, speed=0.3)
FAR = dataclasses.replace(NOISY, displacement=7.0)
STILL = PathFigures(12, 8, rho=None, speed=None, still=True, displacement=0.0)
SHORT = PathFigures(8, 8, displacement=0.1)

GOOD, MIDDLING, BAD = [2.0, 1.0, 0.2], [2.0, 1.8, 1.6], [2.3, 2.29, 2.29]
D = Diagnosis


@pytest.mark.parametrize(
    ("path", "losses", "diagnosis", "words"),
    [
        (MOVING, GOOD, D.HEALTHY, "the loss is 0.2, 8% of the baseline, and the weights still drift"),
        (STEADY, GOOD, D.HEALTHY, "rho 0.97"),
        (NOISY, GOOD, D.NOISE_LIMITED, r"drowned in minibatch noise \(rho 0.2, speed 0.9\)"),
        (SLOWED, GOOD, D.CONVERGED, r"the steps have died out \(rho 0.6, speed 0.3\)"),
        (STILL, GOOD, D.CONVERGED, "the weights stand still"),
        (STEADY, BAD, D.LEARNING_RATE_TOO_LOW, "every layer drifts steadily on .rho 0.95 or more"),
        (FAR, BAD, D.LEARNING_RATE_TOO_HIGH, "gone 7 times as far as they were long"),
        (MOVING, BAD, D.BAD_INITIALIZATION, "neither too short nor too long"),
        (STILL, BAD, D.BAD_INITIALIZATION, "the weights stand still"),
        (NOISY, BAD, D.BAD_INITIALIZATION, "went 0.2 of their length"),
        (NOISY, MIDDLING, D.STALLED, "it learned something and then stopped"),
        (SHORT, BAD, D.UNDECIDED, "8 snapshots of the weights are too few: 8 increments need 9"),
        (SHORT, [1.0, float("nan")], D.DIVERGED, "not finite in epoch 2, after 1 in the first"),
        (MOVING, [float("nan")] * 3, D.DIVERGED, "from the first epoch on: look at the data"),
        (MOVING, [2.0, float("inf")], D.DIVERGED, "not finite in epoch 2"),
        (MOVING, [2.0, 3.0, 9.0], D.DIVERGED, "grown from 2.4 to 9"),
        (MOVING, [2.0, 0.1, 0.2, 0.3, 0.4], D.DIVERGED, "keeps rising and is 0.4, after 0.1 at its lowest"),
        (MOVING, [2.0, 0.1, 0.4, 0.3, 0.4], D.HEALTHY, "17%"),
        (MOVING, [-1.0, -2.0], D.UNDECIDED, "losses down to -2 have no natural zero"),
    ],
)
def test_diagnoses_with_a_baseline(path, losses, diagnosis, words):
    found, reason = judge(path, loss_figures(losses, baseline=2.4), Thresholds())
    assert found is diagnosis
    assert re.search(words, reason), reason


@pytest.mark.parametrize(
    ("path", "losses", "diagnosis", "words"),
    [
        (MOVING, GOOD, D.HEALTHY, "10% of that in the first epoch"),
        (NOISY, [1.0, 0.8], D.NOISE_LIMITED, "80% of that in the first epoch"),
        (SLOWED, GOOD, D.CONVERGED, "died out"),
        (STEADY, BAD, D.LEARNING_RATE_TOO_LOW, "drifts steadily"),
        (FAR, BAD, D.UNDECIDED, "learned all in the first epoch or nothing at all. Pass baseline"),
        (MOVING, BAD, D.UNDECIDED, "Pass baseline"),
        (NOISY, BAD, D.UNDECIDED, "Pass baseline"),
    ],
)
def test_without_a_baseline_only_a_straight_path_convicts(path, losses, diagnosis, words):
    found, reason = judge(path, loss_figures(losses), Thresholds())
    assert found is diagnosis
    assert words in reason


@pytest.mark.parametrize(
    ("path", "diagnosis", "words"),
    [
        (NOISY, D.NOISE_LIMITED, "how good the run is, only losses can tell"),
        (SLOWED, D.UNDECIDED, "Pass losses"),
        (MOVING, D.UNDECIDED, "without losses it cannot be told"),
        (SHORT, D.UNDECIDED, "too few"),
    ],
)
def test_without_losses(path, diagnosis, words):
    found, reason = judge(path, None, Thresholds())
    assert found is diagnosis
    assert words in reason


def test_movement_below_rounding_decides_nothing():
    assert (
        judge(dataclasses.replace(MOVING, rho=None), loss_figures(GOOD, 2.4), Thresholds())[0] is D.UNDECIDED
    )


@pytest.mark.parametrize(
    ("change", "path", "losses", "before", "after"),
    [
        ({"rho": 0.7}, MOVING, GOOD, D.HEALTHY, D.NOISE_LIMITED),
        ({"speed": 0.95}, MOVING, GOOD, D.HEALTHY, D.CONVERGED),
        ({"loss_left": 0.05}, NOISY, GOOD, D.NOISE_LIMITED, D.STALLED),
        ({"hardly_fallen": 0.6}, NOISY, MIDDLING, D.STALLED, D.BAD_INITIALIZATION),
        ({"growth": 5.0}, MOVING, [2.0, 3.0, 9.0], D.DIVERGED, D.BAD_INITIALIZATION),
        ({"low_rate_rho": 0.96}, STEADY, BAD, D.LEARNING_RATE_TOO_LOW, D.BAD_INITIALIZATION),
        ({"high_rate_displacement": 9.0}, FAR, BAD, D.LEARNING_RATE_TOO_HIGH, D.BAD_INITIALIZATION),
    ],
)
def test_every_threshold_counts(change, path, losses, before, after):
    assert set(change) < set(Thresholds.names())
    loss = loss_figures(losses, 2.4)
    assert judge(path, loss, Thresholds())[0] is before
    assert judge(path, loss, Thresholds(**change))[0] is after


def test_every_threshold_has_a_source():
    thresholds = Thresholds()
    assert all(len(thresholds.source(name)) > 20 for name in thresholds.names())
    changed = Thresholds(rho=0.2)
    assert changed.source("rho") == "given by the user"
    assert changed.source("speed") == thresholds.source("speed")
    assert (thresholds.default, changed.default) == (True, False)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"rho": 0}, ValueError, "rho must be above 0"),
        ({"speed": "slow"}, TypeError, "speed must be a real number"),
        ({"growth": float("inf")}, ValueError, "growth must be above 0 and finite"),
    ],
)
def test_bad_thresholds(values, error, message):
    with pytest.raises(error, match=message):
        Thresholds(**values)


def test_no_such_threshold():
    with pytest.raises(ValueError, match="name must be one of 'rho', 'speed'"):
        Thresholds().source("size")


def test_calibrated_shares():
    assert calibrated(D.UNDECIDED) == (None, "too few calibration runs had this diagnosis")
    assert SCORES
    for diagnosis, score in SCORES.items():
        share, origin = calibrated(diagnosis)
        if share is not None:
            assert 0 < share < 1
            assert origin.startswith(f"calibrated: {score.right} of {score.runs} runs")


def test_what_is_bad_and_what_is_finished():
    assert {d for d in D if d.bad} == {
        D.STALLED,
        D.LEARNING_RATE_TOO_LOW,
        D.LEARNING_RATE_TOO_HIGH,
        D.BAD_INITIALIZATION,
        D.DIVERGED,
    }
    assert {d for d in D if d.finished} == {D.CONVERGED, D.NOISE_LIMITED, D.STALLED}
