import json
import sys

import numpy as np
import pytest
import scipy.stats

import keras_koopman as kk
from keras_koopman.spectrum import SpectrumPosterior, posterior
from keras_koopman.spectrum.posterior import _matched, _separation, _whiteness, _wishart_factors
from tests.oracle import matched, path_of

TURN = 0.8 * np.array([[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]])


def noisy(operator, pairs, seed=0, forget=200, size=1.0):
    """Snapshots of `z -> A z + e`, started long before."""
    operator = np.atleast_2d(operator)
    rng = np.random.default_rng(seed)
    state, path = np.zeros(len(operator)), []
    for step in size * rng.standard_normal((forget + pairs + 1, len(operator))):
        state = operator @ state + step
        path.append(state)
    return np.array(path[forget:]).T


def gram(path):
    return path.T @ path


def test_one_eigenvalue_follows_a_student_law():
    """With one direction the posterior is known: Student's t around the least squares slope."""
    path = noisy(0.6, 40)
    x, y = path[0, :-1], path[0, 1:]
    slope = x @ y / (x @ x)
    width = np.sqrt(np.sum((y - slope * x) ** 2) / 39 / (x @ x))
    law = scipy.stats.t(39, slope, width)
    found = posterior(gram(path), samples=20_000)
    assert found.eigenvalues[0] == pytest.approx(slope, rel=1e-9)
    for level in (0.5, 0.9):
        np.testing.assert_allclose(
            found.interval(level, "real")[0], law.interval(level), atol=0.03 * width * 3
        )
    assert scipy.stats.kstest(found.samples.real[:, 0], law.cdf).pvalue > 1e-3


def test_samples_follow_the_law_of_the_operator():
    """Mean and covariance of the trace, which is linear in A: the posterior of A is matrix Student."""
    path = noisy(np.array([[0.7, 0.2], [0.0, -0.3]]), 60)
    x, y = path[:, :-1], path[:, 1:]
    ols = y @ np.linalg.pinv(x)
    residual = y - ols @ x
    sigma = residual @ residual.T / (60 - 2 - 2 - 1)  # mean of IW(S, 58)
    found = posterior(gram(path), samples=40_000, rank=2)
    trace = found.samples.sum(axis=1).real
    variance = np.sum(sigma * np.linalg.inv(x @ x.T))  # of A_11 + A_22
    assert np.mean(trace) == pytest.approx(np.trace(ols), abs=4 * np.sqrt(variance / 40_000))
    assert np.var(trace) == pytest.approx(variance, rel=0.05)


def test_wishart_factors():
    """E[W] = freedom for unit scale, and E[W^-1] = 1 / (freedom - r - 1)."""
    factors = _wishart_factors(3, 12, 20_000, 0)
    draws = factors @ factors.transpose(0, 2, 1)
    np.testing.assert_allclose(draws.mean(axis=0), 12 * np.eye(3), atol=0.15)
    np.testing.assert_allclose(np.linalg.inv(draws).mean(axis=0), np.eye(3) / 8, atol=0.005)


def test_what_a_rotation_of_coordinates_does_not_change():
    path = noisy(TURN, 100)
    frame = np.linalg.qr(np.random.default_rng(1).standard_normal((50, 2)))[0]
    one, other = posterior(gram(path), seed=3, rank=2), posterior(gram(frame @ path), seed=3, rank=2)
    np.testing.assert_allclose(one.eigenvalues, other.eigenvalues, atol=1e-9)
    np.testing.assert_allclose(one.interval(), other.interval(), atol=0.02)


@pytest.mark.uncounted
def test_ninety_percent_intervals_hold_in_ninety_percent():
    """Of eigenvalues that lie at least four standard deviations apart, real and complex; 500 draws."""
    operator = np.block([[TURN, np.zeros((2, 1))], [0.3, 0.0, 0.9]])
    truth, held = np.linalg.eigvals(operator), []
    for seed in range(500):
        path = noisy(operator, 60, seed, forget=40)
        found = posterior(gram(path), samples=200, seed=seed, rank=3)
        if found.separation.min() >= 4:
            true = np.abs(truth[matched(truth, found.eigenvalues)])
            low, high = found.interval(0.9).T
            held.append((low <= true) & (true <= high))
    assert len(held) >= 450
    assert 0.85 <= np.mean(held) <= 0.95


