import numpy as np
import pytest
from keras import ops

import keras_koopman as kk
from keras_koopman.verdicts.path import (
    StopReason,
    layer_propagators,
    measure_path,
    propagator,
    relative_displacements,
    speed,
    stopping_rule,
)
from tests.verdicts.paths import decay, drift, layers, record, walk

contract = pytest.mark.contract


def by_hand(rows, origin, window):
    """rho and speed as they are defined."""
    d = np.diff(rows[-window - 1 :], axis=0)
    rho = np.sum(d[:-1] * d[1:]) / np.sum(d[:-1] ** 2)
    near = np.linalg.norm(rows[-1] - rows[-1 - window]) / window
    return rho, near / (np.linalg.norm(rows[-1] - origin) / len(rows))


@contract
@pytest.mark.parametrize("window", [2, 5, 8])
@pytest.mark.parametrize("count", [9, 14])
def test_figures_are_those_of_the_definition(window, count):
    rng = np.random.default_rng(count)
    rows, origin = np.cumsum(rng.normal(size=(count, 7)), axis=0), rng.normal(size=7)
    path = measure_path(record(rows, origin), window)
    rho, share = by_hand(rows, origin, window)
    assert path.rho == pytest.approx(rho, rel=1e-9)
    assert path.speed == pytest.approx(share, rel=1e-9)
    assert path.displacement == pytest.approx(
        np.linalg.norm(rows[-1] - origin) / np.linalg.norm(origin), rel=1e-12
    )
    assert (path.snapshots, path.window, path.still) == (count, window, False)


@contract
def test_figures_of_each_layer():
    rng = np.random.default_rng(0)
    rows, origin = np.cumsum(rng.normal(size=(12, 8)), axis=0), rng.normal(size=8)
    trajectory = record(rows, origin, form=layers)
    path = measure_path(trajectory)
    for name, part in (("first", slice(0, 4)), ("last", slice(4, 8))):
        assert path.layer_rho[name] == pytest.approx(by_hand(rows[:, part], origin[part], 8)[0], rel=1e-9)
        assert path.layer_displacement[name] == pytest.approx(
            np.linalg.norm(rows[-1, part] - origin[part]) / np.linalg.norm(origin[part])
        )
    assert path.least_layer_rho == min(path.layer_rho.values())
    assert layer_propagators(trajectory, 8) == path.layer_rho
    assert propagator(trajectory, 8, "last") == path.layer_rho["last"]


def test_known_motions():
    assert measure_path(record(drift(9), np.full(8, 2.0))).rho == pytest.approx(1)
    assert measure_path(record(drift(9), np.zeros(8))).speed == pytest.approx(1)
    assert measure_path(record(decay(12, 0.6), np.zeros(8))).rho == pytest.approx(0.6)
    # After 12 epochs, 8 of them later: (0.6^4 - 0.6^12) / 8 beside (1 - 0.6^12) / 12.
    wanted = (0.6**4 - 0.6**12) / 8 / ((1 - 0.6**12) / 12)
    assert speed(record(decay(12, 0.6), np.zeros(8)), 8) == pytest.approx(wanted)


def test_means_of_a_random_walk_give_a_quarter():
    assert measure_path(record(walk(12), np.ones(2000))).rho == pytest.approx(0.25, abs=0.02)


def test_a_layer_without_initial_weights_has_no_relative_displacement():
    trajectory = record(drift(9), np.array([0, 0, 0, 0, 1, 1, 1, 1]), form=layers)
    found = relative_displacements(trajectory)
    assert set(found) == {"last", None}
    assert found[None] == pytest.approx(np.sqrt(4 * 81 + 4 * 64) / 2)
    assert measure_path(record(drift(9), np.zeros(8))).displacement is None


@contract
@pytest.mark.parametrize("form", [lambda r: r, ops.convert_to_tensor, lambda r: [r[:3], r[3:]]])
def test_displacement_of_every_form_of_values(form):
    rows = np.random.default_rng(1).normal(size=(3, 8))
    found = relative_displacements(record(rows, np.ones(8), form=form))[None]
    assert found == pytest.approx(np.linalg.norm(rows[-1] - 1) / np.sqrt(8), rel=1e-6)


@contract
def test_displacement_survives_a_change_of_reference():
    """The window takes a nearer reference when steps get small; the origin stays."""
    rows = [np.full(6, 10.0) + 1e-5 * t for t in range(1, 13)]
    path = measure_path(record(rows, np.full(6, 1.0)))
    assert path.displacement == pytest.approx(9 + 12e-5)
    assert path.rho == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("count", "measured"), [(0, False), (8, False), (9, True)])
def test_too_few_snapshots_give_no_figures(count, measured):
    path = measure_path(record(drift(count), np.ones(8)))
    assert path.snapshots == count
    assert (path.rho is not None) == (path.speed is not None) == measured
    assert bool(path.layer_rho) == measured
    assert (path.displacement is not None) == bool(count)


def test_weights_that_stand_still():
    path = measure_path(record(np.ones((10, 4)), np.ones(4)))
    assert path.still
    assert path.rho is None
    assert path.layer_rho == {}


@contract
def test_a_frozen_layer_is_left_out():
    rows = drift(9)
    rows[:, :4] = 1.0
    assert set(measure_path(record(rows, np.ones(8), form=layers)).layer_rho) == {"last"}


@pytest.mark.parametrize(
    ("rho", "share", "reason"),
    [
        (0.9, 0.9, None),
        (0.34, 0.51, None),
        (0.33, 0.9, StopReason.DRIFT_IS_NOISE),
        (-0.5, 0.9, StopReason.DRIFT_IS_NOISE),
        (0.9, 0.49, StopReason.STEPS_DIED_OUT),
        (0.1, 0.1, StopReason.DRIFT_IS_NOISE),
        (None, None, None),
        (None, 0.4, StopReason.STEPS_DIED_OUT),
    ],
)
def test_stopping_rule(rho, share, reason):
    assert stopping_rule(rho, share) is reason


def test_thresholds_of_the_rule():
    assert stopping_rule(0.5, 0.9, rho_below=0.6) is StopReason.DRIFT_IS_NOISE
    assert stopping_rule(0.9, 0.7, speed_below=0.8) is StopReason.STEPS_DIED_OUT


@pytest.mark.parametrize(
    ("trajectory", "window", "error", "message"),
    [
        (None, 8, TypeError, "trajectory must be a kk.Trajectory, got NoneType"),
        (kk.Trajectory(8), 8, ValueError, "window=8 increments need 9 snapshots, but the trajectory keeps 8"),
        (kk.Trajectory(), 1, ValueError, "window must be at least 2"),
        (kk.Trajectory(), 2.5, TypeError, "window must be a whole number"),
    ],
)
def test_bad_arguments(trajectory, window, error, message):
    with pytest.raises(error, match=message):
        measure_path(trajectory, window)
