"""`inertial_manifold`: dimension and coordinates of runs whose modes are known."""

import numpy as np
import pytest

import keras_koopman as kk
from keras_koopman.relaxation import inertial_manifold
from tests.relaxation.runs import SIZE, directions, relaxing, walk


@pytest.mark.contract
def test_coordinates_go_as_powers():
    run = relaxing([0.95, 0.8, 0.5], records=40)
    slow = inertial_manifold(run)
    np.testing.assert_allclose(slow.eigenvalues.real[:3], [0.95, 0.8, 0.5], rtol=1e-3)
    np.testing.assert_allclose(slow.half_lives[:2], np.log(0.5) / np.log([0.95, 0.8]), rtol=0.01)
    found = slow.project(run, directions=2)
    t = np.arange(40)
    for column, factor in zip(found.T, (0.95, 0.8), strict=True):
        np.testing.assert_allclose(column / column[0], factor**t, atol=2e-3)
        assert abs(column[0]) == pytest.approx(1, rel=1e-2)


@pytest.mark.parametrize(("small", "dimension"), [(1.0, 2), (1e-3, 1)])
def test_dimension_is_what_the_tolerance_needs(small, dimension):
    slow = inertial_manifold(relaxing([0.95, 0.7], [1.0, small], records=40), tol=0.01)
    assert slow.dimension == dimension
    assert slow.errors[dimension - 1] <= 0.01
    assert np.all(np.diff(slow.errors) <= 1e-9)


@pytest.mark.contract
def test_another_run_in_the_same_coordinates():
    run = relaxing([0.95, 0.8], records=40)
    slow = inertial_manifold(run, tol=1e-3)
    other = relaxing([0.95, 0.8], [-2.0, 0.5], records=20)
    ratio = slow.project(other) / slow.project(run)[:20]
    np.testing.assert_allclose(ratio[:10], [[-2.0, 0.5]] * 10, rtol=0.02)
    # What is off the plane does not show.
    aside, away = kk.Trajectory(), directions(3)[2]
    for t in range(3):
        aside.append((1 + t * away).astype("float32"))
    np.testing.assert_allclose(slow.project(aside), 0, atol=5e-3)


def test_a_rotation_counts_twice():
    run, plane = kk.Trajectory(), directions(3)
    for t in range(40):
        turning = 0.9**t * (np.cos(0.5 * t) * plane[0] + np.sin(0.5 * t) * plane[1])
        run.append((turning + 0.05 * 0.3**t * plane[2]).astype("float32"))
    slow = inertial_manifold(run)
    assert slow.dimension == 2
    np.testing.assert_allclose(slow.eigenvalues[:2], 0.9 * np.exp([0.5j, -0.5j]), rtol=1e-3)
    assert slow.errors[0] == slow.errors[1]
    radius = np.linalg.norm(slow.project(run), axis=1)
    np.testing.assert_allclose(radius / radius[0], 0.9 ** np.arange(40), atol=2e-3)


def test_groups_and_a_window_that_has_moved_on():
    run, modes = kk.Trajectory(window=20), directions(2)
    for t in range(40):
        w = 0.95**t * modes[0] + 0.7**t * modes[1]
        run.append(
            {"a": w[:50].astype("float32"), "b": [w[50:120].astype("float32"), w[120:].astype("float32")]}
        )
    slow = inertial_manifold(run)
    assert slow.project(run).shape == (20, slow.dimension)
    run.append(run.latest())
    with pytest.raises(ValueError, match="have left the window"):
        slow.project(run)


def test_noise_has_no_manifold():
    few, none = inertial_manifold(relaxing([0.95, 0.9])), inertial_manifold(walk())
    assert few.complete
    assert not none.complete
    assert none.errors[-1] > 0.05
    assert "not all of the motion" in repr(none)


def test_refuses():
    run = relaxing([0.9, 0.5])
    with pytest.raises(TypeError, match=r"must be a kk\.Trajectory, got list"):
        inertial_manifold([1, 2])
    with pytest.raises(ValueError, match=r"4 snapshots are too few .* it takes 5"):
        inertial_manifold(relaxing([0.9], records=4))
    uneven = relaxing([0.9, 0.5], records=20)
    uneven.append(uneven.latest(), time=400.0)
    with pytest.raises(ValueError, match="apart in time, so no mode has one half-life"):
        inertial_manifold(uneven)
    with pytest.raises(ValueError, match="move less than rounding shows"):
        inertial_manifold(relaxing([0.0]))
    with pytest.raises(ValueError, match="tol must be above 0"):
        inertial_manifold(run, tol=0.0)
    slow = inertial_manifold(run)
    with pytest.raises(ValueError, match="directions=99 is more than"):
        slow.project(run, directions=99)
    with pytest.raises(TypeError, match=r"trajectory must be a kk\.Trajectory"):
        slow.project(np.zeros((3, SIZE)))
    other = kk.Trajectory()
    other.append(np.zeros(7, "float32"))
    with pytest.raises(ValueError, match="of other weights: their shapes differ"):
        slow.project(other)
