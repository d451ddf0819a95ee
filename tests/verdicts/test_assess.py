import contextlib
import json

import keras
import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.verdicts import Diagnosis, Thresholds, assess
from tests.callbacks.tiny import in_batches
from tests.verdicts.paths import decay, drift, layers, record, walk

GOOD = [2.0, 1.0, *[0.2] * 10]
BAD = [2.3] * 12


@pytest.fixture(scope="module")
def noise():
    return record(30 + walk(12), np.full(2000, 30.0), form=layers)


@pytest.fixture(scope="module")
def drifting_noise():
    """A walk whose drift is as large as its noise."""
    return record(30 + walk(12, drift=1.0), np.full(2000, 30.0))


def test_synthetic_paths(noise, drifting_noise):
    steady = record(drift(12), np.ones(8), form=layers)
    slowing = record(3 + decay(12), np.full(8, 3.0))
    found = {
        "noise, good": assess(noise, GOOD, baseline=2.3),
        "noise, bad": assess(noise, BAD, baseline=2.3),
        "drift in noise, good": assess(drifting_noise, GOOD, baseline=2.3),
        "steady, good": assess(steady, GOOD, baseline=2.3),
        "steady, bad": assess(steady, BAD, baseline=2.3),
        "slowing, good": assess(slowing, GOOD, baseline=2.3),
        "slowing, half-way": assess(slowing, [2.0] + [1.7] * 11, baseline=2.3),
        "far, bad": assess(record(walk(12), np.full(2000, 0.1)), BAD, baseline=2.3),
        "nan": assess(noise, [*GOOD, np.nan], baseline=2.3),
        "short": assess(record(drift(8), np.ones(8)), GOOD[:8], baseline=2.3),
    }
    assert {name: verdict.diagnosis.name for name, verdict in found.items()} == {
        "noise, good": "NOISE_LIMITED",
        "noise, bad": "BAD_INITIALIZATION",
        "drift in noise, good": "HEALTHY",
        "steady, good": "HEALTHY",
        "steady, bad": "LEARNING_RATE_TOO_LOW",
        "slowing, good": "CONVERGED",
        "slowing, half-way": "STALLED",
        "far, bad": "LEARNING_RATE_TOO_HIGH",
        "nan": "DIVERGED",
        "short": "UNDECIDED",
    }
    for verdict in found.values():
        assert verdict.reason.endswith(".")
        assert verdict.origin


@pytest.mark.parametrize("epochs", [0, 1, 3, 8])
def test_too_little_data_is_never_a_guess(epochs):
    for losses in (None, GOOD[: max(epochs, 1)], BAD[: max(epochs, 1)]):
        verdict = assess(record(walk(epochs, size=50), np.ones(50)), losses)
        assert verdict.diagnosis is Diagnosis.UNDECIDED
        assert verdict.probability is None


def test_probability_states_its_origin(noise):
    sure = assess(noise, [1.0, np.nan])
    assert (sure.probability, sure.origin) == (1.0, "observed")
    found = assess(noise, GOOD, baseline=2.3)
    assert "calibrat" in found.origin
    assert found.probability is None or 0 < found.probability < 1
    for verdict in (
        assess(noise, GOOD),
        assess(noise),
        assess(noise, GOOD, baseline=2.3, thresholds=Thresholds(rho=0.35)),
    ):
        assert verdict.diagnosis is Diagnosis.NOISE_LIMITED
        assert verdict.probability is None
        assert verdict.origin.startswith("calibrated ")


def test_probability_from_the_posterior():
    """Increments of one decaying direction with white noise of their own."""
    rng = np.random.default_rng(3)
    increment, rows = 1.0, [np.zeros(1)]
    for _ in range(60):
        rows.append(rows[-1] + increment)
        increment = 0.8 * increment + 0.003 * rng.standard_normal()
    trajectory = record(rows[1:], np.zeros(1))
    plain = assess(trajectory, GOOD, baseline=2.3)
    found = assess(trajectory, GOOD, baseline=2.3, posterior=True)
    assert plain.diagnosis is found.diagnosis is Diagnosis.CONVERGED
    assert found.origin.startswith("posterior: that every mode decays, from 58 pairs")
    assert found.probability > 0.95


