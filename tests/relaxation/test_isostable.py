"""`isostable` on runs whose end is known: right where it speaks, silent where it cannot know."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_koopman as kk
from keras_koopman.relaxation import Relaxation, isostable
from tests.relaxation.runs import directions, relaxing, walk


def log_ratio(factor, fraction):
    return np.log(fraction) / np.log(factor)


@pytest.mark.parametrize(
    ("factor", "dt"), [pytest.param(0.8, 5.0, marks=pytest.mark.contract), (0.95, 1.0), (0.99, 5.0)]
)
def test_one_decay(factor, dt):
    records = 100 if factor > 0.98 else 40  # the window reaches back over the half-life
    found = isostable(relaxing([factor], records=records, dt=dt, window=100))
    assert found.trusted
    assert found.status is Relaxation.RELAXING
    assert found.eigenvalue == pytest.approx(factor, rel=1e-3)
    assert found.half_life == pytest.approx(log_ratio(factor, 0.5) * dt, rel=0.02)
    for fraction in (0.5, 0.01):
        left = found.time_left(fraction)
        assert left.estimate == pytest.approx(log_ratio(factor, fraction) * dt, rel=0.02)
        assert left.low < log_ratio(factor, fraction) * dt < left.high
        assert left.high < 1.1 * left.estimate + dt
    gone, left = 1 - factor ** (records - 1), factor ** (records - 1)
    assert found.remaining == pytest.approx(left, rel=0.02)
    assert found.amplitude == pytest.approx(left, rel=0.02)
    assert found.share_left == pytest.approx(left / (gone + left), rel=0.02)
    assert found.residual < 0.01
    assert found.explained > 0.99


def test_several_decays_are_added_up():
    """The time to a hundredth of what is left, of 0.02 * 0.95^t + 0.8^t, 24 records on."""
    found = isostable(relaxing([0.95, 0.8], [0.02, 1.0], records=25))
    t = np.arange(0, 1000, 0.01)
    distance = np.hypot(0.02 * 0.95 ** (24 + t), 0.8 ** (24 + t))
    for fraction in (0.3, 0.01):
        wanted = t[np.argmax(distance <= fraction * distance[0])]
        assert found.time_left(fraction).estimate == pytest.approx(wanted, rel=0.03)


@settings(deadline=None, max_examples=10)
@given(
    st.floats(0.6, 0.97),
    st.floats(0.05, 0.5),
    st.floats(0.2, 2.0),
    st.integers(30, 60),
    st.floats(0.02, 0.9),
)
def test_decays_without_noise_are_foretold(slow, gap, amplitude, records, fraction):
    """Unless float32 has swallowed the motion, in which case nothing is claimed."""
    found = isostable(relaxing([slow, slow - gap], [1.0, amplitude], records))
    t = np.arange(0, 400, 0.01) + records - 1
    distance = np.hypot(slow**t, amplitude * (slow - gap) ** t)
    if found.trusted:
        wanted = 0.01 * np.argmax(distance <= fraction * distance[0])
        left = found.time_left(fraction)
        assert left.low <= wanted <= left.high
    else:
        assert distance[0] < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_a_little_noise_widens_the_interval(seed):
    clean = isostable(relaxing([0.95], records=48))
    found = isostable(relaxing([0.95], records=48, noise=0.0005, seed=seed))
    assert found.trusted
    left, sharp = found.time_left(), clean.time_left()
    assert left.low < log_ratio(0.95, 0.01) < left.high
    assert left.high - left.low > sharp.high - sharp.low


@pytest.mark.parametrize(
    ("run", "status"),
    [
        (lambda: relaxing([0.9], records=16), Relaxation.TOO_SHORT),
        (lambda: kk.Trajectory(), Relaxation.TOO_SHORT),
        (lambda: relaxing([0.95], records=48, noise=0.05), Relaxation.UNSETTLED),
        (lambda: walk(), Relaxation.NOISE),
        (lambda: relaxing([1.02, 0.9], [0.1, 1.0]), Relaxation.GROWING),
        (lambda: relaxing([1.05]), Relaxation.GROWING),
        (lambda: relaxing([0.95], records=48, noise=0.01), Relaxation.UNSETTLED),
        (lambda: relaxing([0.0]), Relaxation.STILL),
    ],
)
def test_no_number_without_trust(run, status):
    found = isostable(run())
    assert found.status is status
    assert not found.trusted
    assert found.time_left() is None
    assert found.half_life_interval() is None
    assert (found.eigenvalue, found.half_life, found.amplitude, found.remaining, found.share_left) == (
        None,
    ) * 5
    assert str(found).startswith("Not relaxing: ")
    assert len(found.reason) > 20


def test_a_steady_drift_has_no_end():
    run = kk.Trajectory()
    for t in range(40):
        run.append(np.array([0.1 * t, 0.9**t, 0.0], "float32"))
    found = isostable(run)
    assert found.status is not Relaxation.RELAXING
    assert found.time_left() is None


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_a_mode_that_hardly_shows_yet_but_grows(share):
    """It carries so much of the last step, and all of the motion later."""
    fast, slow = directions(2)
    run = kk.Trajectory()
    for t in range(48):
        grown = share * 0.05 * 0.95**47 * 1.01 ** (t - 47) / 0.01
        run.append((0.95**t * fast + grown * slow).astype("float32"))
    found = isostable(run)
    assert found.status is Relaxation.GROWING
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("path", [lambda t: np.log(t + 1000), lambda t: np.sqrt(t + 1000)])
def test_a_window_shorter_than_the_half_life_tells_nothing(path):
    """Any smooth path is straight in a short window, and its parts agree on an end that it does not have."""
    run = kk.Trajectory()
    for t in range(1, 65):
        run.append((path(float(t)) * directions(1)[0]).astype("float32"))
    found = isostable(run)
    assert not found.trusted
    assert "longer than the window" in found.reason or found.status is not Relaxation.UNSETTLED


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_weights_beyond_all_bounds():
    run = kk.Trajectory()
    for t in range(30):
        run.append(np.full(5, 1e200 * 0.9**t))
    found = isostable(run)
    assert found.status is Relaxation.GROWING
    assert found.time_left() is None
    with pytest.raises(ValueError, match="inner products overflow"):
        kk.relaxation.inertial_manifold(run)


def test_growth_is_told_from_drift():
    assert "a mode with" in isostable(relaxing([1.05])).reason
    assert "grows" in isostable(relaxing([1.05])).reason


@pytest.mark.parametrize("seed", range(3))
def test_a_power_law_has_no_half_life(seed):
    """w = t^-1/2: each part of the window foretells an end further on."""
    run, modes = kk.Trajectory(), np.random.default_rng(seed).normal(size=20)
    for t in range(1, 65):
        run.append(modes / np.sqrt(t))
    assert isostable(run).status is Relaxation.UNSETTLED


@pytest.mark.parametrize(("seed", "drift"), [(0, 0.0), (1, 0.02), (2, 0.0), (3, 0.02), (4, 0.0)])
def test_random_walks_are_never_trusted(drift, seed):
    assert not isostable(walk(seed=seed, drift=drift)).trusted


def test_uneven_times():
    run = relaxing([0.9], records=30)
    run.append(run.latest(), time=40.0)
    found = isostable(run)
    assert found.status is Relaxation.UNEVEN
    assert "1 to 10 apart" in found.reason


def test_interval_of_the_half_life_with_noise():
    found = isostable(relaxing([0.9], records=40, noise=1e-4))
    low, high = found.half_life_interval()
    assert low < log_ratio(0.9, 0.5) < high
    assert high < 2 * low


def test_oscillations_that_die_out():
    run = kk.Trajectory()
    for t in range(50):
        run.append((0.9**t * np.array([np.cos(t), np.sin(t), 0.0])).astype("float32"))
    found = isostable(run)
    assert abs(found.eigenvalue) == pytest.approx(0.9, rel=1e-3)
    assert abs(found.eigenvalue.imag) > 0.1
    assert found.time_left(0.5).estimate == pytest.approx(log_ratio(0.9, 0.5), rel=0.02)


def test_to_dict_is_for_json():
    found = json.loads(json.dumps(isostable(relaxing([0.9], records=30)).to_dict()))
    assert found["status"] == "RELAXING"
    assert found["time_left"][1] < found["time_left"][0] < found["time_left"][2]
    told = json.loads(json.dumps(isostable(walk()).to_dict()))
    assert told["time_left"] is None
    assert told["half_life"] is None


def test_refuses():
    with pytest.raises(TypeError, match=r"must be a kk\.Trajectory, got ndarray.*recorder\.trajectory"):
        isostable(np.zeros((4, 4)))
    found = isostable(relaxing([0.9], records=30))
    for wrong in (0.0, 1.0, -1):
        with pytest.raises(ValueError, match="fraction must be above 0"):
            found.time_left(wrong)
    with pytest.raises(TypeError, match="fraction must be a real number"):
        found.time_left("all")
    with pytest.raises(ValueError, match="level must be above 0"):
        found.half_life_interval(1.0)
