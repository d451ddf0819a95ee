"""`SpectralSparsity` driven by hand: what the compiled step and the recorder's callback do with it."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_koopman as kk
from keras_koopman.schedules import SpectralSparsity

pytestmark = pytest.mark.contract

BEGIN, END = 5, 25


def schedule_of(**options):
    return SpectralSparsity(None, 0.1, 0.9, **{"begin_step": BEGIN, "end_step": END, "power": 3, **options})


def driven(schedule, paces):
    """Sparsity after each step, `paces[i]` being in force at step `i + 1`."""
    figures = {k: keras.ops.convert_to_tensor(v, "float32") for k, v in schedule.initial_figures().items()}
    found = []
    for step, pace in enumerate(paces, start=1):
        figures["pace"] = keras.ops.convert_to_tensor(pace, "float32")
        now = keras.ops.convert_to_tensor(step, "int32")
        figures = schedule.advance(figures, now)
        found.append(float(keras.ops.convert_to_numpy(schedule.at(now, figures["progress"]))))
    return np.array(found)


def test_pace_one_is_the_plain_ramp():
    schedule = schedule_of()
    wanted = [schedule(step) for step in range(1, END + 5)]
    np.testing.assert_allclose(driven(schedule, [1.0] * (END + 4)), wanted, atol=1e-6)


def test_pace_nought_waits_and_still_reaches_the_target():
    found = driven(schedule_of(), [0.0] * (END + 3))
    half = (BEGIN + END) // 2
    np.testing.assert_array_equal(found[: BEGIN - 1], 0.0)
    np.testing.assert_allclose(found[BEGIN - 1 : half], 0.1, atol=1e-7)  # stands for half of the way
    # Then twice the plain pace.
    wanted = [schedule_of()(BEGIN + 2 * (step - half)) for step in range(half, END + 1)]
    np.testing.assert_allclose(found[half - 1 : END], wanted, atol=1e-6)
    np.testing.assert_array_equal(found[END - 1 :], np.float32(0.9))


def test_pace_two_reaches_the_target_halfway():
    found = driven(schedule_of(), [2.0] * (END + 3))
    half = (BEGIN + END) // 2
    assert found[half - 2] < 0.9 - 1e-4
    np.testing.assert_allclose(found[half - 1 :], np.float32(0.9), rtol=0, atol=1e-7)


@settings(max_examples=8, deadline=None)
@given(st.lists(st.floats(0, 2, width=32), min_size=END + 3, max_size=END + 3))
def test_any_paces_rise_to_the_target_and_no_further(paces):
    found = driven(schedule_of(), paces)
    np.testing.assert_array_equal(found[: BEGIN - 1], 0.0)
    assert np.all(np.diff(found) >= 0)
    assert found.max() <= np.float32(0.9)
    np.testing.assert_array_equal(found[END - 1 :], np.float32(0.9))


def trajectory_of(path):
    trajectory = kk.Trajectory(64)
    for time, weights in enumerate(path):
        trajectory.append({"layer": {"kernel": keras.ops.convert_to_tensor(weights, "float32")}}, float(time))
    return trajectory


def test_pace_is_twice_the_share_of_the_increments_that_is_explained():
    path = np.cumsum(np.cumsum(np.random.default_rng(0).normal(size=(14, 6)), 0), 0)
    d = np.diff(path, axis=0)[-8:]  # the last 8 increments
    follows = np.sum(d[:-1] * d[1:])
    wanted = 2 * follows**2 / (np.sum(d[:-1] ** 2) * np.sum(d[1:] ** 2))
    assert 0.2 < wanted < 1.9  # or the test says nothing
    found = schedule_of().observe(trajectory_of(path))
    assert found == {"pace": pytest.approx(wanted, rel=1e-4)}


def test_pace_of_a_drift_a_decay_and_a_swing():
    steps, drift = np.arange(12.0)[:, None], np.array([1.0, -2.0, 0.5])
    for path, pace in [(steps * drift, 2.0), (0.7**steps * drift, 2.0), ((-1.0) ** steps * drift, 0.0)]:
        assert schedule_of().observe(trajectory_of(path)) == {"pace": pytest.approx(pace, abs=1e-4)}


def test_pace_stays_while_there_are_too_few_increments_or_none_moves():
    steps = np.arange(3.0)[:, None] * np.ones(4)
    assert schedule_of().observe(trajectory_of(steps)) == {}
    assert schedule_of().observe(trajectory_of(np.ones((6, 4)))) == {}
