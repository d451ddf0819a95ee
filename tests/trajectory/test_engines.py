"""Each engine gives the spectrum that NumPy gives for the same trajectory."""

import numpy as np
import pytest

import keras_koopman as kk

pytestmark = pytest.mark.contract
RANK = 5


def training_path():
    """`(n, m)` float32: a fixed point, decays, an oscillation, and a little noise."""
    rng = np.random.default_rng(7)
    t = np.arange(40)
    turn = 0.97 * np.exp(0.3j)
    rates = [1.0**t, 0.98**t, 0.9**t, (turn**t).real, (turn**t).imag]
    path = rng.normal(size=(50_000, 5)) @ np.stack(rates) + 1e-4 * rng.normal(size=(50_000, 40))
    return path.astype("float32")


def eigenvalues(path, rank):
    """DMD in float64, with columns scaled as ours."""
    triangle = np.linalg.qr(path.astype(np.float64), mode="r")
    x, y = triangle[:, :-1], triangle[:, 1:]
    norms = np.linalg.norm(x, axis=0)
    left, values, right = np.linalg.svd(x / norms, full_matrices=False)
    operator = left[:, :rank].T @ (y / norms) @ right[:rank].T / values[:rank]
    return np.sort_complex(np.linalg.eigvals(operator))


def test_spectrum_to_a_millionth():
    path = training_path()
    trajectory = kk.Trajectory(window=40)
    for snapshot in path.T:
        trajectory.append({"kernel": snapshot[:49_000].reshape(490, 100), "bias": snapshot[49_000:]})
    found = np.sort_complex(np.asarray(trajectory.decompose(rank=RANK).eigenvalues))
    np.testing.assert_allclose(found, eigenvalues(path, RANK), rtol=0, atol=1e-6)
    increments = np.sort_complex(np.asarray(trajectory.increments().decompose(rank=RANK - 1).eigenvalues))
    expected = eigenvalues(np.diff(path.astype(np.float64), axis=1), RANK - 1)
    np.testing.assert_allclose(increments, expected, rtol=0, atol=1e-6)