def test_growth():
    assert posterior(gram(noisy(0.5, 100))).growth[0] == 0
    growing = posterior(gram(noisy(1.1, 60, forget=0)))
    assert growing.growth[0] > 0.99
    assert growing.any_growth == growing.growth[0]
    assert np.isinf(growing.half_life_interval()).all()
    random_walk = posterior(gram(noisy(1.0, 200, forget=0)))
    assert 0 < random_walk.growth[0] < 1
    low, high = random_walk.half_life_interval()[0]
    assert np.isfinite(low)
    assert np.isinf(high)


def test_half_lives_are_those_of_the_moduli():
    found = posterior(gram(noisy(0.9, 200)), dt=2.0)
    low, high = found.interval()[0]
    np.testing.assert_allclose(
        found.half_life_interval()[0], [-2 * np.log(2) / np.log(v) for v in (low, high)]
    )


def test_conjugates_are_told_apart():
    found = posterior(gram(noisy(TURN, 300)), rank=2)
    assert found.samples[:, 0].imag.min() > 0 > found.samples[:, 1].imag.max()
    low, high = found.interval(0.9, "imaginary")[0]
    assert low < 0.8 * np.sin(1.0) < high
    np.testing.assert_allclose(found.interval()[0], found.interval()[1])


def test_matching_is_the_best_where_the_nearest_is_taken_twice():
    eigenvalues = np.array([0.0, 0.2], complex)
    drawn = np.array([[0.1, -1.0], [0.3, 0.05]], complex)
    # Row 0: greedy would give 0.1 to both.
    np.testing.assert_allclose(_matched(eigenvalues, drawn), [[-1.0, 0.1], [0.05, 0.3]])


def test_separation():
    rng = np.random.default_rng(0)
    values = np.array([0.9, 0.5], complex)
    drawn = values + np.array([0.01, 0.05]) * rng.standard_normal((4000, 2))
    np.testing.assert_allclose(_separation(values, drawn), 0.4 / 0.05, rtol=0.05)
    assert np.isinf(_separation(values[:1], drawn[:, :1]))


def test_whiteness():
    """Of residuals of a regression, uniform; of those of a wrong model, near 0."""

    def residual(path):
        x, y = path[:, :-1], path[:, 1:]
        return y - y @ np.linalg.pinv(x) @ x

    white = np.array([_whiteness(residual(noisy(TURN, 200, seed)), 1.0) for seed in range(300)])
    assert np.mean(white < 0.1) == pytest.approx(0.1, abs=0.05)
    assert np.mean(white < 0.01) < 0.04
    steps = np.random.default_rng(0).standard_normal((2, 201))
    assert _whiteness(residual(np.diff(steps)), 1.0) < 1e-4
    assert _whiteness(1e-9 * steps, np.linalg.norm(steps)) == 1.0


@pytest.mark.parametrize(
    ("path", "rank", "words"),
    [
        (noisy(np.diag([0.9, 0.2]), 300), 2, None),
        (noisy(np.diag([0.9, 0.2]), 12), 2, "12 pairs of snapshots are few for 2 eigenvalues"),
        (noisy(np.diag([0.8, 0.8]), 100), 2, "standard deviations apart"),
        (noisy(0.95, 800) + 2 * np.random.default_rng(9).standard_normal((1, 801)), 1, "are not white"),
    ],
    ids=["good", "short", "close", "noise of measurement"],
)
def test_trust_and_its_reason(path, rank, words):
    found = posterior(gram(path), rank=rank)
    assert found.trusted == (words is None)
    assert (words or "300 pairs of snapshots for 2 eigenvalues that lie apart") in found.reason


def test_rank_that_the_data_choose():
    path = noisy(np.diag([0.9, 0.4]), 100)
    frame = np.random.default_rng(0).standard_normal((30, 2))
    assert posterior(gram(frame @ path)).rank == 2
    many = noisy(np.diag(np.linspace(0, 0.9, 20)), 40)
    assert posterior(gram(many)).rank == 4  # a tenth of the pairs


def test_no_noise_leaves_no_doubt():
    path = path_of(np.diag([0.9, 0.5]), [1.0, 1.0], 30)
    found = posterior(gram(path), rank=2)
    np.testing.assert_allclose(found.interval(), [[0.9, 0.9], [0.5, 0.5]], atol=1e-5)
    assert found.trusted


def test_same_seed_same_samples():
    path = gram(noisy(TURN, 60))
    one, again, other = (posterior(path, samples=50, seed=s, rank=2).samples for s in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)
    assert one.shape == (50, 2)