def test_posterior_of_a_short_run_is_not_taken():
    trajectory = record(3 + decay(10), np.full(8, 3.0))
    plain = assess(trajectory, GOOD, baseline=2.3)
    found = assess(trajectory, GOOD, baseline=2.3, posterior=True)
    assert found.diagnosis is Diagnosis.CONVERGED
    assert found.probability == plain.probability
    assert found.origin.startswith(plain.origin)
    assert "the posterior is not trusted: 8 pairs of snapshots are few" in found.origin


def test_dict_and_text(noise):
    verdict = assess(noise, [*GOOD, np.inf], baseline=2.3)
    found = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))
    assert found["diagnosis"] == "DIVERGED"
    assert found["loss"]["last"] is None
    assert found["path"]["rho"] == pytest.approx(0.25, abs=0.03)
    assert set(found["path"]["layer_rho"]) == {"first", "last"}
    assert str(verdict) == f"DIVERGED: {verdict.reason} (probability 1; observed)"
    undecided = assess(kk.Trajectory())
    assert str(undecided).startswith("UNDECIDED: 0 snapshots of the weights are too few")
    assert "no probability" in str(undecided)
    assert undecided.to_dict()["loss"] is None


def trained(rate, epochs=12, recorder=None):
    """A small regression with minibatches: the verdict on it."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(128, 4)).astype("float32")
    y = x @ np.array([[1.0], [-2.0], [0.5], [3.0]], "float32")
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(16, "tanh"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    baseline = model.evaluate(x, y, verbose=0)
    recorder = recorder or kk.callbacks.TrajectoryRecorder(average=True)
    data = in_batches({"x": x, "y": y, "batch_size": 16})
    history = model.fit(**data, epochs=epochs, verbose=0, callbacks=[recorder])
    return recorder, history, baseline


@pytest.mark.parametrize(
    ("rate", "diagnosis"),
    [(1e-4, "LEARNING_RATE_TOO_LOW"), (0.02, "CONVERGED"), (1e4, "DIVERGED")],
)
def test_real_trainings(rate, diagnosis):
    with pytest.warns(UserWarning, match="finite") if rate == 1e4 else contextlib.nullcontext():
        recorder, history, baseline = trained(rate, epochs=16)
    assert assess(recorder.trajectory, history.history["loss"], baseline=baseline).diagnosis.name == diagnosis
    assert assess(recorder, history, baseline=baseline).diagnosis.name == diagnosis


def test_a_monitor_serves_too():
    monitor, history, baseline = trained(1e-4, recorder=kk.callbacks.KoopmanMonitor())
    verdict = assess(monitor, history, baseline=baseline)
    assert verdict.diagnosis is Diagnosis.LEARNING_RATE_TOO_LOW
    assert verdict.path.rho == pytest.approx(history.history["koopman_rho"][-1])
    assert verdict.path.speed == pytest.approx(history.history["koopman_speed"][-1])


def test_weights_at_the_ends_of_epochs_are_refused():
    with pytest.raises(TypeError, match=r"must be of means.*Record with average=True"):
        assess(kk.callbacks.TrajectoryRecorder())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"trajectory": [1, 2]}, TypeError, "must be a kk.Trajectory or a recorder that has one, got list"),
        ({"trajectory": None}, TypeError, "got NoneType"),
        ({"losses": []}, ValueError, "one number or more"),
        ({"losses": {"val_loss": [1]}}, ValueError, "losses has no 'loss'"),
        ({"window": 64}, ValueError, "window=64 increments need 65 snapshots"),
        ({"window": 0}, ValueError, "window must be at least 2"),
        ({"thresholds": {"rho": 0.3}}, TypeError, "thresholds must be Thresholds, got dict"),
        ({"baseline": 1.0}, ValueError, "baseline without losses"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        assess(**{"trajectory": kk.Trajectory(), **arguments})