def test_trajectories_and_their_increments():
    rows = noisy(np.diag([0.9, 0.3, 0.3]), 60).T
    trajectory = kk.Trajectory(window=100)
    for t, row in enumerate(rows):
        trajectory.append(row, 2.0 * t)
    found = posterior(trajectory, rank=1, seed=1)
    assert found.dt == 2.0
    wanted = posterior(gram(rows.T), rank=1, seed=1)
    assert found.eigenvalues[0] == pytest.approx(wanted.eigenvalues[0], rel=1e-6)
    np.testing.assert_allclose(found.interval(), wanted.interval(), atol=0.02)
    increments = posterior(trajectory.increments(), rank=1, seed=1)
    assert increments.columns == 59
    wanted = posterior(gram(np.diff(rows.T)), rank=1, seed=1)
    assert increments.eigenvalues[0] == pytest.approx(wanted.eigenvalues[0], rel=1e-6)


@pytest.mark.parametrize(
    ("options", "centered", "delays"), [({}, 0, 1), ({"center": True}, 1, 1), ({"delays": 2}, 0, 2)]
)
def test_decompositions(options, centered, delays):
    """Their own basis, centring and delays; the columns they were made of."""
    path = noisy(np.diag([0.9, 0.3]), 80) + 3.0 * centered
    found = kk.decompose(path, rank=2, dt=0.5, **options)
    columns = np.vstack([path[:, d : 81 - delays + 1 + d] for d in range(delays)])
    x = columns[:, :-1] - centered * columns[:, :-1].mean(axis=1, keepdims=True)
    sure = posterior(found)
    assert (sure.dt, sure.rank, sure.columns) == (0.5, 2, columns.shape[1] - 1)
    assert sure.trusted == (delays == 1)
    if delays == 2:
        assert "delays=2" in sure.reason
    else:
        y = columns[:, 1:] - centered * columns[:, 1:].mean(axis=1, keepdims=True)
        wanted = np.linalg.eigvals(y @ np.linalg.pinv(x))
        np.testing.assert_allclose(np.sort(sure.eigenvalues.real), np.sort(wanted.real), rtol=1e-9)


def test_dict_and_text():
    found = posterior(gram(noisy(np.diag([1.0, 0.2]), 100, forget=0)), rank=2)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["half_life"][0][1] is None
    assert plain["growth"] == found.growth.tolist()
    assert len(plain["modulus"]) == 2
    text = str(found)
    assert "P(|lambda| > 1)" in text
    assert text.endswith(f"Trusted: {found.reason}")
    assert "0.8" in str(posterior(gram(noisy(TURN, 300)), rank=2)) or "i" in text
    assert repr(found) == "<SpectrumPosterior of 2 eigenvalues, 1000 samples, trusted>"
    assert isinstance(found, SpectrumPosterior)


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        ("gram", {}, TypeError, "must be a Gram matrix, something with .gram, or a KoopmanDecomposition"),
        (None, {}, TypeError, "got NoneType"),
        (np.ones((3, 4)), {}, ValueError, r"must be a square Gram matrix, got shape \(3, 4\)"),
        (np.ones(4), {}, ValueError, r"got shape \(4,\)"),
        (np.eye(2), {}, ValueError, "2 snapshots leave no noise to see: at least 3"),
        (np.triu(np.ones((4, 4))), {}, ValueError, "must be symmetric"),
        (-np.eye(4), {}, ValueError, "squares on its diagonal"),
        (np.full((4, 4), np.nan), {}, ValueError, "snapshots must be finite"),
        (np.zeros((4, 4)), {}, ValueError, "all zero: there is no motion"),
        (np.eye(9), {"rank": 5}, ValueError, "rank=5 is too much for 8 pairs.*at most 4"),
        (np.eye(9), {"rank": 1.5}, TypeError, "rank must be a whole number"),
        (np.eye(9), {"samples": 1}, ValueError, "samples must be at least 2"),
        (np.eye(9), {"seed": -1}, ValueError, "seed must be at least 0"),
        (np.eye(9), {"dt": 0.0}, ValueError, "dt must be above 0"),
    ],
)
def test_bad_arguments(source, options, error, message):
    with pytest.raises(error, match=message):
        posterior(source, **options)


def test_bad_levels():
    found = posterior(gram(noisy(0.5, 30)), samples=10)
    with pytest.raises(ValueError, match="level must be above 0 and below 1"):
        found.interval(90)
    with pytest.raises(ValueError, match="part must be one of"):
        found.interval(0.9, "angle")


def test_probability_is_imported_only_when_needed(monkeypatch):
    """Nor does `import keras_koopman` ask for it, as tests/test_imports.py says."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorflow_probability"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorflow_probability", None)  # whoever imports it fails
    kk.decompose(np.array([[1.0, 0.5, 0.25]]))
    with pytest.raises(ImportError, match="tensorflow_probability"):
        posterior(np.eye(9))
